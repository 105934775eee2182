// SPDX-License-Identifier: Apache-2.0
// Joining: parameters, one outstanding, whom it reaches, what it gives (W-040 … W-123, W-180 … W-188, W-250 … W-257).
#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/model/world.h"

namespace xylem::model {

namespace {

unsigned mirrored(unsigned direction) {
    return direction == XY_SENDER_ONLY ? XY_RECEIVER_ONLY : direction == XY_RECEIVER_ONLY ? XY_SENDER_ONLY : XY_BOTH;
}

std::string blob(uint32_t seed, size_t bytes) { return content_of({seed, static_cast<uint32_t>(bytes)}); }

}  // namespace

// A step's join: at the socket that it names, at its address or a neighbour's.
World::Asked World::ask_for(const Op& op) const {
    Asked asked;
    const Node* t = find(op.t);
    if (t != nullptr && t->local)
        asked.target = {false, t->local->port};
    else
        asked.target = {false, static_cast<uint16_t>(first_port_ + op.r[1] % kPortsPerWorld)};
    const unsigned kinds[] = {XY_BOTH, XY_BOTH, XY_SENDER_ONLY, XY_RECEIVER_ONLY, XY_SENDER_ONLY | XY_RECEIVER_ONLY};
    asked.flags = kinds[op.r[0] % std::size(kinds)];
    asked.has_caller = op.r[2] % 2 != 0;
    const size_t sizes[] = {0, 1, 40, XY_CONNECT_DATA_MAX};
    if (asked.has_caller) asked.caller = blob(op.uid, sizes[op.r[2] / 2 % std::size(sizes)]);
    const int rooms[] = {0, 5, 100, XY_CONNECT_DATA_MAX};
    asked.callee_room = rooms[op.r[2] / 8 % std::size(rooms)];
    asked.is_connect = op.r[0] / 8 % 8 == 0;
    if (asked.is_connect) asked = {asked.target, XY_BOTH, false, {}, 0, true};
    return asked;
}

Node* World::listener_at(const Address& target, Node::Role role) const {
    Node* at_any = nullptr;
    for (const auto& [id, node] : nodes_) {
        if (!node->owns_address || node->role != role || !node->is_listening || node->local->port != target.port)
            continue;
        if (!node->local->is_wildcard) return node.get();
        at_any = node.get();
    }
    return at_any;
}

// What the call itself fails with; 0: it starts (W-051).
int World::join_refusal(const Node& s, const Asked& asked) const {
    if (asked.is_connect && s.is_root()) return EOPNOTSUPP;
    if (s.is_leaf() && s.is_listening) return EINVAL;
    if (s.is_handle()) return EISCONN;
    if (s.pending != nullptr) return EALREADY;
    if (s.is_leaf() && s.edge != nullptr) return EISCONN;
    if (s.is_root() && s.is_finishing) return ESHUTDOWN;
    if (s.is_root()) {
        for (const Edge* e : s.edges)
            if (e->leaf_address == asked.target && e->step != Edge::Step::kOver && !e->has_leaf_left) return EISCONN;
        for (const Edge* e : s.queue)
            if (e->leaf_address == asked.target && !e->withdrawn) return EISCONN;
    }
    const bool commits = s.is_leaf() && s.local && s.local->is_wildcard;
    return commits && is_held({false, s.local->port}) ? EADDRINUSE : 0;
}

Request World::join_request(const Node& s, const Asked& asked) const {
    Request request = request_for(asked.is_connect ? Call::kConnect : Call::kJoin, s.fd, static_cast<int>(asked.flags),
                                  asked.callee_room, asked.has_caller ? 1 : 0);
    put_address(request, asked.target);
    request.data = asked.caller;
    return request;
}

static std::string text_of_join(unsigned flags, const Address& target, bool is_connect) {
    return (is_connect ? "connect(" : "join(") + text_of(target) + ", " + std::to_string(flags) + ")";
}

void World::join(Node& s, const Op& op) {
    const Asked asked = ask_for(op);
    const int refusal = join_refusal(s, asked);
    if (refusal == 0 && !s.is_nonblocking) return;  // blocking_join does those
    settle(s);
    Request request = join_request(s, asked);
    if (refusal != EALREADY && s.pending == nullptr) {
        request.patience = Patience::kNap;  // an outcome that nobody asked for is perhaps still to come
        request.passing[0] = EALREADY;
    }
    const Reply reply = ask(s, request);
    if (check(&s, text_of_join(asked.flags, asked.target, asked.is_connect), reply, {refusal}) != 0) return;
    if (!asked.is_connect && s.is_leaf() != (reply.result == s.fd)) fail("the descriptor of the join is not its own");
    Edge& edge = start_join(s, asked, op, static_cast<int>(reply.result));
    reenable(s, XY_FD_CONNECT);
    fence();
    Node* listener = listener_at(asked.target, s.is_leaf() ? Node::Role::kRoot : Node::Role::kLeaf);
    if (listener == nullptr || listener->type != s.type || !is_admitted(*listener)) return refuse(edge);
    enqueue(*listener, edge);
}

Edge& World::start_join(Node& s, const Asked& asked, const Op& op, int fd) {
    bind_for_join(s);
    Edge& edge = add_edge();
    edge.is_invited = s.is_root();
    const unsigned flags = asked.flags == 3 ? XY_BOTH : asked.flags;
    edge.direction = s.is_root() ? mirrored(flags) : flags;
    edge.callee_room = asked.callee_room;
    if (!asked.caller.empty()) edge.caller = asked.caller;  // W-187
    s.pending = &edge;
    // The thread that serves eventfds may have recorded an outcome that nobody took.
    if (s.is_connect_due && s.owner_of_event_fd >= 0)
        s.stale_codes.insert(s.connect_codes.begin(), s.connect_codes.end());
    s.is_connect_due = false;
    s.has_callee_room = asked.callee_room > 0;
    s.expected_callee.clear();
    if (s.is_leaf()) {
        edge.leaf = &s;
        s.edge = &edge;
        edge.root_address = asked.target;
        edge.leaf_address = *s.local;
        return edge;
    }
    edge.root = &s;
    edge.root_address = {false, s.local->port};
    edge.leaf_address = asked.target;
    s.edges.push_back(&edge);
    s.has_been_member = true;
    if (fd >= 0) add_handle(s, edge, fd, op.uid);
    return edge;
}

// W-042: an unbound socket is bound; a leaf's wildcard is committed (W-044).
void World::bind_for_join(Node& s) {
    if (!s.local) {
        s.local = Address{false, 0};
        check_local(s);
        s.owns_address = true;
    } else if (s.is_leaf() && s.local->is_wildcard) {
        s.local->is_wildcard = false;
        check_local(s);
    }
}

void World::join_badly(Node& s, const Op& op) {
    Asked asked = ask_for(op);
    asked.is_connect = false;
    Request request = join_request(s, asked);
    const bool is_listening_leaf = s.is_leaf() && s.is_listening;
    int error = 0;
    switch (op.r[3] % 7) {
        case 0:
            request.a = static_cast<int>(op.r[0] % 2 == 0 ? 0 : 5 + op.r[0] % 40);
            error = EINVAL;
            break;
        case 1:
            request.address_bytes = op.r[0] % 16;
            error = EFAULT;
            break;
        case 2:
            request.address.ss_family = family_ == AF_INET ? AF_INET6 : AF_INET;
            error = EAFNOSUPPORT;
            break;
        case 3:
            put_address(request, {true, asked.target.port});
            error = EADDRNOTAVAIL;
            break;
        case 4:
            put_address(request, {false, 0});
            error = EADDRNOTAVAIL;
            break;
        case 5:
            request.data.assign(XY_CONNECT_DATA_MAX + 1, 'x');
            request.c = 1;
            error = EFAULT;
            break;
        default:  // two faults: the earlier in the order of checks is told
            request.a = 0;
            request.address_bytes = 0;
            error = EINVAL;
    }
    if (is_listening_leaf) error = EINVAL;
    check(&s, "join(bad)", ask(s, request), {error});
}

// ---- the requests ----

bool World::is_admitted(const Node& listener) const {
    if (listener.is_finishing) return false;
    const auto n =
        std::count_if(listener.queue.begin(), listener.queue.end(), [](const Edge* e) { return !e->withdrawn; });
    return static_cast<unsigned>(n) < listener.backlog;
}

void World::enqueue(Node& listener, Edge& edge) {
    edge.listener = &listener;
    if (listener.is_root()) edge.root = &listener;
    // Withdrawn requests that nobody fetches do not pile up.
    const auto is_withdrawn = [](const Edge* e) { return e->withdrawn.has_value(); };
    const auto n = std::count_if(listener.queue.begin(), listener.queue.end(), is_withdrawn);
    if (static_cast<unsigned>(n) >= listener.backlog)
        listener.queue.erase(std::find_if(listener.queue.begin(), listener.queue.end(), is_withdrawn));
    listener.queue.push_back(&edge);
}

/// The outcome of the join that `joiner` has pending.
void World::decide(Node& joiner, int code) {
    if (joiner.pending == nullptr) return;
    if (joiner.is_leaf() && code != 0) joiner.edge = nullptr;
    joiner.pending = nullptr;
    joiner.is_connect_due = true;
    joiner.connect_codes = {code};
}

/// The joiner is told ECONNREFUSED.
void World::refuse(Edge& edge) {
    edge.listener = nullptr;
    if (edge.withdrawn) return;
    edge.step = Edge::Step::kOver;
    Node* joiner = edge.is_invited ? edge.root : edge.leaf;
    if (!edge.is_invited) edge.root = nullptr;
    if (joiner != nullptr) decide(*joiner, ECONNREFUSED);
}

/// The joiner gave up; accept will say so (W-122).
void World::withdraw(Edge& edge, int code) {
    edge.step = Edge::Step::kOver;
    edge.withdrawn = code;
}

// ---- accept ----

void World::accept(Node& s, const Op& op) {
    std::set<int> allowed;
    if (!s.is_listening)
        allowed = {EINVAL};
    else if (s.is_finishing)
        allowed = {EAGAIN, EINVAL};
    else if (s.queue.empty())
        allowed = {EAGAIN};
    if (allowed.empty()) return accept_head(s, op);
    if (allowed.contains(EAGAIN) && !s.is_nonblocking) return;
    const int outcome = check(&s, "accept()", ask(s, request_for(Call::kAccept, s.fd, -1)), allowed);
    if (outcome == EAGAIN) reenable(s, XY_FD_ACCEPT);
}

void World::accept_head(Node& s, const Op& op) {
    Edge& edge = *s.queue.front();
    const int answers[] = {-1, XY_ACCEPT, XY_ACCEPT, XY_REJECT, XY_DEFER, 7};
    const int answer = answers[op.r[0] % std::size(answers)];
    Request request = request_for(Call::kAccept, s.fd, answer);
    be_patient(s, request, {EAGAIN});
    const size_t sizes[] = {0, 3, 60, XY_CONNECT_DATA_MAX};
    if (answer >= 0) request.data = blob(op.uid + 1, sizes[op.r[1] % std::size(sizes)]);
    const int error = edge.withdrawn        ? *edge.withdrawn
                      : answer == 7         ? EINVAL
                      : answer == XY_REJECT ? ECONNREFUSED
                      : answer == XY_DEFER  ? EBUSY
                                            : 0;
    const Reply reply = ask(s, request);
    const int outcome = check(&s, "accept(" + std::to_string(answer) + ")", reply, {error});
    if (outcome != EBUSY) reenable(s, XY_FD_ACCEPT);
    if (!edge.withdrawn) check_decision(edge, reply, answer >= 0);
    if (!edge.withdrawn && (answer == XY_DEFER || answer == 7)) return;  // the head, as before
    s.queue.pop_front();
    edge.listener = nullptr;
    if (edge.withdrawn) return;
    if (outcome == ECONNREFUSED) return refuse(edge);
    edge.callee = request.data;
    const int fd = static_cast<int>(reply.result);
    if (s.is_root()) {
        s.edges.push_back(&edge);
        add_handle(s, edge, fd, op.uid);
    } else {
        Node& leaf = inherit(s, Node::Role::kLeaf, fd, op.uid);
        leaf.local = edge.leaf_address;
        leaf.edge = &edge;
        edge.leaf = &leaf;
    }
    go_live(edge);
}

// What the condition function was shown (W-190, W-191, W-200).
void World::check_decision(const Edge& edge, const Reply& reply, bool is_ask) {
    if (is_ask && reply.values[0] != 1)
        fail("the condition function ran " + std::to_string(reply.values[0]) + " times");
    const Address caller = edge.is_invited ? edge.root_address : edge.leaf_address;
    if (address_of(reply) != caller)
        fail("accept tells the caller " + text_of(address_of(reply)) + ", not " + text_of(caller));
    if (!is_ask) return;
    if (reply.values[4] != 1) fail("accept's address is not the request's");
    if (reply.values[3] != XY_CONNECT_DATA_MAX) fail("the room for callee data is " + std::to_string(reply.values[3]));
    const unsigned flags = edge.is_invited ? mirrored(edge.direction) : edge.direction;
    if (reply.values[1] != flags) fail("the request's flags are " + std::to_string(reply.values[1]));
    const bool has_data = reply.values[2] != 0;
    if (has_data != edge.caller.has_value() || (has_data && reply.data != *edge.caller))
        fail("the caller data are not what the joiner gave");
}

Node& World::inherit(const Node& from, Node::Role role, int fd, uint32_t id) {
    Node& made = add_node(id, from.worker, fd, role);
    made.type = from.type;
    made.is_nonblocking = from.is_nonblocking;
    made.linger_s = from.linger_s;
    made.mask = made.enabled = from.mask;
    made.owner_of_event_fd = from.owner_of_event_fd;
    return made;
}

Node& World::add_handle(Node& root, Edge& edge, int fd, uint32_t id) {
    Node& handle = inherit(root, Node::Role::kHandle, fd, id);
    handle.edge = &edge;
    edge.handle = &handle;
    return handle;
}

void World::go_live(Edge& edge) {
    edge.step = Edge::Step::kLive;
    edge.was_live = true;
    constexpr uint64_t kSurelyPulled = 12;  // steps
    for (const auto& [step, message] : edge.root->recent)
        if (step + kSurelyPulled >= n_steps_ && edge.leaf_receives()) edge.early.push_back(message);
    Node& joiner = edge.is_invited ? *edge.root : *edge.leaf;
    decide(joiner, 0);
    edge.leaf->unsettled = Node::Unsettled::kLeaves;
    // There when the outcome is told (W-183 … W-185).
    joiner.expected_callee = edge.callee.substr(0, static_cast<size_t>(edge.callee_room));
}

// ---- blocking ----

// The call blocks in its process while the one that listens decides in another (W-052).
void World::blocking_join(Node& s, const Op& op) {
    if (s.is_nonblocking) return;
    const Asked asked = ask_for(op);
    if (join_refusal(s, asked) != 0) return;
    Node* listener = listener_at(asked.target, s.is_leaf() ? Node::Role::kRoot : Node::Role::kLeaf);
    const bool is_refused = listener == nullptr || listener->type != s.type || !is_admitted(*listener);
    if (!is_refused && (listener->worker == s.worker || !listener->queue.empty())) return;
    settle(s);
    const Request request = join_request(s, asked);
    const std::string text = "blocking " + text_of_join(asked.flags, asked.target, asked.is_connect);
    post(s.worker, request);
    s.is_connect_due = s.is_connect_doubtful = false;  // an earlier outcome is not told any more
    if (is_refused) {
        check(&s, text, fetch(s.worker), {ECONNREFUSED});
        return bind_for_join(s);
    }
    // The address that it is bound to is known when the call is over.
    const bool accepts = op.r[3] % 3 != 0;
    Request answer = request_for(Call::kAccept, listener->fd, accepts ? XY_ACCEPT : XY_REJECT);
    answer.patience = Patience::kNap;
    answer.passing[0] = EAGAIN;
    if (accepts) answer.data = blob(op.uid + 1, 33);
    const Reply accepted = ask(*listener, answer);
    const Reply reply = fetch(s.worker);
    listener->was_true |= listener->enabled & XY_FD_ACCEPT;
    reenable(*listener, XY_FD_ACCEPT);
    const std::string before = std::exchange(before_, listener->state());
    check(listener, "accept(" + std::to_string(answer.a) + ")", accepted, {accepts ? 0 : ECONNREFUSED});
    before_ = before;
    if (check(&s, text, reply, {accepts ? 0 : ECONNREFUSED}) != 0) return bind_for_join(s);
    Edge& edge = start_join(s, asked, op, asked.is_connect ? -1 : static_cast<int>(reply.result));
    edge.callee = answer.data;
    const int fd = static_cast<int>(accepted.result);
    if (s.is_leaf()) {
        edge.root = listener;
        listener->edges.push_back(&edge);
        add_handle(*listener, edge, fd, op.uid);
    } else {
        Node& leaf = inherit(*listener, Node::Role::kLeaf, fd, op.uid + kSecondOfStep);
        leaf.local = edge.leaf_address;
        leaf.edge = &edge;
        edge.leaf = &leaf;
    }
    check_decision(edge, accepted, true);
    go_live(edge);
    s.is_connect_due = false;  // W-137
    if (edge.callee_room > 0) {
        const Reply callee = ask(s, request_for(Call::kCallee, s.fd));
        if (callee.data != s.expected_callee) fail("the callee data of a blocking join are wrong");
    }
}

}  // namespace xylem::model
