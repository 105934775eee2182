// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/frame.h"

#include <cassert>
#include <cstring>

#include "dataplane/packet/checksum.h"

namespace xylem::packet {
namespace {

using Vector = uint64_t __attribute__((vector_size(16)));
using Lanes = uint32_t __attribute__((vector_size(16)));

// Offsets in an IPv4 frame.
constexpr size_t kIpTotalLen = 16, kIpChecksum = 24, kUdpLen = 38, kUdpChecksum = 40, kXylem = 42;
constexpr size_t kLabel = kXylem + 4, kCell = kXylem + 12;
// Offsets in the compact template of IPv6: Ethernet | version, traffic class | hop limit, 0 | sum | addresses | ports |
// label.
constexpr size_t kV6Hop = 16, kV6Sum = 18, kV6Addresses = 20, kV6Ports = 52, kV6Label = 56;

constexpr size_t kIpv4HeaderBytes = 20, kIpv6HeaderBytes = 40, kUdpHeaderBytes = 8;
constexpr uint8_t kUdp = 17;
constexpr size_t kMaxPayload = 65535 - kIpv4HeaderBytes - kUdpHeaderBytes - kHeaderBytes;

void put_ethernet(const Path& path, uint16_t ether_type, uint8_t* out) {
    std::memcpy(out, path.dst_mac.bytes.data(), 6);
    std::memcpy(out + 6, path.src_mac.bytes.data(), 6);
    store_be<uint16_t>(out + 12, ether_type);
}

/// Source and destination port side by side, as on the wire.
void put_ports(const Path& path, uint8_t* out) {
    store_be<uint16_t>(out, path.src.port);
    store_be<uint16_t>(out + 2, path.dst.port);
}

void make_v4(const Path& path, uint64_t label, uint8_t* out) {
    put_ethernet(path, 0x0800, out);
    out[14] = 0x45;
    out[15] = path.tos;
    out[20] = 0x40;  // DF
    out[22] = path.ttl;
    out[23] = kUdp;
    std::memcpy(out + 26, path.src.ip.bytes.data(), 4);
    std::memcpy(out + 30, path.dst.ip.bytes.data(), 4);
    put_ports(path, out + 34);
    store_be<uint64_t>(out + kLabel, label);
    const uint16_t pseudo_protocol = swap(uint16_t{kUdp});
    store_raw16(out + kUdpChecksum, fold(sum_words(out + 26, 12) + sum_words(out + kLabel, 8) + pseudo_protocol));
    store_raw16(out + kIpChecksum, fold(sum_words(out + 14, kIpv4HeaderBytes)));
}

void make_v6(const Path& path, uint64_t label, uint8_t* out) {
    put_ethernet(path, 0x86DD, out);
    store_be<uint16_t>(out + 14, static_cast<uint16_t>(0x6000 | path.tos << 4));
    out[kV6Hop] = path.ttl;
    std::memcpy(out + kV6Addresses, path.src.ip.bytes.data(), 16);
    std::memcpy(out + kV6Addresses + 16, path.dst.ip.bytes.data(), 16);
    put_ports(path, out + kV6Ports);
    store_be<uint64_t>(out + kV6Label, label);
    const uint16_t pseudo_protocol = swap(uint16_t{kUdp});
    store_raw16(out + kV6Sum, fold(sum_words(out + kV6Addresses, 44) + pseudo_protocol));
}

}  // namespace

uint16_t payload_sum(const uint8_t* payload, size_t len) {
    assert(len <= 65535);  // the 32-bit lanes hold the sum of 65536 words each
    Lanes even{}, odd{};
    size_t at = 0;
    for (; at + sizeof(Lanes) <= len; at += sizeof(Lanes)) {
        Lanes lanes;
        std::memcpy(&lanes, payload + at, sizeof(lanes));
        even += lanes & 0xFFFF;
        odd += lanes >> 16;
    }
    uint64_t sum = 0;
    for (int i = 0; i < 4; ++i)
        sum += static_cast<uint64_t>(even[i]) + odd[i];
    for (; at + 2 <= len; at += 2)
        sum += load_raw16(payload + at);
    if (at < len) sum += payload[at];  // the last odd byte, padded with a zero
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    return fold(static_cast<uint32_t>((sum & 0xFFFF) + (sum >> 16)));
}

FramePart::FramePart(const FrameFields& fields) : bytes{} {
    assert((fields.flags & kFlagExt) == 0 && fields.payload_len <= kMaxPayload && fields.cell <= kMaxCell);
    const uint16_t udp_len = static_cast<uint16_t>(kUdpHeaderBytes + kHeaderBytes + fields.payload_len);
    ip_total_len_be = swap(static_cast<uint16_t>(kIpv4HeaderBytes + udp_len));
    udp_len_be = swap(udp_len);
    encode_header({.type = fields.type,
                   .flags = fields.flags,
                   .offset = fields.offset,
                   .cell = fields.cell,
                   .packet_number = fields.packet_number},
                  bytes + kXylem);
    store_raw16(bytes + kIpTotalLen, ip_total_len_be);
    store_raw16(bytes + kUdpLen, udp_len_be);
    udp_sum = sum_words(bytes + kXylem, kHeaderBytes) + 2U * udp_len_be + fields.payload_sum;
}

FrameTemplate::FrameTemplate(const Path& path, uint64_t label) {
    assert(path.src.ip.family == path.dst.ip.family && path.src.ip.is_set());
    if (path.dst.ip.is_v4())
        make_v4(path, label, bytes_);
    else
        make_v6(path, label, bytes_);
}

void FrameTemplate::write_v4(const FramePart& part, uint8_t* out) const {
    for (size_t i = 0; i < kIpv4FrameBytes; i += sizeof(Vector)) {
        Vector constant, variable;
        std::memcpy(&constant, bytes_ + i, sizeof(constant));
        std::memcpy(&variable, part.bytes + i, sizeof(variable));
        constant |= variable;
        std::memcpy(out + i, &constant, sizeof(constant));
    }
    const uint32_t ip_sum = uint32_t{load_raw16(bytes_ + kIpChecksum)} + part.ip_total_len_be;
    store_raw16(out + kIpChecksum, static_cast<uint16_t>(~fold(ip_sum)));
    store_raw16(out + kUdpChecksum, udp_checksum(load_raw16(bytes_ + kUdpChecksum), part.udp_sum));
}

void FrameTemplate::write_v6(const FramePart& part, uint8_t* out) const {
    constexpr size_t kIp = kEthernetBytes, kUdpAt = kIp + kIpv6HeaderBytes, kXylemAt = kUdpAt + kUdpHeaderBytes;
    std::memcpy(out, bytes_, kIp + 2);  // Ethernet, version and traffic class
    store_raw16(out + kIp + 2, 0);      // flow label
    store_raw16(out + kIp + 4, part.udp_len_be);
    out[kIp + 6] = kUdp;
    out[kIp + 7] = bytes_[kV6Hop];
    std::memcpy(out + kIp + 8, bytes_ + kV6Addresses, 36);  // addresses and ports
    store_raw16(out + kUdpAt + 4, part.udp_len_be);
    store_raw16(out + kUdpAt + 6, udp_checksum(load_raw16(bytes_ + kV6Sum), part.udp_sum));
    std::memcpy(out + kXylemAt, part.bytes + kXylem, 4);
    std::memcpy(out + kXylemAt + 4, bytes_ + kV6Label, 8);
    std::memcpy(out + kXylemAt + 12, part.bytes + kCell, 10);
}

}  // namespace xylem::packet
