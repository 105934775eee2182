// SPDX-License-Identifier: Apache-2.0
// The kernel as our L2/L3 control plane (docs/architecture.md, "The way of a frame"): routes, neighbours, links and
// addresses of the network namespace in which the resolver was opened, read by netlink. It keeps watched destinations
// resolved and tells when a next hop changes. Invariant: after each on_readable() / on_timer() the next hops are what
// the kernel said last, and every change has been told. Thread: one (control). It has no thread and no loop: watch fd()
// for reading (it stays the resolver's: give a loop that closes descriptors a dup), and call on_timer() at
// next_timer_ms(). Times are milliseconds of one monotonic clock.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "control/netlink/destination.h"
#include "control/netlink/kernel_socket.h"
#include "control/netlink/neighbour_probe.h"
#include "control/netlink/next_hop.h"
#include "dataplane/base/result.h"

namespace xylem::netlink {

using WatchId = uint64_t;
using OnNextHop = std::function<void(const NextHop&)>;
/// A link is new, has changed, or is gone (`is_gone`: its last known state).
using OnLink = std::function<void(const Link&, bool is_gone)>;

class Resolver {
  public:
    static Result<std::unique_ptr<Resolver>> open(const Timing& timing = {});

    int fd() const { return events_.fd(); }
    void on_readable(uint64_t now_ms);
    void on_timer(uint64_t now_ms);
    std::optional<uint64_t> next_timer_ms() const;

    /// Where packets to `dest` go now. Error: ENETUNREACH, EHOSTUNREACH, EACCES, …, with a sentence naming `dest`.
    /// `via_ifindex` narrows it to one link (link-local destinations need that); 0: any.
    Result<Route> lookup(const IpAddress& dest, int via_ifindex = 0);

    /// Keeps `dest` resolved, and calls `on_change` at each change of its next hop, never from within watch(): take the
    /// present one from next_hop(). Callbacks may watch and unwatch. Watching one destination many times costs little.
    WatchId watch(const IpAddress& dest, OnNextHop on_change, uint64_t now_ms, int via_ifindex = 0);
    void unwatch(WatchId id);
    /// The present next hop of a watch.
    NextHop next_hop(WatchId id) const;
    /// Nothing comes back from there: has the kernel ask the neighbour again, which finds a MAC that changed silently.
    void suspect(WatchId id);

    /// Null when there is none. Valid until the next call of on_readable() or on_timer().
    const Link* link(int ifindex) const;
    const Link* link(std::string_view name) const;
    const std::map<int, Link>& links() const { return links_; }
    const std::set<LocalAddress>& addresses() const { return addresses_; }
    /// Whether `ip` is an address of this host: on any of its links, in 127.0.0.0/8, or ::1.
    bool is_ours(const IpAddress& ip) const;

    void set_on_link(OnLink on_link) { on_link_ = std::move(on_link); }
    /// Called after addresses() has changed.
    void set_on_addresses(std::function<void()> on_addresses) { on_addresses_ = std::move(on_addresses); }

  private:
    struct Key {
        IpAddress dest;
        int via_ifindex;
        auto operator<=>(const Key&) const = default;
    };
    struct Watched {
        Destination destination;
        NextHop told;
        std::vector<WatchId> watches;
    };
    struct Watch {
        Key key;
        OnNextHop on_change;
    };
    struct LinkChange {
        Link link;
        bool is_gone;
    };

    Resolver(QuerySocket query, EventSocket events, NeighbourProbe probe, const Timing& timing)
        : query_(std::move(query)), events_(std::move(events)), probe_(std::move(probe)), timing_(timing) {}

    Result<void> load();
    void take(const nlmsghdr& message);
    void take_link(Link link, bool is_gone);
    void take_neighbour(const Neighbour& neighbour);
    void look_up(Destination& destination);
    void ask_neighbour(Destination& destination);
    void look_up_all(uint64_t now_ms);
    void run(uint64_t now_ms);
    void probe(uint64_t now_ms);
    void tell();
    void tell_next_hops();

    QuerySocket query_;
    EventSocket events_;
    NeighbourProbe probe_;
    Timing timing_;
    std::map<int, Link> links_;
    std::set<LocalAddress> addresses_;
    std::map<Key, Watched> watched_;
    std::map<WatchId, Watch> watches_;
    WatchId next_id_ = 1;
    bool are_routes_stale_ = false;
    uint64_t last_look_up_ms_ = 0;
    std::vector<LinkChange> link_changes_;
    bool have_addresses_changed_ = false;
    OnLink on_link_;
    std::function<void()> on_addresses_;
};

}  // namespace xylem::netlink
