// SPDX-License-Identifier: Apache-2.0
#include "tests/model/world.h"

#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace xylem::model {

std::string name_of_error(int error) {
    if (error == 0) return "ok";
    const char* name = strerrorname_np(error);
    return name != nullptr ? name : std::to_string(error);
}

std::string text_of(const Address& address) {
    return (address.is_wildcard ? "any:" : "lo:") + std::to_string(address.port);
}

World::World(const std::array<int, kWorkers>& channels, uint16_t first_port, int family, int type, uint64_t id,
             Coverage& coverage)
    : channels_(channels), first_port_(first_port), family_(family), type_(type), id_(id), coverage_(coverage) {
    script_ = type == SOCK_RDM ? "  messages" : type == SOCK_STREAM ? "  streams" : "  datagrams";
    script_ += family == AF_INET ? ", IPv4\n" : ", IPv6\n";
}

Node* World::find(uint32_t id) const {
    const auto found = nodes_.find(id);
    return found != nodes_.end() ? found->second.get() : nullptr;
}

Node& World::add_node(uint32_t id, unsigned worker, int fd, Node::Role role) {
    auto node = std::make_unique<Node>();
    node->id = id;
    node->worker = worker;
    node->fd = fd;
    node->role = role;
    node->type = type_;
    return *(nodes_[id] = std::move(node));
}

Edge& World::add_edge() { return edges_.emplace_back(); }

// ---- asking ----

void World::post(unsigned worker, Request request) {
    request.deadline_ms = deadline_ms_;
    ++n_calls_;
    if (!put(channels_[worker], request)) throw Lost("worker " + std::to_string(worker) + " is gone");
}

Reply World::fetch(unsigned worker) {
    Reply reply;
    if (!get(channels_[worker], reply)) throw Lost("worker " + std::to_string(worker) + " is gone");
    return reply;
}

Reply World::ask_worker(unsigned worker, const Request& request) {
    post(worker, request);
    return fetch(worker);
}

Reply World::ask(const Node& s, const Request& request) { return ask_worker(s.worker, request); }

void World::fail(const std::string& what) const { throw Mismatch(what); }

int World::check(const Node* s, const std::string& call, const Reply& reply, const std::set<int>& allowed) {
    const int outcome = reply.result < 0 ? reply.error : 0;
    script_ += "  ";
    if (s != nullptr) script_ += "p" + std::to_string(s->worker) + " s" + std::to_string(s->id) + " [" + before_ + "] ";
    script_ += call + " -> " + (outcome == 0 ? std::to_string(reply.result) : name_of_error(outcome)) + "\n";
    const std::string verb = call.substr(0, call.find('('));
    ++coverage_[before_ + " " + verb + " " + name_of_error(outcome)];
    if (allowed.contains(outcome)) return outcome;
    std::string wanted;
    for (const int code : allowed)
        wanted += (wanted.empty() ? "" : " or ") + name_of_error(code);
    fail(call + " in state " + before_ + " gave " + name_of_error(outcome) + ", the model says " + wanted +
         (reply.was_late != 0 ? " (waited for it in vain)" : ""));
    return outcome;
}

// What is still on its way to `s` arrives.
void World::settle(Node& s) {
    const Node::Unsettled what = std::exchange(s.unsettled, Node::Unsettled::kNothing);
    Request request;
    switch (what) {
        case Node::Unsettled::kNothing:
            return;
        case Node::Unsettled::kLeaves:
            if (s.is_root() && s.is_finishing) return;
            request = request_for(Call::kAwaitLeaves, s.fd, static_cast<int>(s.is_root() ? s.n_live() : 1));
            break;
        case Node::Unsettled::kEnd:
            if (s.is_shut_write) return;
            request = request_for(Call::kAwaitSendError, s.fd, 0, s.type == SOCK_STREAM ? 1 : 0);
            break;
        case Node::Unsettled::kReadable:
            request = request_for(Call::kAwaitReadable, s.fd);
            break;
    }
    const Reply reply = ask(s, request);
    if (reply.result >= 0) return;
    static const char* const kNames[] = {"", "the number of its leaves", "the end of its session", "its FD_CLOSE"};
    fail("s" + std::to_string(s.id) + " [" + s.state() + "] never saw " + kNames[static_cast<int>(what)]);
}

void World::be_patient(const Node& s, Request& request, std::initializer_list<int> passing) const {
    request.patience = s.mask == 0 ? Patience::kDescriptor : Patience::kXyPoll;
    std::copy(passing.begin(), passing.end(), std::begin(request.passing));
}

// Join requests are taken in order: when this one is answered, those before it have arrived.
void World::fence() {
    if (fence_fd_ < 0)
        fence_fd_ = static_cast<int>(
            ask_worker(0, request_for(Call::kSocket, -1, family_, type_, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF)).result);
    Request request = request_for(Call::kJoin, fence_fd_, XY_BOTH);
    put_address(request, {false, static_cast<uint16_t>(first_port_ + kPortsPerWorld)});
    const Reply reply = ask_worker(0, request);
    if (reply.result >= 0 || reply.error != ECONNREFUSED)
        fail("a join where nobody listens gave " + name_of_error(reply.result < 0 ? reply.error : 0));
}

// ---- addresses ----

void World::put_address(Request& request, const Address& address) const {
    if (family_ == AF_INET) {
        auto& in = reinterpret_cast<sockaddr_in&>(request.address);
        in.sin_family = AF_INET;
        in.sin_port = htons(address.port);
        in.sin_addr.s_addr = address.is_wildcard ? INADDR_ANY : htonl(INADDR_LOOPBACK);
        request.address_bytes = sizeof in;
    } else {
        auto& in = reinterpret_cast<sockaddr_in6&>(request.address);
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(address.port);
        in.sin6_addr = address.is_wildcard ? in6addr_any : in6addr_loopback;
        request.address_bytes = sizeof in;
    }
}

Address World::address_of(const ReplyHead& reply) const {
    Address address;
    if (family_ == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(reply.address);
        address.port = ntohs(in.sin_port);
        address.is_wildcard = in.sin_addr.s_addr == INADDR_ANY;
        if (!address.is_wildcard && in.sin_addr.s_addr != htonl(INADDR_LOOPBACK)) fail("a foreign address");
    } else {
        const auto& in = reinterpret_cast<const sockaddr_in6&>(reply.address);
        address.port = ntohs(in.sin6_port);
        address.is_wildcard = std::memcmp(&in.sin6_addr, &in6addr_any, sizeof in6addr_any) == 0;
    }
    if (reply.address.ss_family != family_) fail("an address of another family");
    return address;
}

// ---- steps ----

void World::perform(const Op& op) {
    Node* s = find(op.s);
    const bool needs_socket = op.kind != Kind::kMake && op.kind != Kind::kMakeBadly;
    if (needs_socket && s == nullptr) return;
    ++n_steps_;
    before_ = s != nullptr ? s->state() : "none";
    switch (op.kind) {
        case Kind::kMake:
            make(op);
            break;
        case Kind::kMakeBadly:
            make_badly(op);
            break;
        case Kind::kBind:
            bind(*s, op);
            break;
        case Kind::kListen:
            listen(*s, op);
            break;
        case Kind::kJoin:
            join(*s, op);
            break;
        case Kind::kJoinBadly:
            join_badly(*s, op);
            break;
        case Kind::kBlockingJoin:
            blocking_join(*s, op);
            break;
        case Kind::kAccept:
            accept(*s, op);
            break;
        case Kind::kSend:
            send(*s, op);
            break;
        case Kind::kReceive:
            receive(*s, op);
            break;
        case Kind::kShutdown:
            shutdown(*s, op);
            break;
        case Kind::kSendDisconnect:
            send_disconnect(*s, op);
            break;
        case Kind::kReceiveDisconnect:
            receive_disconnect(*s);
            break;
        case Kind::kClose:
            close(*s);
            break;
        case Kind::kSelect:
            select(*s, op);
            break;
        case Kind::kEnumerate:
            enumerate(*s);
            break;
        case Kind::kSetBlocking:
            set_blocking(*s, op);
            break;
        case Kind::kSetLinger:
            set_linger(*s, op);
            break;
        case Kind::kNextBytes:
            next_bytes(*s);
            break;
        case Kind::kOptions:
            options(*s, op);
            break;
        case Kind::kNames:
            names(*s);
            break;
        case Kind::kPoll:
            poll(*s);
            break;
        case Kind::kStats:
            stats(*s);
            break;
        case Kind::kLeafStats:
            leaf_stats(*s);
            break;
        case Kind::kCount:
            break;
    }
    note_truths();
}

void World::finish() {
    // What everybody still has to be told must have arrived.
    for (const auto& [id, node] : nodes_) {
        before_ = node->state();
        settle(*node);
        if (node->mask != 0) enumerate(*node);
    }
    while (!nodes_.empty()) {
        Node& s = *nodes_.begin()->second;
        before_ = s.state();
        close(s);
    }
    for (unsigned w = 0; w < kWorkers; ++w)
        ask_worker(w, request_for(Call::kCloseAll, -1));
}

void World::abandon() {
    for (unsigned w = 0; w < kWorkers; ++w)
        ask_worker(w, request_for(Call::kCloseAll, -1));
    nodes_.clear();
}

}  // namespace xylem::model
