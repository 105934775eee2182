// SPDX-License-Identifier: Apache-2.0
// Images of groups: whole records, one behind the other.
#include <xylem/abi/record.h>

#include <algorithm>
#include <cstring>

#include "dataplane/log/image.h"

namespace xylem::log {

bool Image::append(std::span<const uint8_t> prefix, std::span<const uint8_t> payload) {
    if (prefix.size() + payload.size() > geometry_.cell_bytes - abi::kRecordHeaderBytes) [[unlikely]]
        return false;
    const auto length = static_cast<uint32_t>(prefix.size() + payload.size());
    if (CellState& full = touch(current_cell()); full.fill + abi::record_bytes(length) > geometry_.cell_bytes) {
        full.is_closed = true;
        advance(0);
    }
    CellState& state = touch(current_cell());
    const abi::RecordHeader header{length, abi::kRecordMessage, abi::kRecordBegin | abi::kRecordEnd, 0};
    uint8_t* at = cell_bytes(state.cell) + state.fill;
    std::memcpy(at, &header, sizeof header);
    at = std::copy(prefix.begin(), prefix.end(), at + sizeof header);
    if (!payload.empty()) std::memcpy(at, payload.data(), payload.size());
    state.fill += abi::record_bytes(length);
    state.is_closed = state.fill == geometry_.cell_bytes;
    advance(0);
    return true;
}

}  // namespace xylem::log
