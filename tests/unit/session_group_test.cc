// SPDX-License-Identifier: Apache-2.0
// GROUP sockets against an engine without a data plane (docs/winsock.md 1.F, 1.S).
#include <netinet/in.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "tests/unit/session_world.h"

namespace xylem::session {
namespace {

const char* const kGroup = "239.7.7.7";
constexpr uint16_t kPort = 5000;
constexpr uint32_t kLeafFlags = XY_C_LEAF | XY_D_LEAF;

struct GroupTest : testing::Test {
    GroupTest() { engine().port_facts = {{.text = "af_xdp:eth0", .spec = {}, .ifindex = 7, .mac = {}, .mtu = 1500}}; }
    ~GroupTest() override {
        app.die();
        other.die();
        w.run();
        EXPECT_EQ(w.leftovers(), "");
        EXPECT_EQ(w.a.network.n_memberships(), 0U);
        EXPECT_TRUE(w.a.network.watches.empty());
    }

    uint32_t open(TestApp& by, int family = AF_INET) {
        return socket_in(by.try_open(kLeafFlags, SOCK_DGRAM, XY_PROTO_GROUP, family));
    }
    int join(uint32_t s, uint32_t direction = XY_BOTH, uint16_t port = kPort, const char* group = kGroup) {
        return app.join(s, ip(group), port, direction).error;
    }
    template <class T>
    int set(uint32_t s, int name, const T& value, int level = XY_SOL) {
        abi::OptionBody body{.level = level, .name = name, .bytes = sizeof value, .reserved_zero = 0, .value = {}};
        std::memcpy(body.value, &value, sizeof value);
        return app.set_option(s, body).error;
    }
    template <class T>
    T get(uint32_t s, int name) {
        abi::OptionBody body{.level = XY_SOL, .name = name, .bytes = sizeof(T), .reserved_zero = 0, .value = {}};
        const auto answer = body_in<abi::OptionBody>(app.s().get_option(*app.app, s, body));
        EXPECT_EQ(answer.bytes, sizeof(T));
        T value{};
        std::memcpy(&value, answer.value, sizeof value);
        return value;
    }
    int add_source(uint32_t s, const char* source) {
        return set(s, XY_OPT_SOURCE, address_body(ip(source), 0).address);
    }
    Reply destination(uint32_t s, const char* to, uint16_t port = kPort) {
        return app.s().destination(*app.app, s, address_body(ip(to), port));
    }
    int bind(uint32_t s, const char* address, uint16_t port) {
        return app.s().bind(*app.app, s, address_body(ip(address), port)).error;
    }
    void commit(uint32_t s, engine::Position position) {
        EXPECT_EQ(app.s().make_log(*app.app, s).error, 0);
        EXPECT_EQ(app.s().log_mapped(*app.app, s).error, 0);
        stream(s)->committed = position;
    }
    engine::Stream* stream(uint32_t s) { return engine().stream_of(app.id(), s); }
    engine::FakeEngine& engine() { return w.a.engine; }

    World w;
    TestApp app{w.a}, other{w.a, 1000};
};

TEST_F(GroupTest, OnlyDatagramLeavesAreCreated_W006_W007_W011_W016) {
    for (uint32_t bits = 0; bits < 32; ++bits)
        EXPECT_EQ(app.try_open(bits, SOCK_DGRAM, XY_PROTO_GROUP).error, bits == kLeafFlags ? 0 : EINVAL) << bits;
    EXPECT_EQ(app.try_open(kLeafFlags, SOCK_RDM, XY_PROTO_GROUP).error, EPROTOTYPE);
    EXPECT_EQ(app.try_open(kLeafFlags, SOCK_STREAM, XY_PROTO_GROUP).error, EPROTOTYPE);
    EXPECT_EQ(app.try_open(kLeafFlags, SOCK_DGRAM, XY_PROTO_GROUP, AF_INET6).error, 0);
    const uint32_t s = open(app);
    EXPECT_EQ(bind(s, "0.0.0.0", 0), 0);
    EXPECT_EQ(app.s().listen(*app.app, s, {.backlog = 1, .reserved_zero = 0}).error, EOPNOTSUPP);
    EXPECT_EQ(app.take(s).error, EINVAL);
    EXPECT_EQ(get<uint32_t>(s, XY_OPT_CAPABILITIES), static_cast<uint32_t>(XY_CAP_MULTIPOINT));
    EXPECT_EQ(app.s().set_qos(*app.app, s, {.qos = default_qos()}).error, ENOPROTOOPT);  // W-265
}

TEST_F(GroupTest, AJoinIsDecidedAtOnceAndBindsTheGroupsPort_W043_W090_W091_W136) {
    const uint32_t s = open(app);
    EXPECT_EQ(socket_in(app.join(s, ip(kGroup), kPort)), s);
    EXPECT_EQ(app.outcome(s), 0);
    EXPECT_EQ(app.facts(s).connect_done, 1U);
    EXPECT_EQ(app.facts(s).is_live, 1U);
    EXPECT_EQ(app.facts(s).leaves, 1U);
    EXPECT_EQ(app.phase(s), abi::Phase::kJoined);
    EXPECT_EQ(app.name(s), (Endpoint{w.a.address(), kPort}));
    EXPECT_EQ(app.name_error(s, true), ENOTCONN);  // W-304, W-313
    EXPECT_EQ(w.a.network.n_memberships(), 1U);
    ASSERT_EQ(engine().images().size(), 1U);
    EXPECT_EQ(engine().images()[0]->group.group, (Endpoint{ip(kGroup), kPort}));
    EXPECT_EQ(engine().images()[0]->group.port, 0U);
    // A datagram of 1472 bytes behind its record header and GroupReceived.
    EXPECT_GE(engine().images()[0]->group.geometry.cell_bytes, 1472U + 8 + 32);
    EXPECT_EQ(app.end_code(s), -1);
    w.pass(2000);
    EXPECT_EQ(app.end_code(s), -1);  // W-168
}

TEST_F(GroupTest, WhatIsNoGroupIsNotJoined_W046_W208_W311) {
    const uint32_t s = open(app);
    EXPECT_EQ(join(s, XY_BOTH, kPort, "10.0.0.9"), EADDRNOTAVAIL);
    EXPECT_EQ(join(s, XY_BOTH, kPort, "0.0.0.0"), EADDRNOTAVAIL);
    EXPECT_EQ(app.join(s, ip("ff15::1"), kPort).error, EAFNOSUPPORT);
    EXPECT_EQ(join(s, 5), EINVAL);
    EXPECT_EQ(join(s), 0);
    EXPECT_EQ(join(s), EISCONN);
    EXPECT_EQ(join(s, XY_BOTH, kPort, "239.1.1.1"), EISCONN);
}

TEST_F(GroupTest, PortZeroIsMembershipOnTheBoundPort_W046) {
    const uint32_t s = open(app), unbound = open(app);
    ASSERT_EQ(bind(s, "0.0.0.0", 6000), 0);
    EXPECT_EQ(join(s, XY_BOTH, 0), 0);
    EXPECT_EQ(engine().images().at(0)->group.group, (Endpoint{ip(kGroup), 6000}));
    EXPECT_EQ(app.s().make_log(*app.app, s).error, ENOTCONN) << "there is no port to send to";
    EXPECT_EQ(destination(s, kGroup).error, 0);
    EXPECT_EQ(join(unbound, XY_BOTH, 0), 0);
    EXPECT_GE(app.name(unbound).port, Bindings::kFirstAutoPort);
}

TEST_F(GroupTest, ASenderIsNoMember_W093) {
    const uint32_t s = open(app);
    EXPECT_EQ(join(s, XY_SENDER_ONLY), 0);
    EXPECT_EQ(w.a.network.n_memberships(), 0U);
    EXPECT_TRUE(engine().images().empty());
    EXPECT_EQ(app.facts(s).is_live, 0U);
    EXPECT_GE(app.name(s).port, Bindings::kFirstAutoPort);
    EXPECT_EQ(app.s().get_image(*app.app, s, {}).error, ENOTCONN);
    EXPECT_EQ(app.shutdown(s, SHUT_RD), EINVAL);  // W-254
    const uint32_t r = open(app);
    EXPECT_EQ(join(r, XY_RECEIVER_ONLY), 0);
    EXPECT_EQ(app.s().make_log(*app.app, r).error, EOPNOTSUPP);  // W-252
    EXPECT_EQ(destination(r, kGroup).error, EOPNOTSUPP);
    EXPECT_EQ(app.shutdown(r, SHUT_WR), EINVAL);
    EXPECT_EQ(app.shutdown(r, SHUT_RD), 0);
    EXPECT_EQ(w.a.network.n_memberships(), 0U);
}

TEST_F(GroupTest, ReadersOfOneGroupShareImageAndMembershipAndStartAtTheirJoin_W204) {
    const uint32_t first = open(app), second = open(app), third = open(other);
    ASSERT_EQ(set(first, SO_REUSEADDR, 1, SOL_SOCKET), 0);
    ASSERT_EQ(join(first), 0);
    EXPECT_EQ(join(second), EADDRINUSE) << "without SO_REUSEADDR";
    ASSERT_EQ(set(second, SO_REUSEADDR, 1, SOL_SOCKET), 0);
    engine().images().at(0)->published = abi::position(3, 64);
    ASSERT_EQ(join(second), 0);
    EXPECT_EQ(engine().n_images_made, 1U);
    EXPECT_EQ(w.a.network.n_memberships(), 1U);
    const auto image = body_in<abi::ImageReply>(app.s().get_image(*app.app, second, {}));
    EXPECT_EQ(image.start, abi::position(3, 64));
    EXPECT_EQ(image.flags, abi::kImageGroup);
    EXPECT_EQ(body_in<abi::ImageReply>(app.s().get_image(*app.app, first, {})).start, 0U);
    // Another user shares as well: whoever joins a group hears it.
    abi::OptionBody reuse{.level = SOL_SOCKET, .name = SO_REUSEADDR, .bytes = 4, .reserved_zero = 0, .value = {1}};
    ASSERT_EQ(other.set_option(third, reuse).error, 0);
    EXPECT_EQ(other.join(third, ip(kGroup), kPort).error, 0);
    EXPECT_EQ(engine().n_images_made, 1U);
    app.close(first);
    app.close(second);
    w.run();
    EXPECT_EQ(w.a.network.n_memberships(), 1U);
    EXPECT_EQ(engine().images().size(), 1U);
    other.close(third);
    w.run();
    EXPECT_EQ(w.a.network.n_memberships(), 0U);
    EXPECT_TRUE(engine().images().empty());
}

TEST_F(GroupTest, AnotherPortOrInterfaceIsAnotherImage) {
    const uint32_t one = open(app), two = open(app), three = open(app);
    ASSERT_EQ(join(one), 0);
    ASSERT_EQ(join(two, XY_BOTH, kPort + 1), 0);
    ASSERT_EQ(set(three, XY_OPT_MULTICAST_IF, 1U), 0);
    ASSERT_EQ(join(three), 0);
    EXPECT_EQ(engine().images().size(), 3U);
    EXPECT_EQ(engine().images()[2]->group.port, engine::kLocalPort);
    EXPECT_GE(engine().images()[2]->group.geometry.cell_bytes, 8192U + 40);
    EXPECT_EQ(w.a.network.n_memberships(), 1U) << "the ports of one group share it, local needs none";
    EXPECT_EQ(get<uint32_t>(three, XY_OPT_MULTICAST_IF), 1U);
    EXPECT_EQ(get<uint32_t>(one, XY_OPT_MULTICAST_IF), 7U);
    EXPECT_EQ(get<uint64_t>(three, XY_OPT_MAX_MSG_SIZE), 8192U);
    EXPECT_EQ(get<uint64_t>(one, XY_OPT_MAX_MSG_SIZE), 1472U);
}

TEST_F(GroupTest, AJoinThatFailsLeavesNothing) {
    const uint32_t s = open(app);
    w.a.network.membership_error = ENOBUFS;
    EXPECT_EQ(join(s), ENOBUFS);
    w.a.network.membership_error = ENODEV;
    EXPECT_EQ(join(s), EADDRNOTAVAIL);
    w.a.network.membership_error = 0;
    w.run();
    EXPECT_TRUE(engine().images().empty());
    EXPECT_TRUE(w.a.network.watches.empty());
    EXPECT_EQ(app.phase(s), abi::Phase::kOpen);
    EXPECT_EQ(app.name_error(s, false), EINVAL);
    EXPECT_EQ(join(s, XY_BOTH, 7471), EADDRINUSE) << "the port of our own frames";
    engine().fail_at = 1;
    EXPECT_EQ(join(s), ENOMEM);
    EXPECT_EQ(w.a.network.n_memberships(), 0U);
    EXPECT_EQ(join(s), 0);
}

TEST_F(GroupTest, TheInterfaceIsOneOfOursAndChosenBeforeTheJoin) {
    const uint32_t s = open(app);
    EXPECT_EQ(set(s, XY_OPT_MULTICAST_IF, 99U), EADDRNOTAVAIL);
    EXPECT_EQ(set(s, XY_OPT_MULTICAST_IF, uint16_t{1}), EINVAL);
    EXPECT_EQ(set(s, XY_OPT_MULTICAST_IF, 7U), 0);
    EXPECT_EQ(get<uint32_t>(s, XY_OPT_MULTICAST_IF), 7U);
    ASSERT_EQ(join(s), 0);
    EXPECT_EQ(set(s, XY_OPT_MULTICAST_IF, 1U), EINVAL);
    const uint32_t scoped = open(app, AF_INET6);
    abi::JoinBody body{};
    body.name = address_body(ip("ff12::1"), kPort);
    reinterpret_cast<sockaddr_in6&>(body.name.address).sin6_scope_id = 99;
    body.flags = XY_BOTH;
    EXPECT_EQ(app.s().join(*app.app, scoped, body).error, EADDRNOTAVAIL);
    reinterpret_cast<sockaddr_in6&>(body.name.address).sin6_scope_id = 1;
    EXPECT_EQ(app.s().join(*app.app, scoped, body).error, 0);
    EXPECT_EQ(get<uint32_t>(scoped, XY_OPT_MULTICAST_IF), 1U);
}

TEST_F(GroupTest, SourcesAreTheMemberships) {
    const uint32_t s = open(app);
    EXPECT_EQ(add_source(s, "239.1.1.1"), EINVAL);
    EXPECT_EQ(add_source(s, "0.0.0.0"), EINVAL);
    EXPECT_EQ(add_source(s, "fd77::1"), EAFNOSUPPORT);
    EXPECT_EQ(set(s, XY_OPT_SOURCE, 5), EINVAL);
    for (int i = 1; i <= 32; ++i)
        EXPECT_EQ(add_source(s, ("10.0.0." + std::to_string(i)).c_str()), 0);
    EXPECT_EQ(add_source(s, "10.0.0.1"), 0) << "it is there already";
    EXPECT_EQ(add_source(s, "10.0.0.33"), ENOBUFS);
    ASSERT_EQ(join(s), 0);
    EXPECT_EQ(std::get<2>(w.a.network.memberships.begin()->first).size(), 32U);
    EXPECT_EQ(add_source(s, "10.0.0.2"), EINVAL);
}

TEST_F(GroupTest, DatagramsGoToTheGroupWithTheScopeAsTtl_W292_W294) {
    const uint32_t s = open(app);
    ASSERT_EQ(set(s, abi::kOptionScope, 5), 0);
    ASSERT_EQ(join(s), 0);
    ASSERT_EQ(app.s().make_log(*app.app, s).error, 0);
    engine::Stream* sending = stream(s);
    ASSERT_NE(sending, nullptr);
    EXPECT_TRUE(sending->spec.is_group);
    EXPECT_FALSE(sending->spec.is_reliable);
    const engine::GroupDestination& to = sending->destinations.at(0);
    EXPECT_EQ(to.dest, (Endpoint{ip(kGroup), kPort}));
    EXPECT_EQ(to.path.source, (Endpoint{w.a.address(), kPort}));
    EXPECT_EQ(to.path.ttl, 5);
    EXPECT_TRUE(to.path.is_up);
    EXPECT_TRUE(to.reaches_wire);
    ASSERT_EQ(set(s, abi::kOptionScope, 0), 0);
    EXPECT_FALSE(to.reaches_wire);
    ASSERT_EQ(set(s, abi::kOptionScope, 255), 0);
    EXPECT_TRUE(to.reaches_wire);
    EXPECT_EQ(to.path.ttl, 255);
    EXPECT_EQ(set(s, abi::kOptionScope, 256), EINVAL);
    EXPECT_EQ(set(s, abi::kOptionScope, -1), EINVAL);
}

TEST_F(GroupTest, ASocketThatHasNotJoinedSendsToo_W305) {
    const uint32_t s = open(app);
    EXPECT_EQ(app.s().make_log(*app.app, s).error, ENOTCONN);
    const auto first = body_in<abi::DestinationReply>(destination(s, "10.0.0.9"));
    EXPECT_EQ(first.max_bytes, 1472U);
    EXPECT_EQ(first.is_up, 1U);
    EXPECT_NE(first.index, 0U) << "0 is the group's";
    EXPECT_GE(app.name(s).port, Bindings::kFirstAutoPort);
    EXPECT_EQ(app.facts(s).leaves, 1U);
    EXPECT_EQ(body_in<abi::DestinationReply>(destination(s, "10.0.0.9")).index, first.index);
    EXPECT_NE(body_in<abi::DestinationReply>(destination(s, "10.0.0.8")).index, first.index);
    ASSERT_EQ(app.s().make_log(*app.app, s).error, 0);
    EXPECT_EQ(stream(s)->destinations.size(), 2U);
    EXPECT_EQ(stream(s)->destinations.at(first.index).path.ttl, 64);
    EXPECT_EQ(destination(s, "10.0.0.7").error, 0);
    EXPECT_EQ(stream(s)->destinations.size(), 3U);
    ASSERT_EQ(join(s), 0);
    EXPECT_EQ(stream(s)->destinations.at(0).dest, (Endpoint{ip(kGroup), kPort}));
    EXPECT_EQ(body_in<abi::DestinationReply>(destination(s, kGroup)).index, 0U);
}

TEST_F(GroupTest, DestinationsEndAndBadOnesAreRefused) {
    const uint32_t s = open(app);
    EXPECT_EQ(destination(s, "0.0.0.0").error, EADDRNOTAVAIL);
    EXPECT_EQ(destination(s, "10.0.0.9", 0).error, EADDRNOTAVAIL);
    EXPECT_EQ(destination(s, "fd77::1").error, EAFNOSUPPORT);
    w.a.network.has_route = false;
    EXPECT_EQ(destination(s, "10.0.0.9").error, ENETUNREACH);
    EXPECT_EQ(app.name_error(s, false), EINVAL) << "nothing was bound for it";
    w.a.network.has_route = true;
    for (uint32_t i = 1; i < abi::kMaxDestinations; ++i)
        ASSERT_EQ(destination(s, kGroup, static_cast<uint16_t>(i)).error, 0);
    EXPECT_EQ(destination(s, "10.0.0.9").error, ENOBUFS);
    EXPECT_EQ(destination(s, kGroup, 1).error, 0);
    const uint32_t tree = app.leaf();
    EXPECT_EQ(destination(tree, kGroup).error, EOPNOTSUPP);
    EXPECT_EQ(app.s().destination(*app.app, 4000, address_body(ip(kGroup), 1)).error, ENOTSOCK);
}

TEST_F(GroupTest, AnApplicationWatchesSoManyDestinationsAndNoMore) {
    std::vector<uint32_t> sockets;
    unsigned n = 0;
    int error = 0;
    while (error == 0) {
        sockets.push_back(open(app));
        for (uint16_t i = 1; i < abi::kMaxDestinations && error == 0; ++i, ++n)
            error = destination(sockets.back(), kGroup, i).error;
    }
    EXPECT_EQ(error, ENOBUFS);
    EXPECT_EQ(n, 1025U);
    EXPECT_EQ(w.a.network.watches.size(), 1024U);
    const uint32_t s = open(other);
    EXPECT_EQ(other.s().destination(*other.app, s, address_body(ip(kGroup), 1)).error, 0) << "others are not concerned";
    app.close(sockets[0]);
    EXPECT_EQ(destination(sockets.back(), kGroup, 60).error, 0);
}

TEST_F(GroupTest, AShorterPathIsToldToWhoAsks) {
    const uint32_t s = open(app);
    ASSERT_EQ(join(s), 0);
    ASSERT_EQ(app.s().make_log(*app.app, s).error, 0);
    const uint32_t before = app.facts(s).destinations_changed;
    w.a.network.mtu = 1300;
    w.a.network.resolve();
    w.run();
    engine::Path path = w.a.network.path_to({ip(kGroup), kPort});
    for (auto& [id, watched] : std::map(w.a.network.watches))
        watched.second(path);
    EXPECT_NE(app.facts(s).destinations_changed, before);
    EXPECT_EQ(body_in<abi::DestinationReply>(destination(s, kGroup)).max_bytes, 1272U);
    EXPECT_EQ(get<uint64_t>(s, XY_OPT_MAX_MSG_SIZE), 1272U);
    path.is_up = false;
    for (auto& [id, watched] : std::map(w.a.network.watches))
        watched.second(path);
    EXPECT_FALSE(stream(s)->destinations.at(0).path.is_up);
    EXPECT_EQ(body_in<abi::DestinationReply>(destination(s, kGroup)).is_up, 0U);
}

TEST_F(GroupTest, WhatWasSentBeforeTheCloseStillGoesOut) {
    const uint32_t s = open(app);
    ASSERT_EQ(join(s), 0);
    commit(s, abi::position(2, 0));
    engine::Stream* sending = stream(s);
    sending->held_at = abi::position(1, 0);
    app.close(s);
    w.run();
    EXPECT_EQ(sending->final, abi::position(2, 0));
    EXPECT_FALSE(sending->is_removed);
    EXPECT_EQ(w.a.network.n_memberships(), 0U);
    EXPECT_EQ(w.a.network.watches.size(), 1U) << "the way stays watched until all is sent";
    sending->held_at = abi::kNoPosition;
    w.pass(100);
    EXPECT_TRUE(sending->is_removed);
    EXPECT_TRUE(w.a.network.watches.empty());
}

TEST_F(GroupTest, ACloseThatLingersWaitsForTheLastDatagram_W170) {
    const uint32_t s = open(app);
    ASSERT_EQ(join(s), 0);
    commit(s, abi::position(2, 0));
    stream(s)->held_at = abi::position(1, 0);
    const auto close_as = [&](abi::CloseHow how) {
        return app.s().close(*app.app, s, {.how = static_cast<uint32_t>(how), .reserved_zero = 0}).error;
    };
    EXPECT_EQ(close_as(abi::CloseHow::kAsk), EAGAIN);
    EXPECT_EQ(close_as(abi::CloseHow::kLinger), 0);
    w.pass(200);
    EXPECT_EQ(app.facts(s).has_delivered, 0U);
    stream(s)->held_at = abi::kNoPosition;
    w.pass(200);
    EXPECT_EQ(app.facts(s).has_delivered, 1U);
}

TEST_F(GroupTest, WhatCannotGoOutIsGivenUp) {
    const uint32_t s = open(app);
    ASSERT_EQ(join(s), 0);
    commit(s, abi::position(2, 0));
    engine::Stream* sending = stream(s);
    sending->held_at = 0;
    app.close(s);
    w.pass(29000);
    EXPECT_FALSE(sending->is_removed);
    w.pass(2000);
    EXPECT_TRUE(sending->is_removed);
}

TEST_F(GroupTest, AnApplicationThatDiesLeavesTheGroup) {
    const uint32_t s = open(app);
    ASSERT_EQ(join(s), 0);
    commit(s, abi::position(2, 0));
    stream(s)->held_at = 0;
    app.die();
    other.die();
    w.run();
    EXPECT_EQ(w.a.network.n_memberships(), 0U);
    EXPECT_EQ(w.leftovers(), "");
}

TEST_F(GroupTest, AStoppingDaemonEndsItsGroups) {
    const uint32_t s = open(app);
    ASSERT_EQ(join(s), 0);
    bool has_stopped = false;
    w.a.sessions->stop([&] { has_stopped = true; });
    w.pass(3000);
    EXPECT_TRUE(has_stopped);
    EXPECT_EQ(w.leftovers(), "");
    EXPECT_EQ(w.a.network.n_memberships(), 0U);
}

TEST_F(GroupTest, DisconnectDataMeanNothingHere_W232) {
    const uint32_t s = open(app);
    abi::BlobBody none{}, some{.bytes = 2, .reserved_zero = 0, .blob = {1, 2}};
    EXPECT_EQ(app.s().send_disconnect(*app.app, s, none).error, ENOTCONN);
    EXPECT_EQ(app.s().send_disconnect(*app.app, s, some).error, ENOPROTOOPT);
    ASSERT_EQ(join(s), 0);
    EXPECT_EQ(app.s().send_disconnect(*app.app, s, some).error, ENOPROTOOPT);
    EXPECT_EQ(app.s().send_disconnect(*app.app, s, none).error, 0);
    EXPECT_EQ(destination(s, kGroup).error, ESHUTDOWN);
    EXPECT_EQ(app.s().recv_disconnect(*app.app, s).error, ENOTCONN);
}

TEST_F(GroupTest, TheStatusShowsTheGroup) {
    const uint32_t s = open(app);
    ASSERT_EQ(add_source(s, "10.0.0.9"), 0);
    ASSERT_EQ(join(s), 0);
    const auto state = nlohmann::json::parse(w.a.sessions->status_json(0));
    const auto& shown = state["sessions"][0];
    EXPECT_EQ(shown["group"], "239.7.7.7:5000");
    EXPECT_EQ(shown["interface"], "af_xdp:eth0");
    EXPECT_EQ(shown["direction"], "both");
    EXPECT_EQ(shown["scope"], 1);
    EXPECT_EQ(shown["sources"][0], "10.0.0.9");
    EXPECT_EQ(shown["destinations"][0]["max_bytes"], 1472);
    EXPECT_EQ(shown["image"]["received_bytes"], 0);
}

}  // namespace
}  // namespace xylem::session
