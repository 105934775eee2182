// SPDX-License-Identifier: Apache-2.0
// rtnetlink messages from and to values. Pure: every length is checked, nothing is sent.
#pragma once
#include <linux/netlink.h>
#include <netlink/msg.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "control/netlink/next_hop.h"

namespace xylem::netlink {

/// An address of this host on a link.
struct LocalAddress {
    int ifindex = 0;
    IpAddress ip;
    auto operator<=>(const LocalAddress&) const = default;
};

/// Each gives nothing for a message of another kind, another address family, or one that is cut short.
std::optional<Link> parse_link(const nlmsghdr& message);
std::optional<LocalAddress> parse_address(const nlmsghdr& message);
std::optional<Neighbour> parse_neighbour(const nlmsghdr& message);
/// The answer to route_request(dest).
std::optional<Route> parse_route(const nlmsghdr& message, const IpAddress& dest);

struct FreeMessage {
    void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

/// Null when memory is out. `via_ifindex` 0: any link (needed for link-local destinations).
Message route_request(const IpAddress& dest, int via_ifindex);
/// A dump of all links (RTM_GETLINK) or addresses (RTM_GETADDR).
Message dump_request(uint16_t type);
Message neighbour_request(int ifindex, const IpAddress& ip);
/// Makes the kernel resolve the entry, or confirm it when it is stale. Needs CAP_NET_ADMIN.
Message neighbour_use(int ifindex, const IpAddress& ip);
/// Makes the kernel ask a known neighbour again at once. Needs CAP_NET_ADMIN.
Message neighbour_recheck(int ifindex, const IpAddress& ip);

}  // namespace xylem::netlink
