// SPDX-License-Identifier: Apache-2.0
// A c_leaf asks to join: JoinRequest -> JoinOffer -> (image made) JoinReady -> JoinAccept. The image and its label
// exist before the root appends the replica, so nothing is lost from P0 on
// (docs/architecture.md, "Signalling").
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

/// JL_BOTH is 4; 1 + 2 means the same (W-251).
static uint32_t direction_of(uint32_t flags) {
    if (flags == (XY_SENDER_ONLY | XY_RECEIVER_ONLY)) return XY_BOTH;
    return flags == XY_SENDER_ONLY || flags == XY_RECEIVER_ONLY || flags == XY_BOTH ? flags : 0;
}

/// The checks of W-051, in its order, as far as they are the daemon's.
Reply Sessions::join(App& app, uint32_t id, const abi::JoinBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (stopped_) return Reply(ENETDOWN);
    const bool is_leaf = socket->role == Role::kLeaf;
    if (direction_of(body.flags) == 0 || (is_leaf && socket->is_listening)) return Reply(EINVAL);
    Result<Endpoint> name = endpoint_of(body.name, socket->family);
    if (!name) return Reply(name.error().code);
    if (body.caller_bytes > abi::kMaxConnectData) return Reply(EFAULT);
    if (name->ip.is_wildcard() || (name->port == 0 && !socket->group)) return Reply(EADDRNOTAVAIL);  // W-046
    if (socket->group && !name->ip.is_multicast()) return Reply(EADDRNOTAVAIL);
    if (socket->is_joining) return Reply(EALREADY);
    if (socket->role == Role::kHandle || (is_leaf && (socket->leaf || socket->has_ended))) return Reply(EISCONN);
    if (socket->group && socket->group->is_joined) return Reply(EISCONN);  // W-311
    if (socket->role == Role::kRoot && (socket->has_ended || socket->root->is_finishing)) return Reply(ESHUTDOWN);
    abi::JoinBody wish = body;
    wish.qos = qos_of_direction(body.qos, direction_of(body.flags));
    if (Result<void> valid = check_qos(wish.qos); !valid) return Reply(valid.error().code);
    if (socket->group) {
        if (wants_guarantees(wish.qos)) return Reply(EOPNOTSUPP);  // W-264, W-265
        return groups_.join(*socket, *name, scope_id_of(body.name), direction_of(body.flags));
    }
    return is_leaf ? ask(*socket, *name, wish) : invite(*socket, *name, wish);
}

Reply Sessions::join_result(App& app, uint32_t id) {
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (!socket->has_outcome) return Reply(EINPROGRESS);
    abi::JoinResultReply answer{};
    answer.outcome = socket->outcome;
    answer.callee_bytes = static_cast<uint32_t>(socket->callee_data.size());
    if (answer.callee_bytes != 0) std::memcpy(answer.callee, socket->callee_data.data(), answer.callee_bytes);
    return Reply::of(answer);
}

Reply Sessions::ask(Socket& socket, const Endpoint& name, const abi::JoinBody& body) {
    if (Result<void> bound = bind_for_join(socket, name.ip); !bound) return Reply(bound.error().code);
    socket.qos = merged_qos(socket.qos, body.qos);
    auto edge = std::make_shared<LeafEdge>();
    edge->socket = &socket;
    edge->slot = socket.slot;
    edge->join = random_id();
    edge->root = name;
    edge->leaf = *socket.local;
    edge->direction = direction_of(body.flags);
    edge->socket_type = socket.type;
    edge->protocol = socket.protocol;
    const auto* first = reinterpret_cast<const std::byte*>(body.caller);
    edge->caller_data.assign(first, first + body.caller_bytes);
    edge->qos = body.qos;
    edge->deadline_ms = now_ms() + socket.options.join_timeout_ms;
    socket.leaf = edge;
    socket.set_joining(true);
    socket.has_outcome = false;
    socket.set_phase(abi::Phase::kJoining);
    leaf_edges_[edge->key()] = edge;
    links_.dial(name.ip,
                [this, alive = std::weak_ptr<int>(alive_), weak = std::weak_ptr<LeafEdge>(edge)](Result<PeerId> peer) {
                    if (alive.expired()) return;
                    Scope scope(*this);
                    if (LeafEdgeRef dialed = weak.lock()) asked_peer(dialed, std::move(peer));
                });
    return Reply::of(
        abi::SocketReply{.socket = socket.id(), .leaf_number = 0, .roles = socket.flags, .direction = edge->direction});
}

/// Codes of the network as a join reports them (W-222).
static int join_code(int code) { return code == EHOSTUNREACH ? ENETUNREACH : code; }

void Sessions::asked_peer(const LeafEdgeRef& edge, Result<PeerId> peer) {
    if (edge->step != LeafStep::kDialing) return;
    if (!peer) return fail_ask(edge, join_code(peer.error().code));
    leaf_edges_.erase(edge->key());
    edge->peer = *peer;
    edge->step = LeafStep::kAsked;
    leaf_edges_[edge->key()] = edge;
    // An offer may name an image that is here already: it must not go away meanwhile.
    for (const auto& weak : images_) {
        HostImageRef image = weak.lock();
        if (image && image->peer == edge->peer && image->root == edge->root) edge->kept.push_back(image);
    }
    proto::Envelope message;
    proto::JoinRequest& request = *message.mutable_join_request();
    request.set_join(edge->join);
    to_proto(edge->root, *request.mutable_root());
    to_proto(edge->leaf, *request.mutable_leaf());
    request.set_protocol(static_cast<uint32_t>(edge->protocol));
    request.set_socket_type(static_cast<uint32_t>(edge->socket_type));
    request.set_direction(edge->direction);
    request.set_caller_data(data_to(edge->caller_data));
    if (edge->qos.is_present != 0) to_proto(edge->qos, *request.mutable_qos());
    request.set_max_cell_bytes(cell_bytes_for(
        abi::kMaxCellBytes, edge->peer == kSelf ? 0 : network_.mtu_to(edge->root.ip), edge->root.ip.is_v6()));
    send(edge->peer, std::move(message));
}

/// The common part of an offer and an invitation. False: it makes no sense.
bool Sessions::take_offer(LeafEdge& edge, const proto::StreamParameters& stream, uint64_t feedback_label,
                          uint64_t upstream_label, const proto::Address& data_address, uint32_t slow_leaf_ms) {
    const bool is_tree = !edge.is_mesh();  // a MESH has feeds instead
    const bool receives = is_tree && may_receive(edge.direction), sends = is_tree && may_send(edge.direction);
    if (!take_data_address(edge.peer, data_address, edge.root_data)) return false;
    const std::optional<engine::Geometry> geometry = geometry_of(stream);
    if (!geometry || stream.socket_type() != static_cast<uint32_t>(edge.socket_type)) return false;
    if (receives != (feedback_label != 0) || sends != (upstream_label != 0)) return false;
    edge.geometry = *geometry;
    edge.tag = feedback_label;
    edge.upstream_label = upstream_label;
    edge.slow_leaf_ms = std::clamp(slow_leaf_ms, 1U, 3'600'000U);
    return true;
}

void Sessions::on_offer(const LeafEdgeRef& edge, const proto::JoinOffer& offer) {
    if (!take_offer(*edge, offer.stream(), offer.feedback_label(), offer.upstream_label(), offer.data_address(),
                    offer.slow_leaf_ms()))
        return violate(edge, "malformed_offer");
    if (Result<void> prepared = prepare_leaf(*edge); !prepared) {
        cancel(edge->peer, edge->join, false);
        return fail_ask(edge, prepared.error().code);
    }
    edge->step = LeafStep::kReady;
    proto::Envelope message;
    proto::JoinReady& ready = *message.mutable_join_ready();
    ready.set_join(edge->join);
    if (edge->image) {
        ready.set_label(edge->image->label);
        ready.set_window_cells(static_cast<uint32_t>(edge->image->image->spec().geometry.cells()));
    }
    if (edge->upstream && !edge->is_mesh()) {
        ready.set_upstream_feedback_label(edge->upstream_feedback->peek());
        to_proto(edge->upstream->geometry(), edge->socket_type, *ready.mutable_upstream());
    }
    to_proto(data_address(edge->peer, edge->leaf.ip), *ready.mutable_data_address());
    send(edge->peer, std::move(message));
}

/// Makes what must exist before the root may send: image and reader, and our own stream.
Result<void> Sessions::prepare_leaf(LeafEdge& edge) {
    if (edge.is_mesh()) return mesh_.prepare_stream(edge);
    if (edge.tag != 0) {
        Result<HostImageRef> image = image_for(edge);
        edge.kept.clear();
        if (!image) return image.error();
        edge.image = *image;
        // A reader holds the image. While the root's application decides, it would hold others' data: so it waits for
        // JoinPrepare where there is data already.
        if (!edge.image->is_live || edge.is_invited) add_reader(edge);
    }
    edge.kept.clear();
    return edge.upstream_label != 0 ? prepare_upstream(edge) : Result<void>{};
}

void Sessions::add_reader(LeafEdge& edge) {
    if (edge.reader) return;
    edge.reader = std::make_shared<ReaderBox>(edge.image->image, edge.slot, engine::kNoSlot);
    leaf_readers_[edge.reader->get()] = edge.weak_from_this();
}

void Sessions::on_prepare(const LeafEdgeRef& edge) {
    if (!edge->image) return violate(edge, "malformed_prepare");
    add_reader(*edge);
    proto::Envelope message;
    message.mutable_join_prepared()->set_join(edge->join);
    send(edge->peer, std::move(message));
}

Result<HostImageRef> Sessions::image_for(LeafEdge& edge) {
    for (const auto& weak : images_) {
        HostImageRef image = weak.lock();
        if (image && image->peer == edge.peer && image->tag == edge.tag) return image;
    }
    const engine::Geometry geometry = image_geometry(edge.geometry);
    if (Result<void> allowed = check_account(edge.peer, geometry); !allowed) return allowed.error();
    auto image = std::make_shared<HostImage>();
    image->peer = edge.peer;
    image->tag = edge.tag;
    image->root = edge.root;
    engine::ImageSpec spec{.geometry = geometry};
    if (edge.socket_type != SOCK_DGRAM) spec.flags |= abi::kImageReliable;
    if (edge.socket_type == SOCK_STREAM) spec.flags |= abi::kImageStream;
    std::optional<LabelBox> label;
    if (edge.peer != kSelf) {
        label.emplace(door_);
        spec.label = label->peek();
        spec.feedback_label = edge.tag;
    }
    Result<ImageRef> made = ImageBox::add(door_, spec, account(edge.peer));
    if (!made) return made.error();
    image->image = *made;
    image->label = label ? label->take() : edge.tag;
    if (edge.peer != kSelf) {
        image->watch = std::make_unique<WatchBox>(
            network_, edge.root_data, [weak = std::weak_ptr<HostImage>(image), this](const engine::Path& path) {
                HostImageRef held = weak.lock();
                if (held) engine_.set_feedback(held->image->get(), held->tag, path);
            });
    }
    std::erase_if(images_, [](const std::weak_ptr<HostImage>& weak) { return weak.expired(); });
    images_.push_back(image);
    keep_image(image);
    return image;
}

/// Other joins that are under way may be offered the same image.
void Sessions::keep_image(const HostImageRef& image) {
    for (const auto& [key, other] : leaf_edges_) {
        const bool may_be_offered = other->step == LeafStep::kAsked && other->root == image->root;
        const bool is_offered =
            (other->step == LeafStep::kQueued || other->step == LeafStep::kTaken) && other->tag == image->tag;
        if (key.first == image->peer && (may_be_offered || is_offered)) other->kept.push_back(image);
    }
}

Result<void> Sessions::prepare_upstream(LeafEdge& edge) {
    const bool is_local = edge.peer == kSelf;
    const engine::Geometry geometry{
        cell_bytes_for(settings_.cell_bytes, is_local ? 0 : network_.mtu_to(edge.root_data.ip),
                       edge.root_data.ip.is_v6()),
        edge.socket ? edge.socket->options.log_cells_log2 : cells_log2_for(settings_.log_cells)};
    Result<StreamRef> stream = StreamBox::add(edge.slot, geometry, edge.socket_type != SOCK_DGRAM);
    if (!stream) return stream.error();
    edge.upstream = *stream;
    edge.upstream_feedback = std::make_unique<LabelBox>(door_);
    leaf_streams_[edge.upstream->get()] = edge.weak_from_this();
    if (is_local) return {};
    edge.upstream_watch = std::make_unique<WatchBox>(network_, edge.root_data,
                                                     [weak = edge.weak_from_this(), this](const engine::Path& path) {
                                                         LeafEdgeRef held = weak.lock();
                                                         if (!held) return;
                                                         held->upstream_path = path;
                                                         if (held->upstream_replica)
                                                             engine_.set_path(held->upstream_replica->get(), path);
                                                     });
    return {};
}

/// MESH: the member exists. TREE: a stream of our own has somewhere to go.
static bool is_prepared_to_start(const LeafEdge& edge, uint32_t upstream_window_cells) {
    if (edge.is_mesh()) return edge.member != nullptr;
    return !edge.upstream || upstream_window_cells != 0;
}

void Sessions::on_accept(const LeafEdgeRef& edge, const proto::JoinAccept& accept) {
    std::optional<Bytes> callee = data_from(accept.callee_data());
    if (!callee || !is_position_of(edge->geometry, accept.start())) return violate(edge, "malformed_accept");
    if (edge->image && !edge->reader) return violate(edge, "unprepared_accept");
    if (!is_prepared_to_start(*edge, accept.upstream_window_cells())) return violate(edge, "malformed_accept");
    edge->socket->callee_data = std::move(*callee);
    if (accept.has_qos()) edge->socket->qos = merged_qos(edge->socket->qos, from_proto(accept.qos()));
    start_leaf(edge, accept.leaf_number(), accept.start(), accept.upstream_window_cells());
}

void Sessions::on_live(const LeafEdgeRef& edge, const proto::Live& live) {
    if (!is_position_of(edge->geometry, live.start()) || !is_prepared_to_start(*edge, live.upstream_window_cells()))
        return violate(edge, "malformed_live");
    start_leaf(edge, live.leaf_number(), live.start(), live.upstream_window_cells());
}

/// Data come from now on: whoever waits for the root's application holds them no longer (JoinPrepare).
void Sessions::image_is_live(LeafEdge& first, engine::Position start) {
    first.image->is_live = true;
    engine_.go_live(first.image->image->get(), start);
    for (const auto& [key, other] : leaf_edges_)
        if (other->step == LeafStep::kReady && other->image == first.image) drop_reader(*other);
}

/// Admitted. What the root sent from P0 on is in the image, or on its way; our own stream gets its replica.
void Sessions::start_leaf(const LeafEdgeRef& edge, uint32_t number, engine::Position start, uint32_t window_cells) {
    edge->step = LeafStep::kStarting;
    edge->number = number;
    edge->start = start;
    if (edge->image) {
        if (!edge->image->is_live) image_is_live(*edge, start);
        engine_.reader_live(edge->reader->get(), start);
        edge->is_reader_live = true;
    }
    if (!edge->upstream || edge->is_mesh()) return leaf_is_live(edge);
    engine::ReplicaSpec spec{.window_cells = window_cells};
    ImageRef local;
    if (edge->peer == kSelf) {
        RootEdgeRef root = root_edge(kSelf, edge->join);
        if (!root || !root->upstream) return violate(edge, "no_upstream");
        local = root->upstream;
        spec.local_image = local->get();
    } else {
        spec.label = edge->upstream_label;
        spec.feedback_label = edge->upstream_feedback->take();
        spec.path = edge->upstream_path;
    }
    ReplicaBox::add(edge->upstream, spec, local,
                    [this, alive = std::weak_ptr<int>(alive_), weak = edge->weak_from_this()](ReplicaRef replica,
                                                                                              engine::Position) {
                        LeafEdgeRef held = alive.expired() ? nullptr : weak.lock();
                        if (!held || held->step != LeafStep::kStarting) return;
                        Scope scope(*this);
                        held->upstream_replica = std::move(replica);
                        if (held->peer != kSelf) engine_.set_path(held->upstream_replica->get(), held->upstream_path);
                        leaf_is_live(held);
                    });
}

void Sessions::leaf_is_live(const LeafEdgeRef& edge) {
    edge->step = LeafStep::kLive;
    edge->deadline_ms = 0;
    edge->progress = {};
    Socket* socket = edge->socket;
    if (socket != nullptr) {
        socket->peer = edge->root;
        socket->set_direction(edge->direction);
        if (edge->image) socket->set_live();
        socket->set_phase(abi::Phase::kJoined);
        socket->set_leaves(1);
        if (!edge->is_invited) socket->decide_join(0, std::move(socket->callee_data));
    }
    if (const auto answer = std::exchange(edge->accept_reply, nullptr)) answer();
    for (const proto::Envelope& message : std::exchange(edge->early, {})) {
        if (edge->step == LeafStep::kOver) return;
        to_leaf_edge(edge, message);
    }
}

/// The join did not come about: the socket is bound again, and may try again (W-117).
void Sessions::fail_ask(const LeafEdgeRef& edge, int code) {
    Socket* socket = edge->socket;
    release_leaf_edge(edge);
    if (socket == nullptr) return;
    socket->leaf = nullptr;
    socket->set_phase(abi::Phase::kBound);
    socket->decide_join(code == 0 ? ECONNREFUSED : code, {});
}

}  // namespace xylem::session
