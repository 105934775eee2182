// SPDX-License-Identifier: Apache-2.0
// Frames of plain UDP datagrams, without a Xylem header: what a GROUP socket sends. Ethernet + IPv4 + UDP are 42 bytes,
// with IPv6 62. DF is set, both checksums are complete.
#pragma once
#include <cstddef>
#include <cstdint>

#include "dataplane/base/address.h"
#include "dataplane/packet/frame.h"

namespace xylem::packet {

inline constexpr size_t kIpv4UdpBytes = 28, kIpv6UdpBytes = 48;  // IP and UDP headers

/// The Ethernet address of a multicast group: 01:00:5e and 23 bits of the IPv4 address (RFC 1112), or 33:33 and 32 bits
/// of the IPv6 one (RFC 2464).
MacAddress multicast_mac(const IpAddress& group);

/// The headers of one destination's datagrams without their lengths and the sum of the payload.
class UdpTemplate {
  public:
    UdpTemplate() = default;
    /// Both endpoints of `path` are of one family. The MAC of a group follows from its address, dst_mac is that of a
    /// host.
    explicit UdpTemplate(const Path& path);

    size_t header_bytes() const { return n_bytes_; }

    /// Writes the headers of a datagram to `frame`. Its payload lies behind them already: the checksum is over what is
    /// there. The IP packet is at most 65535 bytes long.
    void write(uint8_t* frame, uint32_t payload_len) const;

  private:
    uint8_t bytes_[kEthernetBytes + kIpv6UdpBytes] = {};
    uint8_t n_bytes_ = 0;
    uint16_t ip_sum_ = 0;   // IPv4
    uint16_t udp_sum_ = 0;  // pseudo header and ports
};

}  // namespace xylem::packet
