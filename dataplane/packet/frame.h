// SPDX-License-Identifier: Apache-2.0
// Headers of the frames that we send: everything that is constant for a replica is made once, as a template of one
// cache line; what differs per frame is made once per frame (FramePart) and blended into each replica's template. The
// checksum fields of a template hold the sums of its constant part, so nothing is summed twice; the payload is summed
// once per frame. Ethernet + IPv4 + UDP + Xylem are 64 bytes, with IPv6 84. DF is set. EXT frames are not made here.
#pragma once
#include <cstddef>
#include <cstdint>

#include "dataplane/base/address.h"
#include "dataplane/packet/wire.h"

namespace xylem::packet {

inline constexpr size_t kEthernetBytes = 14;
inline constexpr size_t kIpv4FrameBytes = 64;  // all headers of a frame
inline constexpr size_t kIpv6FrameBytes = 84;
inline constexpr size_t kMaxFrameHeaderBytes = kIpv6FrameBytes;

/// Where a replica's frames go. Both endpoints are of one family.
struct Path {
    MacAddress src_mac, dst_mac;
    Endpoint src, dst;  // with the UDP ports
    uint8_t tos = 0;    // DSCP << 2
    uint8_t ttl = 64;
};

/// Our UDP source port for a stream, so that RSS spreads streams between the same two hosts.
constexpr uint16_t source_port(uint64_t stream_hash) { return static_cast<uint16_t>(49152 + stream_hash % 16384); }

/// One's complement sum of `len` bytes as if they began at an even offset of the datagram; for FrameFields.
uint16_t payload_sum(const uint8_t* payload, size_t len);

/// What is the same for all replicas of a frame.
struct FrameFields {
    FrameType type = FrameType::kData;
    uint8_t flags = 0;
    uint64_t cell = 0;
    uint16_t offset = 0;
    uint32_t packet_number = 0;
    uint16_t payload_len = 0;
    uint16_t payload_sum = 0;  // payload_sum(payload, payload_len)
};

/// FrameFields as bytes that are or-ed into a template, and their sums. Made once per frame.
struct alignas(64) FramePart {
    explicit FramePart(const FrameFields& fields);
    uint8_t bytes[kIpv4FrameBytes];  // as in an IPv4 frame: lengths, and the Xylem header without its label
    uint32_t udp_sum;                // of the Xylem header's part, twice the UDP length, and the payload
    uint16_t ip_total_len_be;        // IPv4
    uint16_t udp_len_be;
};

/// The headers of one replica's frames without what differs per frame. 64 bytes for both families (the constant part of
/// IPv6 is kept compactly).
class alignas(64) FrameTemplate {
  public:
    FrameTemplate() = default;
    FrameTemplate(const Path& path, uint64_t label);

    bool is_v4() const { return bytes_[12] == 0x08; }
    /// Bytes that `write` writes: 64 or 84.
    size_t header_bytes() const { return is_v4() ? kIpv4FrameBytes : kIpv6FrameBytes; }

    /// Writes all headers of a frame to `out` (unaligned is fine; one store per vector when it is 64-byte aligned) and
    /// returns header_bytes(). The UDP checksum is complete and never 0.
    size_t write(const FramePart& part, uint8_t* out) const {
        if (is_v4()) [[likely]] {
            write_v4(part, out);
            return kIpv4FrameBytes;
        }
        write_v6(part, out);
        return kIpv6FrameBytes;
    }
    size_t write(const FrameFields& fields, uint8_t* out) const { return write(FramePart(fields), out); }

  private:
    void write_v4(const FramePart& part, uint8_t* out) const;
    void write_v6(const FramePart& part, uint8_t* out) const;

    uint8_t bytes_[64] = {};
};
static_assert(sizeof(FrameTemplate) == 64);

}  // namespace xylem::packet
