// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/resolver.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/base/address_text.h"

namespace xylem::netlink {

Result<std::unique_ptr<Resolver>> Resolver::open(const Timing& timing) {
    Result<QuerySocket> query = QuerySocket::open();
    if (!query) return query.error();
    Result<EventSocket> events = EventSocket::open();
    if (!events) return events.error();
    Result<NeighbourProbe> probe = NeighbourProbe::open();
    if (!probe) return probe.error();
    std::unique_ptr<Resolver> out(new Resolver(std::move(*query), std::move(*events), std::move(*probe), timing));
    if (Result<void> loaded = out->load(); !loaded) return loaded.error();
    out->link_changes_.clear();
    out->have_addresses_changed_ = false;
    return out;
}

/// Links and addresses as they are; announcements of the meantime are still to come, so nothing is missed.
Result<void> Resolver::load() {
    const std::map<int, Link> old_links = std::exchange(links_, {});
    const std::set<LocalAddress> old_addresses = std::exchange(addresses_, {});
    const auto take_this = [this](const nlmsghdr& message) { take(message); };
    if (Result<void> asked = query_.ask(dump_request(RTM_GETLINK), take_this); !asked) return asked;
    if (Result<void> asked = query_.ask(dump_request(RTM_GETADDR), take_this); !asked) return asked;
    for (const auto& [ifindex, link] : old_links)
        if (!links_.contains(ifindex)) link_changes_.push_back({link, true});
    have_addresses_changed_ = have_addresses_changed_ || old_addresses != addresses_;
    are_routes_stale_ = true;
    return {};
}

void Resolver::on_readable(uint64_t now_ms) {
    const bool is_complete = events_.read([this](const nlmsghdr& message) { take(message); });
    if (!is_complete && !load()) are_routes_stale_ = true;
    run(now_ms);
}

void Resolver::on_timer(uint64_t now_ms) {
    if (now_ms >= last_look_up_ms_ + timing_.refresh_ms) are_routes_stale_ = true;
    run(now_ms);
}

std::optional<uint64_t> Resolver::next_timer_ms() const {
    if (watched_.empty()) return std::nullopt;
    uint64_t next = last_look_up_ms_ + (are_routes_stale_ ? timing_.settle_ms : timing_.refresh_ms);
    for (const auto& [key, watched] : watched_)
        if (const auto deadline = watched.destination.deadline_ms()) next = std::min(next, *deadline);
    return next;
}

void Resolver::run(uint64_t now_ms) {
    if (are_routes_stale_ && now_ms >= last_look_up_ms_ + timing_.settle_ms) look_up_all(now_ms);
    probe(now_ms);
    tell();
}

void Resolver::take(const nlmsghdr& message) {
    switch (message.nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
            if (auto link = parse_link(message)) take_link(std::move(*link), message.nlmsg_type == RTM_DELLINK);
            break;
        case RTM_NEWADDR:
        case RTM_DELADDR:
            if (const auto address = parse_address(message)) {
                const bool has_changed = message.nlmsg_type == RTM_NEWADDR ? addresses_.insert(*address).second
                                                                           : addresses_.erase(*address) > 0;
                have_addresses_changed_ = have_addresses_changed_ || has_changed;
                are_routes_stale_ = true;
            }
            break;
        case RTM_NEWNEIGH:
        case RTM_DELNEIGH:
            if (const auto neighbour = parse_neighbour(message)) take_neighbour(*neighbour);
            break;
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
        case RTM_NEWRULE:
        case RTM_DELRULE:
            are_routes_stale_ = true;
            break;
        default:
            break;
    }
}

void Resolver::take_link(Link link, bool is_gone) {
    are_routes_stale_ = true;
    const auto known = links_.find(link.ifindex);
    if (is_gone) {
        if (known == links_.end()) return;
        links_.erase(known);
    } else {
        link.speed_mbps = probe_.speed_mbps(link.name);
        if (known != links_.end() && known->second == link) return;
        links_[link.ifindex] = link;
    }
    // A link that went down is felt at once, not only when the routes have settled.
    for (auto& [key, watched] : watched_) {
        Destination& destination = watched.destination;
        if (destination.route() && destination.route()->ifindex == link.ifindex)
            destination.set_link(is_gone ? nullptr : &link);
    }
    link_changes_.push_back({std::move(link), is_gone});
}

void Resolver::take_neighbour(const Neighbour& neighbour) {
    for (auto& [key, watched] : watched_) {
        Destination& destination = watched.destination;
        if (!destination.needs_neighbour() || destination.route()->ifindex != neighbour.ifindex) continue;
        if (destination.route()->hop == neighbour.ip) destination.set_neighbour(neighbour.state, neighbour.mac);
    }
}

Result<Route> Resolver::lookup(const IpAddress& dest, int via_ifindex) {
    std::optional<Route> route;
    const Result<void> asked = query_.ask(route_request(dest, via_ifindex),
                                          [&](const nlmsghdr& message) { route = parse_route(message, dest); });
    if (!asked) {
        const int code = asked.error().code;
        return Error{code, to_string(dest) + ": no way to send there: " + std::strerror(code)};
    }
    if (!route) return Error{EPROTO, to_string(dest) + ": the kernel's answer about its route makes no sense"};
    return *route;
}

void Resolver::look_up(Destination& destination) {
    const Result<Route> route = lookup(destination.dest(), destination.via_ifindex());
    destination.set_route(route ? &*route : nullptr, route ? 0 : route.error().code);
    destination.set_link(route ? link(route->ifindex) : nullptr);
    if (destination.needs_neighbour()) ask_neighbour(destination);
}

void Resolver::ask_neighbour(Destination& destination) {
    Neighbour found;  // absent
    (void)!query_.ask(neighbour_request(destination.route()->ifindex, destination.route()->hop),
                      [&](const nlmsghdr& message) {
                          if (const auto neighbour = parse_neighbour(message)) found = *neighbour;
                      });
    destination.set_neighbour(found.state, found.mac);
}

void Resolver::look_up_all(uint64_t now_ms) {
    are_routes_stale_ = false;
    last_look_up_ms_ = now_ms;
    for (auto& [key, watched] : watched_)
        look_up(watched.destination);
}

void Resolver::probe(uint64_t now_ms) {
    for (auto& [key, watched] : watched_) {
        Destination& destination = watched.destination;
        if (destination.take_probe(now_ms)) probe_.use(query_, destination.route()->ifindex, destination.route()->hop);
    }
}

WatchId Resolver::watch(const IpAddress& dest, OnNextHop on_change, uint64_t now_ms, int via_ifindex) {
    const WatchId id = next_id_++;
    const Key key{dest, via_ifindex};
    auto found = watched_.find(key);
    if (found == watched_.end()) {
        found = watched_.emplace(key, Watched{Destination(dest, via_ifindex, timing_), {}, {}}).first;
        Destination& destination = found->second.destination;
        look_up(destination);
        found->second.told = destination.next_hop();
        if (destination.take_probe(now_ms)) probe_.use(query_, destination.route()->ifindex, destination.route()->hop);
    }
    found->second.watches.push_back(id);
    watches_.emplace(id, Watch{key, std::move(on_change)});
    return id;
}

void Resolver::unwatch(WatchId id) {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) return;
    const auto watched = watched_.find(watch->second.key);
    std::erase(watched->second.watches, id);
    if (watched->second.watches.empty()) watched_.erase(watched);
    watches_.erase(watch);
}

NextHop Resolver::next_hop(WatchId id) const {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) return NextHop{.error = EBADF};
    return watched_.at(watch->second.key).destination.next_hop();
}

void Resolver::suspect(WatchId id) {
    const auto watch = watches_.find(id);
    if (watch == watches_.end()) return;
    const Destination& destination = watched_.at(watch->second.key).destination;
    if (destination.is_doubtful()) probe_.recheck(query_, destination.route()->ifindex, destination.route()->hop);
}

/// Callbacks may do anything to this resolver but destroy it, so nothing is held over a call.
void Resolver::tell() {
    for (const LinkChange& change : std::exchange(link_changes_, {}))
        if (on_link_) on_link_(change.link, change.is_gone);
    if (std::exchange(have_addresses_changed_, false) && on_addresses_) on_addresses_();
    tell_next_hops();
}

void Resolver::tell_next_hops() {
    std::vector<std::pair<WatchId, NextHop>> news;
    for (auto& [key, watched] : watched_) {
        const NextHop now = watched.destination.next_hop();
        if (now == watched.told) continue;
        watched.told = now;
        for (const WatchId id : watched.watches)
            news.emplace_back(id, now);
    }
    for (const auto& [id, next_hop] : news) {
        const auto watch = watches_.find(id);
        if (watch == watches_.end()) continue;
        const OnNextHop on_change = watch->second.on_change;
        on_change(next_hop);
    }
}

const Link* Resolver::link(int ifindex) const {
    const auto found = links_.find(ifindex);
    return found == links_.end() ? nullptr : &found->second;
}

const Link* Resolver::link(std::string_view name) const {
    const auto found =
        std::find_if(links_.begin(), links_.end(), [&](const auto& entry) { return entry.second.name == name; });
    return found == links_.end() ? nullptr : &found->second;
}

bool Resolver::is_ours(const IpAddress& ip) const {
    return ip.is_loopback() || std::any_of(addresses_.begin(), addresses_.end(),
                                           [&](const LocalAddress& address) { return address.ip == ip; });
}

}  // namespace xylem::netlink
