// SPDX-License-Identifier: Apache-2.0
// Making, binding and naming sockets; options (W-005 … W-016, W-042, W-061, W-070, W-204).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/session/geometry.h"
#include "control/session/rm_options.h"
#include "control/session/scope.h"

namespace xylem::session {

Socket* Sessions::find(App& app, uint32_t id) {
    auto found = app.sockets.find(id);
    return found == app.sockets.end() ? nullptr : found->second.get();
}

static int check_kind(const abi::SocketBody& body) {
    if (body.family != AF_INET && body.family != AF_INET6) return EAFNOSUPPORT;
    if (body.protocol < XY_PROTO_TREE || body.protocol > XY_PROTO_GROUP) return EPROTONOSUPPORT;
    if (body.type != SOCK_DGRAM && body.type != SOCK_RDM && body.type != SOCK_STREAM)
        return body.type == SOCK_RAW || body.type == SOCK_SEQPACKET ? EPROTOTYPE : ESOCKTNOSUPPORT;
    if (body.protocol == XY_PROTO_GROUP) {
        if (body.type != SOCK_DGRAM) return EPROTOTYPE;
        return body.flags == (XY_C_LEAF | XY_D_LEAF) ? 0 : EINVAL;
    }
    const uint32_t control = body.flags & (XY_C_ROOT | XY_C_LEAF);
    const uint32_t data = body.flags & (XY_D_ROOT | XY_D_LEAF);
    const bool has_one_each =
        (control == XY_C_ROOT || control == XY_C_LEAF) && (data == XY_D_ROOT || data == XY_D_LEAF);
    if (!has_one_each || body.flags != (control | data)) return EINVAL;
    if (body.protocol != XY_PROTO_TREE && data == XY_D_ROOT) return EINVAL;  // W-007
    return 0;
}

static abi::SocketReply reply_of(const Socket& socket, uint32_t number, uint32_t direction) {
    return {.socket = socket.id(), .leaf_number = number, .roles = socket.flags, .direction = direction};
}

Reply Sessions::open_socket(App& app, const abi::SocketBody& body) {
    Scope scope(*this);
    if (const int code = check_kind(body); code != 0) return Reply(code);
    if (stopped_) return Reply(ENETDOWN);
    int fd = -1;
    Result<SlotRef> slot = SlotBox::open(app.memory, fd);
    if (!slot) return Reply(slot.error().code);
    const Role role = body.flags & XY_C_ROOT ? Role::kRoot : Role::kLeaf;
    auto socket =
        std::make_unique<Socket>(app, *slot, role, body.family, body.type, body.flags, Options::defaults(settings_));
    socket->protocol = body.protocol;
    if (role == Role::kRoot) {
        socket->root = std::make_shared<Root>();
        socket->root->protocol = body.protocol;
        socket->root->session = random_id();
        socket->root->socket = socket.get();
        socket->root->slot = *slot;
        socket->root->socket_type = body.type;
    }
    if (body.protocol == XY_PROTO_GROUP) {
        socket->group = std::make_shared<GroupSocket>();
        socket->group->slot = *slot;
    }
    Reply reply = Reply::of(reply_of(*socket, 0, XY_BOTH));
    reply.owned.emplace_back(fd);
    app.sockets[socket->id()] = std::move(socket);
    return reply;
}

/// A handle or an accepted socket: it inherits the listener's properties (W-095, W-097).
Result<Socket*> Sessions::new_socket(App& app, Role role, const Socket& like, OwnedFd& fd) {
    int app_end = -1;
    Result<SlotRef> slot = SlotBox::open(app.memory, app_end);
    if (!slot) return slot.error();
    fd = OwnedFd(app_end);
    auto socket =
        std::make_unique<Socket>(app, *slot, role, like.family, like.type, XY_C_LEAF | XY_D_LEAF, like.options);
    socket->protocol = like.protocol;
    socket->has_loopback = like.has_loopback;
    socket->qos = like.qos;
    socket->local = like.local;
    Socket* made = socket.get();
    app.sockets[made->id()] = std::move(socket);
    return made;
}

void Sessions::forget(Socket& socket) {
    if (socket.is_in_bindings) bindings_.release(&socket, *socket.local);
    socket.is_in_bindings = false;
}

static Bindings::Claim claim_of(Socket& socket) {
    return {.socket = &socket, .uid = socket.app.uid, .may_share = socket.options.may_share_address};
}

Reply Sessions::bind_to(Socket& socket, const Endpoint& wanted) {
    Result<Endpoint> held = bindings_.bind(claim_of(socket), wanted);
    if (!held) return Reply(held.error().code);
    socket.local = *held;
    socket.is_in_bindings = true;
    if (socket.phase == abi::Phase::kOpen) socket.set_phase(abi::Phase::kBound);
    return Reply::of(body_of(*held));
}

Reply Sessions::bind(App& app, uint32_t id, const abi::AddressBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->role == Role::kHandle || socket->local) return Reply(EINVAL);
    Result<Endpoint> wanted = endpoint_of(body, socket->family);
    if (!wanted) return Reply(wanted.error().code);
    if (!wanted->ip.is_wildcard() && !network_.is_ours(wanted->ip)) return Reply(EADDRNOTAVAIL);
    return socket->group ? groups_.bind(*socket, *wanted) : bind_to(*socket, *wanted);
}

/// The implicit bind of a join (W-042), and the commitment of a wildcard (W-044).
Result<void> Sessions::bind_for_join(Socket& socket, const IpAddress& remote) {
    const IpAddress source = network_.source_for(remote);
    if (!source.is_set()) return Error{ENETUNREACH, "there is no route to the destination"};
    if (!socket.local) {
        Reply bound = bind_to(socket, {source, 0});
        return bound.error == 0 ? Result<void>{} : Error{bound.error, "no port is free"};
    }
    // A c_root keeps its wildcard: leaves may reach it at any of our addresses.
    if (!socket.local->ip.is_wildcard() || socket.role == Role::kRoot || !socket.is_in_bindings) return {};
    Result<Endpoint> committed = bindings_.commit(claim_of(socket), *socket.local, source);
    if (!committed) return committed.error();
    socket.local = *committed;
    return {};
}

Reply Sessions::listen(App& app, uint32_t id, const abi::ListenBody& body) {
    Scope scope(*this);
    constexpr int kMaxBacklog = 1024;
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group) return Reply(EOPNOTSUPP);
    if (socket->role == Role::kHandle || !socket->local || socket->has_ended) return Reply(EINVAL);
    if (socket->role == Role::kLeaf && (socket->leaf || socket->is_joining)) return Reply(EISCONN);
    if (socket->role == Role::kRoot && socket->root->is_finishing) return Reply(EINVAL);
    socket->backlog_limit = static_cast<unsigned>(std::clamp(body.backlog, 1, kMaxBacklog));
    if (!socket->is_listening) {
        socket->is_listening = true;
        if (socket->phase == abi::Phase::kBound) socket->set_phase(abi::Phase::kListening);
    }
    while (socket->queue.size() > socket->backlog_limit) {  // W-070
        Request surplus = std::move(socket->queue.back());
        socket->queue.pop_back();
        refuse(surplus, ECONNREFUSED, "the backlog was made shorter");
    }
    socket->set_backlog();
    return {};
}

Reply Sessions::name(App& app, uint32_t id, const abi::NameBody& body) {
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (body.is_peer == 0) return socket->local ? Reply::of(body_of(*socket->local)) : Reply(EINVAL);
    const bool has_peer = socket->role != Role::kRoot && socket->peer.ip.is_set();
    return has_peer ? Reply::of(body_of(socket->peer)) : Reply(ENOTCONN);
}

uint32_t Sessions::cell_bytes_of(const Socket& socket) const {
    if (socket.group) return groups_.cell_bytes(socket);
    if (socket.root && socket.root->is_geometry_fixed) return socket.root->geometry.cell_bytes;
    if (socket.leaf && socket.leaf->upstream) return socket.leaf->upstream->geometry().cell_bytes;
    return settings_.cell_bytes / 8 * 8;
}

uint64_t Sessions::max_message_bytes(const Socket& socket) const {
    if (socket.group) return groups_.max_datagram_bytes(socket);
    engine::Geometry geometry{cell_bytes_of(socket), socket.options.log_cells_log2};
    if (socket.root && socket.root->is_geometry_fixed) geometry = socket.root->geometry;
    uint32_t least = geometry.cells_log2;
    if (socket.root) {
        for (const auto& [peer, held] : socket.root->hosts) {
            const HostRef host = held.lock();
            if (host && host->window_cells != 0) least = std::min(least, cells_log2_for(host->window_cells));
        }
    }
    if (const MemberRef member = member_of(socket); member && member->source()) {
        for (const auto& [peer, held] : member->source()->hosts) {
            const FeedHostRef host = held.lock();
            if (host && host->window_cells != 0) least = std::min(least, cells_log2_for(host->window_cells));
        }
    }
    geometry.cells_log2 = least;
    return geometry.max_message_bytes();
}

MemberRef Sessions::member_of(const Socket& socket) {
    if (socket.root) return socket.root->member;
    return socket.leaf ? socket.leaf->member : nullptr;
}

void Sessions::set_loopback(Socket& socket, const abi::OptionBody& body, Respond respond) {
    int value = 0;
    if (body.bytes != sizeof value || socket.protocol != XY_PROTO_MESH || socket.role == Role::kHandle)
        return respond(Reply(EINVAL));
    std::memcpy(&value, body.value, sizeof value);
    socket.has_loopback = value != 0;
    const MemberRef member = member_of(socket);
    return member ? member->set_loopback(socket.has_loopback, std::move(respond)) : respond({});
}

void Sessions::set_option(App& app, uint32_t id, const abi::OptionBody& body, Respond respond) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr || body.level != XY_SOL || body.name != abi::kOptionLoopback)
        return respond(set_option(app, id, body));
    set_loopback(*socket, body, std::move(respond));
}

Reply Sessions::set_option(App& app, uint32_t id, const abi::OptionBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group)
        if (std::optional<Reply> reply = groups_.set_option(*socket, body)) return std::move(*reply);
    if (body.level == XY_SOL && body.name == abi::kOptionScope) {
        int32_t hops;
        if (body.bytes != sizeof hops) return Reply(EINVAL);
        std::memcpy(&hops, body.value, sizeof hops);
        return set_reach(*socket, hops);
    }
    const bool is_fixed = (socket->group && socket->group->stream) || socket->role == Role::kHandle ||
                          (socket->root && socket->root->is_geometry_fixed) || (socket->leaf && socket->leaf->upstream);
    if (body.level == XY_SOL && is_rm_option(body.name) && !socket->group)
        return socket->role == Role::kHandle ? Reply(EINVAL) : set_rm_option(*socket, body, is_fixed);
    Result<void> set = session::set_option(socket->options, body, cell_bytes_of(*socket), is_fixed, settings_);
    return set ? Reply{} : Reply(set.error().code);
}

template <class T>
static Reply option_value(const abi::OptionBody& asked, T value) {
    abi::OptionBody body{
        .level = asked.level, .name = asked.name, .bytes = sizeof value, .reserved_zero = 0, .value = {}};
    std::memcpy(body.value, &value, sizeof value);
    return Reply::of(body);
}

static Reply socket_option(const Socket& socket, const abi::OptionBody& body) {
    switch (body.name) {
        case SO_TYPE:
            return option_value(body, socket.type);
        case SO_REUSEADDR:
            return option_value(body, socket.options.may_share_address ? 1 : 0);
        case SO_ERROR:
            return option_value(body, socket.has_outcome ? socket.outcome : 0);
        default:
            break;
    }
    auto kept = socket.options.kept.find(body.name);
    if (kept == socket.options.kept.end()) return Reply(ENOPROTOOPT);
    abi::OptionBody answer{.level = body.level,
                           .name = body.name,
                           .bytes = static_cast<uint32_t>(kept->second.size()),
                           .reserved_zero = 0,
                           .value = {}};
    std::memcpy(answer.value, kept->second.data(), kept->second.size());
    return Reply::of(answer);
}

Reply Sessions::get_option(App& app, uint32_t id, const abi::OptionBody& body) {
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group)
        if (std::optional<Reply> reply = groups_.get_option(*socket, body)) return std::move(*reply);
    if (body.level == SOL_SOCKET) return socket_option(*socket, body);
    if (body.level != XY_SOL) return Reply(ENOPROTOOPT);
    if (is_rm_option(body.name) && !socket->group) return get_rm_option(*socket, body);
    constexpr uint32_t kTreeOnly = XY_CAP_ROOTED_DATA | XY_CAP_LEAF_TO_ROOT;
    constexpr uint32_t kRooted =
        XY_CAP_CONNECT_DATA | XY_CAP_DISCONNECT_DATA | XY_CAP_MULTIPOINT | XY_CAP_ROOTED_CONTROL | XY_CAP_QOS;
    switch (body.name) {
        case XY_OPT_SLOW_LEAF_MS:
            return option_value(body, socket->options.slow_leaf_ms);
        case XY_OPT_JOIN_TIMEOUT_MS:
            return option_value(body, socket->options.join_timeout_ms);
        case XY_OPT_LOG_BYTES: {
            uint32_t log2 = socket->options.log_cells_log2;
            if (socket->root && socket->root->is_geometry_fixed) log2 = socket->root->geometry.cells_log2;
            return option_value(body, static_cast<uint64_t>(cell_bytes_of(*socket)) << log2);
        }
        case XY_OPT_RELIABILITY:
            return option_value(body, socket->type == SOCK_DGRAM ? 0U : 1U);
        case XY_OPT_MAX_MSG_SIZE:
            return option_value(body, max_message_bytes(*socket));
        case XY_OPT_DIRECTION:
            return option_value(body, socket->facts().direction.load(std::memory_order_relaxed));
        case XY_OPT_CAPABILITIES:
            if (socket->group) return option_value<uint32_t>(body, XY_CAP_MULTIPOINT);
            return option_value<uint32_t>(body, socket->protocol == XY_PROTO_MESH ? kRooted : kRooted | kTreeOnly);
        default:
            return Reply(ENOPROTOOPT);
    }
}

Reply Sessions::set_qos(App& app, uint32_t id, const abi::QosBody& body) {
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group) return Reply(ENOPROTOOPT);  // W-265
    if (Result<void> valid = check_qos(body.qos); !valid) return Reply(valid.error().code);
    socket->qos = merged_qos(socket->qos, body.qos);
    return {};
}

Reply Sessions::get_qos(App& app, uint32_t id) {
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group) return Reply(ENOPROTOOPT);
    const bool is_connected = socket->role == Role::kRoot ? socket->root->next_number != 0 : socket->local.has_value();
    if (!is_connected) return Reply(ENOTCONN);  // W-270
    return Reply::of(abi::QosBody{.qos = socket->qos});
}

}  // namespace xylem::session
