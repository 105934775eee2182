// SPDX-License-Identifier: Apache-2.0
// The ways that data frames take, for sessions: the kernel's routes and neighbours on ports that have a kernel
// interface, the configuration on memif ports. A way exists only over a port of the engine; a change of the kernel's
// mind reaches every watcher.
#pragma once
#include <map>

#include "control/netlink/membership.h"
#include "control/netlink/resolver.h"
#include "control/session/network.h"

namespace xylem::daemon {

class NetworkPaths : public session::Network {
  public:
    /// Both outlive it. `now_ms` is the resolver's clock.
    NetworkPaths(engine::Engine& engine, netlink::Resolver& resolver, std::function<uint64_t()> now_ms);

    bool is_ours(const IpAddress& ip) const override;
    IpAddress source_for(const IpAddress& dest) const override;
    unsigned mtu_to(const IpAddress& dest) const override;
    session::WatchId watch(const Endpoint& dest, std::function<void(const engine::Path&)> changed) override;
    void unwatch(session::WatchId id) override;
    std::optional<uint32_t> port_of(int ifindex) const override;
    Result<session::GroupPort> group_port(const IpAddress& dest, int ifindex, const IpAddress& bound) override;
    session::WatchId watch_on(const Endpoint& dest, const session::GroupPort& at,
                              std::function<void(const engine::Path&)> changed) override;
    engine::Path path_now(session::WatchId id) const override;
    Result<session::Membership> join_group(const IpAddress& group, const session::GroupPort& at,
                                           const std::vector<IpAddress>& sources) override;

    /// The memif port whose other end is `ip`; null: none.
    const dpdk::PortSpec* memif_toward(const IpAddress& ip) const;
    /// The memif port whose other end's daemon signals at `endpoint`; null: none.
    const dpdk::PortSpec* memif_signalled_by(const Endpoint& endpoint) const;
    /// Tells the new watchers where they are; from the event loop, after watch().
    void tell_new();
    bool has_new() const { return !untold_.empty(); }

  private:
    struct Watch {
        Endpoint dest;
        std::function<void(const engine::Path&)> changed;
        netlink::WatchId kernel = 0;   // 0: a memif port …
        std::optional<uint32_t> port;  // … this one; nothing: whose other end it is
    };
    session::WatchId start_watch(const Endpoint& dest, int ifindex, std::function<void(const engine::Path&)> changed);
    std::optional<uint32_t> port_toward(const IpAddress& dest, const IpAddress& bound) const;
    IpAddress source_on(uint32_t port, const IpAddress& dest, const IpAddress& bound) const;
    int ifindex_of(uint32_t port) const;
    uint32_t default_port(const IpAddress& dest) const;
    engine::Path path_of(const Endpoint& dest, const netlink::NextHop& hop) const;
    engine::Path memif_path(const Endpoint& dest, std::optional<uint32_t> over = {}) const;

    netlink::Resolver& resolver_;
    std::function<uint64_t()> now_ms_;
    std::vector<engine::PortFacts> ports_;  // what does not change: index, kind, interface
    std::map<session::WatchId, Watch> watches_;
    std::vector<session::WatchId> untold_;
    netlink::Memberships memberships_;
    session::WatchId last_id_ = 0;
};

}  // namespace xylem::daemon
