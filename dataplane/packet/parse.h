// SPDX-License-Identifier: Apache-2.0
// From an Ethernet frame to a Xylem frame, or to a UDP datagram for another port. Whatever arrives, nothing beyond
// `len` is read, and a frame that is not taken has a named reason. UDP checksums are not verified (frames that a kernel
// sent over veth carry unfinished ones); bytes after the UDP length are Ethernet padding.
#pragma once
#include <cstddef>
#include <cstdint>

#include <span>

#include "dataplane/base/address.h"
#include "dataplane/base/drops.h"
#include "dataplane/packet/wire.h"

namespace xylem::packet {

/// A Xylem frame. `payload` points into the parsed frame (after the EXT bytes, if any).
struct ParsedFrame {
    Header header;
    const uint8_t* payload = nullptr;
    uint32_t payload_len = 0;
    Endpoint src;
};

/// A UDP datagram to another port than ours. Its IP header was checked (not its sum), its UDP length was not: most are
/// nobody's here.
struct ParsedDatagram {
    Endpoint src, dst;
    const uint8_t* ip = nullptr;   // the IP header
    std::span<const uint8_t> udp;  // the UDP header and what follows it in the packet
};

enum class Parsed : uint8_t { kFrame, kDatagram, kDrop };

/// Parses a frame (one VLAN tag tolerated). kFrame: to our UDP data port (host order), with `frame`. kDatagram: UDP to
/// another port, with `other`. kDrop with `why`: not_ours, truncated, fragment, ip_options, bad_length, bad_version or
/// wrong_type. A HEARTBEAT with a payload is bad_length; the payloads of other types are not looked at.
Parsed parse(const uint8_t* bytes, size_t len, uint16_t data_port, ParsedFrame* frame, ParsedDatagram* other,
             Drop* why);

/// The same for who wants Xylem frames only: a datagram to another port is not_ours.
bool parse_frame(const uint8_t* frame, size_t len, uint16_t data_port, ParsedFrame* out, Drop* why);

/// The payload of a datagram that is somebody's. False with `why`: bad_length, bad_checksum (of the IPv4 header).
bool take_payload(const ParsedDatagram& datagram, std::span<const uint8_t>* payload, Drop* why);

}  // namespace xylem::packet
