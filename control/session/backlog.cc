// SPDX-License-Identifier: Apache-2.0
// The backlog of a listening socket, and what accept does with its head (W-066, W-069, W-084, W-122, W-190 … W-202).
// A withdrawn request stays in the queue without anything of the engine, until accept has said so.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/session/scope.h"

namespace xylem::session {

static bool is_withdrawn(const Request& request) {
    return request.root ? request.root->is_withdrawn : request.leaf->is_withdrawn;
}

void Sessions::enqueue(Socket& listener, Request request) {
    // Withdrawn requests that nobody fetches must not pile up.
    const auto n_withdrawn = std::count_if(listener.queue.begin(), listener.queue.end(), is_withdrawn);
    if (static_cast<unsigned>(n_withdrawn) >= listener.backlog_limit)
        listener.queue.erase(std::find_if(listener.queue.begin(), listener.queue.end(), is_withdrawn));
    listener.queue.push_back(std::move(request));
    listener.set_backlog();
}

/// The requester gave up, or was lost: whatever the join holds is freed now.
void Sessions::withdraw(Socket* listener, const RootEdge* root, const LeafEdge* leaf, int code) {
    auto is_it = [&](const Request& request) { return request.root.get() == root && request.leaf.get() == leaf; };
    auto mark = [&](Request& request) {
        if (request.root) {
            request.root->is_withdrawn = true;
            request.root->withdrawn_code = code;
            release_root_edge(request.root);
        } else {
            request.leaf->is_withdrawn = true;
            request.leaf->withdrawn_code = code;
            release_leaf_edge(request.leaf);
        }
    };
    if (listener != nullptr) {
        auto queued = std::find_if(listener->queue.begin(), listener->queue.end(), is_it);
        if (queued != listener->queue.end()) return mark(*queued);
        auto taken = std::find_if(listener->taken.begin(), listener->taken.end(), is_it);
        if (taken != listener->taken.end()) return mark(*taken);
    }
    // Offered, and not yet in the backlog.
    if (root != nullptr)
        if (RootEdgeRef edge = root_edge(root->peer, root->join)) release_root_edge(edge);
    if (leaf != nullptr)
        if (LeafEdgeRef edge = leaf_edge(leaf->peer, leaf->join)) release_leaf_edge(edge);
}

void Sessions::refuse(const Request& request, int code, std::string_view reason) {
    if (is_withdrawn(request)) return;
    if (request.root) {
        reject(request.root->peer, request.root->join, code, reason);
        release_root_edge(request.root);
    } else {
        reject(request.leaf->peer, request.leaf->join, code, reason);
        release_leaf_edge(request.leaf);
    }
}

void Sessions::close_queue(Socket& socket, int code) {
    for (const Request& request : std::exchange(socket.queue, {}))
        refuse(request, code, "the listener has closed");
    for (const Request& request : std::exchange(socket.taken, {}))
        refuse(request, code, "the listener has closed");
    socket.set_backlog();
    if (!socket.root) return;
    const std::vector<RootEdgeRef> edges = socket.root->edges;
    for (const RootEdgeRef& edge : edges) {
        if (edge->step != RootStep::kOffered) continue;
        reject(edge->peer, edge->join, code, "the listener has closed");
        release_root_edge(edge);
    }
}

Reply Sessions::accept_take(App& app, uint32_t id) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (!socket->is_listening) return Reply(EINVAL);
    if (socket->queue.empty()) return Reply(EAGAIN);
    Request request = std::move(socket->queue.front());
    socket->queue.pop_front();
    socket->set_backlog();
    if (is_withdrawn(request))  // W-122
        return Reply(request.root ? request.root->withdrawn_code : request.leaf->withdrawn_code);
    abi::AcceptTakeReply answer{};
    answer.request = request.id;
    auto fill = [&](const Endpoint& caller, const Endpoint& callee, uint32_t direction, const abi::Qos& qos,
                    const Bytes& caller_data) {
        answer.caller = body_of(caller);
        answer.callee = body_of(callee);
        answer.flags = direction;
        answer.qos = qos;
        answer.caller_bytes = static_cast<uint32_t>(caller_data.size());
        if (!caller_data.empty()) std::memcpy(answer.caller_data, caller_data.data(), caller_data.size());
    };
    if (request.root) {
        RootEdge& edge = *request.root;
        edge.step = RootStep::kTaken;
        fill(edge.leaf, edge.callee, edge.direction, edge.qos, edge.caller_data);
    } else {
        LeafEdge& edge = *request.leaf;
        edge.step = LeafStep::kTaken;
        fill(edge.root, edge.leaf, mirrored(edge.direction), edge.qos, edge.caller_data);
    }
    socket->taken.push_back(std::move(request));
    return Reply::of(answer);
}

void Sessions::accept_decide(App& app, uint32_t id, const abi::AcceptDecideBody& body, Respond respond) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return respond(Reply(ENOTSOCK));
    if (body.callee_bytes > abi::kMaxConnectData) return respond(Reply(EFAULT));
    auto found = std::find_if(socket->taken.begin(), socket->taken.end(),
                              [&](const Request& request) { return request.id == body.request; });
    if (found == socket->taken.end() || body.decision > XY_DEFER) return respond(Reply(EINVAL));
    Request request = std::move(*found);
    socket->taken.erase(found);
    if (is_withdrawn(request))
        return respond(Reply(request.root ? request.root->withdrawn_code : request.leaf->withdrawn_code));
    if (body.decision == XY_REJECT) {
        refuse(request, ECONNREFUSED, "the application refused it");
        return respond(Reply::of(abi::SocketReply{}));
    }
    if (body.decision == XY_DEFER) {  // the head again: it decides, nobody overtakes it (W-152, W-194)
        if (request.root) request.root->step = RootStep::kQueued;
        if (request.leaf) request.leaf->step = LeafStep::kQueued;
        socket->queue.push_front(std::move(request));
        socket->set_backlog();
        return respond(Reply::of(abi::SocketReply{}));
    }
    if (request.root)
        decide_root(*socket, std::move(request), body, std::move(respond));
    else
        decide_leaf(*socket, std::move(request), body, std::move(respond));
}

/// The root's application admits a leaf: its descriptor is made now, the answer follows when the leaf is live.
void Sessions::decide_root(Socket& listener, Request request, const abi::AcceptDecideBody& body, Respond respond) {
    RootEdgeRef edge = request.root;
    OwnedFd fd;
    Result<Socket*> handle = new_socket(listener.app, Role::kHandle, listener, fd);
    if (!handle) {  // EMFILE: the request stays (W-201)
        edge->step = RootStep::kQueued;
        listener.queue.push_front(std::move(request));
        listener.set_backlog();
        return respond(Reply(handle.error().code));
    }
    Socket& made = **handle;
    made.edge = edge;
    made.local = edge->callee;
    made.qos = merged_qos(made.qos, body.qos);
    made.set_direction(mirrored(edge->direction));
    edge->handle = &made;
    edge->has_row = true;
    edge->row_root = edge->root;
    edge->number = edge->root->next_number++;
    const auto* first = reinterpret_cast<const std::byte*>(body.callee);
    edge->callee_data.assign(first, first + body.callee_bytes);
    edge->qos = with_senders_values(body.qos, listener.qos);
    auto held = std::make_shared<OwnedFd>(std::move(fd));
    edge->accept_reply = [held, respond = std::move(respond)](Reply reply) {
        if (reply.error == 0) reply.owned.push_back(std::move(*held));
        respond(std::move(reply));
    };
    append(edge);
}

/// An invited leaf's application agrees: the socket of the session is made, and the image.
void Sessions::decide_leaf(Socket& listener, Request request, const abi::AcceptDecideBody& body, Respond respond) {
    LeafEdgeRef edge = request.leaf;
    OwnedFd fd;
    Result<Socket*> made = new_socket(listener.app, Role::kLeaf, listener, fd);
    if (!made) {
        edge->step = LeafStep::kQueued;
        listener.queue.push_front(std::move(request));
        listener.set_backlog();
        return respond(Reply(made.error().code));
    }
    Socket& socket = **made;
    socket.flags = listener.flags;
    socket.local = edge->leaf;
    socket.peer = edge->root;
    socket.qos = merged_qos(socket.qos, body.qos);
    edge->socket = &socket;
    edge->slot = socket.slot;
    if (Result<void> prepared = prepare_leaf(*edge); !prepared) {
        reject(edge->peer, edge->join, prepared.error().code, prepared.error().what);
        release_leaf_edge(edge);
        listener.app.sockets.erase(socket.id());
        return respond(Reply(prepared.error().code));
    }
    socket.leaf = edge;
    socket.set_direction(edge->direction);
    socket.set_phase(abi::Phase::kJoining);
    edge->step = LeafStep::kAccepted;
    edge->deadline_ms = now_ms() + socket.options.join_timeout_ms;
    edge->listener = nullptr;
    proto::Envelope message;
    proto::InviteAccept& accept = *message.mutable_invite_accept();
    accept.set_join(edge->join);
    if (edge->image) {
        accept.set_label(edge->image->label);
        accept.set_window_cells(static_cast<uint32_t>(edge->image->image->spec().geometry.cells()));
    }
    if (edge->upstream && !edge->is_mesh()) {
        accept.set_upstream_feedback_label(edge->upstream_feedback->peek());
        to_proto(edge->upstream->geometry(), edge->socket_type, *accept.mutable_upstream());
    }
    to_proto(data_address(edge->peer, edge->leaf.ip), *accept.mutable_data_address());
    accept.set_callee_data(body.callee, body.callee_bytes);
    if (body.qos.is_present != 0) to_proto(body.qos, *accept.mutable_qos());
    send(edge->peer, std::move(message));
    Reply reply = Reply::of(
        abi::SocketReply{.socket = socket.id(), .leaf_number = 0, .roles = socket.flags, .direction = edge->direction});
    reply.owned.push_back(std::move(fd));
    // xy_accept returns when the root has made the leaf live: the socket is joined, or it has ended meanwhile.
    auto held = std::make_shared<Reply>(std::move(reply));
    edge->accept_reply = [held, respond = std::move(respond)] { respond(std::move(*held)); };
}

}  // namespace xylem::session
