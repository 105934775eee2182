// SPDX-License-Identifier: Apache-2.0
// A world: a handful of sockets in several processes, driven call by call, each compared with what the documents say.
// It is sequential, so that the outcome of every call is known; many worlds run at once against one daemon. What a call
// causes at another socket is awaited when a later call depends on it.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/model/rpc.h"
#include "tests/model/state.h"

namespace xylem::model {

inline constexpr unsigned kWorkers = 3;
inline constexpr uint16_t kPortsPerWorld = 8;        // and one more that nobody binds
inline constexpr uint32_t kSecondOfStep = 1U << 30;  // a step that makes two sockets: the id of the second

enum class Kind : uint8_t {
    kMake,
    kMakeBadly,
    kBind,
    kListen,
    kJoin,
    kJoinBadly,
    kBlockingJoin,
    kAccept,
    kSend,
    kReceive,
    kShutdown,
    kSendDisconnect,
    kReceiveDisconnect,
    kClose,
    kSelect,
    kEnumerate,
    kSetBlocking,
    kSetLinger,
    kNextBytes,
    kOptions,
    kNames,
    kPoll,
    kStats,
    kLeafStats,
    kCount,
};

/// One step of a sequence. It names sockets by the step that made them, so that steps can be left out.
struct Op {
    Kind kind = Kind::kCount;
    uint32_t uid = 0;       // of this step
    uint32_t s = 0, t = 0;  // sockets, 0: none
    std::array<uint32_t, 4> r{};
};

/// The product and the model disagree.
struct Mismatch : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A worker is gone.
struct Lost : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Coverage = std::map<std::string, uint64_t>;  // "state call outcome" -> times

class World {
  public:
    World(const std::array<int, kWorkers>& channels, uint16_t first_port, int family, int type, uint64_t id,
          Coverage& coverage);

    void perform(const Op& op);
    /// Closes everything and checks that nothing is left.
    void finish();
    /// After a disagreement: whatever there is goes.
    void abandon();

    const std::map<uint32_t, std::unique_ptr<Node>>& nodes() const { return nodes_; }
    Node* find(uint32_t id) const;
    const std::string& script() const { return script_; }
    uint64_t n_calls() const { return n_calls_; }
    /// How long effects are waited for.
    void set_deadline(int deadline_ms) { deadline_ms_ = deadline_ms; }

  private:
    // calls_open.cc
    void make(const Op& op);
    void make_badly(const Op& op);
    void bind(Node& s, const Op& op);
    void listen(Node& s, const Op& op);
    void names(Node& s);
    void options(Node& s, const Op& op);
    void set_blocking(Node& s, const Op& op);
    void set_linger(Node& s, const Op& op);
    void check_local(Node& s);
    bool is_held(const Address& address) const;

    // calls_join.cc
    struct Asked {
        Address target;
        unsigned flags = XY_BOTH;
        bool has_caller = false;
        std::string caller;
        int callee_room = 0;
        bool is_connect = false;
    };
    Asked ask_for(const Op& op) const;
    Node* listener_at(const Address& target, Node::Role role) const;
    int join_refusal(const Node& s, const Asked& asked) const;
    Request join_request(const Node& s, const Asked& asked) const;
    void join(Node& s, const Op& op);
    void join_badly(Node& s, const Op& op);
    void blocking_join(Node& s, const Op& op);
    void bind_for_join(Node& s);
    Edge& start_join(Node& s, const Asked& asked, const Op& op, int fd);
    bool is_admitted(const Node& listener) const;
    void enqueue(Node& listener, Edge& edge);
    void decide(Node& joiner, int code);
    void refuse(Edge& edge);
    void withdraw(Edge& edge, int code);
    void accept(Node& s, const Op& op);
    void accept_head(Node& s, const Op& op);
    void check_decision(const Edge& edge, const Reply& reply, bool is_ask);
    Node& add_handle(Node& root, Edge& edge, int fd, uint32_t id);
    Node& inherit(const Node& from, Node::Role role, int fd, uint32_t id);
    void go_live(Edge& edge);

    // calls_data.cc
    int send_refusal(const Node& s) const;
    void send(Node& s, const Op& op);
    void receive(Node& s, const Op& op);
    std::set<int> nothing_there(const Node& s) const;
    std::vector<Edge*> sources(Node& s) const;
    void take_message(Node& s, const Reply& reply, size_t room, int flags);
    void take_bytes(Node& s, const Reply& reply, size_t room, int flags);
    static void place_early(Edge& edge, const Reply& reply, bool is_stream);
    Edge& source_of(Node& s, const Reply& reply, size_t room);
    Queue& queue_of(Node& s, Edge& edge) const;
    void next_bytes(Node& s);
    void poll(Node& s);
    void stats(Node& s);
    void leaf_stats(Node& s);

    // calls_end.cc
    void shutdown(Node& s, const Op& op);
    void finish_root(Node& s, const std::string& data);
    void send_disconnect(Node& s, const Op& op);
    void receive_disconnect(Node& s);
    void close(Node& s);
    void close_root(Node& s);
    void close_leaf(Node& s);
    void close_handle(Node& s);
    void end_leaf(Edge& edge, std::set<int> codes);

    // calls_events.cc
    void select(Node& s, const Op& op);
    void enumerate(Node& s);
    Truth truth(const Node& s, unsigned bit, std::set<int>& codes) const;
    Truth readable(const Node& s) const;
    void note_truths();
    void reenable(Node& s, uint32_t events);

    // world.cc
    Reply ask(const Node& s, const Request& request);
    Reply ask_worker(unsigned worker, const Request& request);
    void post(unsigned worker, Request request);
    Reply fetch(unsigned worker);
    /// The call's outcome must be one of `allowed` (0: success); returns it.
    int check(const Node* s, const std::string& call, const Reply& reply, const std::set<int>& allowed);
    void fail(const std::string& what) const;
    void settle(Node& s);
    /// The requests that are on their way reach their listeners.
    void fence();
    void be_patient(const Node& s, Request& request, std::initializer_list<int> passing) const;
    void put_address(Request& request, const Address& address) const;
    Address address_of(const ReplyHead& reply) const;
    Node& add_node(uint32_t id, unsigned worker, int fd, Node::Role role);
    Edge& add_edge();

    std::array<int, kWorkers> channels_;
    uint16_t first_port_;
    int family_, type_;
    uint64_t id_;
    Coverage& coverage_;
    std::map<uint32_t, std::unique_ptr<Node>> nodes_;
    std::deque<Edge> edges_;
    int fence_fd_ = -1;   // a leaf in worker 0 that asks where nobody listens
    std::string before_;  // state of the socket that the step is about
    std::string script_;
    uint64_t n_calls_ = 0;
    uint64_t n_messages_ = 0;
    uint64_t n_steps_ = 0;
    int deadline_ms_ = kDeadlineMs;
};

std::string name_of_error(int error);
std::string text_of(const Address& address);

}  // namespace xylem::model
