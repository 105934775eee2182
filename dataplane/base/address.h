// SPDX-License-Identifier: Apache-2.0
// Addresses as values: an IP address of either family, an endpoint (address, port), a MAC address. All fields that come
// from or go to the wire are kept in network order, so nothing is swapped twice.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>

namespace xylem {

/// Ethernet address, as on the wire.
struct MacAddress {
    std::array<uint8_t, 6> bytes{};
    auto operator<=>(const MacAddress&) const = default;
};

/// IPv4 (first 4 bytes used) or IPv6 address, network order. `family` is AF_INET (2) or AF_INET6 (10), 0: none.
struct IpAddress {
    std::array<uint8_t, 16> bytes{};
    uint8_t family = 0;
    auto operator<=>(const IpAddress&) const = default;

    static constexpr uint8_t kV4 = 2, kV6 = 10;
    bool is_v4() const { return family == kV4; }
    bool is_v6() const { return family == kV6; }
    bool is_set() const { return family != 0; }
    /// The address as a big-endian word, IPv4 only.
    uint32_t v4_be() const {
        uint32_t word;
        std::memcpy(&word, bytes.data(), 4);
        return word;
    }
    static IpAddress v4(uint32_t word_be) {
        IpAddress ip;
        ip.family = kV4;
        std::memcpy(ip.bytes.data(), &word_be, 4);
        return ip;
    }
    static IpAddress v6(const uint8_t* sixteen) {
        IpAddress ip;
        ip.family = kV6;
        std::memcpy(ip.bytes.data(), sixteen, 16);
        return ip;
    }
    /// 0.0.0.0 or ::
    bool is_wildcard() const {
        for (uint8_t b : bytes)
            if (b != 0) return false;
        return true;
    }
    bool is_loopback() const {
        if (is_v4()) return bytes[0] == 127;
        static constexpr std::array<uint8_t, 16> one{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
        return is_v6() && bytes == one;
    }
    bool is_multicast() const { return is_v4() ? (bytes[0] & 0xF0) == 0xE0 : is_v6() && bytes[0] == 0xFF; }
};

/// Address and port. `port` is in host order.
struct Endpoint {
    IpAddress ip;
    uint16_t port = 0;
    auto operator<=>(const Endpoint&) const = default;
};

}  // namespace xylem
