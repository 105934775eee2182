// SPDX-License-Identifier: Apache-2.0
#include "shim/image_reader.h"

#include <xylem/socket.h>

#include <algorithm>

namespace xylem::shim {

using abi::cell_of;
using abi::kRecordHeaderBytes;
using abi::offset_of;
using abi::Position;

namespace {
abi::RecordHeader load_header(const char* at) {
    const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(at), __ATOMIC_RELAXED);
    abi::RecordHeader header;
    memcpy(&header, &word, sizeof header);
    return header;
}

uint32_t piece_flags(uint8_t flags) {
    return ((flags & abi::kRecordBegin) != 0 ? XY_MSG_BEGIN : 0) | ((flags & abi::kRecordEnd) != 0 ? XY_MSG_END : 0);
}
}  // namespace

bool ImageReader::open(Mapping&& image, const abi::ImageReply& reply, const std::atomic<Position>* read_end,
                       const GroupFilter* filter) {
    const abi::Geometry geometry{reply.cell_bytes, reply.cells_log2};
    if (!geometry.is_valid() || offset_of(reply.start) >= reply.cell_bytes || offset_of(reply.start) % 8 != 0)
        return false;
    image_.take(image);
    read_end_ = read_end;
    geometry_ = geometry;
    cells_off_ = abi::image_cells_off(geometry);
    position_ = published_ = reply.start;
    scanned_ = 0, scanned_bytes_ = 0, taken_ = 0;
    is_reliable_ = (reply.flags & abi::kImageReliable) != 0;
    is_stream_ = (reply.flags & abi::kImageStream) != 0;
    is_group_ = (reply.flags & abi::kImageGroup) != 0;
    filter_ = filter;
    sender_ = {};
    is_inside_ = is_discarding_ = false;
    leaf_number_ = reply.leaf_number;
    lost_bytes_ = lost_gaps_ = lost_unreported_ = 0;
    source_ = reply.source;
    if (source_.length > sizeof source_.address) source_.length = 0;
    return true;
}

void ImageReader::close() { image_.release(); }

// ---- finding records ----

bool ImageReader::is_published_beyond(Position p) {
    published_ = std::min(published_, read_end());
    if (p < published_) return true;
    published_ = std::max(published_, published());
    return p < published_;
}

bool ImageReader::is_intact(Position start) const {
    std::atomic_thread_fence(std::memory_order_acquire);  // partner: the engine's release fence after storing floor
    return is_reliable_ || cell_of(start) >= cell_of(header().floor.load(std::memory_order_relaxed));
}

// What was read at `p` makes no sense: because it was overwritten, or because the sender is hostile.
ImageReader::Step ImageReader::check(Position p, Step otherwise) const {
    return is_intact(p) ? otherwise : Step::kLapped;
}

// The record at p, or why there is none. Moves p over ordinary cell ends.
ImageReader::Step ImageReader::look(Position& p, Record& out) {
    for (;;) {
        if (!is_published_beyond(p)) return Step::kNone;
        const uint64_t number = cell_of(p);
        const uint32_t offset = offset_of(p);
        bool is_closed = number < cell_of(published_);
        uint32_t end = is_closed ? end_of_cell(number).used.load(std::memory_order_relaxed) : offset_of(published_);
        if (end > geometry_.cell_bytes) return check(p, Step::kBroken);
        if (is_closed && offset >= end) {
            const Step step = look_at_end(p, out);
            if (step != Step::kNone) return step;
            continue;
        }
        if (offset + kRecordHeaderBytes > end) {
            if (is_closed) return check(p, Step::kBroken);
            if (is_published_beyond(abi::position(number, end))) continue;
            return Step::kNone;
        }
        const char* at = cell(number) + offset;
        const abi::RecordHeader header = load_header(at);
        const uint64_t total = kRecordHeaderBytes + ((static_cast<uint64_t>(header.length) + 7) & ~7ULL);
        if (header.type != abi::kRecordMessage && header.type != abi::kRecordGap) return check(p, Step::kBroken);
        if (offset + total > geometry_.cell_bytes) return check(p, Step::kBroken);
        if (offset + total > end) {
            if (is_closed) return check(p, Step::kBroken);
            if (is_published_beyond(abi::position(number, end))) continue;
            return Step::kNone;
        }
        const uint32_t after = offset + static_cast<uint32_t>(total);
        out = Record{at + kRecordHeaderBytes, header.length, header.flags, abi::position(number, after), 0};
        if (!is_intact(p)) return Step::kLapped;
        if (header.type == abi::kRecordMessage) return is_group_ ? strip(p, out) : Step::kRecord;
        if (is_reliable_) return Step::kBroken;
        out.lost = header.length + kRecordHeaderBytes;
        return Step::kGap;
    }
}

// What the datagram carried, without what the engine has written before it.
ImageReader::Step ImageReader::strip(Position p, Record& datagram) const {
    constexpr uint8_t kWhole = abi::kRecordBegin | abi::kRecordEnd;
    if (datagram.bytes < sizeof(abi::GroupReceived) || (datagram.flags & kWhole) != kWhole)
        return check(p, Step::kBroken);
    datagram.payload += sizeof(abi::GroupReceived);
    datagram.bytes -= sizeof(abi::GroupReceived);
    return Step::kRecord;
}

// p lies at the end of a closed cell: goes on at the next one (kNone), or tells of the loss between.
ImageReader::Step ImageReader::look_at_end(Position& p, Record& out) {
    const abi::CellEnd& cell_end = end_of_cell(cell_of(p));
    const Position next = cell_end.next.load(std::memory_order_relaxed);
    const uint64_t lost = cell_end.lost.load(std::memory_order_relaxed);
    if (!is_intact(p)) return Step::kLapped;
    if (next <= p || next > published_ || offset_of(next) >= geometry_.cell_bytes) return Step::kBroken;
    if (lost != 0) {
        if (is_reliable_) return Step::kBroken;
        out = Record{nullptr, 0, 0, next, lost};
        return Step::kGap;
    }
    p = next;
    return Step::kNone;
}

// A position at an ordinary cell end is written as the next cell's start, so that it equals the stream's end there.
void ImageReader::pass_cell_end() {
    if (cell_of(position_) >= cell_of(published_)) return;
    if (offset_of(position_) < end_of_cell(cell_of(position_)).used.load(std::memory_order_relaxed)) return;
    Record unused;
    look_at_end(position_, unused);
}

// ---- losses ----

// Of a reliable stream nothing is lost: what is passed over there is a message that its sender did not finish.
void ImageReader::lose(uint64_t bytes, bool is_gap) {
    if (is_reliable_) return;
    lost_bytes_ += bytes;
    lost_unreported_ += bytes;
    if (is_gap) ++lost_gaps_;
}

void ImageReader::skip_gap(const Record& gap) {
    lose(gap.lost, true);
    position_ = gap.end;
    scanned_bytes_ = 0;
    taken_ = 0;
    is_inside_ = false;
    is_discarding_ = true;
}

void ImageReader::resume_at_floor() {
    const Position floor = header().floor.load(std::memory_order_acquire);
    const uint64_t cells = cell_of(floor) > cell_of(position_) ? cell_of(floor) - cell_of(position_) : 0;
    const uint64_t bytes = cells * geometry_.cell_bytes;
    const uint32_t had = std::min<uint64_t>(offset_of(position_), bytes);
    skip_gap(Record{nullptr, 0, 0, std::max(floor, position_), bytes - had});
}

// ---- messages ----

bool ImageReader::passes(const Record& datagram) {
    memcpy(&sender_, datagram.payload - sizeof sender_, sizeof sender_);
    return filter_ == nullptr || filter_->passes(sender_);
}

// Moves position_ to the record that a receive starts with, over losses and what belongs to broken messages.
ImageReader::Step ImageReader::find_message(Record& first) {
    for (;;) {
        const Step step = look(position_, first);
        if (step == Step::kGap) {
            skip_gap(first);
            continue;
        }
        if (step == Step::kLapped) {
            resume_at_floor();
            continue;
        }
        if (step != Step::kRecord) return step;
        if (is_group_ && taken_ == 0 && !passes(first)) {
            position_ = is_intact(position_) ? first.end : position_;
            continue;
        }
        const bool begins = (first.flags & abi::kRecordBegin) != 0;
        if (begins || (is_inside_ && !is_discarding_)) {
            if (begins && taken_ == 0) is_inside_ = false;
            is_discarding_ = false;
            return step;
        }
        lose(first.bytes, !is_discarding_);
        is_discarding_ = true;
        position_ = first.end;
        scanned_bytes_ = 0;
    }
}

// The length of the message that starts with `first`. kGap: it is cut short, and position_ has moved on.
ImageReader::Step ImageReader::measure(const Record& first, uint64_t& bytes, Position& end) {
    if ((first.flags & abi::kRecordEnd) != 0) {
        bytes = first.bytes - taken_;
        end = first.end;
        return Step::kRecord;
    }
    if (scanned_bytes_ == 0) {
        scanned_ = first.end;
        scanned_bytes_ = first.bytes - taken_ + 1;  // one more than it has, so that 0 says "not scanned"
    }
    Record record;
    for (;;) {
        const bool is_complete = has_all();  // before looking: what comes meanwhile is no end
        const Step step = look(scanned_, record);
        if ((step == Step::kNone && !is_complete) || step == Step::kBroken) return step;
        const bool is_cut = step != Step::kRecord || (record.flags & abi::kRecordBegin) != 0;
        if (is_cut) {
            lose(scanned_bytes_ - 1, step == Step::kRecord || step == Step::kNone);
            position_ = scanned_;
            scanned_bytes_ = 0;
            taken_ = 0;
            is_inside_ = false;
            return Step::kGap;
        }
        scanned_bytes_ += record.bytes;
        scanned_ = record.end;
        if ((record.flags & abi::kRecordEnd) == 0) continue;
        bytes = scanned_bytes_ - 1;
        end = scanned_;
        scanned_bytes_ = 0;  // who only looks at the message, or has no room for it, looks again
        return Step::kRecord;
    }
}

// Copies `bytes` from position_ and taken_ on; false when a record is not there any more.
bool ImageReader::copy(Scatter& to, size_t bytes) {
    Position p = position_;
    uint32_t skip = taken_;
    while (bytes != 0) {
        Record record;
        if (look(p, record) != Step::kRecord || record.bytes < skip) return false;
        const size_t n = std::min<size_t>(bytes, record.bytes - skip);
        to.put(record.payload + skip, n);
        bytes -= n, skip = 0, p = record.end;
    }
    return true;
}

Outcome ImageReader::take_message(Scatter& to, bool is_peek, Received& out) {
    const Scatter fresh = to;
    for (;;) {
        Record first;
        Step step = find_message(first);
        if (step != Step::kRecord) return step == Step::kBroken ? Outcome::kBroken : Outcome::kNone;
        uint64_t bytes;
        Position end;
        step = measure(first, bytes, end);
        if (step == Step::kGap) continue;
        if (step != Step::kRecord) return step == Step::kBroken ? Outcome::kBroken : Outcome::kNone;
        const bool is_too_long = bytes > to.left();
        if (is_too_long && is_reliable_ && !is_peek) return Outcome::kTooLong;
        const Position start = position_;
        const size_t n = std::min<size_t>(bytes, to.left());
        const bool is_whole = first.end == end ? (to.put(first.payload + taken_, n), true) : copy(to, n);
        if (!is_whole || !is_intact(start)) {
            to = fresh;
            if (is_reliable_) return Outcome::kBroken;
            resume_at_floor();
            continue;
        }
        out.bytes = n;
        out.flags = (is_inside_ ? 0 : XY_MSG_BEGIN) | XY_MSG_END | (is_too_long ? XY_MSG_TRUNC : 0);
        out.lost_bytes = lost_unreported_;
        if (is_peek) return Outcome::kTaken;
        lost_unreported_ = 0;
        position_ = end;
        scanned_bytes_ = 0;
        taken_ = 0;
        is_inside_ = false;
        pass_cell_end();
        return Outcome::kTaken;
    }
}

// Streams, and messages in pieces: what is there and fits, up to the end of the message.
Outcome ImageReader::take_pieces(Scatter& to, bool is_peek, Received& out) {
    Position position = position_;
    uint32_t taken = taken_;
    bool was_inside = is_inside_, has_any = false;
    out = Received{};
    while (to.left() != 0 || !has_any) {
        Record record;
        const uint64_t lost_before = lost_bytes_;
        const Step step = find_message(record);
        if (step == Step::kBroken && !has_any) return Outcome::kBroken;
        if (step != Step::kRecord || (has_any && lost_bytes_ != lost_before)) break;
        if (has_any && !is_stream_ && (record.flags & abi::kRecordBegin) != 0 && taken_ == 0) break;
        const Scatter fresh = to;
        const size_t n = std::min<size_t>(record.bytes - taken_, to.left());
        to.put(record.payload + taken_, n);
        if (!is_intact(position_)) {
            to = fresh;
            if (has_any) break;
            resume_at_floor();
            continue;
        }
        if (!has_any) {
            position = position_, taken = taken_, was_inside = is_inside_;
            out.lost_bytes = lost_unreported_;
            if (taken_ == 0) out.flags |= piece_flags(record.flags) & XY_MSG_BEGIN;
        }
        has_any = true;
        out.bytes += n;
        taken_ += static_cast<uint32_t>(n);
        is_inside_ = true;
        if (taken_ != record.bytes) break;
        taken_ = 0;
        position_ = record.end;
        scanned_bytes_ = 0;
        if ((record.flags & abi::kRecordEnd) == 0) continue;
        is_inside_ = false;
        out.flags |= XY_MSG_END;
        if (!is_stream_) break;
    }
    if (!has_any) return Outcome::kNone;
    scanned_bytes_ = 0;
    if (is_peek) {
        position_ = position, taken_ = taken, is_inside_ = was_inside;
    } else {
        lost_unreported_ -= out.lost_bytes;
        pass_cell_end();
    }
    return Outcome::kTaken;
}

Outcome ImageReader::receive(Scatter& to, bool is_partial, bool is_peek, Received& out) {
    return is_stream_ || is_partial ? take_pieces(to, is_peek, out) : take_message(to, is_peek, out);
}

bool ImageReader::is_at_final() {
    if (position_ < final() && has_all()) {
        if (!is_stream_) next_bytes();
        Record unused;
        // An end of our own may lie inside a record.
        if (look(position_, unused) == Step::kNone) position_ = std::max(position_, final());
    }
    return position_ >= final();
}

Outcome ImageReader::borrow(Borrowed& out) {
    Record record;
    const Step step = find_message(record);
    if (step != Step::kRecord) return step == Step::kBroken ? Outcome::kBroken : Outcome::kNone;
    out = Borrowed{record.payload + taken_, record.bytes - taken_, piece_flags(record.flags), position_};
    if (taken_ != 0) out.flags &= ~static_cast<uint32_t>(XY_MSG_BEGIN);
    is_inside_ = (record.flags & abi::kRecordEnd) == 0;
    position_ = record.end;
    taken_ = 0;
    scanned_bytes_ = 0;
    pass_cell_end();
    return Outcome::kTaken;
}

size_t ImageReader::next_bytes() {
    if (is_stream_) {
        Position p = position_;
        Record record;
        size_t bytes = 0;
        for (uint32_t skip = taken_; look(p, record) == Step::kRecord; skip = 0) {
            bytes += record.bytes - skip;
            p = record.end;
        }
        return bytes;
    }
    uint64_t bytes;
    return next_message(bytes) == Step::kRecord ? bytes : 0;
}

// Looks for the next message that is published whole, over those that were cut short.
ImageReader::Step ImageReader::next_message(uint64_t& bytes) {
    for (;;) {
        Record first;
        Position end;
        Step step = find_message(first);
        if (step == Step::kRecord) step = measure(first, bytes, end);
        if (step != Step::kGap) return step;
    }
}

bool ImageReader::has_message() {
    Record first;
    uint64_t bytes;
    const Step step = is_stream_ ? find_message(first) : next_message(bytes);
    return step == Step::kRecord || step == Step::kBroken;
}

}  // namespace xylem::shim
