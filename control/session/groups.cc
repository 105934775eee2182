// SPDX-License-Identifier: Apache-2.0
// Binding, joining, receiving and ending.
#include "control/session/groups.h"

#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"

namespace xylem::session {

Groups::Groups(engine::Engine& engine, Network& network, const Settings& settings, DoorRef door, uint16_t seed)
    : engine_(engine),
      network_(network),
      settings_(settings),
      door_(std::move(door)),
      bindings_(seed, Bindings::Sharing::kAll) {}

static Bindings::Claim claim_of(Socket& socket) {
    return {.socket = &socket, .uid = socket.app.uid, .may_share = socket.options.may_share_address};
}

// ---- names ----

Reply Groups::bind(Socket& socket, const Endpoint& wanted) {
    Result<Endpoint> held = bindings_.bind(claim_of(socket), wanted);
    if (!held) return Reply(held.error().code);
    socket.local = *held;
    socket.is_in_bindings = true;
    socket.group->local_port = held->port;
    if (socket.phase == abi::Phase::kOpen) socket.set_phase(abi::Phase::kBound);
    return Reply::of(body_of(*held));
}

void Groups::unbind(Socket& socket) {
    if (socket.is_in_bindings) bindings_.release(&socket, *socket.local);
    socket.is_in_bindings = false;
    socket.local.reset();
    socket.group->local_port = 0;
}

/// An unbound socket gets `port` (W-043; 0: a free one); a wildcard becomes the address that is sent from (W-044).
Result<void> Groups::bind_for_join(Socket& socket, const GroupPort& at, uint16_t port) {
    if (!socket.local) {
        const Reply bound = bind(socket, {at.source, port});
        return bound.error == 0 ? Result<void>{} : Error{bound.error, "the port is in use"};
    }
    if (!socket.local->ip.is_wildcard()) return {};
    Result<Endpoint> committed = bindings_.commit(claim_of(socket), *socket.local, at.source);
    if (!committed) return committed.error();
    socket.local = *committed;
    return {};
}

// ---- joining ----

/// Everything is here at once, so the outcome is too (W-091, W-136). A join that fails leaves the socket as it was.
Reply Groups::join(Socket& socket, const Endpoint& name, int ifindex, uint32_t direction) {
    GroupSocket& group = *socket.group;
    if (!name.ip.is_multicast()) return Reply(EADDRNOTAVAIL);
    Result<GroupPort> at =
        network_.group_port(name.ip, group.ifindex != 0 ? group.ifindex : ifindex, bound_address(socket));
    if (!at) return Reply(at.error().code);
    const bool was_bound = socket.local.has_value();
    group.at = *at;
    Result<void> done = bind_for_join(socket, *at, may_receive(direction) ? name.port : 0);
    if (done && may_send(direction) && name.port != 0) {
        Result<std::unique_ptr<GroupTarget>> target = make_target(socket.group, name, *at);
        if (group.targets.empty()) group.targets.resize(1);
        if (target) group.targets[0] = std::move(*target);
        done = target ? aim(group, 0) : Result<void>(target.error());
    }
    if (done && may_receive(direction)) done = begin_receiving(socket, name.ip);
    if (!done) {
        if (!group.targets.empty()) group.targets[0].reset();
        if (!was_bound && socket.local) {
            unbind(socket);
            socket.set_phase(abi::Phase::kOpen);
        }
        return Reply(done.error().code);
    }
    group.is_joined = true;
    group.group = name;
    group.direction = direction;
    socket.set_direction(direction);
    socket.set_leaves(1);
    if (group.reader) socket.set_live();
    socket.set_phase(abi::Phase::kJoined);
    socket.decide_join(0, {});
    return Reply::of(
        abi::SocketReply{.socket = socket.id(), .leaf_number = 0, .roles = socket.flags, .direction = direction});
}

/// What comes to the socket's own port: that of the group where the join bound it (W-043, W-046).
Result<void> Groups::begin_receiving(Socket& socket, const IpAddress& ip) {
    GroupSocket& group = *socket.group;
    Result<ImageRef> image = image_of({ip, group.local_port}, group.at);
    if (!image) return image.error();
    Result<Membership> membership = network_.join_group(ip, group.at, group.sources);
    if (!membership) {
        const int code = membership.error().code;
        return Error{code == ENODEV ? EADDRNOTAVAIL : code, membership.error().what};
    }
    group.membership = std::move(*membership);
    group.image = *image;
    group.reader = std::make_shared<ReaderBox>(*image, socket.slot, engine::kNoSlot);
    group.start = engine_.published((*image)->get());
    engine_.reader_live(group.reader->get(), group.start);
    return {};
}

Result<ImageRef> Groups::image_of(const Endpoint& group, const GroupPort& at) {
    if (group.port == settings_.data_port) return Error{EADDRINUSE, "the port is that of Xylem's own frames"};
    std::erase_if(images_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<ImageBox>& held = images_[{group, at.port}];
    if (ImageRef image = held.lock()) return image;
    const uint32_t cells = settings_.image_cells != 0 ? settings_.image_cells : settings_.log_cells;
    const engine::Geometry geometry{.cell_bytes = group_image_cell_bytes(at.mtu), .cells_log2 = cells_log2_for(cells)};
    if (abi::image_total_bytes(geometry) > settings_.max_image_bytes)
        return Error{ENOBUFS, "an image of that size is more than this host allows"};
    Result<ImageRef> image =
        ImageBox::add_group(door_, {.group = group, .port = at.port, .geometry = geometry}, account_);
    if (image) held = *image;
    return image;
}

Reply Groups::get_image(Socket& socket) {
    const GroupSocket& group = *socket.group;
    if (!group.reader) return Reply(ENOTCONN);
    const engine::Geometry& geometry = group.image->spec().geometry;
    Reply reply = Reply::of(abi::ImageReply{.cell_bytes = geometry.cell_bytes,
                                            .cells_log2 = geometry.cells_log2,
                                            .flags = abi::kImageGroup,
                                            .leaf_number = 0,
                                            .start = group.start,
                                            .source = {}});
    reply.borrowed.push_back(engine_.image_fd(group.image->get()));
    return reply;
}

// ---- ending ----

static void stop_receiving(GroupSocket& group) {
    group.reader.reset();
    group.image.reset();
    group.membership.reset();
}

void Groups::finish_sending(GroupSocket& group) {
    if (group.final != abi::kNoPosition) return;
    group.final = 0;
    if (!group.stream || !group.stream->is_mapped) return;
    group.final = engine_.committed(group.stream->get());
    engine_.finish_stream(group.stream->get(), group.final);
}

Reply Groups::shutdown(Socket& socket, int how) {
    GroupSocket& group = *socket.group;
    if (!group.is_joined) return Reply(ENOTCONN);
    const bool is_one_way =
        (how == SHUT_WR && !may_send(group.direction)) || (how == SHUT_RD && !may_receive(group.direction));
    if (is_one_way) return Reply(EINVAL);  // W-254
    if (how != SHUT_WR) {
        socket.is_shut_receive = true;
        stop_receiving(group);
    }
    if (how != SHUT_RD) {
        socket.is_shut_send = true;
        finish_sending(group);
    }
    return {};
}

/// What was sent before the close still goes out, as from a kernel's socket.
void Groups::close(Socket& socket, bool is_abortive) {
    const GroupSocketRef group = std::exchange(socket.group, nullptr);
    if (socket.is_in_bindings) bindings_.release(&socket, *socket.local);
    socket.is_in_bindings = false;
    stop_receiving(*group);
    if (is_abortive || !group->stream || !group->stream->is_mapped) return;
    finish_sending(*group);
    if (engine_.counters(group->stream->get()).cursor >= group->final) return;
    group->give_up_at_ms = settings_.now_ms() + settings_.linger_ms;
    lingering_[group->stream->get()] = group;
}

bool Groups::has_sent_all(const Socket& socket) const {
    const GroupSocket& group = *socket.group;
    if (!group.stream || !group.stream->is_mapped) return true;
    engine::Stream* stream = group.stream->get();
    const engine::Position end = group.final != abi::kNoPosition ? group.final : engine_.committed(stream);
    return engine_.counters(stream).cursor >= end;
}

bool Groups::stream_finished(engine::Stream* stream) { return lingering_.erase(stream) != 0; }

void Groups::tick(uint64_t now_ms) {
    std::erase_if(lingering_, [&](const auto& entry) {
        const GroupSocket& group = *entry.second;
        return now_ms >= group.give_up_at_ms || engine_.counters(entry.first).cursor >= group.final;
    });
}

}  // namespace xylem::session
