// SPDX-License-Identifier: Apache-2.0
// An image: the copy of a stream on a receiving host, one memfd per (stream, host), written by one worker and mapped
// read-only by every local reader. Layout:
//
//     ImageHeader (4096 bytes) | CellEnd[cells] (padded to a page) | cells, `cell_stride` bytes apart
//
// How a reader at position p = (cell c, offset o), p < published, goes on:
//   - published lies in cell c: the record at o is there if it ends at or before published's offset; else wait;
//   - published lies beyond cell c: CellEnd[c & mask].used is c's end. o < used: the record at o. o == used: `lost`
//   bytes are lost
//     here (0 at an ordinary cell end), go on at `next`. A record that does not fit is a hostile sender: the session
//     ends.
//   - a record of type kRecordGap: its length + 8 bytes were lost; skip it. After a loss, and at a start in the middle
//   of a message,
//     discard records until one with kRecordBegin.
// A best-effort image is overwritten without asking: a reader copies, then (acquire fence) re-reads `floor`; when the
// copied cell lies below it, the copy is void and the reader was lapped: it goes on at floor_position and counts the
// loss.
#pragma once
#include <xylem/abi/log.h>

namespace xylem::abi {

inline constexpr uint32_t kImageMagic = 0x58494D47;  // "XIMG"

inline constexpr uint32_t kImageReliable = 1;  // never overwrites what a reader holds
inline constexpr uint32_t kImageStream = 2;    // bytes, no message boundaries
inline constexpr uint32_t kImageGroup = 4;     // datagrams, each behind a GroupReceived (group.h)

struct CellEnd {
    std::atomic<Position>
        next;  // where the stream goes on after this cell: (cell + 1, 0), or where it resumed after a loss
    std::atomic<uint64_t> lost;  // bytes lost between `used` and `next`; an upper bound when whole cells are missing
    std::atomic<uint32_t> used;  // bytes of the cell that hold records
    uint32_t reserved_zero;
    uint64_t reserved_zero2;
};
static_assert(sizeof(CellEnd) == 32);

struct ImageHeader {
    uint32_t magic;
    uint32_t version;
    uint32_t cell_bytes;
    uint32_t cells_log2;
    uint32_t flags;  // kImage*
    uint32_t reserved_zero;
    uint64_t ends_off;
    uint64_t cells_off;
    uint64_t total_bytes;
    uint8_t pad_to_line[16];
    alignas(64) std::atomic<Position> published;  // release; partner: the reader's acquire load
    std::atomic<Position>
        kick_at;  // a reader whose `consumed` reaches this rings its doorbell (relaxed: a hint, bounded by timers)
    std::atomic<Position> final;  // where the stream ends; kNoPosition: not known
    uint8_t pad_line2[40];
    alignas(64) std::atomic<Position> floor;  // start of the oldest intact cell; stored, then a release fence, before
                                              // older cells are overwritten
    uint8_t pad_to_page[4096 - 136];
};
static_assert(offsetof(ImageHeader, published) == 64);
static_assert(offsetof(ImageHeader, floor) == 128);
static_assert(sizeof(ImageHeader) == 4096);

constexpr uint64_t image_ends_off() { return sizeof(ImageHeader); }
constexpr uint64_t image_cells_off(const Geometry& g) {
    return image_ends_off() + round_up_page(g.cells() * sizeof(CellEnd));
}
constexpr uint64_t image_total_bytes(const Geometry& g) {
    return round_up_page(image_cells_off(g) + g.cells() * g.cell_stride());
}

}  // namespace xylem::abi
