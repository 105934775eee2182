// SPDX-License-Identifier: Apache-2.0
// Applications, their sockets, and roots. A Socket lives while the application has it open; a Root (the session of a
// c_root) lives on while it lingers, held by its edges. Facts in shared memory are written here and nowhere else, error
// words before the flags that announce them.
#pragma once
#include <bitset>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "control/session/edges.h"
#include "control/session/options.h"

namespace xylem::session {

enum class Role : uint8_t {
    kRoot,    // c_root
    kLeaf,    // c_leaf: asks, listens, or was accepted from an invitation
    kHandle,  // the root's descriptor for one leaf
};

struct GroupSocket;
using GroupSocketRef = std::shared_ptr<GroupSocket>;

/// One entry of a backlog: a leaf that asks (root set), or a root that invites (leaf set).
struct Request {
    uint64_t id = 0;
    RootEdgeRef root;
    LeafEdgeRef leaf;
};

struct App {
    std::shared_ptr<AppBox> memory;
    uint32_t uid = 0;
    int pid = 0;
    std::map<uint32_t, std::unique_ptr<Socket>> sockets;
    std::shared_ptr<unsigned> n_destinations = std::make_shared<unsigned>(0);  // of its GROUP sockets
};
using AppRef = std::shared_ptr<App>;

/// Two members of a MESH without a way between them: who says so, and when one of them has to go.
struct BrokenPair {
    bool by_older = false, by_younger = false;
    uint64_t deadline_ms = 0;
};

/// The session of a c_root.
struct Root {
    uint64_t session = 0;
    Socket* socket = nullptr;  // null: closed, lingering
    SlotRef slot;
    int socket_type = 0;
    int protocol = 0;
    uint32_t slow_leaf_ms = 0;
    bool is_geometry_fixed = false;
    engine::Geometry geometry{};
    StreamRef stream;
    std::map<PeerId, std::weak_ptr<Host>> hosts;
    std::vector<RootEdgeRef> edges;  // in order of admission; rows and live ones
    uint32_t next_number = 0;
    std::bitset<abi::kInboxSlots> slots_used;
    uint32_t next_slot = 0;
    bool is_finishing = false;  // no more joins; the stream has an end
    bool is_sent = false;       // best effort: all of it went out
    engine::Position final = 0;
    Bytes disconnect_data;
    Progress linger;
    uint64_t final_bytes = 0;
    MemberRef member;                                            // MESH: what it sends and receives itself
    std::string secret;                                          // MESH: shows that a member's host was told by us
    std::map<std::pair<uint32_t, uint32_t>, BrokenPair> broken;  // (older, younger) member

    bool is_mesh() const { return protocol == XY_PROTO_MESH; }
    bool is_reliable() const { return socket_type != SOCK_DGRAM; }
    unsigned n_live() const;
};

class Socket {
  public:
    Socket(App& app, SlotRef slot, Role role, int family, int type, uint32_t flags, const Options& options);

    uint32_t id() const { return slot->id(); }
    abi::EngineSocket& facts() { return slot->facts(); }
    void set_phase(abi::Phase phase);
    void set_leaves(uint32_t leaves);
    void set_backlog();
    void set_direction(uint32_t direction);
    void set_live();
    void set_read_end(engine::Position end);
    void set_delivered();
    /// Also in shared memory, for the descriptor: see kWantConnect.
    void set_joining(bool is_under_way);
    /// The outcome of the join in progress.
    void decide_join(int code, Bytes callee_data);
    /// FD_CLOSE; the first end stays. But a graceful one that the application has not read up to can be `broken_off`.
    void end(int code, bool is_broken_off = false);

    App& app;
    SlotRef slot;
    Role role;
    int family, type;
    int protocol = XY_PROTO_TREE;
    uint32_t flags;            // XY_C_*, XY_D_*
    bool has_loopback = true;  // MESH: what it sends comes back to it
    Options options;
    abi::Qos qos = default_qos();
    abi::Phase phase = abi::Phase::kOpen;

    std::optional<Endpoint> local;  // bound
    bool is_in_bindings = false;    // false for accepted ones, which share the listener's
    Endpoint peer;                  // joined: the other end

    bool is_listening = false;
    unsigned backlog_limit = 0;
    std::deque<Request> queue;
    std::vector<Request> taken;  // the application is deciding

    bool is_joining = false;
    bool has_outcome = false;
    int outcome = 0;
    Bytes callee_data;

    bool has_ended = false;
    bool is_lingering = false;  // xy_close waits until everything was confirmed
    bool is_shut_send = false, is_shut_receive = false;
    bool has_disconnected = false;  // leaf: it has said so, with or without data
    Bytes disconnect_in;

    std::shared_ptr<Root> root;  // c_root
    RootEdgeRef invite;          // c_root: the pending invitation
    RootEdgeRef edge;            // handle
    LeafEdgeRef leaf;            // c_leaf that joins or has joined
    GroupSocketRef group;        // XY_PROTO_GROUP: what it has beside
};

/// A c_leaf in a session.
bool is_joined(const Socket& socket);

}  // namespace xylem::session
