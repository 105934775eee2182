// SPDX-License-Identifier: Apache-2.0
// What the operator may write after `--port`: a port kind and its operands, as a value. Parsing is pure: whether the
// interface exists, or may be used, is found out when the port is opened.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace xylem::dpdk {

enum class PortKind : uint8_t { kLocal, kNull, kAfPacket, kAfXdp, kMemif };
enum class MemifRole : uint8_t { kServer, kClient };

/// "local", "null", "af_packet", "af_xdp" or "memif".
const char* port_kind_name(PortKind kind);

/// One port as configured. Fields that the kind does not use stay empty.
struct PortSpec {
    PortKind kind = PortKind::kLocal;
    std::string interface;   // af_packet, af_xdp: the kernel's interface name
    std::string text;        // as given, for messages
    std::string memif_path;  // memif: the socket's path
    MemifRole memif_role = MemifRole::kServer;
    IpAddress ip;  // memif: our address
    uint8_t prefix_len = 0;
    IpAddress peer;        // memif: the peer's address on this wire, of the family of `ip`
    Endpoint signal_peer;  // memif: where the peer's daemon signals
};

/// Parses `local`, `null`, `af_packet:IF`, `af_xdp:IF` or
/// `memif:PATH,role=server|client,ip=ADDR/LEN,peer=ADDR,signal_peer=ADDR:PORT` (an IPv6 signal_peer is written
/// [ADDR]:PORT). EINVAL with one sentence that names what is wrong with it.
Result<PortSpec> parse_port_spec(std::string_view text);

/// The Ethernet address of a memif port that holds `ip`: locally administered, the same at both ends, so neither has to
/// ask.
MacAddress memif_mac(const IpAddress& ip);

}  // namespace xylem::dpdk
