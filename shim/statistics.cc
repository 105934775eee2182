// SPDX-License-Identifier: Apache-2.0
#include "shim/statistics.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>

#include "shim/session.h"
#include "shim/socket.h"

namespace xylem::shim {

namespace {

constexpr uint32_t kMaxStatusBytes = 1U << 26;

// Structures grow: copies what the caller knows of.
template <class T>
void copy_out(T& from, void* to, uint32_t bytes) {
    from.size = std::min<uint32_t>(bytes, sizeof from);
    memcpy(to, &from, from.size);
}

// The rows of a reply: of the `n` that there are, those that were asked for are in its memory.
int map_reply(Socket* s, Attachment& attachment, abi::Op op, const abi::LeafStatsBody* body, size_t row_bytes,
              Mapping& rows, uint32_t& n) {
    ReplyFds fds;
    const int error =
        attachment.call(op, s != nullptr ? s->id : 0, body, body != nullptr ? sizeof *body : 0, nullptr, 0, &fds, &n);
    const uint32_t n_here = body != nullptr ? std::min(n, body->count) : n;
    if (error != 0 || n_here == 0) return error;
    return n_here > kMaxStatusBytes / row_bytes ? EPROTO : rows.map(fds.peek(0), n_here * row_bytes, false);
}

constexpr uint32_t kMeshCapabilities =
    XY_CAP_CONNECT_DATA | XY_CAP_DISCONNECT_DATA | XY_CAP_MULTIPOINT | XY_CAP_ROOTED_CONTROL | XY_CAP_QOS;
constexpr uint32_t kTreeCapabilities = kMeshCapabilities | XY_CAP_ROOTED_DATA | XY_CAP_LEAF_TO_ROOT;

struct Kind {
    int protocol, type;
    const char* name;
    uint32_t capabilities;
};

constexpr Kind kKinds[] = {
    {XY_PROTO_TREE, SOCK_RDM, "tree/rdm", kTreeCapabilities},
    {XY_PROTO_TREE, SOCK_STREAM, "tree/stream", kTreeCapabilities},
    {XY_PROTO_TREE, SOCK_DGRAM, "tree/dgram", kTreeCapabilities},
    {XY_PROTO_MESH, SOCK_RDM, "mesh/rdm", kMeshCapabilities},
    {XY_PROTO_MESH, SOCK_STREAM, "mesh/stream", kMeshCapabilities},
    {XY_PROTO_MESH, SOCK_DGRAM, "mesh/dgram", kMeshCapabilities},
    {XY_PROTO_GROUP, SOCK_DGRAM, "group/dgram", XY_CAP_MULTIPOINT},
};
constexpr uint32_t kDatagram4 = 1500 - 20 - 8, kDatagram6 = 1500 - 40 - 8;  // unfragmented, at an Ethernet's usual MTU
constexpr int kFamilies[] = {AF_INET, AF_INET6};

}  // namespace

int socket_statistics(Socket& s, struct xy_stats& out) {
    abi::StatsReply reply{};
    if (const int error = s.attachment->get(abi::Op::kStats, s.id, reply)) return result_of(error);
    struct xy_stats stats {};
    stats.leaves = reply.leaves;
    stats.confirmed_bytes = reply.confirmed_bytes;
    stats.repaired_bytes = reply.repaired_bytes;
    stats.thinned_bytes = reply.thinned_bytes;
    stats.sent_bytes = s.sender.log_bytes();
    stats.sent_messages = s.sent_messages.load(std::memory_order_relaxed);
    {
        Lock lock(s.receive_mutex);
        stats.received_bytes = s.receiver.received_bytes;
        stats.received_messages = s.receiver.received_messages;
        stats.lost_bytes = s.receiver.lost_bytes();
        stats.lost_gaps = s.receiver.lost_gaps();
    }
    copy_out(stats, &out, out.size);
    return 0;
}

int leaf_statistics(Socket& s, struct xy_leaf_stats* out, unsigned count) {
    Mapping rows;
    uint32_t n = 0;
    const abi::LeafStatsBody body{count, 0};
    if (const int error =
            map_reply(&s, *s.attachment, abi::Op::kLeafStats, &body, sizeof(struct xy_leaf_stats), rows, n))
        return result_of(error);
    const uint32_t stride = count != 0 ? out->size : 0;
    for (uint32_t i = 0; i < std::min<uint32_t>(n, count); ++i) {
        struct xy_leaf_stats row;
        memcpy(&row, rows.bytes() + i * sizeof row, sizeof row);
        row.descriptor = branch_descriptor(s, row.number);
        copy_out(row, reinterpret_cast<char*>(out) + static_cast<size_t>(i) * stride, stride);
    }
    rows.release();
    return static_cast<int>(n);
}

int daemon_status(char* json, size_t bytes) {
    Attachment* attachment = current_attachment();
    if (attachment == nullptr) return -1;
    Mapping text;
    uint32_t n = 0;
    const int error = map_reply(nullptr, *attachment, abi::Op::kStatus, nullptr, 1, text, n);
    let_go(attachment);
    if (error != 0) return result_of(error);
    const size_t copied = std::min<size_t>(n, bytes);
    if (copied != 0) memcpy(json, text.bytes(), copied);
    if (copied < bytes) json[copied] = '\0';
    text.release();
    return static_cast<int>(n);
}

int list_protocols(xy_protocol* out, unsigned count) {
    const uint32_t stride = count != 0 ? out->size : 0;
    unsigned n = 0;
    const abi::Geometry geometry{abi::kDefaultCellBytes, abi::kDefaultCellsLog2};
    for (const int family : kFamilies) {
        for (const Kind& kind : kKinds) {
            xy_protocol entry{};
            entry.protocol = kind.protocol;
            entry.type = kind.type;
            entry.family = family;
            entry.capabilities = kind.capabilities;
            if (kind.type != SOCK_STREAM) entry.max_message = static_cast<uint32_t>(geometry.max_message_bytes());
            if (kind.protocol == XY_PROTO_GROUP) entry.max_message = family == AF_INET ? kDatagram4 : kDatagram6;
            snprintf(entry.name, sizeof entry.name, "%s%s", kind.name, family == AF_INET6 ? "/ipv6" : "");
            if (n < count) copy_out(entry, reinterpret_cast<char*>(out) + n * static_cast<size_t>(stride), stride);
            ++n;
        }
    }
    return static_cast<int>(n);
}

}  // namespace xylem::shim
