// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.C: parameters and checks of every join. The order of the checks: join_order_test.cc.
#include <cerrno>
#include <string>
#include <type_traits>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

TEST(JoinCall, W_040_SignatureIsConnectWithDataAndFlags) {
    static_assert(std::is_same_v<decltype(&xy_join_leaf), int (*)(int, const sockaddr*, socklen_t, const xy_data*,
                                                                  xy_data*, const xy_qos*, const xy_qos*, unsigned)>);
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Edge edge = ask(at, leaf);
    EXPECT_GE(edge.s, 0) << "a join returns a descriptor";
}

TEST(JoinCall, W_041_FailureIsMinusOne) {
    Party leaf = on_host(0, "leaf");
    const Joined joined = leaf.join(open_leaf(leaf), unused_address(leaf));
    EXPECT_EQ(static_cast<int>(joined.value), -1);
    EXPECT_NE(joined.error, 0);
}

TEST(JoinCall, W_042_UnboundSocketIsBound) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    uint16_t ports[2];
    for (uint16_t& port : ports) {
        const int s = open_leaf(leaf, kNonblocking);
        EXPECT_THAT(leaf.run([s] {
            Address name;
            return calls::name(s, false, name);
        }),
                    Fails(EINVAL));
        EXPECT_THAT(leaf.join(s, at.name), Returns(s));
        const Address own = leaf.name_of(s);  // before anybody accepts
        EXPECT_EQ(own.with_port(0), leaf.address());
        EXPECT_NE(port = own.port(), 0);
    }
    EXPECT_NE(ports[0], ports[1]);
}

TEST(JoinCall, W_042_UnboundRootIsBound) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listener = listening_leaf(leaf);
    const int s = must(root.socket(kNonblocking, kRoot), "socket");
    EXPECT_GE(root.join(s, listener.name).value, 0);
    EXPECT_NE(root.name_of(s).port(), 0);
}

TEST(JoinCall, W_044_WildcardIsCommittedToTheAddressThatLeadsThere) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.bind(s, Address::of("0.0.0.0", 0)), "bind");
    const Address before = leaf.name_of(s);
    EXPECT_EQ(before.with_port(0), Address::of("0.0.0.0", 0));
    must(leaf.join(s, at.name), "join");
    EXPECT_EQ(leaf.name_of(s), leaf.address(before.port()));
}

TEST(JoinCall, W_045_AllZeroAddressIsNotAvailable) {
    Party party = on_host(0, "party");
    const Bound root = bound_root(party);
    EXPECT_THAT(party.join(root.s, Address::of("0.0.0.0", 7000)), Fails(EADDRNOTAVAIL));
    EXPECT_THAT(party.join(open_leaf(party), Address::of("0.0.0.0", 7000)), Fails(EADDRNOTAVAIL));
    const int v6 = open_leaf(party, {.family = AF_INET6});
    EXPECT_THAT(party.join(v6, Address::of("::", 7000)), Fails(EADDRNOTAVAIL));
}

TEST(JoinCall, W_046_PortZeroIsNotAvailableInRootedPlanes) {
    XY_ROW("A-36");
    Party party = on_host(0, "party");
    const Bound root = bound_root(party);
    EXPECT_THAT(party.join(root.s, party.address(0)), Fails(EADDRNOTAVAIL));
    EXPECT_THAT(party.join(open_leaf(party), party.address(0)), Fails(EADDRNOTAVAIL));
}

TEST(JoinCall, W_047_AddressOfAnotherFamilyIsNotSupported) {
    Party party = on_host(0, "party");
    const int v4 = open_leaf(party), v6 = open_leaf(party, {.family = AF_INET6});
    EXPECT_THAT(party.join(v4, Address::of("::1", 7000)), Fails(EAFNOSUPPORT));
    EXPECT_THAT(party.join(v6, Address::of("127.0.0.1", 7000)), Fails(EAFNOSUPPORT));
    Address strange = Address::of("127.0.0.1", 7000);
    strange.storage.ss_family = AF_UNIX;
    EXPECT_THAT(party.join(v4, strange), Fails(EAFNOSUPPORT));
}

TEST(JoinCall, W_048_BadNameIsAFault) {
    Party party = on_host(0, "party");
    const int v4 = open_leaf(party), v6 = open_leaf(party, {.family = AF_INET6});
    EXPECT_THAT(party.run([v4] {
        return done(xy_join_leaf(v4, nullptr, sizeof(sockaddr_in), nullptr, nullptr, nullptr, nullptr, XY_BOTH));
    }),
                Fails(EFAULT));
    for (const socklen_t length : {0U, 1U, 4U, 15U}) {
        Address name = Address::of("127.0.0.1", 7000);
        name.length = length;
        EXPECT_THAT(party.join(v4, name), Fails(EFAULT)) << length;
    }
    Address name = Address::of("::1", 7000);
    name.length = sizeof(sockaddr_in6) - 1;
    EXPECT_THAT(party.join(v6, name), Fails(EFAULT));
}

/// A program that passes the four bytes of an address for a name.
TEST(JoinCall, W_048_BareAddressIsAFault) {
    Party party = on_host(0, "party");
    const int s = open_leaf(party);
    EXPECT_THAT(party.run([s] {
        const in_addr bare{htonl(INADDR_LOOPBACK)};
        return done(xy_join_leaf(s, reinterpret_cast<const sockaddr*>(&bare), sizeof bare, nullptr, nullptr, nullptr,
                                 nullptr, XY_BOTH));
    }),
                Fails(EFAULT));
}

TEST(JoinCall, W_049_GroupQosIsIgnored) {
    XY_ROW("A-18");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf);
    auto joining = leaf.start([s, name = at.name] {
        xy_qos nonsense;
        std::memset(&nonsense, 0xA5, sizeof nonsense);
        return done(xy_join_leaf(s, name.get(), name.length, nullptr, nullptr, nullptr, &nonsense, XY_BOTH));
    });
    EXPECT_THAT(root.accept(at.s), Succeeds());
    EXPECT_THAT(joining.result(), Returns(s));
}

TEST(JoinCall, W_050_CalleeBufferIsWrittenAtCompletion) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.select(s, XY_FD_CONNECT), "select");
    must(leaf.join(s, at.name, {.callee_room = 64}), "join");
    EXPECT_EQ(leaf.callee_of(s).callee_length, 64U) << "untouched so far";
    must(root.accept(at.s, answer_of(XY_ACCEPT, "welcome")), "accept");
    ASSERT_THAT(leaf.await(s, XY_FD_CONNECT), Succeeds());
    EXPECT_EQ(leaf.callee_of(s).callee, "welcome");
}

TEST(JoinCall, W_052_BlockingJoinReturnsTheOutcome) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int accepted = open_leaf(leaf), rejected = open_leaf(leaf);
    auto first = leaf.start_join(accepted, at.name);
    EXPECT_TRUE(first.is_waiting());
    must(root.accept(at.s), "accept");
    EXPECT_THAT(first.result(), Returns(accepted));
    auto second = leaf.start_join(rejected, at.name);
    EXPECT_TRUE(second.is_waiting());
    EXPECT_THAT(root.accept(at.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    EXPECT_THAT(second.result(), Fails(ECONNREFUSED));
}

TEST(JoinCall, W_052_BlockingInvitationReturnsTheOutcome) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root), listener = listening_leaf(leaf);
    auto first = root.start_join(at.s, listener.name);
    EXPECT_TRUE(first.is_waiting());
    must(leaf.accept(listener.s), "accept");
    EXPECT_THAT(first.result(), Succeeds());
    const Bound other = listening_leaf(leaf);
    auto second = root.start_join(at.s, other.name);
    EXPECT_TRUE(second.is_waiting());
    EXPECT_THAT(leaf.accept(other.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    EXPECT_THAT(second.result(), Fails(ECONNREFUSED));
}

TEST(JoinCall, W_053_NonblockingJoinOnlyStarts) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root), listener = listening_leaf(leaf);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.select(s, XY_FD_CONNECT), "select");
    EXPECT_THAT(leaf.join(s, at.name), Returns(s));
    EXPECT_TRUE(leaf.is_quiet(s)) << "nobody has accepted";
    const Bound inviter = bound_root(root, kNonblocking);
    must(root.select(inviter.s, XY_FD_CONNECT), "select");
    EXPECT_THAT(root.join(inviter.s, listener.name), Succeeds());
    EXPECT_TRUE(root.is_quiet(inviter.s)) << "nobody has accepted";
}

TEST(JoinCall, W_054_WhatTheCallCanSeeItReturnsAtOnce) {
    XY_ROW("W-054");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.select(s, XY_FD_CONNECT), "select");
    EXPECT_THAT(leaf.join(s, Address::of("0.0.0.0", 7000)), Fails(EADDRNOTAVAIL));
    EXPECT_THAT(leaf.join(s, Address::of("::1", 7000)), Fails(EAFNOSUPPORT));
    EXPECT_THAT(leaf.join(s, at.name, {.flags = 0}), Fails(EINVAL));
    EXPECT_TRUE(leaf.is_quiet(s)) << "no FD_CONNECT for what did not start";
    EXPECT_THAT(leaf.join(s, at.name), Returns(s));
    EXPECT_THAT(leaf.join(s, at.name), Fails(EALREADY));
}

}  // namespace
}  // namespace xylem::conformance
