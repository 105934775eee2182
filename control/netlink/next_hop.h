// SPDX-License-Identifier: Apache-2.0
// What the kernel knows about the way to another host, as values: links, routes, neighbours, and the next hop that
// follows from the three. No sockets here; all times and addresses are arguments.
#pragma once
#include <cstdint>
#include <string>

#include "dataplane/base/address.h"

namespace xylem::netlink {

struct Link {
    int ifindex = 0;
    std::string name;
    MacAddress mac;  ///< all zero where the device has none of 6 bytes
    unsigned mtu_bytes = 0;
    uint32_t speed_mbps = 0;      ///< 0: unknown
    bool is_up = false;           ///< switched on (IFF_UP)
    bool is_running = false;      ///< switched on and has a carrier (IFF_RUNNING)
    bool is_loopback = false;     ///< lo
    bool has_neighbours = false;  ///< hosts behind it are found by ARP or neighbour discovery
    bool operator==(const Link&) const = default;
};

enum class RouteKind : uint8_t {
    kUnicast,
    kLocal,      ///< an address of this host
    kMulticast,  ///< the MAC follows from the address
    kBroadcast,  ///< not for us
};

struct Route {
    RouteKind kind = RouteKind::kUnicast;
    int ifindex = 0;
    IpAddress source;        ///< the address to send from
    IpAddress hop;           ///< the gateway, or the destination itself
    unsigned mtu_bytes = 0;  ///< of the path where the kernel knows one; 0: the link's
    bool operator==(const Route&) const = default;
};

enum class NeighbourState : uint8_t {
    kAbsent,
    kIncomplete,  ///< the kernel is asking
    kConfirmed,   ///< reachable
    kFixed,       ///< permanent, or a device without address resolution: never asked about
    kStale,       ///< was reachable a while ago
    kChecking,    ///< the kernel is about to ask again, the MAC may still be used
    kFailed,      ///< nobody answered
};

struct Neighbour {
    int ifindex = 0;
    IpAddress ip;
    MacAddress mac;
    NeighbourState state = NeighbourState::kAbsent;
    bool operator==(const Neighbour&) const = default;
};

/// Whether frames may be sent to a neighbour in this state.
inline bool is_usable(NeighbourState state) {
    return state == NeighbourState::kConfirmed || state == NeighbourState::kFixed || state == NeighbourState::kStale ||
           state == NeighbourState::kChecking;
}

/// How to send to a destination now.
struct NextHop {
    int ifindex = 0;
    IpAddress source;           ///< source address of our packets
    IpAddress gateway_or_dest;  ///< whose MAC dest_mac is
    MacAddress source_mac, dest_mac;
    unsigned mtu_bytes = 0;    ///< of the path, IP header included
    bool is_resolved = false;  ///< everything above is valid: send. dest_mac means nothing for a local one
    bool is_local = false;     ///< the destination is an address of this host
    int error = 0;  ///< why nothing can be sent: ENETUNREACH …, ENETDOWN (link); 0 while a neighbour is being resolved
    bool operator==(const NextHop&) const = default;
};

/// The Ethernet address that a multicast group has (RFC 1112 §6.4, RFC 2464 §7).
MacAddress multicast_mac(const IpAddress& group);

}  // namespace xylem::netlink
