// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/network.h"

#include <utility>

namespace xylem::daemon {

NetworkPaths::NetworkPaths(engine::Engine& engine, netlink::Resolver& resolver, std::function<uint64_t()> now_ms)
    : resolver_(resolver), now_ms_(std::move(now_ms)), ports_(engine.ports()) {}

const dpdk::PortSpec* NetworkPaths::memif_toward(const IpAddress& ip) const {
    for (const engine::PortFacts& port : ports_)
        if (port.spec.kind == dpdk::PortKind::kMemif && port.spec.peer == ip) return &port.spec;
    return nullptr;
}

const dpdk::PortSpec* NetworkPaths::memif_signalled_by(const Endpoint& endpoint) const {
    for (const engine::PortFacts& port : ports_)
        if (port.spec.kind == dpdk::PortKind::kMemif && port.spec.signal_peer == endpoint) return &port.spec;
    return nullptr;
}

bool NetworkPaths::is_ours(const IpAddress& ip) const {
    for (const engine::PortFacts& port : ports_)
        if (port.spec.kind == dpdk::PortKind::kMemif && port.spec.ip == ip) return true;
    return resolver_.is_ours(ip);
}

IpAddress NetworkPaths::source_for(const IpAddress& dest) const {
    if (const auto* memif = memif_toward(dest)) return memif->ip;
    const auto route = resolver_.lookup(dest);
    return route ? route->source : IpAddress{};
}

unsigned NetworkPaths::mtu_to(const IpAddress& dest) const {
    if (memif_toward(dest) != nullptr) return memif_path({dest, 0}).mtu;
    const auto route = resolver_.lookup(dest);
    if (!route) return 0;
    if (route->mtu_bytes != 0) return route->mtu_bytes;
    const netlink::Link* link = resolver_.link(route->ifindex);
    return link != nullptr ? link->mtu_bytes : 0;
}

engine::Path NetworkPaths::memif_path(const Endpoint& dest, std::optional<uint32_t> over) const {
    engine::Path path;
    path.dest = dest;
    for (size_t i = 0; i < ports_.size(); ++i) {
        const dpdk::PortSpec& spec = ports_[i].spec;
        if (spec.kind != dpdk::PortKind::kMemif || (over ? *over != i : spec.peer != dest.ip)) continue;
        path.port = static_cast<uint32_t>(i);
        path.source = {spec.ip, 0};
        path.source_mac = dpdk::memif_mac(spec.ip);
        path.dest_mac = dpdk::memif_mac(spec.peer);
        path.mtu = ports_[i].mtu;
        path.is_up = true;
    }
    return path;
}

engine::Path NetworkPaths::path_of(const Endpoint& dest, const netlink::NextHop& hop) const {
    engine::Path path;
    path.dest = dest;
    path.source = {hop.source, 0};
    path.source_mac = hop.source_mac;
    path.dest_mac = hop.dest_mac;
    path.mtu = hop.mtu_bytes;
    for (size_t i = 0; i < ports_.size(); ++i) {
        if (ports_[i].ifindex == 0 || ports_[i].ifindex != hop.ifindex) continue;
        path.port = static_cast<uint32_t>(i);
        path.is_up = hop.is_resolved && !hop.is_local;
    }
    return path;
}

session::WatchId NetworkPaths::watch(const Endpoint& dest, std::function<void(const engine::Path&)> changed) {
    return start_watch(dest, 0, std::move(changed));
}

session::WatchId NetworkPaths::start_watch(const Endpoint& dest, int ifindex,
                                           std::function<void(const engine::Path&)> changed) {
    const session::WatchId id = ++last_id_;
    Watch watch{dest, std::move(changed), 0, {}};
    if (memif_toward(dest.ip) == nullptr) {
        const auto on_change = [this, id](const netlink::NextHop& hop) {
            const auto it = watches_.find(id);
            if (it == watches_.end()) return;
            const auto tell = it->second.changed;  // it may unwatch itself
            tell(path_of(it->second.dest, hop));
        };
        watch.kernel = resolver_.watch(dest.ip, on_change, now_ms_(), ifindex);
    }
    watches_.emplace(id, std::move(watch));
    untold_.push_back(id);
    return id;
}

void NetworkPaths::tell_new() {
    for (const session::WatchId id : std::exchange(untold_, {})) {
        const auto it = watches_.find(id);
        if (it == watches_.end()) continue;
        const auto tell = it->second.changed;
        tell(path_now(id));
    }
}

void NetworkPaths::unwatch(session::WatchId id) {
    const auto it = watches_.find(id);
    if (it == watches_.end()) return;
    if (it->second.kernel != 0) resolver_.unwatch(it->second.kernel);
    watches_.erase(it);
}

engine::Path NetworkPaths::path_now(session::WatchId id) const {
    const Watch& watch = watches_.at(id);
    return watch.kernel == 0 ? memif_path(watch.dest, watch.port)
                             : path_of(watch.dest, resolver_.next_hop(watch.kernel));
}

// ---- datagrams ----

static IpAddress loopback_address(const IpAddress& of_family) {
    if (of_family.is_v4()) return {.bytes = {127, 0, 0, 1}, .family = IpAddress::kV4};
    return {.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, .family = IpAddress::kV6};
}

std::optional<uint32_t> NetworkPaths::port_of(int ifindex) const {
    const netlink::Link* link = resolver_.link(ifindex);
    if (link != nullptr && link->is_loopback) return engine::kLocalPort;
    for (size_t i = 0; i < ports_.size(); ++i)
        if (ports_[i].ifindex != 0 && ports_[i].ifindex == ifindex) return static_cast<uint32_t>(i);
    return std::nullopt;
}

/// The port that holds our address, or that the kernel would send over.
std::optional<uint32_t> NetworkPaths::port_toward(const IpAddress& dest, const IpAddress& bound) const {
    if (bound.is_loopback()) return engine::kLocalPort;
    for (const netlink::LocalAddress& address : resolver_.addresses())
        if (address.ip == bound)
            if (const auto port = port_of(address.ifindex)) return port;
    const auto route = resolver_.lookup(dest);
    return route ? port_of(route->ifindex) : std::nullopt;
}

/// For groups that no route leads to.
uint32_t NetworkPaths::default_port(const IpAddress& dest) const {
    for (size_t i = 0; i < ports_.size(); ++i) {
        const bool is_memif = ports_[i].spec.kind == dpdk::PortKind::kMemif && ports_[i].spec.ip.family == dest.family;
        if (ports_[i].ifindex != 0 || is_memif) return static_cast<uint32_t>(i);
    }
    return engine::kLocalPort;
}

IpAddress NetworkPaths::source_on(uint32_t port, const IpAddress& dest, const IpAddress& bound) const {
    if (bound.is_set()) return bound;
    if (port == engine::kLocalPort) return loopback_address(dest);
    if (ports_[port].ifindex == 0) return ports_[port].spec.ip;
    const auto route = resolver_.lookup(dest, ports_[port].ifindex);
    return route ? route->source : IpAddress{};
}

int NetworkPaths::ifindex_of(uint32_t port) const {
    if (port != engine::kLocalPort) return ports_[port].ifindex;
    for (const auto& [ifindex, link] : resolver_.links())
        if (link.is_loopback) return ifindex;
    return 0;
}

/// A host is reached only over a port of ours that its route leads over. `local` has no way to one: the kernel's
/// sockets of this host are not on its wires.
static Result<uint32_t> host_port(const std::optional<uint32_t>& port) {
    if (!port) return Error{ENETUNREACH, "there is no route to the destination over a port of ours"};
    if (*port == engine::kLocalPort) return Error{EHOSTUNREACH, "the destination is this host"};
    return *port;
}

Result<session::GroupPort> NetworkPaths::group_port(const IpAddress& dest, int ifindex, const IpAddress& bound) {
    uint32_t port = 0;
    if (dest.is_multicast()) {
        const auto chosen = ifindex != 0 ? port_of(ifindex) : port_toward(dest, bound);
        if (ifindex != 0 && !chosen) return Error{EADDRNOTAVAIL, "the interface is no port of this daemon"};
        port = chosen.value_or(default_port(dest));
    } else if (is_ours(dest)) {
        return Error{EHOSTUNREACH, "the destination is this host"};
    } else if (const auto* memif = memif_toward(dest); memif != nullptr) {
        port = memif_path({dest, 0}).port;
    } else {
        const auto route = resolver_.lookup(dest, ifindex);
        if (route && route->kind == netlink::RouteKind::kBroadcast)
            return Error{EACCES, "the destination is a broadcast address"};
        const auto over = host_port(route ? port_of(route->ifindex) : std::nullopt);
        if (!over) return over.error();
        port = *over;
    }
    const IpAddress source = source_on(port, dest, bound);
    if (!source.is_set() || source.is_wildcard())
        return Error{EADDRNOTAVAIL, "the interface has no address of this family"};
    return session::GroupPort{.port = port,
                              .ifindex = ifindex_of(port),
                              .source = source,
                              .mtu = port == engine::kLocalPort ? 0 : ports_[port].mtu};
}

session::WatchId NetworkPaths::watch_on(const Endpoint& dest, const session::GroupPort& at,
                                        std::function<void(const engine::Path&)> changed) {
    if (at.ifindex != 0) return start_watch(dest, at.ifindex, std::move(changed));
    watches_.emplace(++last_id_, Watch{dest, std::move(changed), 0, at.port});
    return last_id_;
}

Result<session::Membership> NetworkPaths::join_group(const IpAddress& group, const session::GroupPort& at,
                                                     const std::vector<IpAddress>& sources) {
    if (at.port == engine::kLocalPort || at.ifindex == 0) return session::Membership{};
    return memberships_.join(group, at.ifindex, sources);
}

}  // namespace xylem::daemon
