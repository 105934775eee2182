// SPDX-License-Identifier: Apache-2.0
// Where datagrams go: destinations, the log, and the options that decide about both.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/session/geometry.h"
#include "control/session/groups.h"

namespace xylem::session {

constexpr uint8_t kHostTtl = 64;

// ---- destinations ----

Reply Groups::destination(Socket& socket, const Endpoint& dest, int ifindex) {
    GroupSocket& group = *socket.group;
    if (dest.ip.is_wildcard() || dest.port == 0) return Reply(EADDRNOTAVAIL);
    if (group.is_joined && !may_send(group.direction)) return Reply(EOPNOTSUPP);
    if (socket.is_shut_send) return Reply(ESHUTDOWN);
    const Result<uint32_t> index = add_target(socket, dest, ifindex);
    if (!index) return Reply(index.error().code);
    const GroupTarget& target = *group.targets[*index];
    uint32_t max_bytes = target.max_bytes;
    if (group.stream) max_bytes = std::min(max_bytes, max_datagram_in_log(group.stream->geometry().cell_bytes));
    return Reply::of(abi::DestinationReply{
        .index = *index, .max_bytes = max_bytes, .is_up = target.is_up() ? 1U : 0U, .reserved_zero = 0});
}

/// Index 0 is the group joined, or to be joined.
Result<uint32_t> Groups::add_target(Socket& socket, const Endpoint& dest, int ifindex) {
    GroupSocket& group = *socket.group;
    for (uint32_t i = 0; i < group.targets.size(); ++i)
        if (group.targets[i] && group.targets[i]->dest == dest) return i;
    if (group.targets.size() >= abi::kMaxDestinations) return Error{ENOBUFS, "the socket has too many destinations"};
    const std::shared_ptr<unsigned>& n_of_app = socket.app.n_destinations;
    if (*n_of_app >= DestinationShare::kMaxPerApp)
        return Error{ENOBUFS, "the sockets of the application have too many destinations"};
    const int chosen = group.is_joined ? group.at.ifindex : group.ifindex;
    const bool follows_socket = dest.ip.is_multicast() && ifindex == 0;
    Result<GroupPort> at = follows_socket && group.is_joined
                               ? Result<GroupPort>(group.at)
                               : network_.group_port(dest.ip, follows_socket ? chosen : ifindex, bound_address(socket));
    if (!at) return at.error();
    if (!socket.local) {  // sendto is an implicit binder (W-305); which address it sends from is each datagram's matter
        Endpoint any;
        any.ip.family = dest.ip.family;
        if (const Reply held = bind(socket, any); held.error != 0) return Error{held.error, "no port is free"};
    }
    Result<std::unique_ptr<GroupTarget>> target = make_target(socket.group, dest, *at);
    if (!target) return target.error();
    (*target)->share = std::make_unique<DestinationShare>(n_of_app);
    if (group.targets.empty()) group.targets.resize(1);
    group.targets.push_back(std::move(*target));
    const auto index = static_cast<uint32_t>(group.targets.size() - 1);
    if (Result<void> aimed = aim(group, index); !aimed) {
        group.targets.pop_back();
        return aimed.error();
    }
    if (!group.is_joined) socket.set_leaves(1);  // it can send from now on
    return index;
}

static uint32_t longest(const GroupTarget& target) {
    const unsigned mtu =
        target.path.is_up && target.at.mtu != 0 ? std::min(target.path.mtu, target.at.mtu) : target.at.mtu;
    return max_datagram_for(mtu, target.dest.ip.is_v6());
}

Result<std::unique_ptr<GroupTarget>> Groups::make_target(const GroupSocketRef& group, const Endpoint& dest,
                                                         const GroupPort& at) {
    auto target = std::make_unique<GroupTarget>();
    target->dest = dest;
    target->at = at;
    if (at.port != engine::kLocalPort) {
        target->watch = std::make_unique<WatchBox>(
            network_, dest, at, [this, dest, weak = std::weak_ptr<GroupSocket>(group)](const engine::Path& path) {
                if (const GroupSocketRef changed = weak.lock()) path_changed(*changed, dest, path);
            });
        target->path = target->watch->path_now();
    }
    target->max_bytes = longest(*target);
    return target;
}

void Groups::path_changed(GroupSocket& group, const Endpoint& dest, const engine::Path& path) {
    for (uint32_t i = 0; i < group.targets.size(); ++i) {
        GroupTarget* target = group.targets[i].get();
        if (target == nullptr || target->dest != dest) continue;
        target->path = path;
        (void)!aim(group, i);
        const uint32_t max_bytes = longest(*target);
        if (std::exchange(target->max_bytes, max_bytes) == max_bytes) continue;
        group.slot->facts().destinations_changed.fetch_add(1, std::memory_order_release);
    }
}

/// Tells the engine, if there is a log already.
Result<void> Groups::aim(GroupSocket& group, uint32_t index) {
    const GroupTarget& target = *group.targets[index];
    if (!group.stream) return {};
    engine::GroupDestination out{.dest = target.dest, .port = target.at.port, .path = target.path};
    out.path.source = {target.at.source, group.local_port};
    if (target.dest.ip.is_multicast()) {
        out.reaches_wire = group.scope != 0;
        out.path.ttl = static_cast<uint8_t>(group.scope);
    } else {
        out.path.ttl = kHostTtl;
    }
    return engine_.set_destination(group.stream->get(), index, out);
}

// ---- the log ----

uint32_t Groups::max_datagram_bytes(const Socket& socket) const {
    const GroupSocket& group = *socket.group;
    if (!group.targets.empty() && group.targets[0]) return group.targets[0]->max_bytes;
    if (group.is_joined) return max_datagram_for(group.at.mtu, socket.family == AF_INET6);
    const IpAddress all_hosts = socket.family == AF_INET ? IpAddress{.bytes = {224, 0, 0, 1}, .family = IpAddress::kV4}
                                                         : IpAddress{.bytes = {0xFF, 2}, .family = IpAddress::kV6};
    const Result<GroupPort> at = network_.group_port(all_hosts, group.ifindex, {});
    return max_datagram_for(at ? at->mtu : 0, socket.family == AF_INET6);
}

uint32_t Groups::cell_bytes(const Socket& socket) const {
    const GroupSocket& group = *socket.group;
    if (group.stream) return group.stream->geometry().cell_bytes;
    uint32_t most = 0;
    for (const auto& target : group.targets)
        if (target) most = std::max(most, max_datagram_for(target->at.mtu, target->dest.ip.is_v6()));
    return group_log_cell_bytes(most != 0 ? most : max_datagram_bytes(socket));
}

Reply Groups::make_log(Socket& socket) {
    GroupSocket& group = *socket.group;
    if (group.is_joined && !may_send(group.direction)) return Reply(EOPNOTSUPP);
    if (group.final != abi::kNoPosition) return Reply(ESHUTDOWN);
    if (group.targets.empty()) return Reply(ENOTCONN);
    if (group.stream && group.stream->is_mapped) return Reply(EALREADY);
    if (!group.stream) {
        const engine::Geometry geometry{.cell_bytes = cell_bytes(socket), .cells_log2 = socket.options.log_cells_log2};
        Result<StreamRef> stream = StreamBox::add_datagrams(socket.slot, geometry);
        if (!stream) return Reply(stream.error().code);
        group.stream = *stream;
        for (uint32_t i = 0; i < group.targets.size(); ++i) {
            if (!group.targets[i]) continue;
            if (Result<void> aimed = aim(group, i); !aimed) return Reply(aimed.error().code);
        }
    }
    Result<int> fd = engine_.make_log(group.stream->get());
    if (!fd) return Reply(fd.error().code);
    group.stream->has_log = true;
    const engine::Geometry& geometry = group.stream->geometry();
    Reply reply = Reply::of(abi::LogReply{.cell_bytes = geometry.cell_bytes,
                                          .cells_log2 = geometry.cells_log2,
                                          .start = 0,
                                          .max_message_bytes = max_datagram_in_log(geometry.cell_bytes)});
    reply.borrowed.push_back(*fd);
    return reply;
}

Reply Groups::log_mapped(Socket& socket) {
    const StreamRef& stream = socket.group->stream;
    if (!stream || !stream->has_log || stream->is_mapped) return Reply(EINVAL);
    Result<void> sealed = engine_.log_mapped(stream->get());
    stream->is_mapped = static_cast<bool>(sealed);
    return sealed ? Reply{} : Reply(sealed.error().code);
}

// ---- options ----

template <class T>
static bool take_value(const abi::OptionBody& body, T& value) {
    if (body.bytes != sizeof value) return false;
    std::memcpy(&value, body.value, sizeof value);
    return true;
}

std::optional<Reply> Groups::set_option(Socket& socket, const abi::OptionBody& body) {
    if (body.level != XY_SOL) return std::nullopt;
    switch (body.name) {
        case XY_OPT_MULTICAST_IF:
            return set_interface(*socket.group, body);
        case XY_OPT_SOURCE:
            return add_source(*socket.group, socket.family, body);
        case abi::kOptionScope:
            return set_scope(*socket.group, body);
        default:
            return std::nullopt;
    }
}

Reply Groups::set_interface(GroupSocket& group, const abi::OptionBody& body) {
    uint32_t ifindex;
    if (!take_value(body, ifindex) || group.is_joined) return Reply(EINVAL);
    if (ifindex != 0 && !network_.port_of(static_cast<int>(ifindex))) return Reply(EADDRNOTAVAIL);
    group.ifindex = static_cast<int>(ifindex);
    return {};
}

Reply Groups::add_source(GroupSocket& group, int family, const abi::OptionBody& body) {
    abi::AddressBody address{};
    if (!take_value(body, address.address) || group.is_joined) return Reply(EINVAL);
    address.length = sizeof address.address;
    const Result<Endpoint> source = endpoint_of(address, family);
    if (!source) return Reply(source.error().code);
    if (source->ip.is_wildcard() || source->ip.is_multicast()) return Reply(EINVAL);
    if (std::count(group.sources.begin(), group.sources.end(), source->ip) != 0) return {};
    if (group.sources.size() == GroupSocket::kMaxSources) return Reply(ENOBUFS);
    group.sources.push_back(source->ip);
    return {};
}

Reply Groups::set_scope(GroupSocket& group, const abi::OptionBody& body) {
    int32_t scope;
    if (!take_value(body, scope) || scope < 0 || scope > 255) return Reply(EINVAL);
    group.scope = scope;
    for (uint32_t i = 0; i < group.targets.size(); ++i)
        if (group.targets[i]) (void)!aim(group, i);
    return {};
}

std::optional<Reply> Groups::get_option(Socket& socket, const abi::OptionBody& body) {
    if (body.level != XY_SOL || body.name != XY_OPT_MULTICAST_IF) return std::nullopt;
    const GroupSocket& group = *socket.group;
    const auto ifindex = static_cast<uint32_t>(group.is_joined ? group.at.ifindex : group.ifindex);
    abi::OptionBody answer{
        .level = body.level, .name = body.name, .bytes = sizeof ifindex, .reserved_zero = 0, .value = {}};
    std::memcpy(answer.value, &ifindex, sizeof ifindex);
    return Reply::of(answer);
}

}  // namespace xylem::session
