// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/destination.h"

#include <algorithm>
#include <cerrno>

namespace xylem::netlink {

MacAddress multicast_mac(const IpAddress& group) {
    const auto& b = group.bytes;
    if (group.is_v4()) return {{0x01, 0x00, 0x5E, static_cast<uint8_t>(b[1] & 0x7F), b[2], b[3]}};
    return {{0x33, 0x33, b[12], b[13], b[14], b[15]}};
}

void Destination::set_route(const Route* route, int error) {
    const bool is_same_hop =
        route != nullptr && route_ && route->hop == route_->hop && route->ifindex == route_->ifindex;
    if (!is_same_hop) {
        neighbour_ = NeighbourState::kAbsent;
        neighbour_mac_ = {};
        next_probe_ms_ = 0;
        retry_ms_ = 0;
    }
    route_ = route != nullptr ? std::optional<Route>(*route) : std::nullopt;
    route_error_ = route != nullptr ? 0 : error;
}

void Destination::set_link(const Link* link) {
    const bool was_running = link_ && link_->is_running;
    link_ = link != nullptr ? std::optional<Link>(*link) : std::nullopt;
    if (link_ && link_->is_running && !was_running) {
        next_probe_ms_ = 0;  // what failed on a dead link deserves a fresh try
        retry_ms_ = 0;
    }
}

void Destination::set_neighbour(NeighbourState state, const MacAddress& mac) {
    if (is_usable(state) != is_usable(neighbour_)) {  // lost or won: what was waited for before means nothing now
        next_probe_ms_ = 0;
        retry_ms_ = 0;
    }
    neighbour_ = state;
    neighbour_mac_ = is_usable(state) ? mac : MacAddress{};
}

bool Destination::needs_neighbour() const {
    return route_ && route_->kind == RouteKind::kUnicast && link_ && link_->is_running && link_->has_neighbours;
}

bool Destination::is_unresolved() const {
    return needs_neighbour() && (neighbour_ == NeighbourState::kAbsent || neighbour_ == NeighbourState::kFailed);
}

bool Destination::is_doubtful() const {
    return needs_neighbour() && is_usable(neighbour_) && neighbour_ != NeighbourState::kFixed;
}

NextHop Destination::next_hop() const {
    NextHop out;
    if (!route_) {
        out.error = route_error_;
        return out;
    }
    out.ifindex = route_->ifindex;
    out.source = route_->source;
    out.gateway_or_dest = route_->hop;
    out.is_local = route_->kind == RouteKind::kLocal;
    if (!link_ || (!link_->is_running && !out.is_local)) {
        out.error = ENETDOWN;
        return out;
    }
    out.source_mac = link_->mac;
    out.mtu_bytes = route_->mtu_bytes != 0 ? std::min(route_->mtu_bytes, link_->mtu_bytes) : link_->mtu_bytes;
    switch (route_->kind) {
        case RouteKind::kLocal:
            out.is_resolved = true;
            break;
        case RouteKind::kBroadcast:
            out.error = EACCES;
            break;
        case RouteKind::kMulticast:
            out.dest_mac = multicast_mac(dest_);
            out.is_resolved = true;
            break;
        case RouteKind::kUnicast:
            if (!route_->source.is_set()) {
                out.error = EADDRNOTAVAIL;
                break;
            }
            out.dest_mac = link_->has_neighbours ? neighbour_mac_ : link_->mac;
            out.is_resolved = !link_->has_neighbours || is_usable(neighbour_);
            break;
    }
    return out;
}

bool Destination::take_probe(uint64_t now_ms) {
    if ((!is_unresolved() && !is_stale()) || now_ms < next_probe_ms_) return false;
    if (is_stale()) {
        next_probe_ms_ = now_ms + timing_.confirm_ms;
        return true;
    }
    retry_ms_ = retry_ms_ == 0 ? timing_.first_retry_ms : std::min(2 * retry_ms_, timing_.max_retry_ms);
    next_probe_ms_ = now_ms + retry_ms_;
    return true;
}

std::optional<uint64_t> Destination::deadline_ms() const {
    if (!is_unresolved() && !is_stale()) return std::nullopt;
    return next_probe_ms_;
}

}  // namespace xylem::netlink
