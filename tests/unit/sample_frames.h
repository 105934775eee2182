// SPDX-License-Identifier: Apache-2.0
// Frames for tests of the packet layer, and checksums computed the slow way, byte by byte.
#pragma once
#include <cstring>
#include <random>
#include <vector>

#include "dataplane/packet/frame.h"

namespace xylem::test {

inline constexpr uint16_t kDataPort = 7471;

inline packet::Path sample_path(bool is_v6) {
    packet::Path path;
    path.src_mac.bytes = {0x02, 0, 0, 0, 0, 1};
    path.dst_mac.bytes = {0x02, 0, 0, 0, 0, 2};
    if (is_v6) {
        const uint8_t src[16] = {0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
        const uint8_t dst[16] = {0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
        path.src.ip = IpAddress::v6(src);
        path.dst.ip = IpAddress::v6(dst);
    } else {
        path.src.ip = IpAddress::v4(__builtin_bswap32(0x0A000001));
        path.dst.ip = IpAddress::v4(__builtin_bswap32(0x0A000002));
    }
    path.src.port = packet::source_port(5);
    path.dst.port = kDataPort;
    path.tos = 46 << 2;
    return path;
}

inline std::vector<uint8_t> make_frame(const packet::Path& path, uint64_t label, packet::FrameFields fields,
                                       const std::vector<uint8_t>& payload) {
    fields.payload_len = static_cast<uint16_t>(payload.size());
    fields.payload_sum = packet::payload_sum(payload.data(), payload.size());
    const packet::FrameTemplate replica(path, label);
    std::vector<uint8_t> frame(replica.header_bytes());
    replica.write(fields, frame.data());
    frame.insert(frame.end(), payload.begin(), payload.end());
    return frame;
}

/// RFC 1071, as slow as it is plain.
inline uint16_t slow_checksum(const std::vector<uint8_t>& bytes) {
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.size(); i += 2)
        sum += static_cast<uint64_t>(bytes[i]) << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0);
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<uint16_t>(~sum);
}

/// Pseudo header and datagram of a frame as made above: 0 when its UDP checksum is right.
inline uint16_t udp_residue(const std::vector<uint8_t>& frame, bool is_v6) {
    const size_t addresses = is_v6 ? 22 : 26, n_addresses = is_v6 ? 32 : 8, udp = is_v6 ? 54 : 34;
    std::vector<uint8_t> summed(frame.begin() + static_cast<long>(addresses),
                                frame.begin() + static_cast<long>(addresses + n_addresses));
    const size_t len = frame.size() - udp;
    summed.insert(summed.end(), {0, 17, static_cast<uint8_t>(len >> 8), static_cast<uint8_t>(len)});
    summed.insert(summed.end(), frame.begin() + static_cast<long>(udp), frame.end());
    return slow_checksum(summed);
}

inline std::vector<uint8_t> random_bytes(std::mt19937_64& random, size_t n) {
    std::vector<uint8_t> bytes(n);
    for (uint8_t& byte : bytes)
        byte = static_cast<uint8_t>(random());
    return bytes;
}

}  // namespace xylem::test
