// SPDX-License-Identifier: Apache-2.0
// An edge is one leaf's membership, named by (peer, join id): RootEdge at the root's host, LeafEdge at the leaf's. When
// both are on this host they are two objects all the same. An edge owns its engine objects; an edge that is over owns
// none.
#pragma once
#include <xylem/socket.h>
#include <xylem/stats.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/session/engine_objects.h"
#include "control/session/messages.h"
#include "control/session/reply.h"
#include "control/session/steps.h"

namespace xylem::session {

class Socket;
struct Root;
struct RootEdge;
struct LeafEdge;
class Member;
using MemberRef = std::shared_ptr<Member>;
using RootEdgeRef = std::shared_ptr<RootEdge>;
using LeafEdgeRef = std::shared_ptr<LeafEdge>;
using EdgeKey = std::pair<PeerId, uint64_t>;

/// Watches whether something that should move does.
struct Progress {
    uint64_t mark = 0;
    uint64_t since_ms = 0;

    /// Milliseconds without progress, when it is `is_due`; else 0.
    uint64_t stuck_ms(uint64_t now_mark, bool is_due, uint64_t now_ms) {
        if (now_mark != mark || !is_due || since_ms == 0) {
            mark = now_mark;
            since_ms = now_ms;
        }
        return now_ms - since_ms;
    }
};

/// The root's stream on one host: one replica, however many leaves. Held by the edges of that host.
struct Host {
    PeerId peer = kSelf;
    uint64_t tag = 0;           // its name in offers: the feedback label; for this host a random number
    LabelRef feedback;          // remote only
    uint64_t label = 0;         // the leaf's host's name for it, from the first JoinReady; self: the tag
    uint32_t window_cells = 0;  // of the image over there
    Endpoint address;           // where it receives frames
    ImageRef local_image;       // self only
    ReplicaRef replica;
    bool is_adding = false;
    std::vector<std::weak_ptr<RootEdge>> waiting;  // for the replica
    engine::Path path;
    uint8_t hops = 64;  // of our frames on that path
    WatchRef watch;
    Progress progress;
};
using HostRef = std::shared_ptr<Host>;

struct RootEdge : std::enable_shared_from_this<RootEdge> {
    PeerId peer = kNoPeer;  // until a dial has led somewhere
    uint64_t join = 0;
    RootStep step = RootStep::kOffered;
    bool is_invited = false;
    std::shared_ptr<Root> root;    // until it is over
    std::weak_ptr<Root> row_root;  // whose table has the row
    Socket* handle = nullptr;      // F: the root's descriptor for this leaf; null: none yet, or closed
    bool has_row = false;          // a row of xy_leaf_stats: until the descriptor is closed
    uint32_t number = 0;           // leaf number
    uint32_t direction = 0;        // of the leaf
    Endpoint leaf, callee;         // the leaf's address; the address that it asked for (or that we invite from)
    Bytes caller_data;
    abi::Qos qos{};
    uint64_t deadline_ms = 0;  // invite: when it fails with ETIMEDOUT
    bool is_withdrawn = false;
    int withdrawn_code = 0;
    Respond accept_reply;  // of the application that waits for xy_accept
    Bytes callee_data;     // goes with JoinAccept

    HostRef host;  // null: the leaf only sends
    engine::Position start = 0;
    bool has_close = false;  // Close is out

    LabelRef upstream_label;
    uint64_t upstream_feedback = 0;  // the leaf's host's label
    engine::Geometry upstream_geometry{};
    Endpoint upstream_address;  // where its NAK and STATUS go
    ImageRef upstream;
    ReaderRef upstream_reader;
    uint32_t inbox_slot = engine::kNoSlot;
    WatchRef upstream_watch;
    engine::Position upstream_final = abi::kNoPosition;
    bool ends_after_upstream = false;  // F ends (gracefully) once the application has read all of it

    // MESH: the others know of it; the join waits for the ways from and to these.
    bool is_announced = false;
    std::set<uint32_t> awaits_from, awaits_to;

    // The row of xy_leaf_stats.
    uint32_t state = XY_LEAF_PENDING;
    uint32_t reason = XY_END_NONE;
    int end_error = 0;
    uint64_t base_sent_bytes = 0, base_repaired_bytes = 0;  // the replica's counters when this leaf went live
    uint64_t sent_bytes = 0, repaired_bytes = 0, confirmed_bytes = 0, lag_bytes = 0;

    EdgeKey key() const { return {peer, join}; }
};

/// The copy of a root's stream on this host, for all local leaves of that session.
struct HostImage {
    PeerId peer = kSelf;
    uint64_t tag = 0;
    Endpoint root;
    ImageRef image;
    uint64_t label = 0;  // ours; self: the tag
    Endpoint root_address;
    bool is_live = false;
    engine::Position final = abi::kNoPosition;
    WatchRef watch;
};
using HostImageRef = std::shared_ptr<HostImage>;

struct LeafEdge : std::enable_shared_from_this<LeafEdge> {
    PeerId peer = kNoPeer;  // until a dial has led somewhere
    uint64_t join = 0;
    LeafStep step = LeafStep::kDialing;
    bool is_invited = false;
    Socket* socket = nullptr;    // the session's; null: invited and not accepted, or closed
    Socket* listener = nullptr;  // invited: whose backlog it is in
    Endpoint root, leaf;
    uint32_t direction = 0;  // of the leaf
    int socket_type = 0;
    int protocol = 0;
    MemberRef member;  // MESH, once admitted: all of its data go that way
    Bytes caller_data;
    abi::Qos qos{};
    uint64_t deadline_ms = 0;
    bool is_withdrawn = false;
    int withdrawn_code = 0;
    std::function<void()> accept_reply;  // invited: gives the application that waits in xy_accept its socket

    // What the root offered.
    uint64_t tag = 0;             // feedback label of its stream; 0: we do not receive
    uint64_t upstream_label = 0;  // 0: we do not send
    engine::Geometry geometry{};
    uint32_t slow_leaf_ms = 0;
    Endpoint root_data;  // where the root's host receives frames

    HostImageRef image;
    std::vector<HostImageRef> kept;  // images that an offer still to come may name
    ReaderRef reader;
    bool is_reader_live = false;
    engine::Position start = 0;
    engine::Position read_end = abi::kNoPosition;  // sent away alone: where its reading of the image ends
    Progress progress;

    StreamRef upstream;
    LabelRef upstream_feedback;
    ReplicaRef upstream_replica;
    WatchRef upstream_watch;
    engine::Path upstream_path;
    engine::Position upstream_final = abi::kNoPosition;
    uint32_t number = 0;
    std::vector<proto::Envelope> early;  // came while kStarting
    SlotRef slot;                        // of the socket, for as long as anything of it lives

    EdgeKey key() const { return {peer, join}; }
    /// Where its application has read all there is for it.
    engine::Position end_of_reading() const { return std::min(read_end, image->final); }
    bool is_mesh() const { return protocol == XY_PROTO_MESH; }
};

}  // namespace xylem::session
