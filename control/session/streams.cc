// SPDX-License-Identifier: Apache-2.0
// Handing logs, images and inboxes to the application.
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

/// The stream that a socket sends on; an errno when it has none.
static int stream_of(const Socket& socket, StreamRef& stream) {
    if (socket.role == Role::kHandle) return EOPNOTSUPP;  // no side chat (W-099)
    if (socket.role == Role::kRoot) {
        stream = socket.root->stream;
        return socket.root->is_finishing ? ESHUTDOWN : 0;
    }
    if (!socket.leaf || socket.leaf->step < LeafStep::kLive || socket.leaf->step >= LeafStep::kLingering)
        return ENOTCONN;
    if (!may_send(socket.leaf->direction)) return EOPNOTSUPP;
    stream = socket.leaf->upstream;
    return socket.is_shut_send ? ESHUTDOWN : stream ? 0 : ENOTCONN;
}

Reply Sessions::make_log(App& app, uint32_t id) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group) return groups_.make_log(*socket);
    if (socket->role == Role::kRoot && !socket->root->is_finishing) {
        if (Result<void> fixed = fix_geometry(*socket->root, {}); !fixed) return Reply(fixed.error().code);
    }
    StreamRef stream;
    if (const int code = stream_of(*socket, stream); code != 0) return Reply(code);
    if (stream->is_mapped) return Reply(EALREADY);
    Result<int> fd = engine_.make_log(stream->get());
    if (!fd) return Reply(fd.error().code);
    stream->has_log = true;
    const engine::Geometry& geometry = stream->geometry();
    Reply reply = Reply::of(abi::LogReply{.cell_bytes = geometry.cell_bytes,
                                          .cells_log2 = geometry.cells_log2,
                                          .start = 0,
                                          .max_message_bytes = max_message_bytes(*socket)});
    reply.borrowed.push_back(*fd);
    return reply;
}

Reply Sessions::log_mapped(App& app, uint32_t id) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group) return groups_.log_mapped(*socket);
    StreamRef stream;
    if (const int code = stream_of(*socket, stream); code != 0) return Reply(code);
    if (!stream || !stream->has_log || stream->is_mapped) return Reply(EINVAL);
    Result<void> sealed = engine_.log_mapped(stream->get());
    stream->is_mapped = static_cast<bool>(sealed);
    return sealed ? Reply{} : Reply(sealed.error().code);
}

Reply Sessions::destination(App& app, uint32_t id, const abi::AddressBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (!socket->group) return Reply(EOPNOTSUPP);
    if (stopped_) return Reply(ENETDOWN);
    const Result<Endpoint> dest = endpoint_of(body, socket->family);
    return dest ? groups_.destination(*socket, *dest, scope_id_of(body)) : Reply(dest.error().code);
}

Reply Sessions::get_inbox(App& app, uint32_t id) {
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->role != Role::kRoot && (socket->role != Role::kLeaf || socket->protocol != XY_PROTO_MESH))
        return Reply(EINVAL);
    Result<engine::InboxMemory> inbox = socket->slot->inbox();
    if (!inbox) return Reply(inbox.error().code);
    Reply reply;
    reply.borrowed = {inbox->engine_fd, inbox->app_fd};
    return reply;
}

static abi::ImageReply image_reply(const ImageBox& image, uint32_t number, engine::Position start,
                                   const Endpoint& source) {
    return {.cell_bytes = image.spec().geometry.cell_bytes,
            .cells_log2 = image.spec().geometry.cells_log2,
            .flags = image.spec().flags,
            .leaf_number = number,
            .start = start,
            .source = body_of(source),
            .end = abi::kNoPosition,
            .is_own = 0,
            .reserved_zero = 0};
}

Reply Sessions::get_image(App& app, uint32_t id, const abi::ImageBody& body) {
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->group) return body.slot == 0 ? groups_.get_image(*socket) : Reply(ENOTCONN);
    Reply reply(ENOTCONN);
    if (socket->protocol == XY_PROTO_MESH) {
        const MemberRef member = member_of(*socket);
        const InFeedRef feed = member ? feeds_.at_slot(*member->sink(), body.slot) : nullptr;
        if (!feed) return reply;
        abi::ImageReply image = image_reply(*feed->image->image, feed->from, feed->start, feed->source_address);
        image.end = feed->final;
        image.is_own = feed->from == member->number() ? 1 : 0;
        reply = Reply::of(image);
        reply.borrowed.push_back(engine_.image_fd(feed->image->image->get()));
        return reply;
    }
    if (socket->role == Role::kRoot) {
        for (const RootEdgeRef& edge : socket->root->edges) {
            if (!edge->upstream || edge->inbox_slot != body.slot) continue;
            reply = Reply::of(image_reply(*edge->upstream, edge->number, 0, edge->leaf));
            reply.borrowed.push_back(engine_.image_fd(edge->upstream->get()));
        }
        return reply;
    }
    const LeafEdgeRef& edge = socket->leaf;
    if (!edge || !edge->is_reader_live || body.slot != 0) return reply;
    reply = Reply::of(image_reply(*edge->image->image, edge->number, edge->start, edge->root));
    reply.borrowed.push_back(engine_.image_fd(edge->image->image->get()));
    return reply;
}

}  // namespace xylem::session
