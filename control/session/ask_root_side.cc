// SPDX-License-Identifier: Apache-2.0
// A leaf asks a c_root: JoinRequest -> JoinOffer -> JoinReady -> backlog. And what invitations share with it: the
// session's geometry, the entry per host, labels.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

/// What our frames carry of a cell on the way to an address; unset: as much as there is.
uint32_t Sessions::frame_bytes_toward(const IpAddress& toward, uint32_t cell_bytes) const {
    const unsigned mtu = toward.is_set() && !network_.is_ours(toward) ? network_.mtu_to(toward) : 0;
    return cell_bytes_for(cell_bytes, mtu, toward.is_v6());
}

/// The stream is made at the first offer, invitation or send, and is what it is from then on. Only our own settings and
/// our own way to the first leaf count: no peer makes the cells of the others (invariant 4).
Result<void> Sessions::fix_geometry(Root& root, const IpAddress& toward) {
    if (root.is_geometry_fixed) return {};
    const engine::Geometry geometry{frame_bytes_toward(toward, settings_.cell_bytes),
                                    root.socket->options.log_cells_log2};
    if (!geometry.is_valid()) return Error{EMSGSIZE, "the path allows no useful cell"};
    Result<StreamRef> stream = StreamBox::add(root.slot, geometry, root.is_reliable());
    if (!stream) return stream.error();
    root.stream = *stream;
    root.geometry = geometry;
    root.is_geometry_fixed = true;
    std::erase_if(root_streams_, [](const auto& entry) { return entry.second.expired(); });
    root_streams_[root.stream->get()] = root.socket->root;
    return {};
}

Socket* Sessions::listener_at(const Endpoint& endpoint, Role role) const {
    for (Socket* socket : bindings_.holders(endpoint))
        if (socket->role == role && socket->is_listening) return socket;
    return nullptr;
}

/// Requests that are on their way into the backlog count as well: nobody is offered what there is no room for.
bool Sessions::has_room(const Socket& listener) const {
    size_t n_pending = std::count_if(listener.queue.begin(), listener.queue.end(), [](const Request& request) {
        return request.root ? !request.root->is_withdrawn : !request.leaf->is_withdrawn;
    });
    if (listener.root) {
        n_pending += static_cast<size_t>(
            std::count_if(listener.root->edges.begin(), listener.root->edges.end(),
                          [](const RootEdgeRef& edge) { return edge->step == RootStep::kOffered; }));
    }
    return n_pending < listener.backlog_limit;
}

void Sessions::on_request(PeerId peer, const proto::JoinRequest& request) {
    if (RootEdgeRef known = root_edge(peer, request.join())) return violate(known, "join_id_twice");
    const std::optional<Endpoint> wanted = from_proto(request.root()), leaf = from_proto(request.leaf());
    const uint32_t direction = request.direction();
    const bool is_direction = direction == XY_SENDER_ONLY || direction == XY_RECEIVER_ONLY || direction == XY_BOTH;
    if (!wanted || !leaf || !is_direction || request.caller_data().size() > abi::kMaxConnectData) {
        count("malformed_request");
        return reject(peer, request.join(), EINVAL, "the request is malformed");
    }
    Socket* listener = stopped_ ? nullptr : listener_at(*wanted, Role::kRoot);
    if (listener == nullptr || listener->root->is_finishing)
        return reject(peer, request.join(), ECONNREFUSED, "no c_root listens there");
    if (request.protocol() != static_cast<uint32_t>(listener->protocol) ||
        request.socket_type() != static_cast<uint32_t>(listener->type))
        return reject(peer, request.join(), ECONNREFUSED, "the root's socket is of another type");
    if (!may_reach(*listener->root, peer))
        return reject(peer, request.join(), ENETUNREACH, "the root's scope is its own host");
    if (!has_room(*listener)) return reject(peer, request.join(), ECONNREFUSED, "the backlog is full");
    auto edge = std::make_shared<RootEdge>();
    edge->peer = peer;
    edge->join = request.join();
    edge->root = listener->root;
    edge->direction = direction;
    edge->leaf = *leaf;
    edge->callee = *wanted;
    edge->caller_data = *data_from(request.caller_data());
    if (request.has_qos()) edge->qos = from_proto(request.qos());
    offer(edge, *listener, request);
}

void Sessions::offer(const RootEdgeRef& edge, Socket& listener, const proto::JoinRequest& request) {
    Root& root = *edge->root;
    // The way to an address that is not the peer's says nothing.
    const bool is_its_own = edge->peer != kSelf && links_.may_receive_at(edge->peer, edge->leaf.ip);
    const IpAddress toward = is_its_own ? edge->leaf.ip : IpAddress{};
    Result<void> fixed = fix_geometry(root, toward);
    if (!fixed) return reject(edge->peer, edge->join, fixed.error().code, fixed.error().what);
    if (request.max_cell_bytes() != 0 &&
        request.max_cell_bytes() < frame_bytes_toward(toward, root.geometry.cell_bytes))
        return reject(edge->peer, edge->join, EMSGSIZE, "the leaf's host takes only frames smaller than ours");
    prepare_edge(*edge);
    edge->deadline_ms = now_ms() + settings_.join_timeout_ms;
    root_edges_[edge->key()] = edge;
    root.edges.push_back(edge);
    proto::Envelope message;
    proto::JoinOffer& offer = *message.mutable_join_offer();
    offer.set_join(edge->join);
    offer.set_session(root.session);
    to_proto(root.geometry, root.socket_type, *offer.mutable_stream());
    offer.set_feedback_label(edge->host ? edge->host->tag : 0);
    offer.set_upstream_label(edge->upstream_label ? edge->upstream_label->peek() : 0);
    offer.set_slow_leaf_ms(listener.options.slow_leaf_ms);
    to_proto(data_address(edge->peer, edge->callee.ip), *offer.mutable_data_address());
    root.slow_leaf_ms = listener.options.slow_leaf_ms;
    send(edge->peer, std::move(message));
}

/// The labels that the leaf's host must know before it makes anything.
void Sessions::prepare_edge(RootEdge& edge) {
    if (edge.root->is_mesh()) return;
    if (may_receive(edge.direction)) edge.host = host_for(*edge.root, edge.peer);
    if (may_send(edge.direction)) edge.upstream_label = std::make_unique<LabelBox>(door_);
}

HostRef Sessions::host_for(Root& root, PeerId peer) {
    std::weak_ptr<Host>& held = root.hosts[peer];
    HostRef host = held.lock();
    if (host) return host;
    host = std::make_shared<Host>();
    host->peer = peer;
    host->hops = hops_of(root);
    if (peer == kSelf) {
        host->tag = random_id();
    } else {
        host->feedback = std::make_unique<LabelBox>(door_);
        host->tag = host->feedback->peek();
    }
    held = host;
    return host;
}

/// From here on its path is looked for: it is known, as a rule, when the application has decided.
void Sessions::watch_host(const HostRef& host) {
    if (host->peer == kSelf) return;
    host->watch = std::make_unique<WatchBox>(network_, host->address,
                                             [this, weak = std::weak_ptr<Host>(host)](const engine::Path& path) {
                                                 HostRef held = weak.lock();
                                                 if (!held) return;
                                                 held->path = path;
                                                 held->path.ttl = held->hops;
                                                 if (held->replica) engine_.set_path(held->replica->get(), held->path);
                                             });
}

/// The common part of JoinReady and InviteAccept: what the leaf's host made. False: it makes no sense.
bool Sessions::take_ready(RootEdge& edge, uint64_t label, uint32_t window_cells, uint64_t upstream_feedback,
                          bool has_upstream, const proto::StreamParameters& upstream, const proto::Address& address) {
    Endpoint data;
    if (!take_data_address(edge.peer, address, data)) return false;
    if (edge.host) {
        Host& host = *edge.host;
        if (label == 0 || window_cells < 1U << abi::kMinCellsLog2 || window_cells > 1U << abi::kMaxCellsLog2)
            return false;
        if (host.label != 0 && host.label != label) return false;
        if (host.label == 0) {
            host.label = label;
            host.window_cells = window_cells;
            host.address = data;
            watch_host(edge.host);
        }
    }
    edge.upstream_address = data;
    if (edge.root->is_mesh()) return true;
    if (has_upstream != may_send(edge.direction)) return false;
    if (!has_upstream) return true;
    const std::optional<engine::Geometry> geometry = geometry_of(upstream);
    if (!geometry || upstream_feedback == 0) return false;
    edge.upstream_geometry = *geometry;
    edge.upstream_feedback = upstream_feedback;
    return true;
}

void Sessions::on_ready(const RootEdgeRef& edge, const proto::JoinReady& ready) {
    if (!take_ready(*edge, ready.label(), ready.window_cells(), ready.upstream_feedback_label(), ready.has_upstream(),
                    ready.upstream(), ready.data_address()))
        return violate(edge, "malformed_ready");
    Socket* listener = edge->root->socket;
    if (listener == nullptr || !listener->is_listening) {
        reject(edge->peer, edge->join, ECONNREFUSED, "the root has closed");
        return release_root_edge(edge);
    }
    edge->step = RootStep::kQueued;
    enqueue(*listener, {.id = next_request_++, .root = edge, .leaf = nullptr});
}

}  // namespace xylem::session
