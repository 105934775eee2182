// SPDX-License-Identifier: Apache-2.0
// MESH at a leaf's host: what the root's daemon tells a member.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

/// The stream that it sends on, before anybody receives it.
Result<void> Mesh::prepare_stream(LeafEdge& edge) {
    if (!may_send(edge.direction)) return {};
    const bool is_local = edge.peer == kSelf;
    const engine::Geometry geometry{
        home_.frame_bytes_toward(is_local ? IpAddress{} : edge.root_data.ip, home_.settings_.cell_bytes),
        edge.socket ? edge.socket->options.log_cells_log2 : cells_log2_for(home_.settings_.log_cells)};
    if (!geometry.is_valid()) return Error{EMSGSIZE, "the path allows no useful cell"};
    Result<StreamRef> stream = StreamBox::add(edge.slot, geometry, edge.socket_type != SOCK_DGRAM);
    if (!stream) return stream.error();
    edge.upstream = *stream;
    home_.leaf_streams_[edge.upstream->get()] = edge.weak_from_this();
    return {};
}

void Mesh::on_prepare(const LeafEdgeRef& edge, const proto::JoinPrepare& prepare) {
    const proto::Membership& membership = prepare.membership();
    if (edge->member || edge->socket == nullptr || membership.secret().size() != kFeedSecretBytes ||
        membership.number() == kRootNumber)
        return home_.violate(edge, "malformed_prepare");
    Member::Spec spec;
    spec.name = {.session = membership.session(), .secret = membership.secret(), .from = 0, .to = 0};
    spec.number = membership.number();
    spec.direction = edge->direction;
    spec.address = edge->leaf;
    spec.slot = edge->slot;
    spec.stream = edge->upstream;
    spec.socket_type = edge->socket_type;
    spec.slow_leaf_ms = edge->slow_leaf_ms;
    spec.edge = edge;
    edge->number = spec.number;
    edge->member = Member::make(home_, std::move(spec));
    edge->member->set_loopback(edge->socket->has_loopback, nullptr);
    proto::Envelope message;
    message.mutable_join_prepared()->set_join(edge->join);
    home_.send(edge->peer, std::move(message));
}

void Mesh::on_add(const LeafEdgeRef& edge, const proto::MemberAdd& add) {
    const uint32_t direction = add.direction();
    const bool is_direction = direction == XY_SENDER_ONLY || direction == XY_RECEIVER_ONLY || direction == XY_BOTH;
    OtherMember other{.address = edge->root, .peer = edge->peer, .direction = direction, .out = {}};
    IpAddress daemon;
    bool is_sane = edge->member && is_direction && add.number() != edge->number && !edge->member->knows(add.number()) &&
                   edge->member->n_others() < abi::kInboxSlots - 1;
    if (add.number() != kRootNumber) {
        const std::optional<Endpoint> address = from_proto(add.address());
        const std::optional<Endpoint> there = add.has_daemon() ? from_proto(add.daemon()) : Endpoint{};
        is_sane = is_sane && address && there && (!add.has_daemon() || !there->ip.is_wildcard());
        if (is_sane) {
            other.address = *address;
            other.peer = add.has_daemon() ? kNoPeer : kSelf;
            daemon = there->ip;
        }
    }
    if (!is_sane) return home_.violate(edge, "malformed_member_add");
    edge->member->add(add.number(), other, daemon);
}

void Mesh::on_remove(const LeafEdgeRef& edge, const proto::MemberRemove& remove) {
    if (edge->member) edge->member->remove(remove.number(), remove.code());
}

/// Nothing is sent any more. It reads on: to the ends that the others tell, or to what has come so far.
void Mesh::on_close(const LeafEdgeRef& edge, bool has_end) {
    edge->step = LeafStep::kClosing;
    edge->socket->set_leaves(0);
    const MemberRef member = edge->member;
    member->finish(home_.finish_own_stream(*edge));
    if (!has_end) member->cut_all();
    end_if_read(edge);
}

/// FD_CLOSE comes once everything was read.
void Mesh::end_if_read(const LeafEdgeRef& edge) {
    if (edge->step != LeafStep::kClosing || !edge->member->has_read_all()) return;
    if (edge->socket != nullptr) edge->socket->end(0);
    home_.confirm(edge);
}

}  // namespace xylem::session
