// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/parse.h"

#include "dataplane/packet/checksum.h"

namespace xylem::packet {
namespace {

constexpr uint16_t kEtherIpv4 = 0x0800, kEtherIpv6 = 0x86DD, kEtherVlan = 0x8100, kEtherServiceVlan = 0x88A8;
constexpr uint8_t kUdp = 17, kIpv6Fragment = 44;
constexpr size_t kEthernet = 14, kVlanTag = 4, kIpv4Header = 20, kIpv6Header = 40, kUdpHeader = 8;

/// What is left of the frame: `at` moves over the headers.
struct Rest {
    const uint8_t* at;
    size_t len;
    void skip(size_t n) {
        at += n;
        len -= n;
    }
};

bool refuse(Drop reason, Drop* why) {
    *why = reason;
    return false;
}

bool is_ipv6_extension(uint8_t next_header) {
    switch (next_header) {
        case 0:    // hop by hop
        case 43:   // routing
        case 51:   // authentication
        case 60:   // destination options
        case 135:  // mobility
            return true;
        default:
            return false;
    }
}

/// Leaves `rest` at the IP header.
bool take_ethernet(Rest& rest, uint16_t* ether_type, Drop* why) {
    if (rest.len < kEthernet) return refuse(Drop::truncated, why);
    *ether_type = load_be<uint16_t>(rest.at + 12);
    rest.skip(kEthernet);
    if (*ether_type != kEtherVlan && *ether_type != kEtherServiceVlan) return true;
    if (rest.len < kVlanTag) return refuse(Drop::truncated, why);
    *ether_type = load_be<uint16_t>(rest.at + 2);
    rest.skip(kVlanTag);
    return true;
}

/// Leaves `rest` as the IP payload.
bool take_ipv4(Rest& rest, IpAddress* src, Drop* why) {
    if (rest.len < kIpv4Header) return refuse(Drop::truncated, why);
    const uint8_t* ip = rest.at;
    if (ip[0] >> 4 != 4 || ip[9] != kUdp) return refuse(Drop::not_ours, why);
    if ((load_be<uint16_t>(ip + 6) & 0x3FFF) != 0) return refuse(Drop::fragment, why);
    if (ip[0] != 0x45) return refuse(Drop::ip_options, why);
    const size_t total = load_be<uint16_t>(ip + 2);
    if (total > rest.len) return refuse(Drop::truncated, why);
    if (total < kIpv4Header + kUdpHeader) return refuse(Drop::bad_length, why);
    uint32_t address_be;
    std::memcpy(&address_be, ip + 12, sizeof(address_be));
    *src = IpAddress::v4(address_be);
    rest = {ip + kIpv4Header, total - kIpv4Header};
    return true;
}

bool take_ipv6(Rest& rest, IpAddress* src, Drop* why) {
    if (rest.len < kIpv6Header) return refuse(Drop::truncated, why);
    const uint8_t* ip = rest.at;
    if (ip[0] >> 4 != 6) return refuse(Drop::not_ours, why);
    if (ip[6] == kIpv6Fragment) return refuse(Drop::fragment, why);
    if (is_ipv6_extension(ip[6])) return refuse(Drop::ip_options, why);
    if (ip[6] != kUdp) return refuse(Drop::not_ours, why);
    const size_t payload = load_be<uint16_t>(ip + 4);
    if (payload > rest.len - kIpv6Header) return refuse(Drop::truncated, why);
    if (payload < kUdpHeader) return refuse(Drop::bad_length, why);
    *src = IpAddress::v6(ip + 8);
    rest = {ip + kIpv6Header, payload};
    return true;
}

/// Leaves `rest` as the UDP payload.
bool take_udp(Rest& rest, uint16_t* src_port, Drop* why) {
    const uint8_t* udp = rest.at;
    const size_t len = load_be<uint16_t>(udp + 4);
    if (len < kUdpHeader + kHeaderBytes || len > rest.len) return refuse(Drop::bad_length, why);
    *src_port = load_be<uint16_t>(udp);
    rest = {udp + kUdpHeader, len - kUdpHeader};
    return true;
}

bool take_xylem(Rest& rest, ParsedFrame* out, Drop* why) {
    if (!decode_header(rest.at, rest.len, &out->header, why)) return false;
    rest.skip(kHeaderBytes);
    if ((out->header.flags & kFlagExt) != 0) {
        if (rest.len < kExtBytes) return refuse(Drop::bad_length, why);
        rest.skip(kExtBytes);
    }
    if (out->header.type == FrameType::kHeartbeat && rest.len != 0) return refuse(Drop::bad_length, why);
    out->payload = rest.at;
    out->payload_len = static_cast<uint32_t>(rest.len);
    return true;
}

void describe(const Rest& rest, const uint8_t* ip, const IpAddress& src, ParsedDatagram* out) {
    out->ip = ip;
    out->udp = {rest.at, rest.len};
    out->src = {src, load_be<uint16_t>(rest.at)};
    out->dst.port = load_be<uint16_t>(rest.at + 2);
    if (src.is_v6()) {
        out->dst.ip = IpAddress::v6(ip + 24);
        return;
    }
    uint32_t address_be;
    std::memcpy(&address_be, ip + 16, sizeof(address_be));
    out->dst.ip = IpAddress::v4(address_be);
}

}  // namespace

Parsed parse(const uint8_t* bytes, size_t len, uint16_t data_port, ParsedFrame* frame, ParsedDatagram* other,
             Drop* why) {
    Rest rest{bytes, len};
    uint16_t ether_type;
    if (!take_ethernet(rest, &ether_type, why)) return Parsed::kDrop;
    const uint8_t* ip = rest.at;
    if (ether_type == kEtherIpv4) {
        if (!take_ipv4(rest, &frame->src.ip, why)) return Parsed::kDrop;
    } else if (ether_type == kEtherIpv6) {
        if (!take_ipv6(rest, &frame->src.ip, why)) return Parsed::kDrop;
    } else {
        refuse(Drop::not_ours, why);
        return Parsed::kDrop;
    }
    if (load_be<uint16_t>(rest.at + 2) != data_port) {
        describe(rest, ip, frame->src.ip, other);
        return Parsed::kDatagram;
    }
    const bool is_good = take_udp(rest, &frame->src.port, why) && take_xylem(rest, frame, why);
    return is_good ? Parsed::kFrame : Parsed::kDrop;
}

bool parse_frame(const uint8_t* frame, size_t len, uint16_t data_port, ParsedFrame* out, Drop* why) {
    ParsedDatagram other;
    const Parsed what = parse(frame, len, data_port, out, &other, why);
    if (what == Parsed::kDatagram) return refuse(Drop::not_ours, why);
    return what == Parsed::kFrame;
}

bool take_payload(const ParsedDatagram& datagram, std::span<const uint8_t>* payload, Drop* why) {
    const size_t len = load_be<uint16_t>(datagram.udp.data() + 4);
    if (len < kUdpHeader || len > datagram.udp.size()) return refuse(Drop::bad_length, why);
    if (datagram.dst.ip.is_v4() && fold(sum_words(datagram.ip, kIpv4Header)) != 0xFFFF)
        return refuse(Drop::bad_checksum, why);
    *payload = datagram.udp.subspan(kUdpHeader, len - kUdpHeader);
    return true;
}

}  // namespace xylem::packet
