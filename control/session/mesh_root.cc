// SPDX-License-Identifier: Apache-2.0
// MESH at the root's host: admission of members, and what happens when two of them lose sight of each other.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

namespace {

/// Two daemons that lose each other learn it at about the same time as the root that loses one of them: the heartbeats
/// tell within 3 s. So long the root waits for a simpler explanation.
constexpr uint64_t kBrokenPairMs = 5000;

/// From the system, not from the generator whose numbers peers see.
std::string random_secret() {
    std::random_device device;
    std::string secret;
    while (secret.size() < kFeedSecretBytes)
        secret.push_back(static_cast<char>(device()));
    return secret;
}

bool is_older(uint32_t one, uint32_t other) { return one == kRootNumber || (other != kRootNumber && one < other); }

}  // namespace

void Mesh::make_root_member(Root& root, const RootEdge& edge) {
    root.secret = random_secret();
    Socket& socket = *root.socket;
    Member::Spec spec;
    spec.name = {.session = root.session, .secret = root.secret, .from = 0, .to = 0};
    spec.number = kRootNumber;
    spec.direction = XY_BOTH;
    spec.address = edge.callee;
    spec.slot = root.slot;
    spec.stream = root.stream;
    spec.socket_type = root.socket_type;
    spec.slow_leaf_ms = socket.options.slow_leaf_ms;
    spec.root = socket.root;
    root.member = Member::make(home_, std::move(spec));
    if (socket.is_shut_receive) root.member->stop_receiving();
    root.member->set_loopback(socket.has_loopback, nullptr);
}

void Mesh::prepare(const RootEdgeRef& edge) {
    Root& root = *edge->root;
    if (root.is_finishing || root.socket == nullptr) {
        edge->step = RootStep::kPreparing;
        home_.send_close(*edge, 0, ECONNREFUSED, XY_END_CLOSED, {});
        return home_.end_root_edge(edge, ECONNREFUSED, XY_END_CLOSED);
    }
    if (!root.member) make_root_member(root, *edge);
    edge->step = RootStep::kPreparing;
    proto::Envelope message;
    message.mutable_join_prepare()->set_join(edge->join);
    proto::Membership& membership = *message.mutable_join_prepare()->mutable_membership();
    membership.set_session(root.session);
    membership.set_secret(root.secret);
    membership.set_number(edge->number);
    home_.send(edge->peer, std::move(message));
}

void Mesh::admit(const RootEdgeRef& edge) {
    Root& root = *edge->root;
    edge->step = RootStep::kAdding;
    edge->awaits_from = edge->awaits_to = {kRootNumber};
    for (const RootEdgeRef& other : root.edges) {
        if (!other->is_announced) continue;
        edge->awaits_from.insert(other->number);
        edge->awaits_to.insert(other->number);
        tell(*other, *edge);
        tell(*edge, *other);
    }
    edge->is_announced = true;
    proto::Envelope message;
    message.mutable_member_add()->set_join(edge->join);
    message.mutable_member_add()->set_number(kRootNumber);
    const bool is_deaf = root.socket != nullptr && root.socket->is_shut_receive;
    message.mutable_member_add()->set_direction(is_deaf ? XY_SENDER_ONLY : XY_BOTH);
    home_.send(edge->peer, std::move(message));
    root.member->add(edge->number, {.address = edge->leaf, .peer = edge->peer, .direction = edge->direction, .out = {}},
                     {});
}

void Mesh::refuse_pending(Root& root) {
    for (const RootEdgeRef& edge : std::vector(root.edges)) {
        if (edge->step != RootStep::kPreparing && edge->step != RootStep::kAdding) continue;
        home_.send_close(*edge, 0, ECONNREFUSED, XY_END_CLOSED, {});
        home_.end_root_edge(edge, ECONNREFUSED, XY_END_CLOSED);
    }
}

void Mesh::tell(const RootEdge& to, const RootEdge& about) {
    proto::Envelope message;
    proto::MemberAdd& add = *message.mutable_member_add();
    add.set_join(to.join);
    add.set_number(about.number);
    add.set_direction(about.direction);
    to_proto(about.leaf, *add.mutable_address());
    if (about.peer == kSelf && to.peer != kSelf)
        to_proto(home_.data_address(to.peer, {}), *add.mutable_daemon());
    else if (about.peer != to.peer)
        to_proto(about.upstream_address, *add.mutable_daemon());
    home_.send(to.peer, std::move(message));
}

RootEdgeRef Mesh::announced(Root& root, uint32_t number) const {
    for (const RootEdgeRef& edge : root.edges)
        if (edge->is_announced && edge->number == number) return edge;
    return nullptr;
}

void Mesh::ready(Root& root, uint32_t reporter, uint32_t about) {
    if (const RootEdgeRef edge = announced(root, reporter)) {
        edge->awaits_to.erase(about);
        live_if_ready(edge);
    }
    if (const RootEdgeRef edge = announced(root, about)) {
        edge->awaits_from.erase(reporter);
        live_if_ready(edge);
    }
}

void Mesh::live_if_ready(const RootEdgeRef& edge) {
    if (edge->step == RootStep::kAdding && edge->is_announced && edge->awaits_from.empty() && edge->awaits_to.empty())
        home_.edge_is_live(edge, 0);
}

void Mesh::gone(RootEdge& edge, int code) {
    if (!std::exchange(edge.is_announced, false)) return;
    const std::shared_ptr<Root> root = edge.root;
    std::vector<RootEdgeRef> others;
    for (const RootEdgeRef& other : root->edges)
        if (other->is_announced) others.push_back(other);
    for (const RootEdgeRef& other : others) {
        proto::Envelope message;
        message.mutable_member_remove()->set_join(other->join);
        message.mutable_member_remove()->set_number(edge.number);
        message.mutable_member_remove()->set_code(code);
        home_.send(other->peer, std::move(message));
    }
    if (root->member) root->member->remove(edge.number, code);
    for (const RootEdgeRef& other : others) {
        other->awaits_from.erase(edge.number);
        other->awaits_to.erase(edge.number);
        live_if_ready(other);
    }
}

void Mesh::has_read(Root& root, uint32_t number) {
    if (!root.member || !root.member->has_read(number)) return;
    for (const RootEdgeRef& edge : std::vector(root.edges)) {
        if (edge->number != number || !edge->ends_after_upstream) continue;
        if (edge->step == RootStep::kLeft) return home_.end_root_edge(edge, 0, edge->reason);
        if (edge->step < RootStep::kOver && edge->handle != nullptr) edge->handle->end(0);
    }
}

// ---- pairs without a way ----

void Mesh::broken(Root& root, uint32_t reporter, uint32_t about) {
    if (reporter == about) return;
    const bool by_older = is_older(reporter, about);
    const auto pair = by_older ? std::pair{reporter, about} : std::pair{about, reporter};
    BrokenPair& entry = root.broken[pair];
    if (entry.deadline_ms == 0) entry.deadline_ms = home_.now_ms() + kBrokenPairMs;
    // A leaf that accuses a younger one is believed once that one agrees; the root is believed at once.
    (by_older && reporter != kRootNumber ? entry.by_older : entry.by_younger) = true;
}

/// If both are still there, one of them has to go: the younger, but never on an older leaf's word alone (a member that
/// lies harms itself, invariant 4).
void Mesh::tick(Root& root, uint64_t now_ms) {
    std::vector<std::pair<RootEdgeRef, uint32_t>> leaving;
    std::erase_if(root.broken, [&](const auto& entry) {
        const auto [older, younger] = entry.first;
        const RootEdgeRef old_edge = announced(root, older), young_edge = announced(root, younger);
        if (!young_edge || (older != kRootNumber && !old_edge)) return true;
        if (now_ms < entry.second.deadline_ms) return false;
        leaving.emplace_back(entry.second.by_younger ? young_edge : old_edge, younger);
        return true;
    });
    for (const auto& [edge, younger] : leaving) {
        if (!edge->is_announced) continue;
        home_.count("member_pair_broken");
        home_.evict(edge, ECONNABORTED, XY_END_PEER_LOST, {}, false);
    }
}

}  // namespace xylem::session
