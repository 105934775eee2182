// SPDX-License-Identifier: Apache-2.0
// What happens because time goes by: joins that nobody answers, leaves that hold others back, closed sockets that still
// deliver, and the end of the daemon.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

std::vector<std::shared_ptr<Root>> Sessions::roots() const {
    std::vector<std::shared_ptr<Root>> all;
    auto add = [&](const std::shared_ptr<Root>& root) {
        if (root && std::find(all.begin(), all.end(), root) == all.end()) all.push_back(root);
    };
    for (const AppRef& app : apps_)
        for (const auto& [id, socket] : app->sockets)
            add(socket->root);
    for (const auto& [key, edge] : root_edges_)
        add(edge->root);
    return all;
}

void Sessions::tick() {
    Scope scope(*this);
    const uint64_t now = now_ms();
    std::vector<RootEdgeRef> late;
    for (const auto& [key, edge] : root_edges_)
        if (edge->step != RootStep::kQueued && edge->step != RootStep::kTaken && edge->deadline_ms != 0 &&
            now >= edge->deadline_ms)
            late.push_back(edge);
    for (const RootEdgeRef& edge : late)
        time_out(edge);
    std::vector<LeafEdgeRef> leaves;
    for (const auto& [key, edge] : leaf_edges_)
        leaves.push_back(edge);
    for (const LeafEdgeRef& edge : leaves)
        tick_leaf(edge, now);
    for (const std::shared_ptr<Root>& root : roots()) {
        mesh_.tick(*root, now);
        tick_root(root, now);
    }
    feeds_.tick(now);
    groups_.tick(now);
    for (const AppRef& app : apps_)
        for (const auto& [id, socket] : app->sockets)
            tell_delivery(socket.get());
    tick_stop(now);
}

/// Nobody answered in time (W-218).
void Sessions::time_out(const RootEdgeRef& edge) {
    if (edge->step == RootStep::kOffered) {
        reject(edge->peer, edge->join, ETIMEDOUT, "the leaf's host did not answer");
        return release_root_edge(edge);
    }
    if (edge->step != RootStep::kDialing) send_close(*edge, 0, ETIMEDOUT, XY_END_REFUSED, {});
    if (edge->step == RootStep::kPreparing || edge->step == RootStep::kAdding)
        end_root_edge(edge, ETIMEDOUT, XY_END_REFUSED);
    else
        fail_invite(edge, ETIMEDOUT);
}

/// A member that has closed: what it sent is still on its way to the others.
void Sessions::tick_lingering(const LeafEdgeRef& edge, uint64_t now_ms) {
    const bool is_stuck = edge->member->source() && edge->progress.stuck_ms(feeds_.progress(*edge->member->source()),
                                                                            true, now_ms) >= settings_.linger_ms;
    if (edge->member->is_delivered() || is_stuck) release_leaf_edge(edge);
}

void Sessions::tick_leaf(const LeafEdgeRef& edge, uint64_t now_ms) {
    switch (edge->step) {
        case LeafStep::kDialing:
        case LeafStep::kAsked:
        case LeafStep::kReady:
            if (edge->deadline_ms == 0 || now_ms < edge->deadline_ms) return;
            if (edge->step != LeafStep::kDialing) cancel(edge->peer, edge->join, false);
            return fail_ask(edge, ETIMEDOUT);
        case LeafStep::kAccepted:
            if (now_ms < edge->deadline_ms) return;
            cancel(edge->peer, edge->join, false);
            return end_leaf_edge(edge, ETIMEDOUT);
        case LeafStep::kLingering: {
            if (edge->member) return tick_lingering(edge, now_ms);
            const engine::Position final = edge->upstream_final;
            const engine::ReplicaCounters counters = edge->upstream_replica->counters();
            const bool is_best_effort = edge->socket_type == SOCK_DGRAM;
            const engine::StreamCounters stream = engine_.counters(edge->upstream->get());
            if (counters.received >= final || stream.confirmed >= final || (is_best_effort && stream.cursor >= final))
                return release_leaf_edge(edge);
            if (edge->progress.stuck_ms(counters.received, true, now_ms) < settings_.linger_ms) return;
            leave(edge, ECONNABORTED, XY_END_LEFT, {});
            return release_leaf_edge(edge);
        }
        case LeafStep::kLive:
        case LeafStep::kClosing:
            break;
        default:
            return;
    }
    if (!edge->reader || !edge->is_reader_live) return;
    const engine::Position consumed = edge->reader->consumed();
    if (edge->step == LeafStep::kClosing && consumed >= edge->end_of_reading()) return confirm(edge);
    if (edge->socket_type == SOCK_DGRAM) return;
    const engine::Geometry& geometry = edge->image->image->spec().geometry;
    const engine::Position published = engine_.published(edge->image->image->get());
    const bool holds_back = abi::cell_of(published) - abi::cell_of(consumed) >= geometry.cells() / 4 * 3;
    if (edge->progress.stuck_ms(consumed, holds_back, now_ms) <= edge->slow_leaf_ms) return;
    leave(edge, ECONNABORTED, XY_END_SLOW, {});
    end_leaf_edge(edge, ECONNABORTED);
}

void Sessions::tick_root(const std::shared_ptr<Root>& root, uint64_t now_ms) {
    if (!root->stream) return;
    if (root->is_finishing && !root->is_sent && engine_.counters(root->stream->get()).cursor >= root->final) {
        root->is_sent = true;
        close_live_edges(*root);
    }
    std::vector<HostRef> hosts;
    for (const auto& [peer, weak] : root->hosts)
        if (HostRef host = weak.lock()) hosts.push_back(host);
    for (HostRef& host : hosts) {
        tick_host(*root, std::move(host), now_ms);
        if (!root->stream) return;
    }
    if (root->socket == nullptr && root->is_finishing) tick_closed_root(root, now_ms);
}

/// A closed root whose leaves take nothing any more is given up (W-164): its log and its application's memory go. What
/// lies in the image of a leaf's host is the leaf's, which reads on to the end without us.
void Sessions::tick_closed_root(const std::shared_ptr<Root>& root, uint64_t now_ms) {
    uint64_t mark = engine_.counters(root->stream->get()).cursor;
    for (const auto& [peer, weak] : root->hosts) {
        const HostRef host = weak.lock();
        if (!host || !host->replica) continue;
        const engine::ReplicaCounters counters = host->replica->counters();
        mark += counters.received + counters.consumed;
    }
    const bool has_all_members = root->member && root->member->is_delivered();
    if (root->member) mark += feeds_.progress(*root->member->source());
    std::vector<RootEdgeRef> left;
    for (const RootEdgeRef& edge : root->edges)
        if (edge->step != RootStep::kOver) left.push_back(edge);
    if (root->linger.stuck_ms(mark + left.size(), true, now_ms) < settings_.linger_ms) return;
    for (const RootEdgeRef& edge : left) {
        const bool is_delivered = root->is_mesh() ? has_all_members : !edge->host;
        const bool has_all = edge->step == RootStep::kClosing && (is_delivered || !root->is_reliable());
        if (!has_all) send_close(*edge, 0, ECONNABORTED, XY_END_SLOW, {});
        end_root_edge(edge, has_all ? 0 : ECONNABORTED, has_all ? XY_END_CLOSED : XY_END_SLOW);
    }
}

/// The fallback behind the leaf's own host (docs/architecture.md, "Reliability"): a replica that makes no progress for
/// twice the slow-leaf time. And a closed root's replica goes as soon as everything lies in the image over there.
void Sessions::tick_host(Root& root, HostRef host, uint64_t now_ms) {
    if (!host->replica || !root.is_reliable()) return;
    const engine::ReplicaCounters counters = host->replica->counters();
    const engine::StreamCounters stream = engine_.counters(root.stream->get());
    std::vector<RootEdgeRef> members;
    for (const RootEdgeRef& edge : root.edges)
        if (edge->host == host) members.push_back(edge);
    if (root.is_finishing && root.socket == nullptr && counters.received >= root.final) {
        const bool all_closing = std::all_of(members.begin(), members.end(),
                                             [](const RootEdgeRef& edge) { return edge->step == RootStep::kClosing; });
        if (!all_closing) return;
        host.reset();
        for (const RootEdgeRef& edge : members) {
            snapshot(*edge);
            drop_host(*edge);
        }
        return;
    }
    // Due: frames that it did not get, or what it does not take while everybody waits for just that. A host that has
    // all there is waits for others, and is not to blame.
    const bool holds_all = stream.committed > stream.cursor && counters.consumed <= stream.confirmed;
    const bool is_due = counters.received < stream.cursor || (holds_all && counters.consumed < stream.cursor);
    const uint64_t mark = counters.received + counters.consumed;
    if (host->progress.stuck_ms(mark, is_due, now_ms) <= 2ULL * root.slow_leaf_ms) return;
    host.reset();
    for (const RootEdgeRef& edge : members) {
        if (edge->step < RootStep::kLive) continue;
        send_close(*edge, 0, ECONNABORTED, XY_END_SLOW, {});
        end_root_edge(edge, ECONNABORTED, XY_END_SLOW);
    }
}

// ---- the end of the daemon ----

void Sessions::stop(std::function<void()> done) {
    Scope scope(*this);
    stopped_ = std::move(done);
    stop_at_ms_ = now_ms() + settings_.stop_ms;
    give_up_at_ms_ = 0;
    for (const AppRef& app : apps_) {
        for (auto& [id, socket] : app->sockets) {
            if (socket->role == Role::kRoot) {
                shut_root(*socket, {});
            } else if (socket->role == Role::kLeaf) {
                close_queue(*socket, ECONNREFUSED);
                const LeafEdgeRef edge = socket->leaf;
                if (!edge || edge->peer == kSelf) continue;
                if (edge->step < LeafStep::kStarting) {
                    cancel(edge->peer, edge->join, true);
                    fail_ask(edge, ENETDOWN);
                } else if (edge->step < LeafStep::kLingering) {
                    leave(edge, ECONNABORTED, XY_END_PEER_LOST, {});
                    end_leaf_edge(edge, ENETDOWN);
                }
            }
        }
    }
}

void Sessions::abort_everything() {
    groups_.abort();
    for (const std::shared_ptr<Root>& root : roots()) {
        root->socket = nullptr;
        break_root(*root, ECONNABORTED, XY_END_PEER_LOST);
        free_root_if_over(*root);
    }
    std::vector<LeafEdgeRef> leaves;
    for (const auto& [key, edge] : leaf_edges_)
        leaves.push_back(edge);
    for (const LeafEdgeRef& edge : leaves) {
        if (edge->step >= LeafStep::kStarting && edge->peer != kSelf) leave(edge, ECONNABORTED, XY_END_PEER_LOST, {});
        end_leaf_edge(edge, ENETDOWN);
    }
    for (const AppRef& app : apps_) {
        for (auto& [id, socket] : app->sockets) {
            if (socket->group) groups_.close(*socket, true);
            socket->end(ENETDOWN);
            forget(*socket);
        }
        app->sockets.clear();
        app->memory.reset();
    }
    apps_.clear();
}

void Sessions::tick_stop(uint64_t now_ms) {
    if (!stopped_ || has_stopped_) return;
    if (give_up_at_ms_ == 0) {
        const bool delivers = std::any_of(root_edges_.begin(), root_edges_.end(), [](const auto& entry) {
            return entry.second->step >= RootStep::kPreparing && entry.second->step <= RootStep::kClosing;
        });
        if (now_ms < stop_at_ms_ && (delivers || groups_.is_lingering())) return;
        abort_everything();
        give_up_at_ms_ = now_ms + settings_.stop_ms;
        return;
    }
    if (door_->n_objects != 0 && now_ms < give_up_at_ms_) return;
    has_stopped_ = true;
    stopped_();
}

}  // namespace xylem::session
