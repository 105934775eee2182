// SPDX-License-Identifier: Apache-2.0
// A close that waits (SO_LINGER with a time, W-170, W-171). The application's thread sleeps on the socket's own
// descriptor; the socket stays its own until it closes it for good, gracefully when everything was confirmed,
// abortively when its time is over.
#include <algorithm>

#include "control/session/scope.h"

namespace xylem::session {

/// Everything that it sent was taken by every leaf (best effort: has gone out).
bool Sessions::is_delivered(const Root& root) const {
    if (!root.stream || !root.stream->is_mapped) return true;
    const engine::Position end = root.is_finishing ? root.final : engine_.committed(root.stream->get());
    if (root.is_mesh()) return engine_.counters(root.stream->get()).confirmed >= end;
    if (!root.is_reliable()) return engine_.counters(root.stream->get()).cursor >= end;
    return std::none_of(root.hosts.begin(), root.hosts.end(), [end](const auto& entry) {
        const HostRef host = entry.second.lock();
        return host && host->replica && host->replica->counters().consumed < end;
    });
}

/// The same of a leaf's own stream.
bool Sessions::is_delivered(const LeafEdge& edge) const {
    if (!edge.upstream || !edge.upstream->is_mapped) return true;
    if (!edge.upstream_replica && !edge.member) return true;
    const bool has_end = edge.upstream_final != abi::kNoPosition;
    const engine::Position end = has_end ? edge.upstream_final : engine_.committed(edge.upstream->get());
    const engine::StreamCounters counters = engine_.counters(edge.upstream->get());
    return (edge.socket_type == SOCK_DGRAM ? counters.cursor : counters.confirmed) >= end;
}

bool Sessions::is_delivered(const Socket& socket) const {
    if (socket.root) return is_delivered(*socket.root);
    if (socket.group) return groups_.has_sent_all(socket);
    return !socket.leaf || is_delivered(*socket.leaf);
}

void Sessions::begin_linger(Socket& socket) {
    if (!socket.is_lingering) {
        if (socket.root && !socket.root->is_finishing) shut_root(socket, {});
        if (socket.group) (void)groups_.shutdown(socket, SHUT_RDWR);
        if (is_joined(socket)) {
            shut_receive(socket);
            if (may_send(socket.leaf->direction)) shut_leaf(socket, false, {});
        }
        socket.is_lingering = true;
    }
    tell_delivery(&socket);
}

/// Null: it was closed.
void Sessions::tell_delivery(Socket* socket) {
    if (socket == nullptr || !socket->is_lingering ||
        socket->facts().has_delivered.load(std::memory_order_relaxed) != 0)
        return;
    if (is_delivered(*socket)) socket->set_delivered();
}

}  // namespace xylem::session
