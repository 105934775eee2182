// SPDX-License-Identifier: Apache-2.0
// What the documents say that a world's sockets are like (docs/winsock.md, the one-screen model): nothing in here comes
// from the product but descriptors and the addresses that it chose.
#pragma once
#include <xylem/xylem.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace xylem::model {

struct Address {
    bool is_wildcard = false;
    uint16_t port = 0;
    auto operator<=>(const Address&) const = default;
};

struct Message {
    uint64_t id = 0;
    uint32_t bytes = 0;
};

/// The bytes of a message: made from its id, so that nobody else's can be taken for them.
std::string content_of(const Message& message);

/// What one sender has on its way to one reader.
struct Queue {
    std::deque<Message> pending;
    size_t taken_bytes = 0;    // of the front
    bool may_be_lost = false;  // the session broke: what is left may come, in order, or not

    bool is_empty() const { return pending.empty(); }
    size_t bytes() const;
};

struct Node;

/// One leaf's membership.
struct Edge {
    enum class Step { kPending, kLive, kOver };
    Step step = Step::kPending;
    bool was_live = false;
    bool is_invited = false;
    Node* root = nullptr;    // null: closed
    Node* leaf = nullptr;    // null: none yet (an invitation), or closed
    Node* handle = nullptr;  // null: none yet, or closed
    Node* listener = nullptr;
    unsigned direction = XY_BOTH;  // of the leaf
    Address root_address, leaf_address;
    std::optional<std::string> caller;
    std::string callee;
    int callee_room = 0;
    std::optional<int> withdrawn;  // what accept says about it
    Queue down, up;
    // What the root sent just before the leaf joined, and the worker may have pulled just after: it comes, or not.
    std::deque<Message> early;
    bool is_root_finished = false;  // gracefully
    bool has_leaf_left = false;     // gracefully
    bool has_leaf_disconnected = false;
    bool has_root_row = true;
    std::set<int> leaf_end;        // codes of the leaf's FD_CLOSE; empty: it has not ended
    std::set<int> handle_end;      // the same for an abortive end of the handle
    std::string to_leaf, to_root;  // disconnect data

    bool leaf_receives() const { return direction != XY_SENDER_ONLY; }
    bool leaf_sends() const { return direction != XY_RECEIVER_ONLY; }
};

enum class Truth : uint8_t { kNo, kMaybe, kYes };

/// A socket.
struct Node {
    enum class Role { kRoot, kLeaf, kHandle };
    uint32_t id = 0;
    unsigned worker = 0;
    int fd = -1;
    Role role = Role::kLeaf;
    int type = SOCK_RDM;
    bool is_nonblocking = false;
    int linger_s = -1;

    std::optional<Address> local;
    bool owns_address = false;  // against an accepted one, which shares its listener's
    bool is_listening = false;
    unsigned backlog = 0;
    std::deque<Edge*> queue;

    Edge* pending = nullptr;   // a join that is not decided
    Edge* edge = nullptr;      // leaf, handle: the session it is or was in
    std::vector<Edge*> edges;  // root: in order of admission
    bool is_finishing = false;
    bool is_shut_read = false, is_shut_write = false;
    bool has_been_member = false;                     // root: had an edge, or listened
    std::deque<std::pair<uint64_t, Message>> recent;  // root: what it sent, by step
    uint64_t n_sent = 0, n_received = 0;
    Edge* partial = nullptr;  // root: whose message is being read in pieces

    // Events.
    uint32_t mask = 0, enabled = 0;
    uint32_t was_true = 0;  // since enabled: may have been recorded
    // With an eventfd another thread records, so that a re-enabling call may come after it: then the event is both
    // recorded and enabled.
    uint32_t may_be_both = 0, may_be_enabled = 0;
    bool is_connect_due = false;
    std::set<int> connect_codes;
    std::set<int> stale_codes;   // of an outcome that was not taken before the next join began
    std::set<int> error_codes;   // what SO_ERROR may say
    int owner_of_event_fd = -1;  // the socket that registered the eventfd which this one inherited
    bool is_connect_doubtful = false;
    bool has_callee_room = false;
    std::string expected_callee;

    // An effect that is still on its way here.
    enum class Unsettled { kNothing, kLeaves, kEnd, kReadable };
    Unsettled unsettled = Unsettled::kNothing;

    bool is_root() const { return role == Role::kRoot; }
    bool is_leaf() const { return role == Role::kLeaf; }
    bool is_handle() const { return role == Role::kHandle; }
    bool is_joined() const { return edge != nullptr && edge->step != Edge::Step::kPending; }
    bool has_ended() const { return edge != nullptr && !edge->leaf_end.empty(); }
    /// A handle on which there is, or was, a side chat where the product has any.
    bool may_chat() const { return is_handle() && edge->was_live; }
    bool is_live() const { return edge != nullptr && edge->step == Edge::Step::kLive; }
    unsigned n_live() const;
    size_t outstanding_bytes() const;
    std::string state() const;  // for the coverage and the script
};

/// Whether, and with which codes, the handle of `edge` has FD_CLOSE.
Truth handle_has_ended(const Edge& edge, std::set<int>& codes);

}  // namespace xylem::model
