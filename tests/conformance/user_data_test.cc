// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.L: user data that travels with a join and with its answer.
#include <cerrno>
#include <string>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

constexpr Kind kNonblocking{SOCK_RDM | SOCK_NONBLOCK};

/// Who asks, what the accepting side saw, and what came back.
struct Exchange {
    Joined joined;
    Accepted accepted;
};

struct UserData : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root), listener = listening_leaf(leaf);
    const Bound inviter = bound_root(root);

    Exchange leaf_asks(const JoinWish& wish, const Answer& answer) {
        auto joining = leaf.start_join(open_leaf(leaf), listening.name, wish);
        const Accepted accepted = root.accept(listening.s, answer);
        return {joining.result(), accepted};
    }
    Exchange root_invites(const JoinWish& wish, const Answer& answer) {
        auto joining = root.start_join(bound_root(root).s, listener.name, wish);
        const Accepted accepted = leaf.accept(listener.s, answer);
        return {joining.result(), accepted};
    }
    /// Both ways of joining.
    std::vector<Exchange> both_ways(const JoinWish& wish, const Answer& answer) {
        return {leaf_asks(wish, answer), root_invites(wish, answer)};
    }
};

TEST_F(UserData, W_180_CallerDataArriveWithTheRequest) {
    const std::string binary("with\0zero", 9);
    for (const Exchange& with : both_ways({.caller = binary}, answer_of(XY_ACCEPT))) {
        EXPECT_TRUE(with.accepted.has_caller_data);
        EXPECT_EQ(with.accepted.caller_data, binary);
    }
    for (const Exchange& without : both_ways({}, answer_of(XY_ACCEPT)))
        EXPECT_FALSE(without.accepted.has_caller_data);
}

TEST_F(UserData, W_181_WhoTakesNoUserDataSaysSo) {
    // Each rooted protocol announces that it carries them, and does. Groups are connectionless: W-188.
    for (const int type : {SOCK_RDM, SOCK_STREAM, SOCK_DGRAM}) {
        const Kind kind{type};
        EXPECT_TRUE(root.capabilities(kind) & XY_CAP_CONNECT_DATA) << "type " << type;
        const Bound at = listening_root(root, kind);
        auto joining = leaf.start_join(open_leaf(leaf, kind), at.name, {.caller = "hello", .callee_room = 10});
        EXPECT_EQ(root.accept(at.s, answer_of(XY_ACCEPT, "welcome")).caller_data, "hello");
        EXPECT_EQ(joining.result().callee, "welcome");
    }
}

TEST_F(UserData, W_182_TooLongCallerDataAreAFault) {
    const std::string most(XY_CONNECT_DATA_MAX, 'm');
    for (const Exchange& exchange : both_ways({.caller = most}, answer_of(XY_ACCEPT)))
        EXPECT_EQ(exchange.accepted.caller_data, most);
    EXPECT_THAT(leaf.join(open_leaf(leaf), listening.name, {.caller = most + "m"}), Fails(EFAULT));
    EXPECT_THAT(root.join(inviter.s, listener.name, {.caller = most + "m"}), Fails(EFAULT));
}

TEST_F(UserData, W_183_CalleeDataComeBack) {
    for (const Exchange& exchange : both_ways({.callee_room = 100}, answer_of(XY_ACCEPT, "welcome"))) {
        EXPECT_THAT(exchange.joined, Succeeds());
        EXPECT_EQ(exchange.joined.callee_length, 7U);
        EXPECT_EQ(exchange.joined.callee, "welcome");
    }
    for (const Exchange& exchange : both_ways({.callee_room = 100}, answer_of(XY_ACCEPT)))
        EXPECT_EQ(exchange.joined.callee_length, 0U) << "nothing was returned";
    for (const Exchange& exchange : both_ways({.callee_room = 100}, Answer{}))
        EXPECT_EQ(exchange.joined.callee_length, 0U) << "nobody was asked";
    for (const Exchange& exchange : both_ways({}, answer_of(XY_ACCEPT, "welcome")))
        EXPECT_THAT(exchange.joined, Succeeds()) << "without a buffer nothing is returned";
}

TEST_F(UserData, W_184_CalleeDataAreValidWhenTheJoinIsComplete) {
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.select(s, XY_FD_CONNECT), "select");
    must(leaf.join(s, listening.name, {.callee_room = 100}), "the join");
    EXPECT_EQ(leaf.callee_of(s).callee_length, 100U) << "not decided";
    must(root.accept(listening.s, answer_of(XY_ACCEPT, "welcome")), "accept");
    must(leaf.await(s, XY_FD_CONNECT), "FD_CONNECT");
    EXPECT_EQ(leaf.callee_of(s).callee, "welcome");

    must(root.select(inviter.s, XY_FD_CONNECT), "select");
    must(root.join(inviter.s, listener.name, {.callee_room = 100}), "the join");
    EXPECT_EQ(root.callee_of(inviter.s).callee_length, 100U) << "not decided";
    must(leaf.accept(listener.s, answer_of(XY_ACCEPT, "welcome")), "accept");
    must(root.await(inviter.s, XY_FD_CONNECT), "FD_CONNECT");
    EXPECT_EQ(root.callee_of(inviter.s).callee, "welcome");
}

TEST_F(UserData, W_185_TooLittleRoomForCalleeDataTruncates) {
    XY_ROW("A-11");
    for (const Exchange& exchange : both_ways({.callee_room = 1}, answer_of(XY_ACCEPT, "12345678"))) {
        EXPECT_THAT(exchange.joined, Succeeds());
        EXPECT_EQ(exchange.joined.callee_length, 1U);
        EXPECT_EQ(exchange.joined.callee, "1");
    }
}

TEST_F(UserData, W_186_FailedJoinReturnsNoCalleeData) {
    XY_ROW("W-186");
    for (const Exchange& exchange : both_ways({.callee_room = 100}, answer_of(XY_REJECT, "go away"))) {
        EXPECT_THAT(exchange.joined, Fails(ECONNREFUSED));
        EXPECT_EQ(exchange.joined.callee_length, 0U);
    }
    EXPECT_EQ(root.join(inviter.s, unused_address(leaf), {.callee_room = 100}).callee_length, 0U) << "nobody is there";
}

TEST_F(UserData, W_187_EmptyCallerDataAreNone) {
    XY_ROW("W-187");
    for (const Exchange& exchange : both_ways({.caller = ""}, answer_of(XY_ACCEPT)))
        EXPECT_FALSE(exchange.accepted.has_caller_data);
}

}  // namespace
}  // namespace xylem::conformance
