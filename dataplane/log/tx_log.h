// SPDX-License-Identifier: Apache-2.0
// The engine's side of a TX log. The application writes records, used lengths and `commit`; every word of it is read
// once, clamped against the engine's own geometry, and only then used: whatever it writes, frames are ranges of the
// log's own cells, and only its own stream suffers. One worker at a time.
#pragma once
#include <xylem/abi/log.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/base/result.h"
#include "dataplane/log/memory.h"

namespace xylem::log {

using abi::Geometry;
using abi::Position;

/// A contiguous range of one cell, to be sent. `bytes` points into memory that the application may still change.
struct Frame {
    const uint8_t* bytes;
    uint64_t cell;
    uint32_t offset;
    uint32_t length;          // a multiple of 8; 0 only when ends_cell
    bool starts_at_boundary;  // START: at a record boundary that we know (a cell's start or a sampled commit)
    bool ends_cell;           // CELL_END
    Position next;            // the cursor after this frame
};

class TxLog {
  public:
    /// Makes the memfd with its header; `start` (offset 0 or a multiple of 8) is where the application begins.
    /// EINVAL: invalid geometry or start.
    static Result<TxLog> create(const Geometry& geometry, Position start = 0);

    int fd() const { return memory_.fd(); }
    const Geometry& geometry() const { return geometry_; }
    Position start() const { return start_; }

    /// Once the application has mapped the log, and before the first sample.
    Result<void> seal() { return memory_.seal(); }
    /// Makes the header, the used lengths and `n_cells` cells from `cell` on present. Control.
    Result<void> prefault(uint64_t cell, uint64_t n_cells);

    /// The position up to which the application has written: acquire. A value that is below the last one, above `limit`
    /// (the engine's own), or no possible record boundary keeps the last one and counts as hostile.
    Position sample_commit(Position limit);
    /// The last sample.
    Position commit() const { return samples_[newest_]; }
    uint64_t hostile_words() const { return hostile_words_; }

    /// The application's word itself, for the waker and for control: as hostile as any.
    const std::atomic<Position>& commit_word() const { return header()->commit; }

    /// Whether `p` is known to be a record boundary: a cell's start, or one of the last kSamples samples. A replica
    /// may start only at such a position.
    bool is_boundary(Position p) const;

    /// The next frame from `cursor`: at most `max_bytes`, what is committed (`commit`: a sample) of the cursor's cell.
    /// False: nothing is there, max_bytes < 8, or the offset is that of no cell. A cell that the cursor has reached the
    /// end of gives a frame of length 0 with ends_cell, so that the receiver learns the cell's end.
    bool next_frame(Position cursor, Position commit, uint32_t max_bytes, Frame* out);
    /// The same for repairs, at most `cells` behind the commit; the caller asks for nothing below the log's floor.
    bool frame_at(Position from, Position commit, uint32_t max_bytes, Frame* out) {
        return next_frame(from, commit, max_bytes, out);
    }

  private:
    static constexpr uint32_t kSamples = 8;

    uint32_t used_of(uint64_t cell, uint32_t at_least);
    abi::LogHeader* header() const { return reinterpret_cast<abi::LogHeader*>(memory_.bytes()); }

    SharedMemory memory_;
    Geometry geometry_{};
    Position start_ = 0;
    const uint8_t* cells_ = nullptr;
    const uint16_t* used_ = nullptr;
    std::array<Position, kSamples> samples_{};
    uint32_t newest_ = 0;
    uint64_t hostile_words_ = 0;
};

}  // namespace xylem::log
