// SPDX-License-Identifier: Apache-2.0
// One watched destination: folds route, link and neighbour into a next hop, and says when the neighbour must be asked
// about. Pure: (what the kernel said, now) → (next hop, probe or not, next deadline). Invariant: as long as the route
// leads over a running link, an unresolved neighbour always has a probe under way or a deadline.
#pragma once
#include <cstdint>
#include <optional>

#include "control/netlink/next_hop.h"
#include "dataplane/base/result.h"

namespace xylem::netlink {

struct Timing {
    uint64_t first_retry_ms = 1000;  ///< after a neighbour failed; doubles …
    uint64_t max_retry_ms = 10000;   ///< … up to this
    uint64_t confirm_ms = 5000;      ///< between two probes of a neighbour that stays stale
    uint64_t refresh_ms = 10000;     ///< between two looks at what the kernel does not announce (path MTU)
    uint64_t settle_ms = 20;         ///< least time between two look-ups of all routes while routes are changing
};

class Destination {
  public:
    Destination(const IpAddress& dest, int via_ifindex, const Timing& timing)
        : dest_(dest), via_ifindex_(via_ifindex), timing_(timing) {}

    const IpAddress& dest() const { return dest_; }
    int via_ifindex() const { return via_ifindex_; }

    /// What the kernel's look-up said: a route, or an errno (`route` null).
    void set_route(const Route* route, int error);
    /// The link of the route; null when it is gone.
    void set_link(const Link* link);
    /// The entry of neighbour_key(); absent when there is none.
    void set_neighbour(NeighbourState state, const MacAddress& mac);

    /// Where the route leads, if there is one.
    const std::optional<Route>& route() const { return route_; }
    /// Whether the next hop depends on a neighbour entry (of route()->hop on route()->ifindex).
    bool needs_neighbour() const;

    /// Whether asking a usable neighbour again can tell something new.
    bool is_doubtful() const;

    NextHop next_hop() const;

    /// Whether the neighbour is to be probed now; if so the probe counts as made. Call it again at deadline_ms().
    bool take_probe(uint64_t now_ms);
    /// When take_probe() may say yes without news from the kernel.
    std::optional<uint64_t> deadline_ms() const;

  private:
    bool is_unresolved() const;
    bool is_stale() const { return needs_neighbour() && neighbour_ == NeighbourState::kStale; }

    IpAddress dest_;
    int via_ifindex_;
    Timing timing_;
    std::optional<Route> route_;
    int route_error_ = 0;
    std::optional<Link> link_;
    NeighbourState neighbour_ = NeighbourState::kAbsent;
    MacAddress neighbour_mac_;
    uint64_t next_probe_ms_ = 0;
    uint64_t retry_ms_ = 0;  // 0: not failing
};

}  // namespace xylem::netlink
