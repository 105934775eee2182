// SPDX-License-Identifier: Apache-2.0
#include "shim/sender.h"

#include <algorithm>
#include <bit>

namespace xylem::shim {

using abi::cell_of;
using abi::kRecordHeaderBytes;
using abi::offset_of;
using abi::Position;
using abi::record_bytes;

bool Sender::open(Mapping&& log, const abi::LogReply& reply, const std::atomic<Position>& limit, bool is_stream) {
    const abi::Geometry geometry{reply.cell_bytes, reply.cells_log2};
    if (!geometry.is_valid() || offset_of(reply.start) >= reply.cell_bytes || offset_of(reply.start) % 8 != 0)
        return false;
    log_.take(log);
    geometry_ = geometry;
    limit_word_ = &limit;
    position_ = committed_ = reply.start;
    limit_ = limit.load(std::memory_order_acquire);
    cells_off_ = abi::log_cells_off(geometry);
    max_message_bytes_ = std::min(reply.max_message_bytes, geometry.max_message_bytes());
    log_bytes_written_ = 0;
    is_stream_ = is_stream;
    return true;
}

void Sender::close() {
    log_.release();
    limit_word_ = nullptr;
    max_message_bytes_ = 0;
}

Position Sender::after(Position p, uint32_t bytes) const {
    const uint32_t offset = offset_of(p) + bytes;
    return offset >= geometry_.cell_bytes ? abi::cell_start(cell_of(p) + 1) : abi::position(cell_of(p), offset);
}

Position Sender::start_for(size_t bytes) const {
    return closes_early(offset_of(position_), bytes) ? abi::cell_start(cell_of(position_) + 1) : position_;
}

// Where the message ends if it is written now: what write_records does, in arithmetic.
Position Sender::end_of(size_t bytes) const {
    const Position start = start_for(bytes);
    const size_t first = geometry_.cell_bytes - offset_of(start) - kRecordHeaderBytes;
    if (bytes <= first) return after(start, record_bytes(static_cast<uint32_t>(bytes)));
    const size_t rest = bytes - first, per_cell = max_record_bytes();
    const uint64_t cell = cell_of(start) + 1 + rest / per_cell;
    const auto tail = static_cast<uint32_t>(rest % per_cell);
    return tail == 0 ? abi::cell_start(cell) : after(abi::cell_start(cell), record_bytes(tail));
}

// The cell ends at `used`; the next record opens the next cell.
void Sender::close_cell(uint32_t used) {
    auto* lengths = reinterpret_cast<uint16_t*>(log_.bytes() + abi::log_used_off());
    __atomic_store_n(&lengths[cell_of(position_) & geometry_.mask()], static_cast<uint16_t>(used), __ATOMIC_RELAXED);
    position_ = abi::cell_start(cell_of(position_) + 1);
}

void Sender::pass(uint32_t bytes) {
    log_bytes_written_.store(log_bytes() + bytes, std::memory_order_relaxed);
    const uint32_t end = offset_of(position_) + bytes;
    if (end < geometry_.cell_bytes)
        position_ += bytes;
    else
        close_cell(end);
}

void Sender::write_record(Scatter& from, uint32_t bytes, uint8_t flags) {
    const uint32_t total = record_bytes(bytes);
    char* record = cell(cell_of(position_)) + offset_of(position_);
    // The padding shows what the application never sent otherwise.
    if (total != kRecordHeaderBytes) memset(record + total - 8, 0, 8);
    const abi::RecordHeader header{bytes, abi::kRecordMessage, flags, 0};
    memcpy(record, &header, sizeof header);
    if (bytes != 0) from.get(record + kRecordHeaderBytes, bytes);
    pass(total);
}

bool Sender::write_records(Scatter& from, Piece piece, bool is_certain, Position limit) {
    uint8_t flags = piece.begins || is_stream_ ? abi::kRecordBegin : 0;
    do {
        const Position start = start_for(from.left());
        const uint32_t room = geometry_.cell_bytes - offset_of(start) - kRecordHeaderBytes;
        const auto bytes = static_cast<uint32_t>(std::min<size_t>(from.left(), room));
        if (!is_certain && after(start, record_bytes(bytes)) > limit) return false;
        if (start != position_) close_cell(offset_of(position_));
        if ((bytes == from.left() && piece.ends) || is_stream_) flags |= abi::kRecordEnd;
        write_record(from, bytes, flags);
        flags = is_stream_ ? abi::kRecordBegin : 0;
    } while (from.left() != 0);
    return true;
}

bool Sender::write_some(Scatter& from, Piece piece) {
    const Position end = end_of(from.left());
    if (has_room_until(end)) return write_records(from, piece, true, end);
    return write_records(from, piece, false, limit_);
}

bool Sender::has_room_for_a_record(size_t bytes) {
    const Position start = start_for(bytes);
    const uint32_t room = geometry_.cell_bytes - offset_of(start) - kRecordHeaderBytes;
    return has_room_until(after(start, record_bytes(static_cast<uint32_t>(std::min<size_t>(bytes, room)))));
}

char* Sender::reserve(uint32_t bytes) {
    const bool fits = offset_of(position_) + record_bytes(bytes) <= geometry_.cell_bytes;
    reserved_ = fits ? position_ : abi::cell_start(cell_of(position_) + 1);
    if (!has_room_until(after(reserved_, record_bytes(bytes)))) return nullptr;
    return cell(cell_of(reserved_)) + offset_of(reserved_) + kRecordHeaderBytes;
}

bool Sender::write_whole(const void* prefix, uint32_t prefix_bytes, Scatter& from) {
    const auto bytes = static_cast<uint32_t>(from.left());
    char* room = reserve(prefix_bytes + bytes);
    if (room == nullptr) return false;
    memcpy(room, prefix, prefix_bytes);
    if (bytes != 0) from.get(room + prefix_bytes, bytes);
    finish_reserved(prefix_bytes + bytes);
    return true;
}

void Sender::commit_reserved(uint32_t bytes) {
    finish_reserved(bytes);
    commit();
}

void Sender::finish_reserved(uint32_t bytes) {
    if (reserved_ != position_) close_cell(offset_of(position_));
    char* record = cell(cell_of(position_)) + offset_of(position_);
    const uint32_t total = record_bytes(bytes);
    memset(record + kRecordHeaderBytes + bytes, 0, total - kRecordHeaderBytes - bytes);
    const abi::RecordHeader header{bytes, abi::kRecordMessage, abi::kRecordBegin | abi::kRecordEnd, 0};
    memcpy(record, &header, sizeof header);
    pass(total);
}

bool Sender::has_quarter_free() const {
    return cell_of(limit_word_->load(std::memory_order_acquire)) >= cell_of(position_) + geometry_.cells() / 4 + 2;
}

}  // namespace xylem::shim
