// SPDX-License-Identifier: Apache-2.0
// What both kinds of image do, and the reliable one. Gaps of best effort: image_gap.cc.
#include "dataplane/log/image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace xylem::log {
namespace {

constexpr uint64_t kMaxCell = (1ULL << 48) - 1;

void write_header(const ImageConfig& config, abi::ImageHeader* header) {
    header->magic = abi::kImageMagic;
    header->version = abi::kAbiVersion;
    header->cell_bytes = config.geometry.cell_bytes;
    header->cells_log2 = config.geometry.cells_log2;
    header->flags = config.flags;
    header->ends_off = abi::image_ends_off();
    header->cells_off = abi::image_cells_off(config.geometry);
    header->total_bytes = abi::image_total_bytes(config.geometry);
    header->kick_at.store(abi::kNoPosition, std::memory_order_relaxed);
    header->final.store(abi::kNoPosition, std::memory_order_relaxed);
}

Result<void> prefault(SharedMemory& memory, const ImageConfig& config) {
    const Geometry& g = config.geometry;
    const uint64_t cells_off = abi::image_cells_off(g), stride = g.cell_stride();
    const uint64_t first = config.prefault_cell & g.mask();
    const uint64_t n = std::min(config.n_prefault_cells, g.cells());
    const uint64_t n_first = std::min(n, g.cells() - first);
    if (auto done = memory.prefault(0, cells_off); !done) return done;
    if (auto done = memory.prefault(cells_off + first * stride, n_first * stride); !done) return done;
    return memory.prefault(cells_off, (n - n_first) * stride);
}

bool is_possible(const DataFrame& frame, uint32_t cell_bytes) {
    return frame.cell < kMaxCell && frame.offset % 8 == 0 && frame.length % 8 == 0 && frame.offset <= cell_bytes &&
           frame.length <= cell_bytes - frame.offset && (frame.length > 0 || frame.ends_cell);
}

}  // namespace

Drop drop_of(Verdict verdict) {
    switch (verdict) {
        case Verdict::kHole:
            return Drop::gap_unordered;
        case Verdict::kBeyondWindow:
            return Drop::beyond_window;
        case Verdict::kBehind:
            return Drop::behind_floor;
        case Verdict::kMalformed:
            return Drop::malformed_frame;
        case Verdict::kDuplicate:
        case Verdict::kAccepted:
            break;
    }
    return Drop::duplicate;
}

Result<Image> Image::create(const ImageConfig& config) {
    const Geometry& g = config.geometry;
    if (!g.is_valid())
        return Error{EINVAL, "image of " + std::to_string(g.cell_bytes) + "-byte cells, 2^" +
                                 std::to_string(g.cells_log2) + " of them: no possible geometry"};
    auto memory = SharedMemory::create("xylem-image", abi::image_total_bytes(g));
    if (!memory) return memory.error();
    write_header(config, reinterpret_cast<abi::ImageHeader*>(memory->bytes()));
    if (auto done = prefault(*memory, config); !done) return done.error();
    if (auto done = memory->seal(); !done) return done.error();
    Image image;
    const uint64_t n_words = g.cells() / 64;
    image.states_.reset(new (std::nothrow) CellState[g.cells()]);
    image.seen_.reset(new (std::nothrow) uint64_t[n_words]());
    image.closed_.reset(new (std::nothrow) uint64_t[n_words]());
    if (!image.states_ || !image.seen_ || !image.closed_) return Error{ENOMEM, "image: no memory for its cell states"};
    image.memory_ = std::move(*memory);
    image.geometry_ = g;
    image.ends_ = reinterpret_cast<abi::CellEnd*>(image.memory_.bytes() + abi::image_ends_off());
    image.cells_ = image.memory_.bytes() + abi::image_cells_off(g);
    image.reorder_time_ = config.reorder_time;
    image.is_reliable_ = (config.flags & abi::kImageReliable) != 0;
    return image;
}

Verdict Image::accept(const DataFrame& frame, uint64_t now) {
    if (!is_possible(frame, geometry_.cell_bytes)) [[unlikely]]
        return Verdict::kMalformed;
    return is_reliable_ ? accept_reliable(frame, now) : accept_best_effort(frame, now);
}

Verdict Image::accept_reliable(const DataFrame& frame, uint64_t now) {
    if (!is_based_) [[unlikely]]
        fix_base(abi::position(frame.cell, frame.offset));
    if (frame.cell < current_cell()) return is_live_ ? Verdict::kDuplicate : Verdict::kBehind;
    note_frame_end(frame);
    if (frame.cell >= window_end_cell()) return Verdict::kBeyondWindow;
    CellState& state = touch(frame.cell);
    if (frame.offset > state.fill) return Verdict::kHole;
    const Verdict verdict = store(state, frame);
    if (verdict == Verdict::kAccepted) advance(now);
    return verdict;
}

/// A frame with o <= f: writes [f, e).
Verdict Image::store(CellState& state, const DataFrame& frame) {
    const uint32_t end = frame.offset + frame.length;
    if (end < state.fill || state.is_closed) {
        const bool contradicts = state.is_closed ? end > state.fill : frame.ends_cell;
        return contradicts ? Verdict::kMalformed : Verdict::kDuplicate;
    }
    if (end == state.fill && !frame.ends_cell) return Verdict::kDuplicate;
    if (end > state.fill)
        std::memcpy(cell_bytes(frame.cell) + state.fill, frame.bytes + (state.fill - frame.offset), end - state.fill);
    if (frame.offset == state.fill && frame.starts_at_boundary) state.boundary = static_cast<uint16_t>(frame.offset);
    state.fill = end;
    state.is_closed = frame.ends_cell || end == geometry_.cell_bytes;
    set_bit(seen_.get(), frame.cell);
    if (state.is_closed) set_bit(closed_.get(), frame.cell);
    top_cell_ = std::max(top_cell_, frame.cell);
    return Verdict::kAccepted;
}

void Image::note_frame_end(const DataFrame& frame) {
    const uint32_t end = frame.offset + frame.length;
    const bool is_whole = frame.ends_cell || end == geometry_.cell_bytes;
    highest_ = std::max(highest_, is_whole ? abi::cell_start(frame.cell + 1) : abi::position(frame.cell, end));
}

void Image::note_end(Position end) {
    if (is_position(end)) highest_ = std::max(highest_, end);
}

void Image::fix_base(Position base) {
    is_based_ = true;
    base_ = published_ = oldest_ = floor_ = base;
    top_cell_ = abi::cell_of(base);
    CellState& state = touch(top_cell_);
    state.fill = abi::offset_of(base);
    state.boundary = static_cast<uint16_t>(state.fill);
}

/// The state of a cell of the window; a cell that the slot does not hold yet begins empty.
Image::CellState& Image::touch(uint64_t cell) {
    CellState& state = states_[cell & geometry_.mask()];
    if (state.cell != cell) {
        raise_floor(cell);
        state = {};
        state.cell = cell;
    }
    return state;
}

/// Before the slot of `cell` is written: what it held is no longer intact. The way from cell to cell goes over the
/// recorded ends, so that the floor is always a position at which a reader can go on; each step passes one cell once.
void Image::raise_floor(uint64_t writing_cell) {
    if (writing_cell < geometry_.cells()) return;
    const uint64_t oldest_cell = writing_cell - geometry_.cells() + 1;
    if (abi::cell_of(floor_) >= oldest_cell) return;
    while (abi::cell_of(floor_) < oldest_cell) {
        if (abi::cell_of(floor_) >= current_cell()) {
            floor_ = published_;
            break;
        }
        floor_ = cell_end(abi::cell_of(floor_)).next.load(std::memory_order_relaxed);
    }
    header().floor.store(floor_, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // partner: the acquire fence of a reader that has copied
}

void Image::write_end(uint64_t cell, uint32_t used, uint64_t lost, Position next) {
    abi::CellEnd& end = cell_end(cell);
    end.used.store(used, std::memory_order_relaxed);  // all three ordered by the release of `published`
    end.lost.store(lost, std::memory_order_relaxed);
    end.next.store(next, std::memory_order_relaxed);
}

/// Moves the position over what is contiguous now. Each cell is passed once.
void Image::advance(uint64_t now) {
    uint64_t cell = current_cell();
    const uint64_t first = cell;
    const CellState* state = state_of(cell);
    while (state != nullptr && state->is_closed) {
        write_end(cell, state->fill, 0, abi::cell_start(cell + 1));
        clear_bits(cell);
        state = state_of(++cell);
    }
    if (const Position reached = abi::position(cell, state != nullptr ? state->fill : 0); reached != published_) {
        published_ = reached;
        publish();
    }
    if (!is_waiting()) {
        hole_since_ = kNever;
    } else if (cell != first || hole_since_ == kNever) {
        const CellState* beyond = next_seen();
        hole_since_ = beyond != nullptr ? beyond->seen_at : now;
    }
}

void Image::publish() {
    if (is_live_) header().published.store(published_, std::memory_order_release);  // partner: readers' acquire loads
}

void Image::go_live(Position p0, uint64_t now) {
    if (is_live_) return;
    begin_at(p0);
    start_ = p0;
    oldest_ = std::max(p0, floor_);
    is_live_ = true;
    highest_ = std::max(highest_, p0);
    header().floor.store(floor_, std::memory_order_release);
    hole_since_ = kNever;
    publish();
    advance(now);
}

void Image::set_final(Position end, uint64_t now) {
    if (!is_position(end) || final_ != abi::kNoPosition) return;
    final_ = end;
    note_end(end);
    if (is_based_ && is_waiting() && hole_since_ == kNever) hole_since_ = now;
    header().final.store(end, std::memory_order_release);  // partner: readers' acquire loads
}

void Image::set_oldest_needed(Position consumed) {
    if (is_live_) oldest_ = std::max(oldest_, std::min(consumed, published_));
}

bool Image::is_missing_something() const {
    return is_live_ && is_reliable_ && published_ < std::min(highest_, abi::cell_start(window_end_cell()));
}

unsigned Image::missing(NakRange* out, unsigned max) const {
    if (!is_missing_something()) return 0;
    const Position end = std::min(highest_, abi::cell_start(window_end_cell()));
    const uint64_t last_cell = abi::cell_of(end - 1);
    unsigned n = 0;
    bool extends = false;
    for (uint64_t cell = current_cell(); cell <= last_cell; ++cell) {
        const uint64_t passed = cell;
        cell = find_bit(closed_.get(), cell, false);
        if (cell > last_cell) break;
        extends = extends && cell == passed;
        const CellState* state = state_of(cell);
        const uint32_t fill = state != nullptr ? state->fill : 0;
        if (abi::position(cell, fill) >= end) break;  // all that is known to have been sent is here
        if (extends && fill == 0) {
            out[n - 1].last_cell = cell;
            continue;
        }
        if (n == max) break;
        out[n++] = {abi::position(cell, fill), cell};
        extends = true;
    }
    return n;
}

void Image::set_bit(uint64_t* bits, uint64_t cell) {
    const uint64_t slot = cell & geometry_.mask();
    bits[slot / 64] |= 1ULL << slot % 64;
}

void Image::clear_bits(uint64_t cell) {
    const uint64_t slot = cell & geometry_.mask();
    seen_[slot / 64] &= ~(1ULL << slot % 64);
    closed_[slot / 64] &= ~(1ULL << slot % 64);
}

/// The first cell from `cell` on, within one turn of the image, whose bit is `value`; cell + cells(): none.
uint64_t Image::find_bit(const uint64_t* bits, uint64_t cell, bool value) const {
    const uint64_t end = cell + geometry_.cells();
    while (cell < end) {
        const uint64_t slot = cell & geometry_.mask();
        const uint64_t word = (value ? bits[slot / 64] : ~bits[slot / 64]) >> slot % 64;
        if (word != 0) return std::min<uint64_t>(cell + static_cast<uint64_t>(__builtin_ctzll(word)), end);
        cell += 64 - slot % 64;
    }
    return end;
}

}  // namespace xylem::log
