// SPDX-License-Identifier: Apache-2.0
// One's complement sums of header words as they lie in memory, and the UDP checksum made of them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/byte_order.h"

namespace xylem::packet {

inline uint16_t fold(uint32_t sum) {
    sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<uint16_t>(sum + (sum >> 16));
}

inline uint32_t sum_words(const uint8_t* at, size_t n_bytes) {
    uint32_t sum = 0;
    for (size_t i = 0; i < n_bytes; i += 2)
        sum += load_raw16(at + i);
    return sum;
}

inline void store_raw16(uint8_t* at, uint16_t value) { std::memcpy(at, &value, sizeof(value)); }

/// 0 would mean that there is no checksum.
inline uint16_t udp_checksum(uint16_t constant_sum, uint32_t frame_sum) {
    const uint16_t checksum = static_cast<uint16_t>(~fold(constant_sum + frame_sum));
    return checksum == 0 ? 0xFFFF : checksum;
}

}  // namespace xylem::packet
