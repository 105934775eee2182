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

engine::Path NetworkPaths::memif_path(const Endpoint& dest) const {
    engine::Path path;
    path.dest = dest;
    for (size_t i = 0; i < ports_.size(); ++i) {
        const dpdk::PortSpec& spec = ports_[i].spec;
        if (spec.kind != dpdk::PortKind::kMemif || spec.peer != dest.ip) continue;
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
    const session::WatchId id = ++last_id_;
    Watch watch{dest, std::move(changed), 0};
    if (memif_toward(dest.ip) == nullptr) {
        const auto on_change = [this, id](const netlink::NextHop& hop) {
            const auto it = watches_.find(id);
            if (it == watches_.end()) return;
            const auto tell = it->second.changed;  // it may unwatch itself
            tell(path_of(it->second.dest, hop));
        };
        watch.kernel = resolver_.watch(dest.ip, on_change, now_ms_());
    }
    watches_.emplace(id, std::move(watch));
    untold_.push_back(id);
    return id;
}

void NetworkPaths::tell_new() {
    for (const session::WatchId id : std::exchange(untold_, {})) {
        const auto it = watches_.find(id);
        if (it == watches_.end()) continue;
        const Watch& watch = it->second;
        const auto tell = watch.changed;
        tell(watch.kernel == 0 ? memif_path(watch.dest) : path_of(watch.dest, resolver_.next_hop(watch.kernel)));
    }
}

void NetworkPaths::unwatch(session::WatchId id) {
    const auto it = watches_.find(id);
    if (it == watches_.end()) return;
    if (it->second.kernel != 0) resolver_.unwatch(it->second.kernel);
    watches_.erase(it);
}

}  // namespace xylem::daemon
