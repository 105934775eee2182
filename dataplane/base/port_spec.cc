// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/port_spec.h"

#include <cerrno>
#include <charconv>

#include "dataplane/base/address_text.h"

namespace xylem::dpdk {
namespace {

constexpr size_t kMaxInterfaceName = 15;  // IFNAMSIZ - 1
constexpr size_t kMaxSocketPath = 107;    // sun_path less its end

Error bad(std::string_view text, const std::string& why) { return Error{EINVAL, std::string(text) + ": " + why}; }

bool read_ip(std::string_view text, IpAddress& out) {
    const auto ip = parse_ip(text);
    if (ip) out = *ip;
    return ip.has_value();
}

bool parse_number(std::string_view text, unsigned max, unsigned& out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size() && out <= max;
}

bool parse_endpoint(std::string_view text, Endpoint& out) {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return false;
    std::string_view host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    unsigned port;
    if (!read_ip(host, out.ip) || out.ip.is_v6() != bracketed) return false;
    if (!parse_number(text.substr(colon + 1), 65535, port) || port == 0) return false;
    out.port = static_cast<uint16_t>(port);
    return true;
}

bool parse_prefix(std::string_view text, IpAddress& ip, uint8_t& prefix_len) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos || !read_ip(text.substr(0, slash), ip)) return false;
    unsigned length;
    if (!parse_number(text.substr(slash + 1), ip.is_v4() ? 32 : 128, length)) return false;
    prefix_len = static_cast<uint8_t>(length);
    return true;
}

/// The kernel's own rule for an interface name, plus the comma, which would end a device argument.
bool is_interface_name(std::string_view name) {
    if (name.empty() || name.size() > kMaxInterfaceName || name == "." || name == "..") return false;
    for (const char c : name)
        if (c <= ' ' || c == '/' || c == ':' || c == ',' || c == 0x7F) return false;
    return true;
}

Result<void> set_memif_key(std::string_view text, std::string_view key, std::string_view value, PortSpec& spec) {
    if (key == "role") {
        if (value != "server" && value != "client") return bad(text, "role is server or client");
        spec.memif_role = value == "server" ? MemifRole::kServer : MemifRole::kClient;
    } else if (key == "ip") {
        if (!parse_prefix(value, spec.ip, spec.prefix_len)) return bad(text, "ip is ADDR/LEN, such as 10.9.0.1/24");
    } else if (key == "peer") {
        if (!read_ip(value, spec.peer)) return bad(text, "peer is an address, such as 10.9.0.2");
    } else if (key == "signal_peer") {
        if (!parse_endpoint(value, spec.signal_peer))
            return bad(text, "signal_peer is ADDR:PORT, such as 127.0.0.1:7470 or [::1]:7470");
    } else {
        return bad(text, "unknown key '" + std::string(key) + "'; memif knows role, ip, peer and signal_peer");
    }
    return {};
}

Result<PortSpec> parse_memif(std::string_view text, std::string_view operands, PortSpec spec) {
    size_t comma = operands.find(',');
    spec.memif_path = operands.substr(0, comma);
    if (spec.memif_path.empty() || spec.memif_path.size() > kMaxSocketPath)
        return bad(text, "a memif port needs a socket path of at most 107 bytes");
    bool has_role = false;
    while (comma != std::string_view::npos) {
        operands.remove_prefix(comma + 1);
        comma = operands.find(',');
        const std::string_view pair = operands.substr(0, comma);
        const size_t equals = pair.find('=');
        if (equals == std::string_view::npos) return bad(text, "'" + std::string(pair) + "' is not KEY=VALUE");
        if (auto set = set_memif_key(text, pair.substr(0, equals), pair.substr(equals + 1), spec); !set)
            return set.error();
        has_role = has_role || pair.substr(0, equals) == "role";
    }
    if (!has_role) return bad(text, "role=server or role=client is missing");
    if (!spec.ip.is_set()) return bad(text, "ip=ADDR/LEN is missing");
    if (!spec.peer.is_set()) return bad(text, "peer=ADDR is missing");
    if (spec.peer.family != spec.ip.family) return bad(text, "ip and peer are of different families");
    if (spec.signal_peer.port == 0) return bad(text, "signal_peer=ADDR:PORT is missing");
    return spec;
}

}  // namespace

const char* port_kind_name(PortKind kind) {
    switch (kind) {
        case PortKind::kLocal:
            return "local";
        case PortKind::kNull:
            return "null";
        case PortKind::kAfPacket:
            return "af_packet";
        case PortKind::kAfXdp:
            return "af_xdp";
        case PortKind::kMemif:
            return "memif";
    }
    return "?";
}

Result<PortSpec> parse_port_spec(std::string_view text) {
    PortSpec spec;
    spec.text = text;
    const size_t colon = text.find(':');
    const std::string_view kind = text.substr(0, colon);
    const bool has_operands = colon != std::string_view::npos;
    const std::string_view operands = has_operands ? text.substr(colon + 1) : std::string_view{};
    if (kind == "local" || kind == "null") {
        if (has_operands) return bad(text, "a " + std::string(kind) + " port takes no operands");
        spec.kind = kind == "local" ? PortKind::kLocal : PortKind::kNull;
        return spec;
    }
    if (kind == "af_packet" || kind == "af_xdp") {
        if (!is_interface_name(operands))
            return bad(text, "an interface name of 1 to 15 characters follows the colon, such as " + std::string(kind) +
                                 ":eth0");
        spec.kind = kind == "af_xdp" ? PortKind::kAfXdp : PortKind::kAfPacket;
        spec.interface = operands;
        return spec;
    }
    if (kind == "memif") {
        spec.kind = PortKind::kMemif;
        return parse_memif(text, operands, std::move(spec));
    }
    return bad(text, "unknown port kind; it is one of local, null, af_packet:IF, af_xdp:IF, memif:PATH,...");
}

MacAddress memif_mac(const IpAddress& ip) {
    const uint8_t* tail = ip.bytes.data() + (ip.is_v4() ? 0 : 12);
    return MacAddress{{0x02, 0x78, tail[0], tail[1], tail[2], tail[3]}};
}

}  // namespace xylem::dpdk
