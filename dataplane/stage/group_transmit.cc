// SPDX-License-Identifier: Apache-2.0
#include "dataplane/stage/group_transmit.h"

#include <rte_memcpy.h>
#include <xylem/abi/record.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "dataplane/stage/group_ingress.h"

namespace xylem::stage {

namespace {

/// A record as it was when it was looked at. The payload may still change.
struct Datagram {
    uint32_t destination;
    uint32_t record_bytes;
    std::span<const uint8_t> payload;
};

/// Each word of the application is loaded once. `room` is what is committed of the cell from there, a multiple of 8.
/// False: no datagram lies there.
bool read_datagram(const uint8_t* at, uint32_t room, Datagram* out) {
    if (room < abi::kRecordHeaderBytes + sizeof(abi::GroupSend)) return false;
    const auto* words = reinterpret_cast<const uint64_t*>(at);
    const uint64_t first = __atomic_load_n(words, __ATOMIC_RELAXED);  // ordered by `commit`
    const uint64_t second = __atomic_load_n(words + 1, __ATOMIC_RELAXED);
    abi::RecordHeader header;
    abi::GroupSend send;
    std::memcpy(&header, &first, sizeof header);
    std::memcpy(&send, &second, sizeof send);
    if (header.type != abi::kRecordMessage || header.flags != (abi::kRecordBegin | abi::kRecordEnd)) return false;
    if (header.length < sizeof send || header.length > room - abi::kRecordHeaderBytes) return false;
    out->destination = send.destination;
    out->record_bytes = abi::record_bytes(header.length);
    out->payload = {at + abi::kRecordHeaderBytes + sizeof send, header.length - sizeof send};
    return true;
}

/// False: the queue is full, or no frame is to be had.
bool put_on_wire(const GroupRoute& route, std::span<const uint8_t> payload) {
    if (!route.egress->has_room()) return false;
    rte_mbuf* mbuf = route.egress->allocate();
    if (mbuf == nullptr) [[unlikely]]
        return false;
    auto* frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
    rte_memcpy(frame + route.header.header_bytes(), payload.data(), payload.size());
    route.header.write(frame, static_cast<uint32_t>(payload.size()));
    mbuf->data_len = static_cast<uint16_t>(route.header.header_bytes() + payload.size());
    mbuf->pkt_len = mbuf->data_len;
    route.egress->put(mbuf);
    return true;
}

/// Afterwards it is out of the log; false: it stays there, its port's queue is full.
bool dispatch(const GroupSender& sender, const Datagram& datagram, Context& context) {
    const uint32_t index = datagram.destination;
    if (index >= abi::kMaxDestinations || !sender.routes[index].dest.ip.is_set()) {
        context.drops.add(Drop::unknown_destination);
        return true;
    }
    const GroupRoute& route = sender.routes[index];
    RxImage* here = context.groups.find(route.dest, route.port);
    if (route.egress != nullptr && route.is_up) {
        if (datagram.payload.size() > route.max_payload_bytes)
            context.drops.add(Drop::too_long);
        else if (!put_on_wire(route, datagram.payload))
            return false;
    } else if (route.egress != nullptr) {
        context.drops.add(Drop::path_down);
    } else if (here == nullptr) {
        context.drops.add(Drop::no_member);
    }
    if (here != nullptr) store_datagram(*here, route.sender, datagram.payload, context);
    return true;
}

/// The records of a range of one cell, at most `budget`; moves the stream's position over them. Returns their number; a
/// mere end of a cell counts as one.
unsigned transmit_range(TxStream& stream, const log::Frame& range, unsigned budget, Context& context) {
    GroupSender& sender = *stream.datagrams;
    uint32_t at = 0;
    unsigned n = range.length == 0 ? 1 : 0;
    for (; at < range.length && n < budget; ++n) {
        Datagram datagram;
        if (!read_datagram(range.bytes + at, range.length - at, &datagram)) [[unlikely]] {
            context.drops.add(Drop::malformed_record);
            ++sender.hostile_records;
            at = range.length;
            continue;
        }
        if (!dispatch(sender, datagram, context)) {
            sender.is_paused = true;
            break;
        }
        at += datagram.record_bytes;
        stream.frames.add(1);
    }
    stream.pulled_bytes.add(at);
    stream.position = at == range.length ? range.next : abi::position(range.cell, range.offset + at);
    return n;
}

}  // namespace

unsigned transmit_datagrams(TxStream& stream, unsigned budget, Context& context) {
    const Position before = stream.committed.get(), end = std::min(before, stream.final);
    unsigned n = 0;
    stream.datagrams->is_paused = false;
    log::Frame range;
    while (context.is_up_to_date && n < budget && !stream.datagrams->is_paused && stream.position < end &&
           stream.log->next_frame(stream.position, end, stream.geometry.cell_bytes, &range))
        n += transmit_range(stream, range, budget - n, context);
    const Position commit = stream.log->sample_commit(stream.limit);
    stream.committed.set(commit);
    stream.cursor.set(stream.position);
    stream.hostile_words.set(stream.log->hostile_words() + stream.datagrams->hostile_records);
    if (n != 0 || commit != before) stream.is_ack_stale = true;
    return n + (commit != before ? 1 : 0);
}

}  // namespace xylem::stage
