// SPDX-License-Identifier: Apache-2.0
// A position in a stream: (cell number: 48 bits, offset in the cell: 16 bits) in one word, so that it can be published
// by one store and compared as an integer. Positions only grow. A cell's end is always written as (cell + 1, 0).
#pragma once
#include <cstdint>

namespace xylem::abi {

using Position = uint64_t;

inline constexpr Position kNoPosition = ~0ULL;  // "not known": no stream gets there

constexpr Position position(uint64_t cell, uint32_t offset_bytes) { return cell << 16 | (offset_bytes & 0xFFFF); }
constexpr uint64_t cell_of(Position p) { return p >> 16; }
constexpr uint32_t offset_of(Position p) { return static_cast<uint32_t>(p & 0xFFFF); }
constexpr Position cell_start(uint64_t cell) { return cell << 16; }

constexpr uint32_t round_up_8(uint32_t bytes) { return (bytes + 7) & ~7U; }
constexpr uint64_t round_up_64(uint64_t bytes) { return (bytes + 63) & ~63ULL; }
constexpr uint64_t round_up_page(uint64_t bytes) { return (bytes + 4095) & ~4095ULL; }

}  // namespace xylem::abi
