// SPDX-License-Identifier: Apache-2.0
// How a leaf's membership ends at the leaf's host: the root's Close, the application's close, or a break. A leaf that
// closes is gone at once for the root (Leave); its own stream lingers until the root's host has all of it.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

void Sessions::on_close(const LeafEdgeRef& edge, const proto::Close& close) {
    std::optional<Bytes> data = data_from(close.disconnect_data());
    const bool has_final = close.final() != abi::kNoPosition;
    const bool is_sane = close.code() != 0 || !edge->image || !has_final ||
                         (is_position_of(edge->geometry, close.final()) && close.final() >= edge->start);
    if (!data || close.code() < 0 || !is_sane) return violate(edge, "malformed_close");
    if (edge->socket != nullptr && !data->empty()) edge->socket->disconnect_in = std::move(*data);
    if (edge->step == LeafStep::kLingering) {
        if (edge->is_mesh()) return;                     // the others still read it
        if (close.code() != 0) release_leaf_edge(edge);  // nobody is left to read it
        return;
    }
    if (edge->step == LeafStep::kConfirmed) {
        if (close.code() == 0 || edge->is_mesh()) return;
        if (edge->socket != nullptr) edge->socket->set_leaves(0);
        return drop_leaf_upstream(*edge);
    }
    if (close.code() != 0) return end_leaf_edge(edge, close.code());
    if (edge->step != LeafStep::kLive) return;
    if (edge->is_mesh()) return mesh_.on_close(edge, has_final);
    edge->step = LeafStep::kClosing;
    edge->progress = {};
    if (!edge->reader) {
        edge->socket->end(0);
        return confirm(edge);
    }
    if (!has_final) {  // sent away alone
        edge->read_end = engine_.published(edge->image->image->get());
        edge->socket->set_read_end(edge->read_end);
    }
    const bool others_read_on = !has_final && edge->image.use_count() > 1;
    if (edge->image->final == abi::kNoPosition && !others_read_on) {
        edge->image->final = std::min(edge->read_end, close.final());
        engine_.set_final(edge->image->image->get(), close.final());
    }
    edge->socket->end(0);
    if (edge->reader->consumed() >= edge->end_of_reading()) confirm(edge);
}

/// The application has taken everything, or takes nothing.
void Sessions::confirm(const LeafEdgeRef& edge) {
    if (edge->step != LeafStep::kClosing) return;
    edge->step = LeafStep::kConfirmed;
    proto::Envelope message;
    message.mutable_confirmed()->set_join(edge->join);
    message.mutable_confirmed()->set_consumed(edge->reader ? edge->reader->consumed() : edge->start);
    send(edge->peer, std::move(message));
    if (edge->read_end == abi::kNoPosition) return;
    // The image goes on without it.
    drop_reader(*edge);
    edge->image.reset();
}

void Sessions::leave(const LeafEdgeRef& edge, int code, uint32_t reason, const Bytes& disconnect) {
    proto::Envelope message;
    proto::Leave& leave = *message.mutable_leave();
    leave.set_join(edge->join);
    leave.set_consumed(edge->reader ? edge->reader->consumed() : edge->start);
    leave.set_code(code);
    leave.set_reason(reason);
    leave.set_final(edge->upstream_final == abi::kNoPosition ? 0 : edge->upstream_final);
    leave.set_disconnect_data(data_to(disconnect));
    send(edge->peer, std::move(message));
}

void Sessions::cancel_leaf(const LeafEdgeRef& edge, bool is_reset) {
    if (edge->step != LeafStep::kDialing) cancel(edge->peer, edge->join, is_reset);
    release_leaf_edge(edge);
}

void Sessions::drop_reader(LeafEdge& edge) {
    if (edge.reader) leaf_readers_.erase(edge.reader->get());
    edge.reader.reset();
    edge.is_reader_live = false;
}

void Sessions::drop_leaf_upstream(LeafEdge& edge) {
    if (edge.upstream) leaf_streams_.erase(edge.upstream->get());
    edge.upstream_watch.reset();
    edge.upstream_replica.reset();
    edge.upstream_feedback.reset();
    edge.upstream.reset();
}

void Sessions::release_leaf_edge(const LeafEdgeRef& edge) {
    if (edge->step == LeafStep::kOver) return;
    edge->step = LeafStep::kOver;
    if (const MemberRef member = std::exchange(edge->member, nullptr)) member->release();
    drop_reader(*edge);
    drop_leaf_upstream(*edge);
    edge->image.reset();
    edge->kept.clear();
    edge->early.clear();
    edge->slot.reset();
    leaf_edges_.erase(edge->key());
}

/// The socket is broken from now on.
void Sessions::end_leaf_edge(const LeafEdgeRef& edge, int code) {
    Socket* socket = edge->socket;
    const bool was_reading = edge->step == LeafStep::kClosing;
    release_leaf_edge(edge);
    if (socket == nullptr) return;
    socket->set_leaves(0);
    socket->end(code, was_reading);
    if (const auto answer = std::exchange(edge->accept_reply, nullptr)) answer();
}

/// Where our own stream ends; nothing is pulled beyond.
engine::Position Sessions::finish_own_stream(LeafEdge& edge) {
    if (edge.upstream_final != abi::kNoPosition) return edge.upstream_final;
    edge.upstream_final = 0;
    if (edge.upstream && edge.upstream->is_mapped) {
        edge.upstream_final = engine_.committed(edge.upstream->get());
        engine_.finish_stream(edge.upstream->get(), edge.upstream_final);
    }
    if (edge.member) edge.member->finish(edge.upstream_final);
    return edge.upstream_final;
}

void Sessions::close_leaf_socket(Socket& socket, bool is_abortive, uint32_t reason) {
    close_queue(socket, ECONNREFUSED);
    const LeafEdgeRef edge = std::exchange(socket.leaf, nullptr);
    if (!edge || edge->step == LeafStep::kOver) return;
    edge->socket = nullptr;
    if (edge->step < LeafStep::kStarting) return cancel_leaf(edge, is_abortive);
    if (is_abortive) {
        leave(edge, ECONNRESET, reason, {});
        return release_leaf_edge(edge);
    }
    // It may close as soon as it has read the end, before the engine has told us so.
    if (edge->reader && edge->reader->consumed() >= edge->end_of_reading()) confirm(edge);
    const engine::Position final = finish_own_stream(*edge);
    leave(edge, 0, XY_END_LEFT, {});
    drop_reader(*edge);
    edge->image.reset();
    if (edge->member) edge->member->stop_receiving();
    const bool is_delivered = edge->member ? edge->member->is_delivered()
                                           : !edge->upstream || !edge->upstream_replica || final == 0 ||
                                                 engine_.counters(edge->upstream->get()).confirmed >= final;
    if (is_delivered) return release_leaf_edge(edge);
    edge->step = LeafStep::kLingering;
    edge->progress = {};
}

}  // namespace xylem::session
