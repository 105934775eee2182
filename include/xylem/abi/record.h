// SPDX-License-Identifier: Apache-2.0
// A record: an 8-byte header and its payload, padded to 8. It never crosses a cell's end. Written by the sending shim,
// read by the receiving shim; workers carry bytes and never parse (but for datagrams of groups, and where an image
// closes a gap inside a cell). The header is one 64-bit word, stored and loaded whole.
#pragma once
#include <xylem/abi/position.h>

#include <cstdint>

namespace xylem::abi {

inline constexpr uint8_t kRecordMessage = 1;  // payload: a message or a piece of one
inline constexpr uint8_t kRecordGap = 2;      // engine only: `length` + 8 bytes of the cell were lost here; skip them

inline constexpr uint8_t kRecordBegin = 1;  // first piece of a message
inline constexpr uint8_t kRecordEnd = 2;    // last piece of a message

struct RecordHeader {
    uint32_t length;  // payload bytes, without header and padding
    uint8_t type;     // kRecord*
    uint8_t flags;    // kRecordBegin | kRecordEnd
    uint16_t reserved_zero;
};
static_assert(sizeof(RecordHeader) == 8);

inline constexpr uint32_t kRecordHeaderBytes = sizeof(RecordHeader);

/// Bytes that a record of `length` payload bytes takes in its cell.
constexpr uint32_t record_bytes(uint32_t length) { return kRecordHeaderBytes + round_up_8(length); }

}  // namespace xylem::abi
