// SPDX-License-Identifier: Apache-2.0
#include "dataplane/stage/transmit.h"

#include <rte_memcpy.h>

#include <algorithm>

#include "dataplane/packet/wire.h"
#include "dataplane/stage/group_transmit.h"
#include "dataplane/stage/ingress.h"

namespace xylem::stage {

namespace {

constexpr unsigned kRepairsPerPoll = 16;

packet::FrameFields fields_of(const log::Frame& frame, uint32_t packet_number) {
    packet::FrameFields fields;
    fields.type = packet::FrameType::kData;
    fields.flags = static_cast<uint8_t>((frame.starts_at_boundary ? packet::kFlagStart : 0) |
                                        (frame.ends_cell ? packet::kFlagCellEnd : 0));
    fields.cell = frame.cell;
    fields.offset = static_cast<uint16_t>(frame.offset);
    fields.packet_number = packet_number;
    fields.payload_len = static_cast<uint16_t>(frame.length);
    fields.payload_sum = packet::payload_sum(frame.bytes, frame.length);
    return fields;
}

/// Header and payload flat into one mbuf. False: none to be had.
bool emit(Egress& egress, const packet::FrameTemplate& header, const packet::FramePart& part, const log::Frame& frame) {
    rte_mbuf* mbuf = egress.allocate();
    if (mbuf == nullptr) [[unlikely]]
        return false;
    auto* out = rte_pktmbuf_mtod(mbuf, uint8_t*);
    const size_t header_bytes = header.write(part, out);
    rte_memcpy(out + header_bytes, frame.bytes, frame.length);
    mbuf->data_len = static_cast<uint16_t>(header_bytes + frame.length);
    mbuf->pkt_len = mbuf->data_len;
    egress.put(mbuf);
    return true;
}

/// Fans the open frame out from resume_idx on. False: paused.
bool replicate(Group& group) {
    Egress& egress = *group.egress;
    for (uint32_t i = group.resume_idx; i < group.n; ++i) {
        Replica& replica = *group.replicas[i];
        if (!replica.is_up) [[unlikely]] {
            replica.skipped_frames.add(1);
            replica.skipped_bytes.add(group.frame.length);
            continue;
        }
        if (!egress.has_room() || !emit(egress, group.templates[i], group.part, group.frame)) [[unlikely]] {
            group.resume_idx = i;
            return false;
        }
    }
    return true;
}

void store_local(Group& group, Context& context) {
    RxImage& image = *group.replicas[0]->local;
    const log::Frame& frame = group.frame;
    const log::DataFrame arrived{frame.cell,      frame.offset, frame.length, frame.starts_at_boundary,
                                 frame.ends_cell, frame.bytes};
    store_frame(image, arrived, context);
}

/// Frames on the way to the slowest replica of the group may be this many more. Reliable streams only.
bool is_in_flight_full(const TxStream& stream, Group& group) {
    const auto in_flight = [&] { return static_cast<int32_t>(group.last_packet - group.min_echo); };
    if (in_flight() < static_cast<int32_t>(stream.max_in_flight_pkts)) return false;
    if (!group.is_echo_stale) return true;
    group.is_echo_stale = false;
    uint32_t slowest = group.last_packet;
    for (uint32_t i = 0; i < group.n; ++i) {
        const Replica& replica = *group.replicas[i];
        if (replica.is_up && static_cast<int32_t>(replica.echo - slowest) < 0) slowest = replica.echo;
    }
    group.min_echo = slowest;
    return in_flight() >= static_cast<int32_t>(stream.max_in_flight_pkts);
}

/// This host's own image repairs nothing: what has no room in it is not pulled yet.
bool has_room_here(const log::Image& image, Position cursor) {
    return abi::cell_of(cursor) < abi::cell_of(image.oldest_needed()) + image.geometry().cells();
}

bool may_go_on(const TxStream& stream, Group& group) {
    if (!stream.is_reliable) return true;
    return group.egress != nullptr ? !is_in_flight_full(stream, group)
                                   : has_room_here(group.replicas[0]->local->image, group.cursor);
}

bool open_next_frame(TxStream& stream, Group& group) {
    const Position end = std::min(stream.log->commit(), stream.final);
    if (group.cursor >= end || !may_go_on(stream, group)) return false;
    if (!stream.log->next_frame(group.cursor, end, group.max_frame_bytes, &group.frame)) return false;
    if (group.egress != nullptr) group.part = packet::FramePart(fields_of(group.frame, ++stream.packet_number));
    group.last_packet = stream.packet_number;
    group.resume_idx = 0;
    group.is_open = true;
    stream.frames.add(1);
    return true;
}

/// The group is through with its frame. What no other group had reached before counts as pulled.
void close_frame(TxStream& stream, Group& group) {
    const log::Frame& frame = group.frame;
    group.is_open = false;
    group.cursor = frame.next;
    group.sent_bytes.add(frame.length);
    if (frame.next <= stream.position) return;
    const uint32_t reached = abi::cell_of(stream.position) == frame.cell
                                 ? std::max(abi::offset_of(stream.position), frame.offset)
                                 : frame.offset;
    // Groups may have been told different ends of the cell: `used` is the application's word.
    const uint32_t end = frame.offset + frame.length;
    stream.pulled_bytes.add(end > reached ? end - reached : 0);
    stream.position = frame.next;
}

unsigned transmit_group(TxStream& stream, Group& group, unsigned budget, Context& context) {
    unsigned n = 0;
    while (n < budget) {
        if (!group.is_open && !open_next_frame(stream, group)) break;
        if (group.egress == nullptr)
            store_local(group, context);
        else if (!replicate(group))
            break;
        close_frame(stream, group);
        ++n;
    }
    return n;
}

/// Sends again what the replica misses, from the log. Positions that it has confirmed are not sent: their cells may be
/// written anew.
unsigned repair(TxStream& stream, Group& group, uint32_t idx, Context&) {
    Replica& replica = *group.replicas[idx];
    unsigned n = 0;
    while (replica.repair_idx < replica.n_repairs && n < kRepairsPerPoll) {
        const NakRange& range = replica.repairs[replica.repair_idx];
        Position at = std::max(replica.repair_at, std::max<Position>(range.first, replica.consumed.get()));
        log::Frame frame;
        if (abi::cell_of(at) > range.last_cell || at >= group.cursor ||
            !stream.log->frame_at(at, stream.log->commit(), group.max_frame_bytes, &frame)) {
            ++replica.repair_idx;
            replica.repair_at = 0;
            continue;
        }
        if (!group.egress->has_room()) break;
        const packet::FramePart part(fields_of(frame, stream.packet_number + 1));
        if (!emit(*group.egress, group.templates[idx], part, frame)) break;
        ++stream.packet_number;
        replica.repair_at = frame.next;
        replica.repaired_bytes.add(frame.length);
        ++n;
    }
    if (replica.repair_idx == replica.n_repairs) replica.n_repairs = replica.repair_idx = 0;
    return n;
}

bool is_unacknowledged(const TxStream& stream, const Group& group, const Replica& replica) {
    if (replica.received.get() < group.cursor) return true;
    // The writer waits for room, or for the end: consumption matters as well.
    const bool is_awaited =
        stream.final != abi::kNoPosition ||
        abi::cell_of(stream.limit) < abi::cell_of(stream.log->commit()) + stream.geometry.cells() / 4 + 2;
    return is_awaited && replica.consumed.get() < group.cursor;
}

void send_heartbeat(TxStream& stream, Group& group, uint32_t idx) {
    if (!group.replicas[idx]->is_up || !group.egress->has_room()) return;
    packet::FrameFields fields;
    fields.type = packet::FrameType::kHeartbeat;
    fields.cell = abi::cell_of(group.cursor);
    fields.offset = static_cast<uint16_t>(abi::offset_of(group.cursor));
    fields.packet_number = ++stream.packet_number;
    emit(*group.egress, group.templates[idx], packet::FramePart(fields), log::Frame{});
}

void expect_acknowledgement(TxStream& stream, Context& context) {
    if (!stream.is_reliable || stream.heartbeat_at != kNever) return;
    stream.heartbeat_interval = 1000 * context.us;
    stream.heartbeat_at = context.now + stream.heartbeat_interval;
    context.timed_streams.add(stream);
}

/// A peer's positions are any multiple of 8.
bool is_in_a_cell(const TxStream& stream, Position p) { return abi::offset_of(p) < stream.geometry.cell_bytes; }

}  // namespace

unsigned transmit(TxStream& stream, unsigned budget, Context& context) {
    if (!stream.is_pulled) return 0;
    if (stream.datagrams) return transmit_datagrams(stream, budget, context);
    const Position before = stream.log->commit();
    const Position commit = stream.log->sample_commit(stream.limit);
    stream.committed.set(commit);
    stream.hostile_words.set(stream.log->hostile_words());
    unsigned n = 0;
    bool has_remote = false;
    for (auto& group : stream.groups) {
        if (!group || group->n == 0) continue;
        n += transmit_group(stream, *group, budget, context);
        if (group->egress == nullptr) continue;
        has_remote = true;
        for (uint32_t i = 0; i < group->n; ++i)
            if (group->replicas[i]->n_repairs != 0 && group->replicas[i]->is_up)
                n += repair(stream, *group, i, context);
    }
    if (stream.n_replicas == 0) stream.position = std::min(commit, stream.final);  // to nobody
    stream.cursor.set(stream.position);
    if (n != 0 && has_remote) expect_acknowledgement(stream, context);
    if (n != 0 || commit != before) stream.is_ack_stale = true;
    return n + (commit != before ? 1 : 0);
}

void accept_nak(Replica& replica, const NakRange* ranges, size_t n, Context& context) {
    TxStream& stream = *replica.stream;
    if (!stream.is_reliable) return context.drops.add(Drop::wrong_type);
    if (!std::all_of(ranges, ranges + n, [&](const NakRange& range) { return is_in_a_cell(stream, range.first); }))
        return context.drops.add(Drop::malformed_nak);
    replica.naks.add(1);
    context.active.add(stream);
    stream.n_idle_polls = 0;
    if (replica.n_repairs != 0) return;
    replica.n_repairs = static_cast<uint32_t>(std::min<size_t>(n, Replica::kMaxRepairs));
    std::copy_n(ranges, replica.n_repairs, replica.repairs);
    replica.repair_idx = 0;
    replica.repair_at = 0;
}

void accept_status(Replica& replica, Position consumed, Position received, uint32_t echo, uint32_t window_cells,
                   Context& context) {
    TxStream& stream = *replica.stream;
    Group& group = *replica.group.load(std::memory_order_relaxed);
    const Position sent = std::max(group.cursor, replica.sent_elsewhere);
    if (!is_in_a_cell(stream, consumed) || !is_in_a_cell(stream, received))
        return context.drops.add(Drop::malformed_status);
    if (received > sent || consumed > received) {
        if (!group.is_open || received > group.frame.next) {
            context.drops.add(Drop::malformed_status);
            return;
        }
        received = std::min(received, sent);
        consumed = std::min(consumed, received);
    }
    const bool has_progress = received > replica.received.get() || consumed > replica.consumed.get();
    replica.received.set(std::max<uint64_t>(received, replica.received.get()));
    replica.consumed.set(std::max<uint64_t>(consumed, replica.consumed.get()));
    if (static_cast<int32_t>(echo - replica.echo) > 0 && static_cast<int32_t>(stream.packet_number - echo) >= 0)
        replica.echo = echo;
    // Who has everything has nothing under way, whatever packet number it tells: nobody waits for it.
    if (replica.received.get() >= group.cursor) replica.echo = group.last_packet;
    if (window_cells != 0) replica.window_cells = window_cells;
    group.is_echo_stale = true;
    stream.is_ack_stale = true;
    if (has_progress && stream.heartbeat_at != kNever) {
        stream.heartbeat_interval = 1000 * context.us;
        stream.heartbeat_at = context.now + stream.heartbeat_interval;
    }
    context.active.add(stream);
    stream.n_idle_polls = 0;
}

void accept_local_progress(RxImage& image, Context& context) {
    Replica* replica = image.feeder;
    if (replica == nullptr) return;
    replica->received.set(image.image.published());
    replica->consumed.set(image.min_consumed);
    replica->stream->is_ack_stale = true;
    context.active.add(*replica->stream);
    replica->stream->n_idle_polls = 0;
}

void on_stream_timer(TxStream& stream, Context& context) {
    bool is_waiting = false;
    for (auto& group : stream.groups) {
        if (!group || group->egress == nullptr) continue;
        for (uint32_t i = 0; i < group->n; ++i) {
            if (!is_unacknowledged(stream, *group, *group->replicas[i])) continue;
            is_waiting = true;
            send_heartbeat(stream, *group, i);
        }
    }
    if (!is_waiting) {
        stream.heartbeat_at = kNever;
        context.timed_streams.remove(stream);
        return;
    }
    stream.heartbeat_interval = std::min<uint64_t>(stream.heartbeat_interval * 2, 100'000 * context.us);
    stream.heartbeat_at = context.now + stream.heartbeat_interval;
}

void ask_for_status(TxStream& stream, Context& context) {
    if (!stream.is_reliable) return;
    stream.heartbeat_interval = 1000 * context.us;
    stream.heartbeat_at = context.now;
    context.timed_streams.add(stream);
}

bool update_limit(TxStream& stream) {
    if (!stream.is_ack_stale) return false;
    stream.is_ack_stale = false;
    const uint64_t cells = stream.geometry.cells();
    Position slowest = stream.position;
    uint64_t limit_cell = abi::cell_of(stream.position) + cells;
    for (auto& group : stream.groups) {
        if (!group || group->n == 0) continue;
        slowest = std::min(slowest, group->cursor);
        limit_cell = std::min(limit_cell, abi::cell_of(group->cursor) + cells);
        if (!stream.is_reliable) continue;
        for (uint32_t i = 0; i < group->n; ++i) {
            const Replica& replica = *group->replicas[i];
            slowest = std::min<Position>(slowest, replica.consumed.get());
            limit_cell = std::min(
                limit_cell, abi::cell_of(replica.consumed.get()) + std::min<uint64_t>(cells, replica.window_cells));
        }
    }
    stream.min_consumed = slowest;
    stream.confirmed.set(slowest);
    const Position limit = abi::cell_start(limit_cell);
    if (limit <= stream.limit) return false;
    stream.limit = limit;
    stream.facts->limit.store(limit, std::memory_order_release);  // partner: the writer's acquire load
    return true;
}

bool take_finished(TxStream& stream) {
    if (stream.has_finished || stream.final == abi::kNoPosition) return false;
    if (stream.is_pulled && (stream.min_consumed < stream.final || stream.position < stream.final)) return false;
    stream.has_finished = true;
    return true;
}

}  // namespace xylem::stage
