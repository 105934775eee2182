// SPDX-License-Identifier: Apache-2.0
#include "control/session/sessions.h"

#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

Sessions::Sessions(engine::Engine& engine, Links& links, Network& network, Settings settings)
    : engine_(engine),
      links_(links),
      network_(network),
      settings_(std::move(settings)),
      door_(std::make_shared<Door>(Door{&engine})),
      random_(std::random_device{}()),
      bindings_(static_cast<uint16_t>(random_())),
      groups_(engine, network, settings_, door_, static_cast<uint16_t>(random_())) {
    engine_.set_listener(this);
}

Sessions::~Sessions() {
    door_->engine = nullptr;
    engine_.set_listener(nullptr);
    feeds_.clear();
    // Roots and their edges hold each other while a session lasts.
    for (const auto& [key, edge] : root_edges_)
        if (const std::shared_ptr<Root> root = std::exchange(edge->root, nullptr)) root->edges.clear();
}

// ---- applications ----

Result<AppRef> Sessions::add_app(uint32_t uid, int pid) {
    if (stopped_) return Error{ENETDOWN, "the daemon is stopping"};
    Result<engine::AppMemory> memory = engine_.add_app();
    if (!memory) return memory.error();
    auto app = std::make_shared<App>();
    app->memory = std::make_shared<AppBox>(door_, *memory);
    app->uid = uid;
    app->pid = pid;
    apps_.push_back(app);
    return app;
}

void Sessions::app_gone(const AppRef& app) {
    Scope scope(*this);
    if (std::erase(apps_, app) == 0) return;
    // Leaves and roots first: a root's handles go with it and are no evictions.
    for (Role role : {Role::kRoot, Role::kLeaf, Role::kHandle}) {
        for (auto& [id, socket] : app->sockets)
            if (socket->role == role) crash(*socket);
    }
    app->sockets.clear();
    app->memory.reset();
}

// ---- messages ----

void Sessions::send(PeerId peer, proto::Envelope message) {
    if (peer == kSelf)
        loopback_.push_back(std::move(message));
    else
        links_.send(peer, message);
}

void Sessions::reject(PeerId peer, uint64_t join, int code, std::string_view reason) {
    proto::Envelope message;
    message.mutable_reject()->set_join(join);
    message.mutable_reject()->set_code(code);
    message.mutable_reject()->set_reason(std::string(reason));
    send(peer, std::move(message));
}

void Sessions::cancel(PeerId peer, uint64_t join, bool is_reset) {
    proto::Envelope message;
    message.mutable_cancel()->set_join(join);
    message.mutable_cancel()->set_is_reset(is_reset);
    send(peer, std::move(message));
}

void Sessions::on_message(PeerId peer, const proto::Envelope& message) {
    Scope scope(*this);
    dispatch(peer, message);
}

RootEdgeRef Sessions::root_edge(PeerId peer, uint64_t join) const {
    auto found = root_edges_.find({peer, join});
    return found == root_edges_.end() ? nullptr : found->second;
}

LeafEdgeRef Sessions::leaf_edge(PeerId peer, uint64_t join) const {
    auto found = leaf_edges_.find({peer, join});
    return found == leaf_edges_.end() ? nullptr : found->second;
}

/// Messages for a join that is not known (any more) are ignored: the other side learns, or has learnt, of its end.
void Sessions::dispatch(PeerId peer, const proto::Envelope& message) {
    auto root = [&](uint64_t join) {
        if (RootEdgeRef edge = root_edge(peer, join)) to_root_edge(edge, message);
    };
    auto leaf = [&](uint64_t join) {
        if (LeafEdgeRef edge = leaf_edge(peer, join)) to_leaf_edge(edge, message);
    };
    switch (message.kind_case()) {
        case Kind::kJoinRequest:
            return on_request(peer, message.join_request());
        case Kind::kInviteRequest:
            return on_invite(peer, message.invite_request());
        case Kind::kJoinOffer:
            return leaf(message.join_offer().join());
        case Kind::kJoinReady:
            return root(message.join_ready().join());
        case Kind::kJoinPrepare:
            return leaf(message.join_prepare().join());
        case Kind::kJoinPrepared:
            return root(message.join_prepared().join());
        case Kind::kJoinAccept:
            return leaf(message.join_accept().join());
        case Kind::kInviteAccept:
            return root(message.invite_accept().join());
        case Kind::kLive:
            return leaf(message.live().join());
        case Kind::kClose:
            return leaf(message.close().join());
        case Kind::kUpstreamClose:
            return root(message.upstream_close().join());
        case Kind::kLeave:
            return root(message.leave().join());
        case Kind::kConfirmed:
            return root(message.confirmed().join());
        case Kind::kMemberAdd:
            return leaf(message.member_add().join());
        case Kind::kMemberRemove:
            return leaf(message.member_remove().join());
        case Kind::kMemberReady:
            return root(message.member_ready().join());
        case Kind::kMemberBroken:
            return root(message.member_broken().join());
        case Kind::kFeedOpen:
        case Kind::kFeedReady:
        case Kind::kFeedLive:
        case Kind::kFeedClose:
        case Kind::kFeedDone:
            return feeds_.on_message(peer, message);
        case Kind::kReject: {
            // To whoever started the join; with ourselves as the peer both ends are here.
            LeafEdgeRef asked = leaf_edge(peer, message.reject().join());
            if (asked && !asked->is_invited) return to_leaf_edge(asked, message);
            return root(message.reject().join());
        }
        case Kind::kCancel: {
            LeafEdgeRef invited = leaf_edge(peer, message.cancel().join());
            if (invited && invited->is_invited) return to_leaf_edge(invited, message);
            return root(message.cancel().join());
        }
        default:
            return count("unexpected_kind");
    }
}

void Sessions::to_root_edge(const RootEdgeRef& edge, const proto::Envelope& message) {
    const Kind kind = message.kind_case();
    if (!may_come(edge->step, kind)) return violate(edge, "out_of_order");
    switch (kind) {
        case Kind::kJoinReady:
            return on_ready(edge, message.join_ready());
        case Kind::kJoinPrepared:
            return edge->root->is_mesh() ? mesh_.admit(edge) : take_position(edge);
        case Kind::kMemberReady:
            return mesh_.ready(*edge->root, edge->number, message.member_ready().number());
        case Kind::kMemberBroken:
            return mesh_.broken(*edge->root, edge->number, message.member_broken().number());
        case Kind::kInviteAccept:
            return on_invite_accept(edge, message.invite_accept());
        case Kind::kReject:
            return fail_invite(edge, message.reject().code());
        case Kind::kCancel: {
            const int code = message.cancel().is_reset() ? ECONNRESET : 0;
            const uint32_t reason = code == 0 ? XY_END_LEFT : XY_END_APP_DIED;
            if (edge->step >= RootStep::kPreparing) return end_root_edge(edge, code, reason);
            return withdraw(edge->root->socket, edge.get(), nullptr, code == 0 ? EACCES : code);
        }
        case Kind::kLeave:
            return on_leave(edge, message.leave());
        case Kind::kUpstreamClose:
            return on_upstream_close(edge, message.upstream_close());
        case Kind::kConfirmed:
            return on_confirmed(edge, message.confirmed());
        default:
            return;
    }
}

void Sessions::to_leaf_edge(const LeafEdgeRef& edge, const proto::Envelope& message) {
    const Kind kind = message.kind_case();
    if (!may_come(edge->step, kind)) return violate(edge, "out_of_order");
    switch (kind) {
        case Kind::kJoinOffer:
            return on_offer(edge, message.join_offer());
        case Kind::kJoinPrepare:
            return edge->is_mesh() ? mesh_.on_prepare(edge, message.join_prepare()) : on_prepare(edge);
        case Kind::kMemberAdd:
            return mesh_.on_add(edge, message.member_add());
        case Kind::kMemberRemove:
            return mesh_.on_remove(edge, message.member_remove());
        case Kind::kJoinAccept:
            return on_accept(edge, message.join_accept());
        case Kind::kReject:
            return fail_ask(edge, message.reject().code());
        case Kind::kLive:
            return on_live(edge, message.live());
        case Kind::kCancel: {
            const int code = message.cancel().is_reset() ? ECONNRESET : EACCES;
            if (edge->step == LeafStep::kAccepted) return end_leaf_edge(edge, ECONNRESET);
            return withdraw(edge->listener, nullptr, edge.get(), code);
        }
        case Kind::kClose:
            if (edge->step == LeafStep::kStarting) {
                if (edge->early.size() < 4) edge->early.push_back(message);
                return;
            }
            return on_close(edge, message.close());
        default:
            return;
    }
}

/// What makes no sense ends that join, at both ends, and nothing else.
void Sessions::violate(const RootEdgeRef& edge, std::string_view what) {
    count(what);
    if (edge->step == RootStep::kInvited) {
        cancel(edge->peer, edge->join, false);
        return fail_invite(edge, ECONNABORTED);
    }
    if (edge->step < RootStep::kDialing) {
        reject(edge->peer, edge->join, ECONNABORTED, "the request made no sense");
        return withdraw(edge->root->socket, edge.get(), nullptr, ECONNRESET);
    }
    send_close(*edge, 0, ECONNABORTED, XY_END_PEER_LOST, {});
    end_root_edge(edge, ECONNABORTED, XY_END_PEER_LOST);
}

void Sessions::violate(const LeafEdgeRef& edge, std::string_view what) {
    count(what);
    if (edge->step == LeafStep::kAsked || edge->step == LeafStep::kReady) {
        cancel(edge->peer, edge->join, false);
        return fail_ask(edge, ECONNABORTED);
    }
    if (edge->step == LeafStep::kQueued || edge->step == LeafStep::kTaken) {
        reject(edge->peer, edge->join, ECONNABORTED, "the invitation made no sense");
        return withdraw(edge->listener, nullptr, edge.get(), ECONNRESET);
    }
    if (edge->step != LeafStep::kLingering) leave(edge, ECONNABORTED, XY_END_PEER_LOST, {});
    end_leaf_edge(edge, ECONNABORTED);
}

void Sessions::peer_lost(PeerId peer) {
    Scope scope(*this);
    std::vector<RootEdgeRef> roots;
    std::vector<LeafEdgeRef> leaves;
    for (const auto& [key, edge] : root_edges_)
        if (key.first == peer) roots.push_back(edge);
    for (const auto& [key, edge] : leaf_edges_)
        if (key.first == peer) leaves.push_back(edge);
    for (const RootEdgeRef& edge : roots) {
        if (edge->step == RootStep::kInvited)
            fail_invite(edge, ECONNABORTED);
        else if (edge->step < RootStep::kDialing)
            withdraw(edge->root->socket, edge.get(), nullptr, ECONNRESET);
        else
            end_root_edge(edge, ECONNABORTED, XY_END_PEER_LOST);
    }
    for (const LeafEdgeRef& edge : leaves) {
        if (edge->step == LeafStep::kAsked || edge->step == LeafStep::kReady)
            fail_ask(edge, ECONNABORTED);
        else if (edge->step == LeafStep::kQueued || edge->step == LeafStep::kTaken)
            withdraw(edge->listener, nullptr, edge.get(), ECONNRESET);
        else
            end_leaf_edge(edge, ECONNABORTED);
    }
    feeds_.peer_lost(peer);
    accounts_.erase(peer);
}

// ---- engine events ----

void Sessions::stream_finished(engine::Stream* stream) {
    Scope scope(*this);
    if (groups_.stream_finished(stream)) return;
    feeds_.stream_finished(stream);
    if (auto found = root_streams_.find(stream); found != root_streams_.end()) {
        std::shared_ptr<Root> root = found->second.lock();
        if (root && root->is_finishing && !root->is_reliable() && !root->is_sent) {
            root->is_sent = true;
            close_live_edges(*root);
        }
        if (root) tell_delivery(root->socket);
        return;
    }
    if (auto found = leaf_streams_.find(stream); found != leaf_streams_.end()) {
        LeafEdgeRef edge = found->second.lock();
        if (edge && edge->step == LeafStep::kLingering) return release_leaf_edge(edge);
        if (edge) tell_delivery(edge->socket);
    }
}

void Sessions::reader_finished(engine::Reader* reader) {
    Scope scope(*this);
    if (feeds_.reader_finished(reader)) return;
    if (auto found = leaf_readers_.find(reader); found != leaf_readers_.end()) {
        if (LeafEdgeRef edge = found->second.lock()) confirm(edge);
    } else if (auto upstream = root_readers_.find(reader); upstream != root_readers_.end()) {
        if (RootEdgeRef edge = upstream->second.lock()) upstream_read(edge);
    }
}

// ---- paths and numbers ----

/// Where frames for us go: the address that the peer reached us at.
Endpoint Sessions::data_address(PeerId peer, const IpAddress& toward_us) const {
    IpAddress ip = peer == kSelf ? toward_us : links_.local_address(peer);
    if (!ip.is_set()) ip = toward_us;
    return {ip, settings_.data_port};
}

bool Sessions::take_data_address(PeerId peer, const proto::Address& address, Endpoint& out) const {
    const std::optional<Endpoint> endpoint = from_proto(address);
    if (!endpoint) return false;
    if (peer != kSelf && (endpoint->port == 0 || !links_.may_receive_at(peer, endpoint->ip))) return false;
    out = *endpoint;
    return true;
}

uint64_t Sessions::random_id() {
    uint64_t id = 0;
    while (id == 0)
        id = random_();
    return id;
}

ByteCount Sessions::account(PeerId peer) {
    ByteCount& bytes = accounts_[peer];
    if (!bytes) bytes = std::make_shared<uint64_t>(0);
    return bytes;
}

Result<void> Sessions::check_account(PeerId peer, const engine::Geometry& geometry) {
    const uint64_t bytes = abi::image_total_bytes(geometry);
    if (bytes > settings_.max_image_bytes) return Error{ENOBUFS, "an image of that size is more than this host allows"};
    if (peer != kSelf && *account(peer) + bytes > settings_.max_peer_image_bytes)
        return Error{ENOBUFS, "the peer's images would take more memory than this host allows"};
    return {};
}

engine::Geometry Sessions::image_geometry(const engine::Geometry& stream) const {
    engine::Geometry geometry = stream;
    if (settings_.image_cells != 0) geometry.cells_log2 = cells_log2_for(settings_.image_cells);
    return geometry;
}

}  // namespace xylem::session
