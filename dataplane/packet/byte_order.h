// SPDX-License-Identifier: Apache-2.0
// Big-endian fields at any address.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

namespace xylem::packet {

static_assert(std::endian::native == std::endian::little, "the loads below swap");

inline uint16_t swap(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t swap(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t swap(uint64_t v) { return __builtin_bswap64(v); }

template <class T>
T load_be(const uint8_t* at) {
    T value;
    std::memcpy(&value, at, sizeof(value));
    return swap(value);
}

template <class T>
void store_be(uint8_t* at, T value) {
    value = swap(value);
    std::memcpy(at, &value, sizeof(value));
}

/// A word as it lies in memory, for sums: one's complement sums do not depend on the byte order.
inline uint16_t load_raw16(const uint8_t* at) {
    uint16_t value;
    std::memcpy(&value, at, sizeof(value));
    return value;
}

}  // namespace xylem::packet
