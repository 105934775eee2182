// SPDX-License-Identifier: Apache-2.0
// One range of a NAK, as an image finds it and the wire carries it.
#pragma once
#include <cstdint>

namespace xylem {

/// Everything sent from `first` (a position: cell << 16 | offset) up to the end of `last_cell`.
struct NakRange {
    uint64_t first;
    uint64_t last_cell;
    bool operator==(const NakRange&) const = default;
};

}  // namespace xylem
