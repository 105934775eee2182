// SPDX-License-Identifier: Apache-2.0
// The commands that end something: shutdown, close, disconnect; and an application's death (W-160 … W-176, W-230 …
// W-235).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/session/scope.h"

namespace xylem::session {

bool is_joined(const Socket& socket) {
    return socket.leaf && socket.leaf->step >= LeafStep::kLive && socket.leaf->step < LeafStep::kLingering;
}

Reply Sessions::shutdown(App& app, uint32_t id, const abi::HowBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (body.how != SHUT_RD && body.how != SHUT_WR && body.how != SHUT_RDWR) return Reply(EINVAL);
    const bool ends_sending = body.how != SHUT_RD, ends_receiving = body.how != SHUT_WR;
    if (socket->group) return groups_.shutdown(*socket, body.how);
    if (socket->role == Role::kHandle)
        return Reply(socket->edge && socket->edge->step == RootStep::kLive ? EOPNOTSUPP : ENOTCONN);
    if (socket->role == Role::kRoot) {
        if (socket->root->edges.empty() && !socket->is_listening) return Reply(ENOTCONN);
        if (ends_receiving) socket->is_shut_receive = true;
        if (ends_receiving && socket->root->member) socket->root->member->stop_receiving();
        if (ends_sending) shut_root(*socket, {});
        return {};
    }
    if (!is_joined(*socket)) return Reply(ENOTCONN);
    const uint32_t direction = socket->leaf->direction;
    if ((body.how == SHUT_WR && !may_send(direction)) || (body.how == SHUT_RD && !may_receive(direction)))
        return Reply(EINVAL);  // W-254
    if (ends_receiving) shut_receive(*socket);
    if (ends_sending && may_send(direction)) shut_leaf(*socket, false, {});
    return {};
}

/// Nothing is held for an application that takes no more.
void Sessions::shut_receive(Socket& leaf) {
    if (leaf.is_shut_receive) return;
    leaf.is_shut_receive = true;
    drop_reader(*leaf.leaf);
    if (leaf.leaf->member) leaf.leaf->member->stop_receiving();
    leaf.leaf->is_mesh() ? mesh_.end_if_read(leaf.leaf) : confirm(leaf.leaf);
}

void Sessions::shut_root(Socket& socket, const Bytes& disconnect) {
    socket.is_shut_send = true;
    socket.root->disconnect_data = disconnect;
    close_queue(socket, ECONNREFUSED);
    if (const RootEdgeRef invite = socket.invite) {
        if (invite->handle != nullptr) invite->handle->set_phase(abi::Phase::kEnded);
        cancel_invite(invite, false);
        socket.decide_join(ESHUTDOWN, {});
    }
    finish_root(*socket.root);
}

void Sessions::shut_leaf(Socket& socket, bool is_disconnect, const Bytes& disconnect) {
    if (socket.is_shut_send && !is_disconnect) return;
    socket.is_shut_send = true;
    LeafEdge& edge = *socket.leaf;
    proto::Envelope message;
    proto::UpstreamClose& close = *message.mutable_upstream_close();
    close.set_join(edge.join);
    close.set_final(finish_own_stream(edge));
    close.set_is_disconnect(is_disconnect);
    close.set_disconnect_data(data_to(disconnect));
    send(edge.peer, std::move(message));
}

Reply Sessions::send_disconnect(App& app, uint32_t id, const abi::BlobBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (body.bytes > abi::kMaxConnectData) return Reply(EFAULT);
    if (socket->group) {  // without a connection there is nothing to end, and no data to end it with (W-232)
        return body.bytes != 0 ? Reply(ENOPROTOOPT) : groups_.shutdown(*socket, SHUT_WR);
    }
    const auto* first = reinterpret_cast<const std::byte*>(body.blob);
    const Bytes data(first, first + body.bytes);
    switch (socket->role) {
        case Role::kRoot:
            if (socket->root->edges.empty() && !socket->is_listening) return Reply(ENOTCONN);
            if (socket->root->is_finishing) return Reply(ESHUTDOWN);  // the end was told without these data
            shut_root(*socket, data);
            return {};
        case Role::kHandle:  // to that leaf only (W-235)
            if (!socket->edge || socket->edge->step != RootStep::kLive) return Reply(ENOTCONN);
            evict(socket->edge, 0, XY_END_EVICTED, data, true);
            return {};
        case Role::kLeaf:
            break;
    }
    if (!is_joined(*socket)) return Reply(ENOTCONN);
    if (std::exchange(socket->has_disconnected, true)) return Reply(ESHUTDOWN);
    shut_leaf(*socket, true, data);
    return {};
}

/// It also ends receiving (W-233), and so confirms the end of a session of which something was left unread.
Reply Sessions::recv_disconnect(App& app, uint32_t id) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (!socket->has_ended) return Reply(ENOTCONN);
    if (socket->leaf) shut_receive(*socket);
    abi::BlobBody body{};
    body.bytes = static_cast<uint32_t>(socket->disconnect_in.size());
    if (body.bytes != 0) std::memcpy(body.blob, socket->disconnect_in.data(), body.bytes);
    return Reply::of(body);
}

Reply Sessions::close(App& app, uint32_t id, const abi::CloseBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (body.how > static_cast<uint32_t>(abi::CloseHow::kLinger)) return Reply(EINVAL);
    const auto how = static_cast<abi::CloseHow>(body.how);
    if (how == abi::CloseHow::kAsk) return Reply(is_delivered(*socket) ? 0 : EAGAIN);
    if (how == abi::CloseHow::kLinger) return begin_linger(*socket), Reply{};
    const bool is_abortive = how == abi::CloseHow::kAbortive;
    if (socket->group) groups_.close(*socket, is_abortive);
    switch (socket->role) {
        case Role::kRoot:
            close_root_socket(*socket, is_abortive);
            break;
        case Role::kLeaf:
            close_leaf_socket(*socket, is_abortive, XY_END_LEFT);
            break;
        case Role::kHandle:
            close_handle(*socket, is_abortive);
            break;
    }
    forget(*socket);
    app.sockets.erase(id);
    return {};
}

/// Its application died with the socket open: whoever is at the other end gets ECONNRESET.
void Sessions::crash(Socket& socket) {
    if (socket.group) groups_.close(socket, true);
    switch (socket.role) {
        case Role::kRoot: {
            const std::shared_ptr<Root> root = socket.root;
            close_queue(socket, ECONNREFUSED);
            root->socket = nullptr;
            break_root(*root, ECONNRESET, XY_END_APP_DIED);
            free_root_if_over(*root);
            break;
        }
        case Role::kLeaf:
            close_leaf_socket(socket, true, XY_END_APP_DIED);
            break;
        case Role::kHandle:
            close_handle(socket, true);
            break;
    }
    forget(socket);
}

}  // namespace xylem::session
