// SPDX-License-Identifier: Apache-2.0
// Best effort: what is given up, and how readers learn of it; and where an image begins when it becomes live.
#include <xylem/abi/record.h>

#include <algorithm>
#include <cstring>

#include "dataplane/log/image.h"

namespace xylem::log {

Verdict Image::accept_best_effort(const DataFrame& frame, uint64_t now) {
    const bool is_start = frame.starts_at_boundary || frame.offset == 0;
    if (!is_based_) {
        if (!is_start) return Verdict::kHole;
        fix_base(abi::position(frame.cell, frame.offset));
    }
    if (frame.cell < current_cell()) return Verdict::kBehind;
    note_frame_end(frame);
    if (!make_room_for(frame, now)) return Verdict::kHole;
    const CellState* held = state_of(frame.cell);
    const bool is_beyond_gap = frame.offset > (held != nullptr ? held->fill : 0);
    if (is_beyond_gap && held != nullptr && held->is_closed) return Verdict::kMalformed;
    if (is_beyond_gap && !is_start) return Verdict::kHole;
    CellState& state = touch(frame.cell);
    if (state.fill == 0) state.seen_at = now;
    if (is_beyond_gap) close_gap_in_cell(state, frame.offset);
    const Verdict verdict = store(state, frame);
    if (verdict == Verdict::kAccepted) advance(now);
    return verdict;
}

/// Cells wait for a gap to close in one half of the image, so that the other half stays readable. A frame further away
/// ends the waiting; when nothing lies between, the stream resumes at that frame. False: it may not (no START).
bool Image::make_room_for(const DataFrame& frame, uint64_t now) {
    while (frame.cell - current_cell() >= geometry_.cells() / 2) {
        if (const CellState* beyond = next_seen(); beyond != nullptr) {
            give_up_to(abi::cell_start(beyond->cell));
        } else {
            if (!frame.starts_at_boundary && frame.offset != 0) return false;
            give_up_to(abi::position(frame.cell, frame.offset));
        }
        advance(now);
    }
    return true;
}

uint64_t Image::deadline() const {
    return is_reliable_ || hole_since_ == kNever ? kNever : hole_since_ + reorder_time_;
}

bool Image::on_timer(uint64_t now) {
    const Position before = published_;
    while (now >= deadline())
        give_up_hole(now);
    return published_ != before;
}

/// The image waits for something: cells beyond a hole are here, or the stream's end is known and not reached.
bool Image::is_waiting() const {
    return top_cell_ > current_cell() || (final_ != abi::kNoPosition && published_ < final_);
}

void Image::give_up_hole(uint64_t now) {
    hole_since_ = kNever;
    if (const CellState* beyond = next_seen(); beyond != nullptr)
        give_up_to(abi::cell_start(beyond->cell));
    else if (abi::cell_of(final_) == current_cell())
        close_gap_in_cell(touch(current_cell()), abi::offset_of(final_));
    else
        give_up_to(final_);
    advance(now);
}

/// Ends the current cell with its last whole record and goes on at `resume`, in a later cell: one gap however wide.
void Image::give_up_to(Position resume) {
    const uint64_t cell = current_cell(), resume_cell = abi::cell_of(resume);
    const uint32_t used = whole_records_end(touch(cell));
    const uint64_t lost = (resume_cell - cell) * geometry_.cell_bytes + abi::offset_of(resume) - used;
    write_end(cell, used, lost, resume);
    clear_bits(cell);
    lost_bytes_ += lost;
    ++n_gaps_;
    hole_since_ = kNever;
    published_ = resume;
    publish();
    CellState& state = touch(resume_cell);
    state.fill = std::max(state.fill, abi::offset_of(resume));
}

/// Turns [end of the last whole record, until) into a gap record. A record that was cut by the loss may be published in
/// part already; no reader has taken it, and readers load its header anew until it is there whole.
void Image::close_gap_in_cell(CellState& state, uint32_t until) {
    const uint32_t at = whole_records_end(state);
    const abi::RecordHeader gap{until - at - abi::kRecordHeaderBytes, abi::kRecordGap, 0, 0};
    uint64_t word;
    std::memcpy(&word, &gap, sizeof(word));
    auto* header = reinterpret_cast<uint64_t*>(cell_bytes(state.cell) + at);
    __atomic_store_n(header, word, __ATOMIC_RELEASE);  // partner: the acquire load of `published` that follows it
    state.fill = until;
    lost_bytes_ += until - at;
    ++n_gaps_;
}

/// The end of the last record that lies whole within the cell's fill, from the last START frame on. The headers were
/// written by a remote sender.
uint32_t Image::whole_records_end(const CellState& state) const {
    const uint8_t* cell = cell_bytes(state.cell);
    uint32_t at = state.boundary;
    while (at < state.fill) {
        abi::RecordHeader record;
        std::memcpy(&record, cell + at, sizeof(record));
        if (record.length > state.fill - at - abi::kRecordHeaderBytes) break;
        at += abi::record_bytes(record.length);
    }
    return at;
}

/// The lowest cell beyond the current one of which something is here.
const Image::CellState* Image::next_seen() const {
    const uint64_t current = current_cell();
    const uint64_t cell = find_bit(seen_.get(), current + 1, true);
    return cell < current + geometry_.cells() ? state_of(cell) : nullptr;
}

// ---- becoming live ----

void Image::begin_at(Position p0) {
    if (!is_based_)
        fix_base(p0);
    else if (p0 > base_)
        skip_to(p0);
    else if (p0 < base_ && is_reliable_)
        rewind_to(p0);
    else if (p0 < base_)
        bridge_from(p0);
}

/// Reliable: frames before the first one seen are still missing. The base's cell was filled from its middle: repair
/// brings it whole.
void Image::rewind_to(Position p0) {
    if (CellState& base = states_[abi::cell_of(base_) & geometry_.mask()];
        base.cell == abi::cell_of(base_) && abi::offset_of(base_) != 0)
        base = {};
    CellState& first = states_[abi::cell_of(p0) & geometry_.mask()];
    first = {};
    first.cell = abi::cell_of(p0);
    first.fill = abi::offset_of(p0);
    published_ = floor_ = p0;
    rebuild_bits();
}

/// Best effort: what lies between p0 and the base is lost.
void Image::bridge_from(Position p0) {
    const uint64_t cell = abi::cell_of(p0), base_cell = abi::cell_of(base_);
    const uint64_t lost = (base_cell - cell) * geometry_.cell_bytes + abi::offset_of(base_) - abi::offset_of(p0);
    lost_bytes_ += lost;
    ++n_gaps_;
    if (floor_ != base_ || top_cell_ - cell >= geometry_.cells()) return;  // a reader at p0 was lapped: floor tells it
    floor_ = p0;
    if (cell != base_cell) {
        write_end(cell, abi::offset_of(p0), lost, base_);
        return;
    }
    const abi::RecordHeader gap{static_cast<uint32_t>(lost) - abi::kRecordHeaderBytes, abi::kRecordGap, 0, 0};
    std::memcpy(cell_bytes(cell) + abi::offset_of(p0), &gap, sizeof(gap));
}

/// What came before p0 is not for us.
void Image::skip_to(Position p0) {
    const uint64_t cell = abi::cell_of(p0);
    if (published_ >= p0) {
        while (abi::cell_of(floor_) < cell)
            floor_ = cell_end(abi::cell_of(floor_)).next.load(std::memory_order_relaxed);
        return;
    }
    published_ = floor_ = p0;
    CellState& first = states_[cell & geometry_.mask()];
    if (first.cell != cell || first.fill < abi::offset_of(p0)) {
        first = {};
        first.cell = cell;
        first.fill = abi::offset_of(p0);
        first.boundary = static_cast<uint16_t>(first.fill);
    }
    rebuild_bits();
}

/// After the current position was moved by hand: bits of the cells of the window from their states.
void Image::rebuild_bits() {
    const uint64_t current = current_cell();
    top_cell_ = current;
    for (uint64_t cell = current; cell < current + geometry_.cells(); ++cell) {
        clear_bits(cell);
        const CellState* state = state_of(cell);
        if (state == nullptr || (state->fill == 0 && !state->is_closed)) continue;
        set_bit(seen_.get(), cell);
        if (state->is_closed) set_bit(closed_.get(), cell);
        top_cell_ = cell;
    }
}

}  // namespace xylem::log
