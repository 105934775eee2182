// SPDX-License-Identifier: Apache-2.0
// A blocking join that its thread gave up (xy_cancel, W-240 … W-244). Nothing of it is left: the request is withdrawn
// at the acceptor (W-122), and the socket may join again at once.
#include <cerrno>

#include "control/session/scope.h"

namespace xylem::session {

Reply Sessions::cancel_join(App& app, uint32_t id) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (!socket->is_joining) return Reply(EINVAL);  // it was decided first
    if (socket->invite) {
        const RootEdgeRef invite = socket->invite;
        if (invite->handle != nullptr) invite->handle->set_phase(abi::Phase::kEnded);
        cancel_invite(invite, false);
        return {};
    }
    if (!socket->leaf) return Reply(EINVAL);
    cancel_ask(*socket);
    return {};
}

/// Its own stream is empty: a socket that joins cannot send.
void Sessions::cancel_ask(Socket& socket) {
    const LeafEdgeRef edge = std::exchange(socket.leaf, nullptr);
    edge->socket = nullptr;
    if (edge->step < LeafStep::kStarting) {
        cancel_leaf(edge, false);
    } else {  // the root has just admitted it: it joined and left
        leave(edge, 0, XY_END_LEFT, {});
        release_leaf_edge(edge);
    }
    socket.callee_data.clear();
    socket.set_joining(false);
    socket.set_phase(abi::Phase::kBound);
}

}  // namespace xylem::session
