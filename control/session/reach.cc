// SPDX-License-Identifier: Apache-2.0
// How far the frames of a rooted session go (XY_SIO_MULTICAST_SCOPE at its root, W-292, W-296): the hop limit of what
// the root sends. 0: this host alone. What leaves send is theirs.
#include <cerrno>
#include <cstring>

#include "control/session/scope.h"

namespace xylem::session {

constexpr uint8_t kDefaultHops = engine::Path{}.ttl;

bool Sessions::may_reach(const Root& root, PeerId peer) {
    const bool stays_here = root.socket != nullptr && root.socket->options.hops == 0;
    return peer == kSelf || !stays_here;
}

uint8_t Sessions::hops_of(const Root& root) {
    const int hops = root.socket != nullptr ? root.socket->options.hops : Options::kAnyHops;
    return hops == Options::kAnyHops ? kDefaultHops : static_cast<uint8_t>(hops);
}

Reply Sessions::set_reach(Socket& socket, int hops) {
    if (socket.role != Role::kRoot || hops < 0 || hops > 255) return Reply(EINVAL);
    Root& root = *socket.root;
    for (const RootEdgeRef& edge : root.edges) {
        const bool is_live = edge->step == RootStep::kPreparing || edge->step == RootStep::kAdding ||
                             edge->step == RootStep::kLive || edge->step == RootStep::kClosing;
        if (hops == 0 && is_live && edge->peer != kSelf) return Reply(EINVAL);
    }
    socket.options.hops = hops;
    for (const auto& [peer, held] : root.hosts) {
        const HostRef host = held.lock();
        if (!host || peer == kSelf) continue;
        host->hops = host->path.ttl = hops_of(root);
        if (host->replica) engine_.set_path(host->replica->get(), host->path);
    }
    return {};
}

}  // namespace xylem::session
