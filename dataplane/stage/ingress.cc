// SPDX-License-Identifier: Apache-2.0
#include "dataplane/stage/ingress.h"

#include <algorithm>

#include "dataplane/packet/parse.h"
#include "dataplane/packet/wire.h"
#include "dataplane/stage/transmit.h"

namespace xylem::stage {

namespace {

constexpr uint32_t kFramesPerStatus = 128;
constexpr uint64_t kFirstNakDelayUs = 100, kMinNakIntervalUs = 1000, kMaxNakIntervalUs = 32'000;
constexpr uint64_t kEndCheckUs = 20'000;
constexpr unsigned kMaxRangesPerNak = Replica::kMaxRepairs;

void take_heartbeat(RxImage& image, const packet::Header& header, Context& context) {
    if (image.image.is_reliable()) {
        image.image.note_end(abi::position(header.cell, header.offset));
        refresh_consumed(image, context);
        image.must_tell = true;
    }
    context.touched.add(image);
}

void take_for_image(RxImage& image, const packet::ParsedFrame& parsed, Context& context) {
    const packet::Header& header = parsed.header;
    if (!image.has_packet || static_cast<int32_t>(header.packet_number - image.highest_packet) > 0)
        image.highest_packet = header.packet_number;
    image.has_packet = true;
    if (header.type == packet::FrameType::kHeartbeat) return take_heartbeat(image, header, context);
    if (++image.n_since_status >= kFramesPerStatus) image.must_tell = true;
    store_frame(image,
                {header.cell, header.offset, parsed.payload_len, (header.flags & packet::kFlagStart) != 0,
                 (header.flags & packet::kFlagCellEnd) != 0, parsed.payload},
                context);
}

void take_for_replica(Replica& replica, const packet::ParsedFrame& parsed, Context& context) {
    if (parsed.header.type == packet::FrameType::kStatus) {
        const auto status = packet::decode_status(parsed.payload, parsed.payload_len);
        if (!status) return context.drops.add(Drop::malformed_status);
        return accept_status(replica, status->consumed, status->published, status->highest_packet_number,
                             status->window_cells, context);
    }
    NakRange ranges[packet::kMaxNakRanges];
    const size_t n = packet::decode_nak(parsed.payload, parsed.payload_len, ranges);
    if (n == 0) return context.drops.add(Drop::malformed_nak);
    accept_nak(replica, ranges, n, context);
}

void deliver(const packet::ParsedFrame& parsed, const LabelTable& labels, Context& context) {
    const LabelTable::Entry* entry = labels.find(parsed.header.label);
    if (entry == nullptr) return context.drops.add(Drop::unknown_label);
    const bool is_feedback =
        parsed.header.type == packet::FrameType::kNak || parsed.header.type == packet::FrameType::kStatus;
    if (is_feedback ? entry->replica == nullptr : entry->image == nullptr) return context.drops.add(Drop::wrong_type);
    if (is_feedback)
        take_for_replica(*entry->replica, parsed, context);
    else
        take_for_image(*entry->image, parsed, context);
}

/// A feedback frame to the image's sender. False: no way back, or no room now.
bool send_feedback(RxImage& image, packet::FrameType type, const uint8_t* payload, size_t len) {
    if (image.feedback == nullptr || !image.feedback->has_room()) return false;
    rte_mbuf* mbuf = image.feedback->allocate();
    if (mbuf == nullptr) return false;
    packet::FrameFields fields;
    fields.type = type;
    fields.payload_len = static_cast<uint16_t>(len);
    fields.payload_sum = packet::payload_sum(payload, len);
    auto* out = rte_pktmbuf_mtod(mbuf, uint8_t*);
    const size_t header_bytes = image.feedback_template.write(fields, out);
    std::copy_n(payload, len, out + header_bytes);
    mbuf->data_len = static_cast<uint16_t>(header_bytes + len);
    mbuf->pkt_len = mbuf->data_len;
    image.feedback->put(mbuf);
    return true;
}

void send_status(RxImage& image) {
    packet::Status status;
    status.consumed = image.min_consumed;
    status.published = image.image.published();
    status.highest_packet_number = image.highest_packet;
    status.window_cells = static_cast<uint32_t>(image.image.geometry().cells());
    uint8_t payload[packet::kStatusBytes];
    packet::encode_status(status, payload);
    if (!send_feedback(image, packet::FrameType::kStatus, payload, sizeof payload)) return;
    image.must_tell = false;
    image.n_since_status = 0;
    image.told_consumed = status.consumed;
    image.told_published = status.published;
}

void send_nak(RxImage& image) {
    NakRange ranges[kMaxRangesPerNak];
    const unsigned n = image.image.missing(ranges, kMaxRangesPerNak);
    if (n == 0) return;
    uint8_t payload[kMaxRangesPerNak * packet::kNakRangeBytes];
    const size_t len = packet::encode_nak(ranges, n, payload);
    if (send_feedback(image, packet::FrameType::kNak, payload, len)) image.naks_sent.add(1);
}

/// When a reader should ring: at the next eighth of the window, or at the end.
void set_kick(RxImage& image) {
    const uint64_t step_cells = image.image.geometry().cells() / 8;
    const Position next = abi::cell_start(abi::cell_of(image.min_consumed) + step_cells);
    image.image.header().kick_at.store(std::min(next, image.final), std::memory_order_relaxed);
}

void look_for_holes(RxImage& image, Context& context) {
    if (image.feedback == nullptr || !image.image.is_missing_something()) {
        image.nak_at = kNever;
    } else if (image.nak_at == kNever) {
        image.nak_progress = image.image.published();
        image.nak_interval = kMinNakIntervalUs * context.us;
        image.nak_at = context.now + kFirstNakDelayUs * context.us;
    }
}

/// Whether, and when, the image needs a look without anything having come.
void set_timer(RxImage& image, Context& context) {
    look_for_holes(image, context);
    const bool is_ending =
        image.final != abi::kNoPosition && image.min_consumed < image.final && !image.readers.is_empty();
    if (!is_ending)
        image.end_check_at = kNever;
    else if (image.end_check_at == kNever)
        image.end_check_at = context.now + kEndCheckUs * context.us;
    if (timer_of(image) != kNever)
        context.timed_images.add(image);
    else
        context.timed_images.remove(image);
}

/// The application's word: only forward, never beyond what is there, and a position that a record can begin at. An
/// impossible one would be told to the sender as the position of all readers of this host.
Position sample_consumed(const Reader& reader, Position published, uint32_t cell_bytes) {
    const Position before = reader.consumed.load(std::memory_order_relaxed);
    if (!reader.is_live) return before;
    const Position word = reader.consumed_word->load(std::memory_order_acquire);  // partner: the application's release
    const Position now = std::clamp(word, before, std::max(before, published));
    return now % 8 == 0 && abi::offset_of(now) < cell_bytes ? now : before;
}

void push_ready(Reader& reader) {
    if (reader.ring == nullptr || !reader.is_live) return;
    abi::InboxSlot& slot = reader.ring->app->slots[reader.slot];
    if (slot.acked.load(std::memory_order_relaxed) != reader.n_pushed) return;  // it is in the ring already
    const uint32_t head = reader.ring->engine->head.load(std::memory_order_relaxed);
    reader.ring->engine->ring[head % abi::kInboxSlots].store(reader.slot, std::memory_order_relaxed);
    ++reader.n_pushed;
    reader.ring->engine->head.store(head + 1, std::memory_order_release);  // partner: the application's acquire load
}

}  // namespace

void ingress(rte_mbuf** burst, uint16_t n, const InPort& port, const LabelTable& labels, Context& context) {
    packet::ParsedFrame parsed;
    packet::ParsedDatagram other;
    Drop why;
    for (uint16_t i = 0; i < n; ++i) {
        const auto* bytes = rte_pktmbuf_mtod(burst[i], const uint8_t*);
        const packet::Parsed what = packet::parse(bytes, burst[i]->data_len, port.data_port, &parsed, &other, &why);
        if (what == packet::Parsed::kFrame) [[likely]]
            deliver(parsed, labels, context);
        else if (what == packet::Parsed::kDatagram)
            take_datagram(other, port, context);
        else
            context.drops.add(why);
    }
}

void store_frame(RxImage& image, const log::DataFrame& frame, Context& context) {
    const log::Verdict verdict = image.image.accept(frame, context.now);
    context.touched.add(image);
    if (verdict == log::Verdict::kAccepted) [[likely]]
        return image.received_bytes.add(frame.length);
    context.drops.add(log::drop_of(verdict));
    if (verdict == log::Verdict::kDuplicate) {
        image.duplicate_bytes.add(frame.length);
        image.must_tell = image.image.is_reliable();  // the sender does not know that it arrived
    }
}

void settle(RxImage& image, Context& context) {
    if (image.must_refresh) refresh_consumed(image, context);
    const Position published = image.image.published();
    const bool has_moved = published != image.published.get();
    image.published.set(published);
    image.lost_bytes.set(image.image.lost_bytes());
    image.lost_gaps.set(image.image.n_gaps());
    std::atomic_thread_fence(std::memory_order_seq_cst);  // partners: the inbox's acked, the waker's arming
    if (has_moved) {
        for (Reader* reader = image.readers.front(); reader != nullptr; reader = image.readers.next(*reader))
            push_ready(*reader);
        if (image.readers.is_empty() && image.image.is_live()) refresh_consumed(image, context);
    }
    set_timer(image, context);
    if (image.must_tell && image.image.is_reliable()) send_status(image);
    if (has_moved && image.feeder != nullptr) accept_local_progress(image, context);
}

void announce(Reader& reader) {
    if (reader.image->image.published() > reader.consumed.load(std::memory_order_relaxed)) push_ready(reader);
}

bool refresh_consumed(RxImage& image, Context& context) {
    image.must_refresh = false;
    const Position published = image.image.published();
    Position slowest = published;
    for (Reader* reader = image.readers.front(); reader != nullptr; reader = image.readers.next(*reader)) {
        const Position now = sample_consumed(*reader, published, image.image.geometry().cell_bytes);
        reader->consumed.store(now, std::memory_order_relaxed);
        slowest = std::min(slowest, now);
    }
    const bool has_moved = slowest > image.min_consumed;
    image.min_consumed = std::max(image.min_consumed, slowest);
    if (image.image.is_reliable()) image.image.set_oldest_needed(image.min_consumed);
    set_kick(image);
    if (!has_moved) return false;
    const uint64_t step_cells = image.image.geometry().cells() / 8;
    if (abi::cell_of(image.min_consumed) >= abi::cell_of(image.told_consumed) + step_cells ||
        image.min_consumed >= image.final) {
        image.must_tell = true;
        context.touched.add(image);
    }
    accept_local_progress(image, context);
    return true;
}

uint64_t timer_of(const RxImage& image) { return std::min({image.nak_at, image.image.deadline(), image.end_check_at}); }

void on_image_timer(RxImage& image, Context& context) {
    if (image.end_check_at <= context.now) {
        image.end_check_at = kNever;
        refresh_consumed(image, context);
        context.touched.add(image);
    }
    if (image.image.deadline() <= context.now && image.image.on_timer(context.now)) context.touched.add(image);
    if (image.nak_at > context.now) return;
    if (!image.image.is_missing_something()) {
        image.nak_at = kNever;
        context.touched.add(image);
        return;
    }
    send_nak(image);
    const bool has_progress = image.image.published() > image.nak_progress;
    image.nak_progress = image.image.published();
    image.nak_interval = has_progress ? kMinNakIntervalUs * context.us
                                      : std::min<uint64_t>(image.nak_interval * 2, kMaxNakIntervalUs * context.us);
    image.nak_at = context.now + image.nak_interval;
}

}  // namespace xylem::stage
