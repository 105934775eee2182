// SPDX-License-Identifier: Apache-2.0
// An image as its one writer sees it: frames in any order come in, `published` grows over what is contiguous, and
// published bytes never change (but for the header of a record that was cut by a loss: see close_gap_in_cell). With f
// the fill of the frame's cell, a frame [o, e) counts if o <= f, and [f, e) is written.
//   - Reliable: o > f is dropped and named by `missing`, later cells fill meanwhile, nothing that a reader holds is
//     overwritten: frames outside the cells that begin at the oldest needed position are beyond the window.
//   - Best effort: a gap inside a cell is given up at once, one across cells after the reorder time or half the image,
//     always at a START frame; the oldest cells are overwritten, behind `floor`. Bytes lost are counted as the log
//     holds them; where whole cells are missing, as if each had been full: an upper bound.
// Until go_live the first frame fixes the base and nothing is published. Times are values of the caller's clock.
// An image of a group is filled by `append` alone: whole records, one behind the other, best effort without gaps.
#pragma once
#include <xylem/abi/image.h>

#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/drops.h"
#include "dataplane/base/nak_range.h"
#include "dataplane/base/result.h"
#include "dataplane/log/memory.h"

namespace xylem::log {

using abi::Geometry;
using abi::Position;

enum class Verdict : uint8_t {
    kAccepted,
    kDuplicate,
    kHole,  // beyond a gap of its cell: reliable: NAK; best effort: no START
    kBeyondWindow,
    kBehind,     // its gap was given up, or it lies below the base of an image that is not live
    kMalformed,  // the range does not fit a cell, or contradicts an earlier CELL_END
};

/// The drop of a verdict other than kAccepted.
Drop drop_of(Verdict verdict);

/// A DATA frame, as parsed.
struct DataFrame {
    uint64_t cell;
    uint32_t offset, length;
    bool starts_at_boundary, ends_cell;
    const uint8_t* bytes;
};

struct ImageConfig {
    Geometry geometry;
    uint32_t flags = 0;          // abi::kImageReliable, abi::kImageStream, abi::kImageGroup
    uint64_t reorder_time = 0;   // in the caller's clock: how long a gap across cells is waited for (best effort)
    uint64_t prefault_cell = 0;  // where the stream is expected to begin
    uint64_t n_prefault_cells = 64;
};

class Image {
  public:
    /// Makes, prefaults and seals the memfd, so that fd() may be handed out at once. Control; no allocation after it.
    static Result<Image> create(const ImageConfig& config);

    int fd() const { return memory_.fd(); }
    const Geometry& geometry() const { return geometry_; }
    bool is_reliable() const { return is_reliable_; }
    abi::ImageHeader& header() { return *reinterpret_cast<abi::ImageHeader*>(memory_.bytes()); }

    // ---- the worker ----

    /// Takes a frame. Every verdict but kAccepted is a drop.
    Verdict accept(const DataFrame& frame, uint64_t now);

    /// A live image that takes no frames: publishes a message of one record, `prefix` and then `payload`; a cell in
    /// which it has no room is closed. False: it fits no cell. The bytes may change while they are copied.
    bool append(std::span<const uint8_t> prefix, std::span<const uint8_t> payload);

    /// The stream starts for us at `p0`, a record boundary. From now on positions are published. What lies between p0
    /// and the first frame seen: reliable: is missing (repair brings it); best effort: is lost. Once.
    void go_live(Position p0, uint64_t now);
    bool is_live() const { return is_live_; }
    Position start() const { return start_; }

    /// How far nothing is missing, as readers see it; 0 before the image is live.
    Position published() const { return is_live_ ? published_ : 0; }
    /// The end of the stream as far as known, from frames and note_end.
    Position highest_seen() const { return highest_; }
    /// A heartbeat told where the sender is.
    void note_end(Position end);
    /// Where the stream ends (Close); the first one stands. Best effort: what is missing before it is given up after
    /// the reorder time.
    void set_final(Position end, uint64_t now);

    /// Reliable: the position that all readers have passed (the caller clamps each reader; this clamps to what is
    /// published, and never goes back). The window is the image's cells from there.
    void set_oldest_needed(Position consumed);
    Position oldest_needed() const { return oldest_; }

    /// Reliable: whether anything that was sent, and has room here, has not arrived; and what: at most `max` ranges,
    /// lowest first. Nothing before go_live.
    bool is_missing_something() const;
    unsigned missing(NakRange* out, unsigned max) const;

    /// When on_timer has something to do; ~0: never.
    uint64_t deadline() const;
    /// Best effort: gives up a gap whose time is over. True: published moved.
    bool on_timer(uint64_t now);

    /// Best effort: bytes given up so far (an upper bound), and in how many gaps.
    uint64_t lost_bytes() const { return lost_bytes_; }
    uint64_t n_gaps() const { return n_gaps_; }

  private:
    static constexpr uint64_t kNever = ~0ULL;

    struct CellState {
        uint64_t cell = ~0ULL;  // the cell that the rest speaks of: wrapping clears nothing
        uint64_t seen_at = 0;   // best effort: when its first frame came
        uint32_t fill = 0;
        uint16_t boundary = 0;  // best effort: where the last START frame began, at or below fill
        bool is_closed = false;
    };

    Verdict accept_reliable(const DataFrame& frame, uint64_t now);
    Verdict accept_best_effort(const DataFrame& frame, uint64_t now);
    Verdict store(CellState& state, const DataFrame& frame);
    void note_frame_end(const DataFrame& frame);
    void fix_base(Position base);
    CellState& touch(uint64_t cell);
    void raise_floor(uint64_t writing_cell);
    void write_end(uint64_t cell, uint32_t used, uint64_t lost, Position next);
    void advance(uint64_t now);
    void publish();

    bool make_room_for(const DataFrame& frame, uint64_t now);
    void give_up_hole(uint64_t now);
    void give_up_to(Position resume);
    void close_gap_in_cell(CellState& state, uint32_t until);
    uint32_t whole_records_end(const CellState& state) const;
    bool is_waiting() const;

    void begin_at(Position p0);
    void rewind_to(Position p0);
    void bridge_from(Position p0);
    void skip_to(Position p0);
    void rebuild_bits();

    bool is_position(Position p) const {
        return p % 8 == 0 && abi::offset_of(p) < geometry_.cell_bytes && abi::cell_of(p) < (1ULL << 48) - 1;
    }
    uint64_t current_cell() const { return abi::cell_of(published_); }
    uint64_t window_end_cell() const { return abi::cell_of(oldest_) + geometry_.cells(); }
    uint8_t* cell_bytes(uint64_t cell) const { return cells_ + (cell & geometry_.mask()) * geometry_.cell_stride(); }
    abi::CellEnd& cell_end(uint64_t cell) const { return ends_[cell & geometry_.mask()]; }
    const CellState* state_of(uint64_t cell) const {
        const CellState& state = states_[cell & geometry_.mask()];
        return state.cell == cell ? &state : nullptr;
    }

    // Bits by cell & mask, for cells from the current one to the end of the window only.
    void set_bit(uint64_t* bits, uint64_t cell);
    void clear_bits(uint64_t cell);
    uint64_t find_bit(const uint64_t* bits, uint64_t cell, bool value) const;
    const CellState* next_seen() const;

    SharedMemory memory_;
    Geometry geometry_{};
    abi::CellEnd* ends_ = nullptr;
    uint8_t* cells_ = nullptr;
    std::unique_ptr<CellState[]> states_;
    std::unique_ptr<uint64_t[]> seen_;    // something of the cell is here
    std::unique_ptr<uint64_t[]> closed_;  // all of it is
    uint64_t reorder_time_ = 0;
    bool is_reliable_ = false, is_based_ = false, is_live_ = false;
    Position base_ = 0, start_ = 0, published_ = 0, highest_ = 0, oldest_ = 0, floor_ = 0;
    Position final_ = abi::kNoPosition;
    uint64_t top_cell_ = 0;  // the highest cell that holds something
    uint64_t hole_since_ = kNever;
    uint64_t lost_bytes_ = 0, n_gaps_ = 0;
};

}  // namespace xylem::log
