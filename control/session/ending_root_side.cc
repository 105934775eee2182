// SPDX-License-Identifier: Apache-2.0
// How a session ends at the root's host (W-100, W-101, W-160 … W-176, W-235). Gracefully: Close carries the final
// position, each leaf answers Confirmed when its application has taken everything, and only then its handle gets
// FD_CLOSE. Else at once, with a code and a reason.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

void Sessions::send_close(RootEdge& edge, engine::Position final, int code, uint32_t reason, const Bytes& disconnect) {
    // A leaf that is not live yet knows no Close.
    if (edge.step < RootStep::kLive) {
        if (edge.is_invited) return cancel(edge.peer, edge.join, code != ETIMEDOUT);  // W-122
        return reject(edge.peer, edge.join, code == 0 ? ECONNREFUSED : code, "the root has closed");
    }
    proto::Envelope message;
    proto::Close& close = *message.mutable_close();
    close.set_join(edge.join);
    close.set_final(final);
    close.set_code(code);
    close.set_reason(reason);
    close.set_disconnect_data(data_to(disconnect));
    edge.has_close = true;
    send(edge.peer, std::move(message));
}

/// shutdown(SHUT_WR) or close: no more joins, and the stream has an end.
void Sessions::finish_root(Root& root) {
    if (root.is_finishing) return;
    root.is_finishing = true;
    root.linger = {};
    root.final = root.stream && root.stream->is_mapped ? engine_.committed(root.stream->get()) : 0;
    if (root.stream) engine_.finish_stream(root.stream->get(), root.final);
    if (root.member) root.member->finish(root.final);
    if (root.is_mesh()) mesh_.refuse_pending(root);
    const bool has_replicas =
        root.is_mesh() || std::any_of(root.hosts.begin(), root.hosts.end(), [](const auto& entry) {
            const HostRef host = entry.second.lock();
            return host && host->replica;
        });
    // Best effort: the end is told when everything went out, since nobody repairs what a Close overtook.
    root.is_sent = root.is_reliable() || !has_replicas || root.final == 0;
    close_live_edges(root);
}

void Sessions::close_live_edges(Root& root) {
    if (!root.is_sent) return;
    const std::vector<RootEdgeRef> edges = root.edges;
    for (const RootEdgeRef& edge : edges) {
        if (edge->step != RootStep::kLive) continue;
        send_close(*edge, root.final, 0, XY_END_CLOSED, root.disconnect_data);
        edge->step = RootStep::kClosing;
    }
}

/// The session breaks now, for every leaf.
void Sessions::break_root(Root& root, int code, uint32_t reason) {
    const std::vector<RootEdgeRef> edges = root.edges;
    for (const RootEdgeRef& edge : edges) {
        if (edge->step == RootStep::kOver) continue;
        if (edge->step <= RootStep::kTaken) {
            refuse({.id = 0, .root = edge, .leaf = nullptr}, ECONNREFUSED, "the root has closed");
        } else if (edge->step == RootStep::kDialing || edge->step == RootStep::kInvited) {
            cancel_invite(edge, reason == XY_END_APP_DIED);
        } else {
            send_close(*edge, 0, code, reason, {});
            end_root_edge(edge, code, reason);
        }
    }
}

/// The root sends one leaf away. `waits`: until it has confirmed what it was sent.
void Sessions::evict(const RootEdgeRef& edge, int code, uint32_t reason, const Bytes& disconnect, bool waits) {
    send_close(*edge, abi::kNoPosition, code, reason, disconnect);
    if (waits) {
        edge->step = RootStep::kClosing;
        snapshot(*edge);
        return drop_host(*edge);
    }
    end_root_edge(edge, code, reason);
}

/// The replica of the root's stream that goes to that leaf's host; null: none.
ReplicaRef Sessions::replica_of(const RootEdge& edge) {
    if (edge.root && edge.root->member) return edge.root->member->replica_to(edge.number);
    return edge.host ? edge.host->replica : nullptr;
}

/// Counters of a leaf's row, as of now.
void Sessions::snapshot(RootEdge& edge) const {
    const ReplicaRef replica = edge.step < RootStep::kLive || !edge.root ? nullptr : replica_of(edge);
    if (!replica || !edge.root->stream) return;
    const Root& root = *edge.root;
    const engine::ReplicaCounters counters = replica->counters();
    const engine::StreamCounters stream = engine_.counters(root.stream->get());
    edge.sent_bytes = counters.sent_bytes - edge.base_sent_bytes;
    edge.repaired_bytes = counters.repaired_bytes - edge.base_repaired_bytes;
    const engine::Position consumed = std::max(counters.consumed, edge.start);
    edge.lag_bytes = bytes_between(root.geometry, consumed, std::max(stream.committed, consumed));
    const uint64_t unconfirmed = bytes_between(root.geometry, consumed, std::max(stream.cursor, consumed));
    edge.confirmed_bytes = edge.sent_bytes > unconfirmed ? edge.sent_bytes - unconfirmed : 0;
}

void Sessions::drop_host(RootEdge& edge) {
    if (!edge.host) return;
    const HostRef host = std::move(edge.host);
    edge.host = nullptr;
    // The last edge lets go of the replica; the entry must not be found any more.
    if (host.use_count() == 1 && edge.root) edge.root->hosts.erase(host->peer);
}

void Sessions::drop_upstream(RootEdge& edge) {
    if (edge.upstream_reader) {
        root_readers_.erase(edge.upstream_reader->get());
        if (edge.upstream_final == abi::kNoPosition) engine_.set_final(edge.upstream->get(), abi::kNoPosition);
    }
    edge.upstream_watch.reset();
    edge.upstream_reader.reset();
    edge.upstream.reset();
    edge.upstream_label.reset();
    if (edge.inbox_slot != engine::kNoSlot && edge.root) edge.root->slots_used.reset(edge.inbox_slot);
    edge.inbox_slot = engine::kNoSlot;
}

/// Over: nothing of the engine is held any more. The row stays until its handle is closed.
void Sessions::release_root_edge(const RootEdgeRef& edge) {
    if (edge->step == RootStep::kOver) return;
    const std::shared_ptr<Root> root = edge->root;
    snapshot(*edge);
    mesh_.gone(*edge, edge->step >= RootStep::kLive && edge->end_error == 0 ? 0 : ECONNRESET);
    drop_upstream(*edge);
    drop_host(*edge);
    edge->step = RootStep::kOver;
    root_edges_.erase(edge->key());
    if (edge->state == XY_LEAF_LIVE) edge->state = XY_LEAF_ENDED;
    edge->root.reset();
    if (!edge->has_row) std::erase(root->edges, edge);
    if (root->socket != nullptr) return root->socket->set_leaves(root->n_live());
    free_root_if_over(*root);
}

/// Closed, and no leaf left: rows of handles that are still open need nothing of it.
void Sessions::free_root_if_over(Root& root) {
    const bool lingers = std::any_of(root.edges.begin(), root.edges.end(),
                                     [](const RootEdgeRef& edge) { return edge->step != RootStep::kOver; });
    if (root.socket != nullptr || lingers) return;
    if (const MemberRef member = std::exchange(root.member, nullptr)) member->release();
    if (root.stream) root_streams_.erase(root.stream->get());
    root.stream.reset();
    root.slot.reset();
}

void Sessions::end_root_edge(const RootEdgeRef& edge, int code, uint32_t reason) {
    if (edge->step == RootStep::kOver) return;
    const std::shared_ptr<Root> root = edge->root;
    snapshot(*edge);
    edge->state = XY_LEAF_ENDED;
    if (edge->reason == XY_END_NONE) {
        edge->reason = reason;
        edge->end_error = code;
    }
    Socket* handle = edge->handle;
    const bool was_pending = edge->step == RootStep::kAdding || edge->step == RootStep::kPreparing;
    release_root_edge(edge);
    if (was_pending && edge->is_invited && root->socket != nullptr && root->socket->invite == edge) {
        root->socket->invite = nullptr;
        root->socket->decide_join(code == 0 ? ECONNREFUSED : code, {});
    }
    Respond respond = std::exchange(edge->accept_reply, nullptr);
    if (respond) {  // xy_accept was waiting: its handle never came to be
        if (handle != nullptr) {
            edge->handle = nullptr;
            edge->has_row = false;
            std::erase(root->edges, edge);
            handle->app.sockets.erase(handle->id());
        }
        return respond(Reply(code == 0 ? EACCES : code));
    }
    if (handle != nullptr) {
        handle->set_leaves(0);
        handle->end(code);
    }
}

// ---- what leaves say ----

void Sessions::on_leave(const RootEdgeRef& edge, const proto::Leave& leave) {
    std::optional<Bytes> data = data_from(leave.disconnect_data());
    if (!data || leave.code() < 0 || (edge->upstream && !is_position_of(edge->upstream_geometry, leave.final())))
        return violate(edge, "malformed_leave");
    if (edge->step == RootStep::kAdding || edge->step == RootStep::kLeft)
        return end_root_edge(edge, leave.code(), leave.code() == 0 ? XY_END_LEFT : XY_END_APP_DIED);
    if (edge->handle != nullptr && !data->empty()) edge->handle->disconnect_in = std::move(*data);
    const uint32_t reason = leave.reason() <= XY_END_REFUSED && leave.reason() != XY_END_NONE ? leave.reason()
                            : leave.code() == 0                                               ? XY_END_LEFT
                                                                                              : XY_END_APP_DIED;
    const bool is_gone = edge->root->socket == nullptr;
    const bool is_member = edge->root->member != nullptr;
    if (leave.code() != 0 || (!edge->upstream && !is_member) || is_gone) {
        // Whatever of its own stream is still on its way has nobody to read it.
        if (is_gone && leave.code() == 0 && edge->upstream) send_close(*edge, 0, ECONNRESET, XY_END_CLOSED, {});
        return end_root_edge(edge, leave.code(), reason);
    }
    // It has left; what it sent before is still read, and FD_CLOSE comes after that (W-165).
    snapshot(*edge);
    edge->reason = edge->reason == XY_END_NONE ? reason : edge->reason;
    edge->state = XY_LEAF_ENDED;
    drop_host(*edge);
    edge->step = RootStep::kLeft;
    edge->root->socket->set_leaves(edge->root->n_live());
    edge->ends_after_upstream = true;
    if (!is_member) return finish_upstream(edge, leave.final());
    mesh_.gone(*edge, 0);
    mesh_.has_read(*edge->root, edge->number);
}

void Sessions::finish_upstream(const RootEdgeRef& edge, engine::Position final) {
    if (edge->upstream_final == abi::kNoPosition) {
        edge->upstream_final = final;
        engine_.set_final(edge->upstream->get(), final);
    }
    upstream_read(edge);
}

/// Ends the handle once the application has read all that the leaf sent.
void Sessions::upstream_read(const RootEdgeRef& edge) {
    if (!edge->upstream_reader || edge->upstream_final == abi::kNoPosition) return;
    if (edge->upstream_reader->consumed() < edge->upstream_final || !edge->ends_after_upstream) return;
    if (edge->step == RootStep::kLeft) return end_root_edge(edge, 0, edge->reason);
    if (edge->handle != nullptr) edge->handle->end(0);  // it disconnected, and goes on receiving
}

void Sessions::on_upstream_close(const RootEdgeRef& edge, const proto::UpstreamClose& close) {
    std::optional<Bytes> data = data_from(close.disconnect_data());
    if (!data || (edge->upstream && !is_position_of(edge->upstream_geometry, close.final())))
        return violate(edge, "malformed_upstream_close");
    if (close.is_disconnect()) {
        edge->ends_after_upstream = true;
        if (edge->handle != nullptr) edge->handle->disconnect_in = std::move(*data);
    }
    if (edge->upstream) return finish_upstream(edge, close.final());
    if (edge->root->member) return mesh_.has_read(*edge->root, edge->number);
    if (close.is_disconnect() && edge->handle != nullptr) edge->handle->end(0);
}

void Sessions::on_confirmed(const RootEdgeRef& edge, const proto::Confirmed&) {
    const std::shared_ptr<Root> root = edge->root;
    snapshot(*edge);
    if (replica_of(*edge)) edge->confirmed_bytes = edge->sent_bytes;
    edge->lag_bytes = 0;
    edge->state = XY_LEAF_ENDED;
    edge->reason = edge->reason == XY_END_NONE ? static_cast<uint32_t>(XY_END_CLOSED) : edge->reason;
    if (root->socket == nullptr) {  // nobody reads what it may still send
        if (edge->upstream) send_close(*edge, 0, ECONNRESET, XY_END_CLOSED, {});
        return end_root_edge(edge, 0, XY_END_CLOSED);
    }
    drop_host(*edge);
    edge->step = RootStep::kConfirmed;
    root->socket->set_leaves(root->n_live());
    if (edge->handle != nullptr) {
        edge->handle->set_leaves(0);
        edge->handle->end(0);
    }
    if (!edge->upstream) release_root_edge(edge);
}

// ---- what the application does ----

void Sessions::close_root_socket(Socket& socket, bool is_abortive) {
    const std::shared_ptr<Root> root = socket.root;
    close_queue(socket, ECONNREFUSED);
    if (socket.invite) {
        const RootEdgeRef invite = socket.invite;
        if (Socket* handle = invite->handle) handle->set_phase(abi::Phase::kEnded);
        cancel_invite(invite, is_abortive);
    }
    if (is_abortive) {
        root->socket = nullptr;
        break_root(*root, ECONNRESET, XY_END_CLOSED);
        return free_root_if_over(*root);
    }
    finish_root(*root);
    root->socket = nullptr;
    const std::vector<RootEdgeRef> edges = root->edges;
    for (const RootEdgeRef& edge : edges) {
        if (edge->step == RootStep::kConfirmed) {
            send_close(*edge, 0, ECONNRESET, XY_END_CLOSED, {});
            end_root_edge(edge, 0, XY_END_CLOSED);
        } else if (edge->step == RootStep::kLeft) {
            send_close(*edge, 0, ECONNRESET, XY_END_CLOSED, {});
            end_root_edge(edge, 0, edge->reason);
        }
    }
    if (root->member) root->member->stop_receiving();
    free_root_if_over(*root);
}

/// F: the leaf is sent away (W-101), a pending invitation is cancelled (W-119), a dead handle is freed.
void Sessions::close_handle(Socket& socket, bool is_abortive) {
    const RootEdgeRef edge = std::exchange(socket.edge, nullptr);
    if (!edge) return;
    edge->handle = nullptr;
    edge->has_row = false;
    if (edge->step == RootStep::kOver) {
        if (std::shared_ptr<Root> root = edge->row_root.lock()) std::erase(root->edges, edge);
        return;
    }
    if (edge->step < RootStep::kLive) return cancel_invite(edge, is_abortive);
    if (edge->step == RootStep::kLive) evict(edge, is_abortive ? ECONNRESET : 0, XY_END_EVICTED, {}, false);
    // kClosing, kConfirmed, kLeft: the session is ending anyway, and goes on to do so without a handle.
}

}  // namespace xylem::session
