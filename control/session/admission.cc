// SPDX-License-Identifier: Apache-2.0
// The last step of both kinds of join at the root's host: the worker appends the replica between two frames, and that
// position is P0. Further leaves on a host that has a replica only need the position of the next frame.
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

void Sessions::append(const RootEdgeRef& edge) {
    edge->step = RootStep::kAdding;
    edge->deadline_ms = now_ms() + settings_.join_timeout_ms;
    if (edge->root->is_mesh() && may_reach(*edge->root, edge->peer)) return mesh_.prepare(edge);
    Result<void> admitted;
    if (!may_reach(*edge->root, edge->peer)) admitted = Error{ENETUNREACH, "the root's scope is its own host"};
    if (admitted && !edge->root->is_mesh() && may_send(edge->direction)) admitted = prepare_reader(*edge);
    if (!admitted) {
        if (edge->is_invited) {
            cancel(edge->peer, edge->join, false);
            return fail_invite(edge, admitted.error().code);
        }
        reject(edge->peer, edge->join, admitted.error().code, admitted.error().what);
        return end_root_edge(edge, admitted.error().code, XY_END_REFUSED);
    }
    if (!edge->host) return edge_is_live(edge, 0);  // it only sends
    Host& host = *edge->host;
    if (host.is_adding)
        host.waiting.push_back(edge);
    else if (!host.replica)
        add_replica(edge);
    else if (edge->is_invited)
        take_position(edge);  // its reader holds the image since its application agreed
    else
        prepare_reader_there(edge);
}

void Sessions::prepare_reader_there(const RootEdgeRef& edge) {
    edge->step = RootStep::kPreparing;
    proto::Envelope message;
    message.mutable_join_prepare()->set_join(edge->join);
    send(edge->peer, std::move(message));
}

/// A further leaf of a host that has the stream: it starts at the next frame.
void Sessions::take_position(const RootEdgeRef& edge) {
    edge->step = RootStep::kAdding;
    if (!edge->host->replica) return end_root_edge(edge, ECONNABORTED, XY_END_PEER_LOST);
    engine_.next_position(edge->root->stream->get(), [this, alive = std::weak_ptr<int>(alive_),
                                                      weak = edge->weak_from_this()](engine::Position start) {
        RootEdgeRef held = alive.expired() ? nullptr : weak.lock();
        if (!held || held->step != RootStep::kAdding) return;
        Scope scope(*this);
        edge_is_live(held, start);
    });
}

void Sessions::add_replica(const RootEdgeRef& edge) {
    HostRef host = edge->host;
    host->is_adding = true;
    engine::ReplicaSpec spec{.label = host->label, .window_cells = host->window_cells};
    if (host->peer == kSelf) {
        for (const auto& weak : images_) {
            HostImageRef image = weak.lock();
            if (image && image->peer == kSelf && image->tag == host->tag) host->local_image = image->image;
        }
        spec.label = 0;
        if (!host->local_image) {
            host->is_adding = false;
            return violate(edge, "no_image");
        }
        spec.local_image = host->local_image->get();
    } else {
        spec.feedback_label = host->feedback->take();
        spec.path = host->path;
    }
    ReplicaBox::add(edge->root->stream, spec, host->local_image,
                    [this, alive = std::weak_ptr<int>(alive_), weak = std::weak_ptr<Host>(host),
                     first = edge->weak_from_this()](ReplicaRef replica, engine::Position p0) {
                        HostRef held = alive.expired() ? nullptr : weak.lock();
                        if (!held) return;
                        Scope scope(*this);
                        held->is_adding = false;
                        held->replica = std::move(replica);
                        if (held->peer != kSelf) engine_.set_path(held->replica->get(), held->path);
                        if (RootEdgeRef one = first.lock(); one && one->step == RootStep::kAdding)
                            edge_is_live(one, p0);
                        for (const auto& waiting : std::exchange(held->waiting, {})) {
                            RootEdgeRef one = waiting.lock();
                            if (!one || one->step != RootStep::kAdding) continue;
                            one->is_invited ? take_position(one) : prepare_reader_there(one);
                        }
                    });
    host->local_image.reset();  // the replica holds it
}

/// The image and the reader of what the leaf will send: in the inbox of the c_root.
Result<void> Sessions::prepare_reader(RootEdge& edge) {
    Root& root = *edge.root;
    const engine::Geometry geometry = image_geometry(edge.upstream_geometry);
    if (Result<void> allowed = check_account(edge.peer, geometry); !allowed) return allowed;
    if (Result<engine::InboxMemory> inbox = root.slot->inbox(); !inbox) return inbox.error();
    for (uint32_t tried = 0; tried < abi::kInboxSlots && root.slots_used.test(root.next_slot); ++tried)
        root.next_slot = (root.next_slot + 1) % abi::kInboxSlots;
    if (root.slots_used.test(root.next_slot)) return Error{ENOBUFS, "the root receives from too many leaves"};
    engine::ImageSpec spec{.geometry = geometry};
    if (root.is_reliable()) spec.flags |= abi::kImageReliable;
    if (root.socket_type == SOCK_STREAM) spec.flags |= abi::kImageStream;
    if (edge.peer != kSelf) {
        spec.label = edge.upstream_label->peek();
        spec.feedback_label = edge.upstream_feedback;
    }
    Result<ImageRef> image = ImageBox::add(door_, spec, account(edge.peer));
    if (!image) return image.error();
    edge.upstream = *image;
    if (edge.peer != kSelf) edge.upstream_label->take();
    edge.inbox_slot = root.next_slot;
    root.slots_used.set(root.next_slot);
    root.next_slot = (root.next_slot + 1) % abi::kInboxSlots;
    edge.upstream_reader = std::make_shared<ReaderBox>(edge.upstream, root.slot, edge.inbox_slot);
    root_readers_[edge.upstream_reader->get()] = edge.weak_from_this();
    engine_.go_live(edge.upstream->get(), 0);
    engine_.reader_live(edge.upstream_reader->get(), 0);
    if (edge.peer != kSelf) {
        edge.upstream_watch = std::make_unique<WatchBox>(
            network_, edge.upstream_address, [this, weak = edge.weak_from_this()](const engine::Path& path) {
                RootEdgeRef held = weak.lock();
                if (held && held->upstream) engine_.set_feedback(held->upstream->get(), held->upstream_feedback, path);
            });
    }
    return {};
}

/// From here on the leaf counts: everything that the root commits after this reaches it.
void Sessions::edge_is_live(const RootEdgeRef& edge, engine::Position start) {
    const std::shared_ptr<Root> root = edge->root;
    edge->step = RootStep::kLive;
    edge->state = XY_LEAF_LIVE;
    edge->start = start;
    edge->deadline_ms = 0;
    if (edge->host) {
        const engine::ReplicaCounters counters = edge->host->replica->counters();
        edge->base_sent_bytes = counters.sent_bytes;
        edge->base_repaired_bytes = counters.repaired_bytes;
    }
    const uint32_t window = edge->upstream ? static_cast<uint32_t>(edge->upstream->spec().geometry.cells()) : 0;
    if (edge->handle != nullptr) {
        edge->handle->peer = edge->leaf;
        edge->handle->set_phase(abi::Phase::kJoined);
        edge->handle->set_leaves(1);
    }
    if (root->socket != nullptr) root->socket->set_leaves(root->n_live());
    proto::Envelope message;
    if (edge->is_invited) {
        proto::Live& live = *message.mutable_live();
        live.set_join(edge->join);
        live.set_leaf_number(edge->number);
        live.set_start(start);
        live.set_upstream_window_cells(window);
    } else {
        proto::JoinAccept& accept = *message.mutable_join_accept();
        accept.set_join(edge->join);
        accept.set_leaf_number(edge->number);
        accept.set_start(start);
        accept.set_callee_data(data_to(edge->callee_data));
        if (edge->qos.is_present != 0) to_proto(edge->qos, *accept.mutable_qos());
        accept.set_upstream_window_cells(window);
    }
    send(edge->peer, std::move(message));
    if (edge->is_invited && root->socket != nullptr && root->socket->invite == edge) {
        root->socket->invite = nullptr;
        root->socket->decide_join(0, std::move(edge->callee_data));
    }
    if (Respond respond = std::exchange(edge->accept_reply, nullptr); respond && edge->handle != nullptr) {
        respond(Reply::of(abi::SocketReply{.socket = edge->handle->id(),
                                           .leaf_number = edge->number,
                                           .roles = edge->handle->flags,
                                           .direction = mirrored(edge->direction)}));
    }
    if (root->is_finishing) close_live_edges(*root);
}

}  // namespace xylem::session
