// SPDX-License-Identifier: Apache-2.0
// A c_root invites a listening c_leaf: InviteRequest -> backlog, accept -> InviteAccept -> (replica appended) Live.
// At most one invitation of a root is pending (W-110); its handle F may be closed to cancel it (W-119, W-120).
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

static uint32_t direction_of(uint32_t flags) { return flags == (XY_SENDER_ONLY | XY_RECEIVER_ONLY) ? XY_BOTH : flags; }

Reply Sessions::invite(Socket& socket, const Endpoint& name, const abi::JoinBody& body) {
    Root& root = *socket.root;
    for (const RootEdgeRef& other : root.edges)
        if (other->leaf == name && other->step < RootStep::kLeft) return Reply(EISCONN);  // W-115
    if (Result<void> bound = bind_for_join(socket, name.ip); !bound) return Reply(bound.error().code);
    OwnedFd fd;
    Result<Socket*> made = new_socket(socket.app, Role::kHandle, socket, fd);
    if (!made) return Reply(made.error().code);
    Socket& handle = **made;
    socket.qos = merged_qos(socket.qos, body.qos);
    auto edge = std::make_shared<RootEdge>();
    edge->join = random_id();
    edge->is_invited = true;
    edge->step = RootStep::kDialing;
    edge->root = socket.root;
    edge->row_root = socket.root;
    edge->handle = &handle;
    edge->has_row = true;
    edge->number = root.next_number++;
    edge->direction = mirrored(direction_of(body.flags));
    edge->leaf = name;
    edge->callee = *socket.local;
    if (edge->callee.ip.is_wildcard()) edge->callee.ip = network_.source_for(name.ip);
    const auto* first = reinterpret_cast<const std::byte*>(body.caller);
    edge->caller_data.assign(first, first + body.caller_bytes);
    edge->qos = body.qos;
    edge->deadline_ms = now_ms() + socket.options.join_timeout_ms;
    handle.edge = edge;
    handle.set_direction(direction_of(body.flags));
    handle.set_phase(abi::Phase::kJoining);
    root.edges.push_back(edge);
    root.slow_leaf_ms = socket.options.slow_leaf_ms;
    root_edges_[edge->key()] = edge;
    socket.invite = edge;
    socket.set_joining(true);
    socket.has_outcome = false;
    links_.dial(name.ip,
                [this, alive = std::weak_ptr<int>(alive_), weak = std::weak_ptr<RootEdge>(edge)](Result<PeerId> peer) {
                    if (alive.expired()) return;
                    Scope scope(*this);
                    if (RootEdgeRef dialed = weak.lock()) invited_peer(dialed, std::move(peer));
                });
    Reply reply = Reply::of(abi::SocketReply{.socket = handle.id(),
                                             .leaf_number = edge->number,
                                             .roles = handle.flags,
                                             .direction = direction_of(body.flags)});
    reply.owned.push_back(std::move(fd));
    return reply;
}

void Sessions::invited_peer(const RootEdgeRef& edge, Result<PeerId> peer) {
    if (edge->step != RootStep::kDialing) return;
    if (!peer) return fail_invite(edge, peer.error().code == EHOSTUNREACH ? ENETUNREACH : peer.error().code);
    Root& root = *edge->root;
    if (!may_reach(root, *peer)) return fail_invite(edge, ENETUNREACH);
    if (Result<void> fixed = fix_geometry(root, *peer == kSelf ? IpAddress{} : edge->leaf.ip); !fixed)
        return fail_invite(edge, fixed.error().code);
    root_edges_.erase(edge->key());
    edge->peer = *peer;
    root_edges_[edge->key()] = edge;
    edge->step = RootStep::kInvited;
    prepare_edge(*edge);
    proto::Envelope message;
    proto::InviteRequest& request = *message.mutable_invite_request();
    request.set_join(edge->join);
    request.set_session(root.session);
    to_proto(edge->leaf, *request.mutable_leaf());
    to_proto(edge->callee, *request.mutable_root());
    request.set_protocol(static_cast<uint32_t>(root.protocol));
    request.set_direction(mirrored(edge->direction));
    request.set_caller_data(data_to(edge->caller_data));
    if (edge->qos.is_present != 0) to_proto(edge->qos, *request.mutable_qos());
    to_proto(root.geometry, root.socket_type, *request.mutable_stream());
    request.set_feedback_label(edge->host ? edge->host->tag : 0);
    request.set_upstream_label(edge->upstream_label ? edge->upstream_label->peek() : 0);
    request.set_slow_leaf_ms(root.slow_leaf_ms);
    to_proto(data_address(edge->peer, edge->callee.ip), *request.mutable_data_address());
    send(edge->peer, std::move(message));
}

/// At the leaf's host.
void Sessions::on_invite(PeerId peer, const proto::InviteRequest& request) {
    if (LeafEdgeRef known = leaf_edge(peer, request.join())) return violate(known, "join_id_twice");
    const std::optional<Endpoint> wanted = from_proto(request.leaf()), root = from_proto(request.root());
    const uint32_t direction = request.direction();
    const bool is_direction = direction == XY_SENDER_ONLY || direction == XY_RECEIVER_ONLY || direction == XY_BOTH;
    if (!wanted || !root || !is_direction || request.caller_data().size() > abi::kMaxConnectData) {
        count("malformed_request");
        return reject(peer, request.join(), EINVAL, "the invitation is malformed");
    }
    Socket* listener = stopped_ ? nullptr : listener_at(*wanted, Role::kLeaf);
    if (listener == nullptr) return reject(peer, request.join(), ECONNREFUSED, "no c_leaf listens there");
    if (request.protocol() != static_cast<uint32_t>(listener->protocol) ||
        request.stream().socket_type() != static_cast<uint32_t>(listener->type))
        return reject(peer, request.join(), ECONNREFUSED, "the listening socket is of another type");
    if (!has_room(*listener)) return reject(peer, request.join(), ECONNREFUSED, "the backlog is full");
    auto edge = std::make_shared<LeafEdge>();
    edge->peer = peer;
    edge->join = request.join();
    edge->is_invited = true;
    edge->step = LeafStep::kQueued;
    edge->listener = listener;
    edge->root = *root;
    edge->leaf = *wanted;
    edge->direction = mirrored(direction);
    edge->socket_type = listener->type;
    edge->protocol = listener->protocol;
    edge->caller_data = *data_from(request.caller_data());
    if (request.has_qos()) edge->qos = from_proto(request.qos());
    if (!take_offer(*edge, request.stream(), request.feedback_label(), request.upstream_label(), request.data_address(),
                    request.slow_leaf_ms())) {
        count("malformed_invite");
        return reject(peer, request.join(), EINVAL, "the invitation is malformed");
    }
    for (const auto& weak : images_) {
        HostImageRef image = weak.lock();
        if (image && image->peer == peer && image->tag == edge->tag) edge->kept.push_back(image);
    }
    leaf_edges_[edge->key()] = edge;
    enqueue(*listener, {.id = next_request_++, .root = nullptr, .leaf = edge});
}

void Sessions::on_invite_accept(const RootEdgeRef& edge, const proto::InviteAccept& accept) {
    std::optional<Bytes> callee = data_from(accept.callee_data());
    if (!callee || !take_ready(*edge, accept.label(), accept.window_cells(), accept.upstream_feedback_label(),
                               accept.has_upstream(), accept.upstream(), accept.data_address()))
        return violate(edge, "malformed_invite_accept");
    edge->callee_data = std::move(*callee);
    if (accept.has_qos() && edge->handle != nullptr)
        edge->handle->qos = merged_qos(edge->handle->qos, from_proto(accept.qos()));
    append(edge);
}

/// The handle stays allocated and dead until the application closes it (W-104).
void Sessions::fail_invite(const RootEdgeRef& edge, int code) {
    const std::shared_ptr<Root> root = edge->root;
    const int outcome = code == 0 ? ECONNREFUSED : code;
    edge->state = XY_LEAF_ENDED;
    edge->reason = XY_END_REFUSED;
    edge->end_error = outcome;
    Socket* handle = edge->handle;
    release_root_edge(edge);
    if (handle != nullptr) handle->set_phase(abi::Phase::kEnded);
    if (root->socket == nullptr || root->socket->invite != edge) return;
    root->socket->invite = nullptr;
    root->socket->decide_join(outcome, {});
}

/// The application closed F, or s, or died: no outcome is reported (W-120).
void Sessions::cancel_invite(const RootEdgeRef& edge, bool is_reset) {
    const std::shared_ptr<Root> root = edge->root;
    edge->state = XY_LEAF_ENDED;  // its handle may stay open
    edge->reason = XY_END_REFUSED;
    edge->end_error = ECANCELED;
    if (edge->step != RootStep::kDialing && edge->is_invited)
        cancel(edge->peer, edge->join, is_reset);
    else if (!edge->is_invited)
        reject(edge->peer, edge->join, ECONNREFUSED, "the application closed the leaf's descriptor");
    release_root_edge(edge);
    if (root->socket != nullptr && root->socket->invite == edge) {
        root->socket->invite = nullptr;
        root->socket->set_joining(false);
    }
}

}  // namespace xylem::session
