// SPDX-License-Identifier: Apache-2.0
// The TX log of a sending socket: one memfd, mapped read-write by the application, made by the engine. Layout:
//
//     LogHeader (4096 bytes) | used[cells] (uint16_t, padded to a page) | cells, `cell_stride` bytes apart
//
// The application writes records into cells, stores a closed cell's used length in used[cell & mask], and then `commit`
// (release) at a record boundary. How far it may write is EngineSocket::limit, in a segment it cannot write. Every word
// here is hostile to the engine: copied once, clamped, then used; geometry comes from the engine's own record.
#pragma once
#include <xylem/abi/position.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace xylem::abi {

inline constexpr uint32_t kLogMagic = 0x584C4F47;  // "XLOG"
inline constexpr uint32_t kAbiVersion = 2;

inline constexpr uint32_t kDefaultCellBytes = 1408;  // one frame at MTU 1500
inline constexpr uint32_t kMinCellBytes = 256;
inline constexpr uint32_t kMaxCellBytes = 65528;
inline constexpr uint32_t kMinCellsLog2 = 6;       // 64 cells
inline constexpr uint32_t kMaxCellsLog2 = 16;      // 65536 cells
inline constexpr uint32_t kDefaultCellsLog2 = 10;  // 1024 cells

/// Sizes of a log or an image. `cell_bytes` is a multiple of 8.
struct Geometry {
    uint32_t cell_bytes;
    uint32_t cells_log2;

    constexpr uint64_t cells() const { return 1ULL << cells_log2; }
    constexpr uint64_t mask() const { return cells() - 1; }
    constexpr uint64_t cell_stride() const { return round_up_64(cell_bytes); }
    constexpr bool is_valid() const {
        return cell_bytes >= kMinCellBytes && cell_bytes <= kMaxCellBytes && cell_bytes % 8 == 0 &&
               cells_log2 >= kMinCellsLog2 && cells_log2 <= kMaxCellsLog2;
    }
    /// The longest message: a quarter of the log, counted in payload that surely fits (a header per cell, one cell may
    /// start late).
    constexpr uint64_t max_message_bytes() const { return (cells() / 4 - 1) * (cell_bytes - 8); }
};

struct LogHeader {
    uint32_t magic;
    uint32_t version;
    uint32_t cell_bytes;
    uint32_t cells_log2;
    uint64_t used_off;
    uint64_t cells_off;
    uint64_t total_bytes;
    uint8_t pad_to_line[24];
    alignas(64) std::atomic<Position> commit;  // partner: the worker's acquire load when it pulls
    uint8_t pad_to_page[4096 - 72];
};
static_assert(offsetof(LogHeader, commit) == 64);
static_assert(sizeof(LogHeader) == 4096);

constexpr uint64_t log_used_off() { return sizeof(LogHeader); }
constexpr uint64_t log_cells_off(const Geometry& g) {
    return log_used_off() + round_up_page(g.cells() * sizeof(uint16_t));
}
constexpr uint64_t log_total_bytes(const Geometry& g) {
    return round_up_page(log_cells_off(g) + g.cells() * g.cell_stride());
}

}  // namespace xylem::abi
