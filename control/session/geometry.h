// SPDX-License-Identifier: Apache-2.0
// How large logs and images are made. Pure arithmetic.
#pragma once
#include <bit>
#include <cstdint>

#include "dataplane/engine/engine.h"

namespace xylem::session {

/// Bytes of a frame that are not payload: IP, UDP and Xylem header.
constexpr uint32_t frame_overhead_bytes(bool is_v6) { return (is_v6 ? 40U : 20U) + 8U + 22U; }

/// The largest cell that one frame carries over a path of that MTU (0: not known, no limit), at most `wanted`.
constexpr uint32_t cell_bytes_for(uint32_t wanted, unsigned mtu_bytes, bool is_v6) {
    uint32_t bytes = wanted;
    const uint32_t overhead = frame_overhead_bytes(is_v6);
    if (mtu_bytes > overhead && mtu_bytes - overhead < bytes) bytes = mtu_bytes - overhead;
    return bytes / 8 * 8;
}

/// The exponent of the least power of two that is >= cells, within what an image may have.
constexpr uint32_t cells_log2_for(uint64_t cells) {
    const uint32_t log2 = cells <= 1 ? 0 : static_cast<uint32_t>(std::bit_width(cells - 1));
    if (log2 < abi::kMinCellsLog2) return abi::kMinCellsLog2;
    return log2 > abi::kMaxCellsLog2 ? abi::kMaxCellsLog2 : log2;
}

// ---- datagrams (GROUP) ----

/// The longest datagram where no MTU bounds it: between the sockets of one host.
inline constexpr uint32_t kLocalDatagramBytes = 8192;

/// Payload of the longest datagram that goes over a port of that MTU unfragmented (0: `local`).
constexpr uint32_t max_datagram_for(unsigned mtu_bytes, bool is_v6) {
    if (mtu_bytes == 0) return kLocalDatagramBytes;
    const unsigned headers = (is_v6 ? 40U : 20U) + 8U;
    constexpr unsigned kMost = abi::kMaxCellBytes - abi::kRecordHeaderBytes - sizeof(abi::GroupReceived);
    const unsigned bytes = mtu_bytes > headers ? mtu_bytes - headers : 0;
    return bytes < kMost ? bytes : kMost;
}

/// A cell that holds one such datagram, as it is sent.
constexpr uint32_t group_log_cell_bytes(uint32_t max_datagram_bytes) {
    const uint32_t bytes = abi::record_bytes(max_datagram_bytes + static_cast<uint32_t>(sizeof(abi::GroupSend)));
    return bytes < abi::kMinCellBytes ? abi::kMinCellBytes : bytes;
}
constexpr uint32_t max_datagram_in_log(uint32_t cell_bytes) {
    return cell_bytes - abi::kRecordHeaderBytes - static_cast<uint32_t>(sizeof(abi::GroupSend));
}
/// A cell that holds any datagram that comes in over a port of that MTU.
constexpr uint32_t group_image_cell_bytes(unsigned mtu_bytes) {
    const uint32_t bytes =
        abi::record_bytes(max_datagram_for(mtu_bytes, false) + static_cast<uint32_t>(sizeof(abi::GroupReceived)));
    return bytes < abi::kMinCellBytes ? abi::kMinCellBytes : bytes;
}

/// Log bytes between two positions; cells closed early count in full, so it is an upper bound.
constexpr uint64_t bytes_between(const engine::Geometry& geometry, engine::Position from, engine::Position to) {
    if (to <= from) return 0;
    const uint64_t bytes = (abi::cell_of(to) - abi::cell_of(from)) * geometry.cell_bytes + abi::offset_of(to);
    return bytes - abi::offset_of(from);
}

/// Whether a position that a peer sent can be one of a stream with that geometry.
constexpr bool is_position_of(const engine::Geometry& geometry, engine::Position p) {
    return abi::offset_of(p) < geometry.cell_bytes && abi::offset_of(p) % 8 == 0;
}

}  // namespace xylem::session
