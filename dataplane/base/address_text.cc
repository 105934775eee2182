// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/address_text.h"

#include <arpa/inet.h>

namespace xylem {

std::optional<IpAddress> parse_ip(std::string_view text) {
    const std::string terminated(text);
    uint8_t bytes[16];
    if (inet_pton(AF_INET, terminated.c_str(), bytes) == 1) {
        uint32_t word_be;
        std::memcpy(&word_be, bytes, sizeof word_be);
        return IpAddress::v4(word_be);
    }
    if (inet_pton(AF_INET6, terminated.c_str(), bytes) == 1) return IpAddress::v6(bytes);
    return std::nullopt;
}

std::string to_string(const IpAddress& ip) {
    char text[INET6_ADDRSTRLEN] = "unset";
    if (ip.is_set()) inet_ntop(ip.family, ip.bytes.data(), text, sizeof text);
    return text;
}

std::string to_string(const MacAddress& mac) {
    static constexpr char kHex[] = "0123456789abcdef";
    std::string out;
    for (const uint8_t byte : mac.bytes) {
        if (!out.empty()) out += ':';
        out += kHex[byte >> 4];
        out += kHex[byte & 15];
    }
    return out;
}

std::string to_string(const Endpoint& endpoint) {
    const std::string ip = to_string(endpoint.ip);
    return (endpoint.ip.is_v6() ? "[" + ip + "]" : ip) + ":" + std::to_string(endpoint.port);
}

}  // namespace xylem
