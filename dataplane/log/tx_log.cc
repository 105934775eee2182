// SPDX-License-Identifier: Apache-2.0
#include "dataplane/log/tx_log.h"

#include <algorithm>
#include <cerrno>

namespace xylem::log {

Result<TxLog> TxLog::create(const Geometry& geometry, Position start) {
    if (!geometry.is_valid() || start % 8 != 0 || abi::offset_of(start) >= geometry.cell_bytes)
        return Error{EINVAL, "log of " + std::to_string(geometry.cell_bytes) + "-byte cells, 2^" +
                                 std::to_string(geometry.cells_log2) + " of them: no possible geometry or start"};
    auto memory = SharedMemory::create("xylem-log", abi::log_total_bytes(geometry));
    if (!memory) return memory.error();
    TxLog log;
    log.memory_ = std::move(*memory);
    log.geometry_ = geometry;
    log.start_ = start;
    log.samples_.fill(start);
    log.cells_ = log.memory_.bytes() + abi::log_cells_off(geometry);
    log.used_ = reinterpret_cast<const uint16_t*>(log.memory_.bytes() + abi::log_used_off());
    abi::LogHeader* header = log.header();
    header->magic = abi::kLogMagic;
    header->version = abi::kAbiVersion;
    header->cell_bytes = geometry.cell_bytes;
    header->cells_log2 = geometry.cells_log2;
    header->used_off = abi::log_used_off();
    header->cells_off = abi::log_cells_off(geometry);
    header->total_bytes = abi::log_total_bytes(geometry);
    header->commit.store(start, std::memory_order_relaxed);
    return log;
}

Result<void> TxLog::prefault(uint64_t cell, uint64_t n_cells) {
    const uint64_t stride = geometry_.cell_stride(), cells_off = abi::log_cells_off(geometry_);
    const uint64_t first = cell & geometry_.mask();
    const uint64_t n = std::min(n_cells, geometry_.cells());
    const uint64_t n_first = std::min(n, geometry_.cells() - first);
    if (auto done = memory_.prefault(0, cells_off); !done) return done;
    if (auto done = memory_.prefault(cells_off + first * stride, n_first * stride); !done) return done;
    return memory_.prefault(cells_off, (n - n_first) * stride);
}

Position TxLog::sample_commit(Position limit) {
    const Position last = samples_[newest_];
    const Position value = header()->commit.load(std::memory_order_acquire);  // partner: the application's release
    if (value == last) return last;
    if (value < last || value > limit || value % 8 != 0 || abi::offset_of(value) >= geometry_.cell_bytes) [[unlikely]] {
        ++hostile_words_;
        return last;
    }
    newest_ = (newest_ + 1) % kSamples;
    samples_[newest_] = value;
    return value;
}

bool TxLog::is_boundary(Position p) const {
    return abi::offset_of(p) == 0 || std::find(samples_.begin(), samples_.end(), p) != samples_.end();
}

/// The end of a cell that the commit lies beyond.
uint32_t TxLog::used_of(uint64_t cell, uint32_t at_least) {
    const uint32_t used = __atomic_load_n(&used_[cell & geometry_.mask()], __ATOMIC_RELAXED);  // ordered by `commit`
    const uint32_t clamped = std::clamp(used & ~7U, at_least, geometry_.cell_bytes);
    if (clamped != used) [[unlikely]]
        ++hostile_words_;
    return clamped;
}

bool TxLog::next_frame(Position cursor, Position commit, uint32_t max_bytes, Frame* out) {
    const uint64_t cell = abi::cell_of(cursor);
    const uint32_t offset = abi::offset_of(cursor);
    if (cursor >= commit || max_bytes < 8 || offset >= geometry_.cell_bytes) return false;
    const bool is_closed = abi::cell_of(commit) > cell;
    const uint32_t end = is_closed ? used_of(cell, offset) : abi::offset_of(commit);
    const uint32_t length = std::min(end - offset, max_bytes & ~7U);
    const bool ends_cell = is_closed && offset + length == end;
    *out = {.bytes = cells_ + (cell & geometry_.mask()) * geometry_.cell_stride() + offset,
            .cell = cell,
            .offset = offset,
            .length = length,
            .starts_at_boundary = is_boundary(cursor),
            .ends_cell = ends_cell,
            .next = ends_cell ? abi::cell_start(cell + 1) : abi::position(cell, offset + length)};
    return true;
}

}  // namespace xylem::log
