// SPDX-License-Identifier: Apache-2.0
// Three hosts with their sessions, back to back: fake engines, and in-memory links whose messages, dial answers and
// completions happen one by one, in an order that a seed chooses. Applications are values that give commands. Most
// tests use two of the hosts, a and b.
#pragma once
#include <gtest/gtest.h>
#include <xylem/socket.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "control/session/sessions.h"
#include "dataplane/base/address_text.h"
#include "tests/unit/fake_engine.h"

namespace xylem::session {

struct TestHost;

inline IpAddress ip(const char* text) { return *parse_ip(text); }

/// The links of one host: what it sends waits here until the world carries it.
struct TestLinks : Links {
    explicit TestLinks(TestHost& host) : host(host) {}
    void dial(const IpAddress& to, std::function<void(Result<PeerId>)> done) override;
    void send(PeerId peer, const proto::Envelope& message) override {
        ASSERT_TRUE(others.contains(peer));
        if (!down.contains(peer)) wires[peer].push_back(message);
    }
    IpAddress local_address(PeerId) const override;
    bool may_receive_at(PeerId, const IpAddress& address) const override;
    std::vector<PeerFacts> peers() const override { return {}; }
    PeerId id_of(const TestHost& wanted) const {
        for (const auto& [id, one] : others)
            if (one == &wanted) return id;
        return kNoPeer;
    }

    TestHost& host;
    std::map<PeerId, TestHost*> others;
    std::set<PeerId> down;
    int dial_error = 0;
    std::map<PeerId, std::deque<proto::Envelope>> wires;
    std::deque<proto::Envelope>& wire = wires[2];  // to the first of the others
    std::deque<std::function<void()>> dials;
};

struct TestNetwork : Network {
    explicit TestNetwork(IpAddress address) : address(address) {}
    bool is_ours(const IpAddress& one) const override { return one == address || one.is_loopback(); }
    IpAddress source_for(const IpAddress& dest) const override {
        return has_route ? (dest.is_loopback() ? dest : address) : IpAddress{};
    }
    unsigned mtu_to(const IpAddress&) const override { return mtu; }
    WatchId watch(const Endpoint& dest, std::function<void(const engine::Path&)> changed) override {
        const WatchId id = next++;
        watches[id] = {dest, std::move(changed)};
        return id;
    }
    void unwatch(WatchId id) override { EXPECT_EQ(watches.erase(id), 1U); }
    std::optional<uint32_t> port_of(int ifindex) const override {
        if (ifindex == 1) return engine::kLocalPort;
        return ifindex == 7 ? std::optional<uint32_t>(0) : std::nullopt;
    }
    Result<GroupPort> group_port(const IpAddress& dest, int ifindex, const IpAddress& bound) override {
        if (ifindex != 0 && !port_of(ifindex)) return Error{EADDRNOTAVAIL, "test"};
        if (!dest.is_multicast() && !has_route) return Error{ENETUNREACH, "test"};
        const bool is_local = ifindex == 1 || (ifindex == 0 && !has_wire) || bound.is_loopback();
        const IpAddress loopback = dest.is_v4() ? *parse_ip("127.0.0.1") : *parse_ip("::1");
        const IpAddress source = bound.is_set() ? bound
                                 : is_local     ? loopback
                                 : dest.is_v4() ? address
                                                : *parse_ip("fd77::1");
        if (is_local) return GroupPort{.port = engine::kLocalPort, .ifindex = 1, .source = source, .mtu = 0};
        return GroupPort{.port = 0, .ifindex = 7, .source = source, .mtu = mtu};
    }
    WatchId watch_on(const Endpoint& dest, const GroupPort&,
                     std::function<void(const engine::Path&)> changed) override {
        return watch(dest, std::move(changed));
    }
    engine::Path path_now(WatchId id) const override { return path_to(watches.at(id).first); }
    engine::Path path_to(const Endpoint& dest) const {
        return {.is_up = is_up, .source_mac = {}, .dest_mac = {}, .source = {}, .dest = dest, .mtu = mtu};
    }
    Result<Membership> join_group(const IpAddress& group, const GroupPort& at,
                                  const std::vector<IpAddress>& sources) override {
        if (membership_error != 0) return Error{membership_error, "test"};
        if (at.port == engine::kLocalPort) return Membership{};
        auto& held = memberships[{group, at.ifindex, sources}];
        Membership membership = held.lock();
        if (!membership) held = membership = std::make_shared<int>(0);
        return membership;
    }
    size_t n_memberships() const {
        size_t n = 0;
        for (const auto& [key, held] : memberships)
            n += held.expired() ? 0 : 1;
        return n;
    }
    void resolve() {
        for (auto& [id, watched] : std::map(watches))
            watched.second(
                engine::Path{.is_up = true, .source_mac = {}, .dest_mac = {}, .source = {}, .dest = watched.first});
    }

    IpAddress address;
    bool has_route = true, has_wire = true, is_up = true;
    int membership_error = 0;
    std::map<std::tuple<IpAddress, int, std::vector<IpAddress>>, std::weak_ptr<const void>> memberships;
    unsigned mtu = 1500;
    WatchId next = 1;
    std::map<WatchId, std::pair<Endpoint, std::function<void(const engine::Path&)>>> watches;
};

struct TestHost {
    TestHost(const char* address, uint64_t& now) : links(*this), network(ip(address)) {
        Settings settings;
        settings.now_ms = [&now] { return now; };
        settings.version = "test";
        sessions = std::make_unique<Sessions>(engine, links, network, settings);
    }
    IpAddress address() const { return network.address; }

    engine::FakeEngine engine;
    TestLinks links;
    TestNetwork network;
    std::unique_ptr<Sessions> sessions;
};

inline void TestLinks::dial(const IpAddress& to, std::function<void(Result<PeerId>)> done) {
    Result<PeerId> answer = Error{ENETUNREACH, "test"};
    if (host.network.is_ours(to)) answer = kSelf;
    for (const auto& [id, other] : others)
        if (to == other->address() && !down.contains(id)) answer = id;
    if (dial_error != 0) answer = Error{dial_error, "test"};
    dials.push_back([done, answer] { done(answer); });
}
inline IpAddress TestLinks::local_address(PeerId peer) const {
    return down.contains(peer) ? IpAddress{} : host.address();
}
inline bool TestLinks::may_receive_at(PeerId peer, const IpAddress& address) const {
    return address == others.at(peer)->address();
}

class World {
  public:
    World() : a("10.0.0.1", now_ms), b("10.0.0.2", now_ms), c("10.0.0.3", now_ms) {
        a.links.others = {{2, &b}, {3, &c}};
        b.links.others = {{2, &a}, {3, &c}};
        c.links.others = {{2, &a}, {3, &b}};
    }
    ~World() {
        for (TestHost* host : hosts)
            host->sessions.reset();
    }

    /// One thing that is due happens; false: nothing is.
    bool step() {
        std::vector<std::function<void()>> due;
        for (TestHost* host : hosts) {
            if (!host->links.dials.empty())
                due.push_back([host] {
                    auto dial = std::move(host->links.dials.front());
                    host->links.dials.pop_front();
                    dial();
                });
            if (host->engine.n_pending() != 0) due.push_back([host] { host->engine.step(); });
            for (auto& [peer, wire] : host->links.wires) {
                if (wire.empty()) continue;
                due.push_back([host, &wire = wire, to = host->links.others.at(peer)] {
                    const proto::Envelope message = std::move(wire.front());
                    wire.pop_front();
                    to->sessions->on_message(to->links.id_of(*host), message);
                });
            }
        }
        if (due.empty()) return false;
        due[random() % due.size()]();
        return true;
    }
    void run() {
        for (unsigned n = 0; step(); ++n)
            ASSERT_LT(n, 100000U) << "it never comes to rest";
    }
    /// What is committed arrives, and what came of that.
    void carry() {
        for (TestHost* host : hosts)
            host->network.resolve();
        for (TestHost* host : hosts)
            for (TestHost* other : hosts)
                if (host != other) host->engine.deliver(other->engine);
        run();
    }
    void read_and_carry() {
        for (int round = 0; round < 3; ++round) {
            carry();
            for (TestHost* host : hosts)
                host->engine.read_all();
        }
        carry();
    }
    void pass(uint64_t ms) {
        for (uint64_t passed = 0; passed < ms; passed += 50) {
            now_ms += 50;
            for (TestHost* host : hosts)
                host->sessions->tick();
            run();
        }
    }
    /// The connection breaks: what was on it is lost, and both sides are told.
    void cut() { cut(a, b); }
    void cut(TestHost& one, TestHost& other) {
        cut_off(one, other);
        cut_off(other, one);
    }
    /// `one` is told, the other not yet.
    void cut_off(TestHost& one, TestHost& other) {
        const PeerId peer = one.links.id_of(other);
        one.links.down.insert(peer);
        one.links.wires[peer].clear();
        one.sessions->peer_lost(peer);
    }
    std::string leftovers() { return a.engine.leftovers() + b.engine.leftovers() + c.engine.leftovers(); }

    uint64_t now_ms = 1000;
    std::mt19937 random{1};
    TestHost a, b, c;
    TestHost* const hosts[3] = {&a, &b, &c};
};

template <class Body>
Body body_in(const Reply& reply) {
    Body body{};
    EXPECT_EQ(reply.error, 0);
    EXPECT_EQ(reply.body.size(), sizeof body);
    if (reply.body.size() == sizeof body) std::memcpy(&body, reply.body.data(), sizeof body);
    return body;
}

inline abi::AddressBody address_body(const IpAddress& address, uint16_t port) {
    return body_of(Endpoint{address, port});
}

/// An application on a host.
class TestApp {
  public:
    explicit TestApp(TestHost& host, uint32_t uid = 0) : host(host), app(*host.sessions->add_app(uid, 42)) {}

    uint32_t open(uint32_t flags, int type = SOCK_RDM, int protocol = XY_PROTO_TREE) {
        return body_in<abi::SocketReply>(try_open(flags, type, protocol)).socket;
    }
    Reply try_open(uint32_t flags, int type, int protocol, int family = AF_INET) {
        return s().open_socket(*app, {.family = family, .type = type, .protocol = protocol, .flags = flags});
    }
    uint32_t root(uint16_t port, int type = SOCK_RDM, int backlog = 8, int protocol = XY_PROTO_TREE) {
        const uint32_t plane = protocol == XY_PROTO_TREE ? XY_D_ROOT : XY_D_LEAF;
        const uint32_t socket = open(XY_C_ROOT | plane, type, protocol);
        EXPECT_EQ(s().bind(*app, socket, address_body(host.address(), port)).error, 0);
        EXPECT_EQ(s().listen(*app, socket, {.backlog = backlog, .reserved_zero = 0}).error, 0);
        return socket;
    }
    uint32_t listening_leaf(uint16_t port, int type = SOCK_RDM, int backlog = 8, int protocol = XY_PROTO_TREE) {
        const uint32_t socket = open(XY_C_LEAF | XY_D_LEAF, type, protocol);
        EXPECT_EQ(s().bind(*app, socket, address_body(host.address(), port)).error, 0);
        EXPECT_EQ(s().listen(*app, socket, {.backlog = backlog, .reserved_zero = 0}).error, 0);
        return socket;
    }
    uint32_t leaf(int type = SOCK_RDM, int protocol = XY_PROTO_TREE) {
        return open(XY_C_LEAF | XY_D_LEAF, type, protocol);
    }
    Reply join(uint32_t socket, const IpAddress& to, uint16_t port, uint32_t flags = XY_BOTH,
               const std::string& data = {}) {
        abi::JoinBody body{};
        body.name = address_body(to, port);
        body.flags = flags;
        body.caller_bytes = static_cast<uint32_t>(data.size());
        std::memcpy(body.caller, data.data(), data.size());
        return s().join(*app, socket, body);
    }
    Reply take(uint32_t socket) { return s().accept_take(*app, socket); }
    /// The answer of the decision; `error` is -1 as long as there is none.
    std::shared_ptr<Reply> decide(uint32_t socket, uint64_t request, uint32_t decision = XY_ACCEPT,
                                  const std::string& data = {}) {
        abi::AcceptDecideBody body{};
        body.request = request;
        body.decision = decision;
        body.callee_bytes = static_cast<uint32_t>(data.size());
        std::memcpy(body.callee, data.data(), data.size());
        auto answer = std::make_shared<Reply>(-1);
        s().accept_decide(*app, socket, body, [answer](Reply reply) { *answer = std::move(reply); });
        return answer;
    }
    std::shared_ptr<Reply> accept(uint32_t socket, const std::string& data = {}) {
        Reply taken = take(socket);
        if (taken.error != 0) return std::make_shared<Reply>(std::move(taken));
        return decide(socket, body_in<abi::AcceptTakeReply>(taken).request, XY_ACCEPT, data);
    }
    Reply set_option(uint32_t socket, const abi::OptionBody& body) {
        auto answer = std::make_shared<Reply>(-1);
        s().set_option(*app, socket, body, [answer](Reply reply) { *answer = std::move(reply); });
        return std::move(*answer);
    }
    int close(uint32_t socket, bool is_abortive = false) {
        return close(socket, is_abortive ? abi::CloseHow::kAbortive : abi::CloseHow::kGraceful);
    }
    int close(uint32_t socket, abi::CloseHow how) {
        return s().close(*app, socket, {.how = static_cast<uint32_t>(how), .reserved_zero = 0}).error;
    }
    int shutdown(uint32_t socket, int how = SHUT_WR) {
        return s().shutdown(*app, socket, {.how = how, .reserved_zero = 0}).error;
    }
    int outcome(uint32_t socket) {
        Reply reply = s().join_result(*app, socket);
        return reply.error != 0 ? reply.error : body_in<abi::JoinResultReply>(reply).outcome;
    }
    std::string callee_data(uint32_t socket) {
        const auto result = body_in<abi::JoinResultReply>(s().join_result(*app, socket));
        return {reinterpret_cast<const char*>(result.callee), result.callee_bytes};
    }
    Endpoint name(uint32_t socket, bool of_peer = false) {
        Reply reply = s().name(*app, socket, {.is_peer = of_peer ? 1U : 0U, .reserved_zero = 0});
        if (reply.error != 0) return {};
        return *endpoint_of(body_in<abi::AddressBody>(reply), AF_INET);
    }
    int name_error(uint32_t socket, bool of_peer) {
        return s().name(*app, socket, {.is_peer = of_peer ? 1U : 0U, .reserved_zero = 0}).error;
    }
    /// Writes up to `position`.
    void commit(uint32_t socket, engine::Position position) {
        engine::Stream* stream = host.engine.stream_of(id(), socket);
        ASSERT_NE(stream, nullptr);
        if (!stream->has_log) {
            EXPECT_EQ(s().make_log(*app, socket).error, 0);
            EXPECT_EQ(s().log_mapped(*app, socket).error, 0);
        }
        stream->committed = position;
    }
    engine::Reader* reader(uint32_t socket) { return host.engine.reader_of(id(), socket); }
    void die() { s().app_gone(app); }

    abi::EngineSocket& facts(uint32_t socket) { return host.engine.facts(id(), socket); }
    abi::Phase phase(uint32_t socket) { return static_cast<abi::Phase>(facts(socket).phase.load()); }
    /// -1: not ended.
    int end_code(uint32_t socket) { return facts(socket).has_ended ? facts(socket).close_error.load() : -1; }
    engine::AppId id() const { return app->memory->memory().app; }
    Sessions& s() { return *host.sessions; }
    std::vector<struct xy_leaf_stats> rows(uint32_t socket) {
        Reply reply = s().leaf_stats(*app, socket, {.count = 100, .reserved_zero = 0});
        std::vector<struct xy_leaf_stats> all(reply.value);
        EXPECT_EQ(::pread(reply.owned.at(0).get(), all.data(), all.size() * sizeof(all[0]), 0),
                  static_cast<ssize_t>(all.size() * sizeof(all[0])));
        return all;
    }

    TestHost& host;
    AppRef app;
};

/// The socket that an answer names.
inline uint32_t socket_in(const Reply& reply) { return body_in<abi::SocketReply>(reply).socket; }

}  // namespace xylem::session
