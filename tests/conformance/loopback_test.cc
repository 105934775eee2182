// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.I, 1.K, 1.L, 1.S: rows that tell of groups: completion, ends, user data, loopback and scope.
#include <unistd.h>

#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

constexpr Kind kGroup{SOCK_DGRAM, XY_PROTO_GROUP};
constexpr Kind kNonblocking{SOCK_DGRAM | SOCK_NONBLOCK, XY_PROTO_GROUP};

/// A group of this test's own.
Address new_group() {
    static unsigned n = 0;
    const unsigned id = static_cast<unsigned>(getpid()) * 64 + ++n;
    const auto port = static_cast<uint16_t>(20'000 + id % 20'000);
    return Address::of("239." + std::to_string(100 + id / 65'536 % 100) + "." + std::to_string(id / 256 % 256) + "." +
                           std::to_string(id % 256),
                       port);
}

Done set_loopback(Party& party, int s, bool is_on) {
    return party.run([=] {
        const int value = is_on ? 1 : 0;
        return done(xy_ioctl(s, XY_SIO_MULTIPOINT_LOOPBACK, &value, sizeof value, nullptr, 0, nullptr));
    });
}
Done set_scope(Party& party, int s, int scope) {
    return party.run(
        [=] { return done(xy_ioctl(s, XY_SIO_MULTICAST_SCOPE, &scope, sizeof scope, nullptr, 0, nullptr)); });
}

struct Groups : testing::Test {
    Party a = on_host(0, "a"), b = on_host(0, "b"), far = on_host(1, "far");
    const Address group = new_group();

    /// Not yet joined; several on one host may share the group's port.
    int open_member(Party& party) {
        const int s = open_leaf(party, kGroup);
        must(set_number(party, s, SOL_SOCKET, SO_REUSEADDR, 1), "SO_REUSEADDR");
        return s;
    }
    int member(Party& party) {
        const int s = open_member(party);
        must(party.join(s, group), "the join");
        return s;
    }
    bool hears_nothing(Party& party, int s) { return polled_within_quiet(party, s, POLLIN) == 0; }
};

TEST_F(Groups, W_136_ConnectComesAlsoWhenTheJoinCompletesAtOnce) {
    const int s = open_leaf(a, kNonblocking);
    must(a.select(s, XY_FD_CONNECT), "select");
    EXPECT_THAT(a.join(s, group), Returns(s));
    const Events events = a.await(s, XY_FD_CONNECT);
    EXPECT_THAT(events, Succeeds());
    EXPECT_EQ(events.error_of[XY_FD_CONNECT_BIT], 0);
    EXPECT_EQ(recorded_within_quiet(a, s), 0U) << "once";
}

TEST_F(Groups, W_168_GroupsHaveNoFdClose) {
    const int s = member(a), other = member(b);
    must(a.select(s, XY_FD_CLOSE), "select");
    must(b.close(other), "close");
    EXPECT_EQ(recorded_within_quiet(a, s), 0U) << "a member has left";
    const int killed = member(b);
    EXPECT_GE(killed, 0);
    b.kill();
    EXPECT_EQ(recorded_within_quiet(a, s), 0U) << "a member has died";
}

TEST_F(Groups, W_188_GroupsIgnoreUserData) {
    XY_ROW("A-12");
    ASSERT_FALSE(a.capabilities(kGroup) & XY_CAP_CONNECT_DATA);
    const int s = open_leaf(a, kGroup);
    EXPECT_THAT(a.join(s, group, {.caller = "hello", .callee_room = 10}), Returns(s));
}

TEST_F(Groups, W_290_OwnTrafficComesBackUnlessLoopbackIsOff) {
    const int s = member(a);
    must(a.send(s, "one"), "send");
    EXPECT_EQ(a.receive(s).text, "one") << "by default";
    EXPECT_THAT(set_loopback(a, s, false), Returns(0));
    must(a.send(s, "two"), "send");
    EXPECT_TRUE(hears_nothing(a, s));
    EXPECT_THAT(set_loopback(a, s, true), Returns(0));
    must(a.send(s, "three"), "send");
    EXPECT_EQ(a.receive(s).text, "three");
}

TEST_F(Groups, W_291_LoopbackIsOfTheReceiverAndCoversItsHost) {
    XY_ROW("A-35");
    const int on = member(a), off = member(b);
    must(set_loopback(b, off, false), "loopback off");
    must(b.send(off, "from off"), "send");
    EXPECT_EQ(a.receive(on).text, "from off");
    must(a.send(on, "from on"), "send");
    EXPECT_EQ(a.receive(on).text, "from on");
    EXPECT_TRUE(hears_nothing(b, off));
    if (!is_network()) return;
    const int other = member(far);
    must(far.send(other, "from far"), "send");
    EXPECT_EQ(b.receive(off).text, "from far") << "other hosts are not meant";
}

TEST_F(Groups, W_292_ScopeIsHowFarASenderReaches) {
    const int sender = member(a), near = member(b);
    const int there = is_network() ? member(far) : -1;
    EXPECT_THAT(set_scope(a, sender, 0), Returns(0));
    must(a.send(sender, "this host"), "send");
    EXPECT_EQ(b.receive(near).text, "this host");
    if (is_network()) {
        EXPECT_TRUE(hears_nothing(far, there)) << "nothing on the wire";
    }
    EXPECT_THAT(set_scope(a, sender, 1), Returns(0));
    must(a.send(sender, "this segment"), "send");
    EXPECT_EQ(b.receive(near).text, "this segment");
    if (is_network()) {
        EXPECT_EQ(far.receive(there).text, "this segment");
    }
    const int fresh = member(a);
    must(a.send(fresh, "by default"), "send");
    EXPECT_EQ(b.receive(near).text, "by default");
    if (is_network()) {
        EXPECT_EQ(far.receive(there).text, "by default");
    }
    EXPECT_THAT(set_scope(a, sender, 255), Returns(0));
    EXPECT_THAT(set_scope(a, sender, 256), Fails(EINVAL));
    EXPECT_THAT(set_scope(a, sender, -1), Fails(EINVAL));
}

TEST_F(Groups, W_293_WhatTheIoctlsRefuse) {
    const int s = member(a);
    for (const unsigned code : {XY_SIO_MULTIPOINT_LOOPBACK, XY_SIO_MULTICAST_SCOPE}) {
        EXPECT_THAT(a.run([=] { return done(xy_ioctl(s, code, nullptr, 4, nullptr, 0, nullptr)); }), Fails(EFAULT));
        EXPECT_THAT(a.run([=] {
            const char little = 1;
            return done(xy_ioctl(s, code, &little, 1, nullptr, 0, nullptr));
        }),
                    Fails(EFAULT));
    }
    EXPECT_THAT(set_loopback(a, open_leaf(a), false), Fails(EINVAL)) << "not for a rooted data plane";
    EXPECT_THAT(a.run([s] { return done(xy_ioctl(s, 0x12345678, nullptr, 0, nullptr, 0, nullptr)); }),
                Fails(EOPNOTSUPP));
}

TEST_F(Groups, W_294_BothBeforeAndAfterTheJoin) {
    const int s = open_member(a);
    EXPECT_THAT(set_loopback(a, s, false), Returns(0));
    EXPECT_THAT(set_scope(a, s, 0), Returns(0));
    must(a.join(s, group), "the join");
    const int other = member(b);
    must(a.send(s, "one"), "send");
    EXPECT_EQ(b.receive(other).text, "one");
    EXPECT_TRUE(hears_nothing(a, s)) << "set before the join";
    EXPECT_THAT(set_loopback(a, s, true), Returns(0));
    EXPECT_THAT(set_scope(a, s, 2), Returns(0));
    must(a.send(s, "two"), "send");
    EXPECT_EQ(a.receive(s).text, "two") << "set after the join";
}

TEST_F(Groups, W_295_AnUnusedOutputBufferIsTolerated) {
    XY_ROW("W-295");
    const int s = member(a);
    for (const unsigned code : {XY_SIO_MULTIPOINT_LOOPBACK, XY_SIO_MULTICAST_SCOPE}) {
        EXPECT_THAT(a.run([=] {
            int value = 1, out = 7;
            size_t returned = 99;
            const Done result = done(xy_ioctl(s, code, &value, sizeof value, &out, sizeof out, &returned));
            EXPECT_EQ(out, 7);
            EXPECT_EQ(returned, 0U);
            return result;
        }),
                    Returns(0));
        EXPECT_THAT(a.run([=] {
            int value = 1;
            size_t returned = 99;
            return done(xy_ioctl(s, code, &value, sizeof value, nullptr, 0, &returned));
        }),
                    Returns(0));
    }
}

TEST_F(Groups, W_296_RootedDataHaveAScopeAndNoLoopback) {
    XY_ROW("W-296");
    const Bound root = listening_root(a);
    const Edge edge = ask(root, far);
    for (const bool is_on : {true, false}) {
        EXPECT_THAT(set_loopback(a, root.s, is_on), Fails(EINVAL));
        EXPECT_THAT(set_loopback(far, edge.s, is_on), Fails(EINVAL));
    }
    for (const int scope : {1, 64, 255})
        EXPECT_THAT(set_scope(a, root.s, scope), Returns(0)) << scope;
    EXPECT_THAT(set_scope(a, root.s, -1), Fails(EINVAL));
    EXPECT_THAT(set_scope(a, root.s, 256), Fails(EINVAL));
    must(a.send(root.s, "down"), "send");
    EXPECT_EQ(far.receive(edge.s).text, "down");
}

}  // namespace
}  // namespace xylem::conformance
