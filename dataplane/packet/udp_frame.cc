// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/udp_frame.h"

#include <algorithm>
#include <cassert>

#include "dataplane/packet/checksum.h"

namespace xylem::packet {
namespace {

constexpr size_t kIp = kEthernetBytes, kUdpBytes = 8;
constexpr size_t kV4Bytes = kEthernetBytes + kIpv4UdpBytes, kV6Bytes = kEthernetBytes + kIpv6UdpBytes;
constexpr uint8_t kUdp = 17;

void put_v4(const Path& path, uint8_t* ip) {
    ip[0] = 0x45;
    ip[1] = path.tos;
    ip[6] = 0x40;  // DF
    ip[8] = path.ttl;
    ip[9] = kUdp;
    std::copy_n(path.src.ip.bytes.begin(), 4, ip + 12);
    std::copy_n(path.dst.ip.bytes.begin(), 4, ip + 16);
}

void put_v6(const Path& path, uint8_t* ip) {
    store_be<uint16_t>(ip, static_cast<uint16_t>(0x6000 | path.tos << 4));
    ip[6] = kUdp;
    ip[7] = path.ttl;
    std::copy_n(path.src.ip.bytes.begin(), 16, ip + 8);
    std::copy_n(path.dst.ip.bytes.begin(), 16, ip + 24);
}

}  // namespace

MacAddress multicast_mac(const IpAddress& group) {
    const auto& ip = group.bytes;
    if (group.is_v4()) return {{0x01, 0x00, 0x5E, static_cast<uint8_t>(ip[1] & 0x7F), ip[2], ip[3]}};
    return {{0x33, 0x33, ip[12], ip[13], ip[14], ip[15]}};
}

UdpTemplate::UdpTemplate(const Path& path) {
    assert(path.src.ip.family == path.dst.ip.family && path.src.ip.is_set());
    const bool is_v4 = path.dst.ip.is_v4();
    n_bytes_ = is_v4 ? kV4Bytes : kV6Bytes;
    const MacAddress to = path.dst.ip.is_multicast() ? multicast_mac(path.dst.ip) : path.dst_mac;
    std::copy_n(to.bytes.begin(), 6, bytes_);
    std::copy_n(path.src_mac.bytes.begin(), 6, bytes_ + 6);
    store_be<uint16_t>(bytes_ + 12, is_v4 ? 0x0800 : 0x86DD);
    is_v4 ? put_v4(path, bytes_ + kIp) : put_v6(path, bytes_ + kIp);
    uint8_t* udp = bytes_ + n_bytes_ - kUdpBytes;
    store_be<uint16_t>(udp, path.src.port);
    store_be<uint16_t>(udp + 2, path.dst.port);
    if (is_v4) ip_sum_ = fold(sum_words(bytes_ + kIp, 20));
    const size_t n_addresses = is_v4 ? 8 : 32;  // right before the ports
    udp_sum_ = fold(sum_words(udp - n_addresses, n_addresses + 4) + swap(uint16_t{kUdp}));
}

void UdpTemplate::write(uint8_t* frame, uint32_t payload_len) const {
    const uint16_t sum = payload_sum(frame + n_bytes_, payload_len);
    const uint16_t udp_len_be = swap(static_cast<uint16_t>(kUdpBytes + payload_len));
    std::memcpy(frame, bytes_, n_bytes_);
    if (n_bytes_ == kV4Bytes) {
        const uint16_t total_len_be = swap(static_cast<uint16_t>(kIpv4UdpBytes + payload_len));
        store_raw16(frame + kIp + 2, total_len_be);
        store_raw16(frame + kIp + 10, static_cast<uint16_t>(~fold(uint32_t{ip_sum_} + total_len_be)));
    } else {
        store_raw16(frame + kIp + 4, udp_len_be);
    }
    uint8_t* udp = frame + n_bytes_ - kUdpBytes;
    store_raw16(udp + 4, udp_len_be);
    store_raw16(udp + 6, udp_checksum(udp_sum_, 2U * udp_len_be + sum));
}

}  // namespace xylem::packet
