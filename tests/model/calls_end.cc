// SPDX-License-Identifier: Apache-2.0
// Shutdown, disconnect, close; whom it ends, and how (W-100, W-101, W-160 … W-176, W-230 … W-235, W-254).
#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/model/world.h"

namespace xylem::model {

void World::end_leaf(Edge& edge, std::set<int> codes) {
    edge.leaf_end = std::move(codes);
    if (edge.leaf != nullptr) edge.leaf->unsettled = Node::Unsettled::kEnd;
}

// SHUT_WR or close of a c_root: no more joins, every leaf reads on to the end.
void World::finish_root(Node& s, const std::string& data) {
    for (Edge* e : std::exchange(s.queue, {}))
        refuse(*e);
    if (s.pending != nullptr) {
        Edge& invited = *s.pending;
        withdraw(invited, EACCES);
        s.pending = nullptr;
    }
    if (std::exchange(s.is_finishing, true)) return;
    for (Edge* e : s.edges) {
        if (e->step != Edge::Step::kLive) continue;
        e->is_root_finished = true;
        e->to_leaf = data;
        if (e->leaf != nullptr && e->leaf_end.empty()) end_leaf(*e, {0});
    }
}

void World::shutdown(Node& s, const Op& op) {
    const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR, 3, -1};
    const int how = hows[op.r[0] % std::size(hows)];
    if (s.may_chat()) return;
    settle(s);
    std::set<int> allowed{0};
    const bool is_known = how >= SHUT_RD && how <= SHUT_RDWR;
    if (!is_known)
        allowed = {EINVAL};
    else if (s.is_handle() || (s.is_leaf() && !s.is_joined()))
        allowed = {ENOTCONN};
    else if (s.is_leaf() && ((how == SHUT_WR && !s.edge->leaf_sends()) || (how == SHUT_RD && !s.edge->leaf_receives())))
        allowed = s.has_ended() ? std::set<int>{EINVAL, ENOTCONN} : std::set<int>{EINVAL};  // W-254
    else if (s.is_leaf() && s.has_ended())
        allowed = {0, ENOTCONN};
    else if (s.is_root() && !s.is_listening && s.n_live() == 0)
        allowed = s.has_been_member ? std::set<int>{0, ENOTCONN} : std::set<int>{ENOTCONN};
    const Reply reply = ask(s, request_for(Call::kShutdown, s.fd, how));
    if (check(&s, "shutdown(" + std::to_string(how) + ")", reply, allowed) != 0) return;
    if (how != SHUT_WR) s.is_shut_read = true;
    if (how != SHUT_RD) s.is_shut_write = true;
    if (!s.is_root() || how == SHUT_RD) return;
    const bool was_inviting = s.pending != nullptr;
    finish_root(s, {});
    if (was_inviting) {  // the join is over, and so it is told
        s.is_connect_due = true;
        s.connect_codes = {ESHUTDOWN};
    }
}

void World::send_disconnect(Node& s, const Op& op) {
    if (s.may_chat()) return;
    const bool has_data = op.r[0] % 2 != 0;
    Request request = request_for(Call::kSendDisconnect, s.fd, has_data ? 1 : 0);
    if (has_data) request.data = content_of({op.uid, op.r[0] / 2 % 50});
    settle(s);
    std::set<int> allowed{0};
    if (s.is_handle() || (s.is_leaf() && !s.is_joined()))
        allowed = {ENOTCONN};
    else if (s.is_leaf() && s.has_ended())
        allowed = {0, ENOTCONN, ESHUTDOWN};
    else if (s.is_root() ? s.is_finishing : s.edge->has_leaf_disconnected)
        allowed = s.n_live() == 0 ? std::set<int>{ESHUTDOWN, ENOTCONN} : std::set<int>{ESHUTDOWN};  // it was said
    else if (s.is_root() && !s.is_listening && s.n_live() == 0)
        allowed = s.has_been_member ? std::set<int>{0, ENOTCONN} : std::set<int>{ENOTCONN};
    if (check(&s, "send_disconnect(" + std::to_string(request.data.size()) + ")", ask(s, request), allowed) != 0)
        return;
    s.is_shut_write = true;
    if (s.is_root()) {
        const bool was_inviting = s.pending != nullptr;
        finish_root(s, request.data);
        if (was_inviting) {
            s.is_connect_due = true;
            s.connect_codes = {ESHUTDOWN};
        }
    } else if (s.is_live()) {
        s.edge->has_leaf_disconnected = true;
        s.edge->to_root = request.data;
    }
}

// After the close was learned of (W-233).
void World::receive_disconnect(Node& s) {
    std::set<int> codes;
    const bool is_unread = !sources(s).empty();
    const Truth has_ended = s.is_handle()                  ? handle_has_ended(*s.edge, codes)
                            : s.is_leaf() && s.has_ended() ? (is_unread ? Truth::kMaybe : Truth::kYes)
                                                           : Truth::kNo;
    Request request = request_for(Call::kReceiveDisconnect, s.fd);
    std::set<int> allowed{ENOTCONN};
    if (has_ended == Truth::kMaybe) allowed = {0, ENOTCONN};
    if (has_ended == Truth::kYes) {
        allowed = {0};
        request.patience = Patience::kNap;
        request.passing[0] = ENOTCONN;
    }
    const Reply reply = ask(s, request);
    if (check(&s, "recv_disconnect()", reply, allowed) != 0) return;
    s.is_shut_read = true;
    const std::string& wanted = s.is_handle() ? s.edge->to_root : s.edge->to_leaf;
    const bool is_graceful = s.is_handle() || s.edge->leaf_end == std::set<int>{0};
    if (reply.data != wanted && (is_graceful || !reply.data.empty()))
        fail("the disconnect data are " + std::to_string(reply.data.size()) + " bytes, or others than were sent");
}

// ---- close ----

void World::close(Node& s) {
    settle(s);
    check(&s, "close()", ask(s, request_for(Call::kClose, s.fd)), {0});
    if (s.is_root())
        close_root(s);
    else if (s.is_handle())
        close_handle(s);
    else
        close_leaf(s);
    nodes_.erase(s.id);
}

void World::close_root(Node& s) {
    const bool is_abortive = s.linger_s == 0;
    if (s.pending != nullptr) {
        withdraw(*s.pending, is_abortive ? ECONNRESET : EACCES);
        s.pending = nullptr;
    }
    const bool was_finishing = s.is_finishing;
    if (!is_abortive) finish_root(s, {});
    for (Edge* e : std::exchange(s.queue, {}))
        refuse(*e);
    for (Edge* e : s.edges) {
        e->root = nullptr;
        e->up = {};
        if (!is_abortive || e->step == Edge::Step::kPending) continue;
        if (e->step == Edge::Step::kLive && e->leaf != nullptr) {
            // One that has read the end already keeps it.
            const bool may_know = was_finishing && (e->down.is_empty() || !e->leaf_receives() || e->leaf->is_shut_read);
            end_leaf(*e, may_know ? std::set<int>{0, ECONNRESET} : std::set<int>{ECONNRESET});
            e->down.may_be_lost = true;
        }
        std::set<int> codes;
        if (e->handle_end.empty() && (e->step == Edge::Step::kLive || e->has_leaf_left)) {
            const bool may_have_ended = was_finishing || e->has_leaf_left || e->has_leaf_disconnected;
            e->handle_end = may_have_ended ? std::set<int>{0, ECONNRESET} : std::set<int>{ECONNRESET};
        }
        e->step = Edge::Step::kOver;
    }
}

void World::close_leaf(Node& s) {
    const bool is_abortive = s.linger_s == 0;
    for (Edge* e : std::exchange(s.queue, {}))
        refuse(*e);
    if (s.pending != nullptr) {
        withdraw(*s.pending, is_abortive ? ECONNRESET : EACCES);
        s.pending->leaf = nullptr;
        s.pending->root = nullptr;
        return;
    }
    if (s.edge == nullptr) return;
    Edge& edge = *s.edge;
    edge.leaf = nullptr;
    edge.down = {};
    if (edge.step != Edge::Step::kLive) return;
    edge.step = Edge::Step::kOver;
    if (edge.root != nullptr) edge.root->unsettled = Node::Unsettled::kLeaves;
    if (!is_abortive) {
        edge.has_leaf_left = true;
        return;
    }
    edge.up.may_be_lost = true;
    const bool may_have_ended = edge.is_root_finished || edge.has_leaf_disconnected;
    edge.handle_end = may_have_ended ? std::set<int>{0, ECONNRESET} : std::set<int>{ECONNRESET};
}

// F: a pending invitation is cancelled without a word (W-120), a leaf is evicted (W-101).
void World::close_handle(Node& s) {
    Edge& edge = *s.edge;
    edge.handle = nullptr;
    const bool is_abortive = s.linger_s == 0;
    // The buffer for callee data is no longer the shim's, even when the join was decided and not told yet.
    if (edge.root != nullptr && edge.is_invited && edge.root->is_connect_due) edge.root->has_callee_room = false;
    if (edge.step == Edge::Step::kPending) {
        withdraw(edge, is_abortive ? ECONNRESET : EACCES);
        if (edge.root != nullptr) edge.root->pending = nullptr;
        return;
    }
    if (edge.step != Edge::Step::kLive || edge.is_root_finished) return;
    edge.step = Edge::Step::kOver;
    edge.up.may_be_lost = true;
    edge.down.may_be_lost = true;
    if (edge.root != nullptr) edge.root->unsettled = Node::Unsettled::kLeaves;
    end_leaf(edge, is_abortive ? std::set<int>{ECONNRESET} : std::set<int>{0, ECONNABORTED});
}

}  // namespace xylem::model
