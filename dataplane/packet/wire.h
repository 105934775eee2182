// SPDX-License-Identifier: Apache-2.0
// The Xylem header and the payloads of NAK and STATUS frames, big-endian on the wire. Decoders read exactly the bytes
// that they are given, check every length and range, and take nothing else on trust. Positions are plain words here:
// cell << 16 | offset (48 + 16 bits).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/base/drops.h"
#include "dataplane/base/nak_range.h"

namespace xylem::packet {

inline constexpr uint8_t kWireVersion = 1;
inline constexpr size_t kHeaderBytes = 22;
inline constexpr size_t kExtBytes = 8;  // after the header when kFlagExt is set: the sender's timestamp
inline constexpr size_t kStatusBytes = 28;
inline constexpr size_t kNakRangeBytes = 16;
inline constexpr size_t kMaxNakRanges = 64;
inline constexpr uint64_t kMaxCell = (1ULL << 48) - 1;

enum class FrameType : uint8_t { kData = 1, kHeartbeat = 2, kNak = 3, kStatus = 4 };

inline constexpr uint8_t kFlagStart = 0x01;     // begins at a record boundary
inline constexpr uint8_t kFlagCellEnd = 0x02;   // nothing follows in this cell
inline constexpr uint8_t kFlagExt = 0x04;       // kExtBytes follow the header
inline constexpr uint8_t kKeyEpochMask = 0x18;  // two bits
inline constexpr uint8_t kKeyEpochShift = 3;

/// | version 4, type 4 | flags 8 | offset 16 | label 64 | cell 48 | packet number 32 |
/// HEARTBEAT: (cell, offset) is the sender's end position. NAK, STATUS: `label` is that of the host they go to.
struct Header {
    FrameType type = FrameType::kData;
    uint8_t flags = 0;
    uint16_t offset = 0;
    uint64_t label = 0;
    uint64_t cell = 0;  // 48 bits
    uint32_t packet_number = 0;
    bool operator==(const Header&) const = default;
};

/// Writes kHeaderBytes.
void encode_header(const Header& header, uint8_t* out);

/// Reads a header from `len` bytes. False with `why`: truncated, bad_version or wrong_type (an unknown one).
bool decode_header(const uint8_t* bytes, size_t len, Header* out, Drop* why);

/// Feedback of a receiving host. Positions and the packet number only grow; a reordered STATUS is harmless.
struct Status {
    uint64_t consumed = 0;   // position that every reader has passed
    uint64_t published = 0;  // position up to which nothing is missing
    uint32_t highest_packet_number = 0;
    uint32_t window_cells = 0;  // frames may reach this many cells from `consumed`
    bool operator==(const Status&) const = default;
};

/// Writes kStatusBytes.
void encode_status(const Status& status, uint8_t* out);

/// nullopt (malformed_status): not kStatusBytes long, an offset that is no multiple of 8, or consumed > published.
std::optional<Status> decode_status(const uint8_t* payload, size_t len);

/// Writes n * kNakRangeBytes and returns that number; 1 <= n <= kMaxNakRanges.
size_t encode_nak(const NakRange* ranges, size_t n, uint8_t* out);

/// Reads the ranges of a NAK into `out`, which holds kMaxNakRanges. 0 (malformed_nak): not 1 to kMaxNakRanges whole
/// ranges, or one with an offset that is no multiple of 8 or a last cell before its first or above kMaxCell.
size_t decode_nak(const uint8_t* payload, size_t len, NakRange* out);

}  // namespace xylem::packet
