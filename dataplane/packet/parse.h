// SPDX-License-Identifier: Apache-2.0
// From an Ethernet frame to a Xylem frame. Whatever arrives, nothing beyond `len` is read, and a frame that is not
// taken has a named reason. UDP checksums are not verified (frames that a kernel sent over veth carry unfinished ones);
// bytes after the UDP length are Ethernet padding.
#pragma once
#include <cstddef>
#include <cstdint>

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

/// Parses a frame (one VLAN tag tolerated) to our UDP data port (host order). False with `why`: not_ours, truncated,
/// fragment, ip_options, bad_length, bad_version or wrong_type. A HEARTBEAT with a payload is bad_length; the payloads
/// of other types are not looked at.
bool parse_frame(const uint8_t* frame, size_t len, uint16_t data_port, ParsedFrame* out, Drop* why);

}  // namespace xylem::packet
