// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.I: how a join's completion is told.
#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

constexpr Kind kNonblocking{SOCK_RDM | SOCK_NONBLOCK};
constexpr unsigned kAll = XY_FD_READ | XY_FD_WRITE | XY_FD_ACCEPT | XY_FD_CONNECT | XY_FD_CLOSE | XY_FD_QOS;

/// FD_CONNECT of `s`, which must come: its code.
int outcome(Party& party, int s) {
    const Events events = party.await(s, XY_FD_CONNECT);
    must(events, "FD_CONNECT");
    return events.error_of[XY_FD_CONNECT_BIT];
}

struct Completion : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound inviter = bound_root(root, kNonblocking);
    const Bound listener = listening_leaf(leaf);
};

TEST_F(Completion, W_130_CompletionIsConnectOnTheOriginalSocket) {
    must(root.select(inviter.s, XY_FD_CONNECT), "select");
    must(root.join(inviter.s, listener.name), "the join");
    must(leaf.accept(listener.s), "accept");
    EXPECT_EQ(outcome(root, inviter.s), 0);

    const Bound listening = listening_root(root);
    for (const int decision : {XY_ACCEPT, XY_REJECT}) {
        const int s = open_leaf(leaf, kNonblocking);
        must(leaf.select(s, XY_FD_CONNECT), "select");
        EXPECT_THAT(leaf.join(s, listening.name), Returns(s));
        root.accept(listening.s, answer_of(decision));
        EXPECT_EQ(outcome(leaf, s), decision == XY_ACCEPT ? 0 : ECONNREFUSED);
    }
}

TEST_F(Completion, W_131_NoConnectOnTheLeafsDescriptorAtTheRoot) {
    must(root.select(inviter.s, kAll), "select");
    const int f = must(root.join(inviter.s, listener.name), "the join");
    must(leaf.accept(listener.s), "accept");
    EXPECT_EQ(outcome(root, inviter.s), 0);
    EXPECT_EQ(recorded_within_quiet(root, f) & XY_FD_CONNECT, 0U);
}

TEST_F(Completion, W_132_TheCodeOfConnectIsTheOutcome) {
    must(root.select(inviter.s, XY_FD_CONNECT), "select");
    must(root.join(inviter.s, unused_address(leaf)), "the join to nobody");
    EXPECT_EQ(outcome(root, inviter.s), ECONNREFUSED);

    must(root.join(inviter.s, listener.name), "the join that is rejected");
    leaf.accept(listener.s, answer_of(XY_REJECT));
    EXPECT_EQ(outcome(root, inviter.s), ECONNREFUSED);

    must(set_number(root, inviter.s, XY_SOL, XY_OPT_JOIN_TIMEOUT_MS, 1), "the option");
    must(root.join(inviter.s, listener.name), "the join that nobody decides");
    EXPECT_EQ(outcome(root, inviter.s), ETIMEDOUT);

    must(set_number(root, inviter.s, XY_SOL, XY_OPT_JOIN_TIMEOUT_MS, kPatienceMs), "the option");
    EXPECT_THAT(leaf.accept(listener.s), Fails(EACCES)) << "the one that timed out";
    must(root.join(inviter.s, listener.name), "the join that is accepted");
    must(leaf.accept(listener.s), "accept");
    EXPECT_EQ(outcome(root, inviter.s), 0);
}

TEST_F(Completion, W_133_PollCannotDetectCompletion) {
    constexpr short kEverything = POLLIN | POLLOUT | POLLPRI;
    const int f = must(root.join(inviter.s, listener.name), "the join");
    EXPECT_EQ(polled_within_quiet(root, inviter.s, kEverything), 0);
    EXPECT_EQ(polled_within_quiet(root, f, kEverything), 0);
    EXPECT_THAT(leaf.accept(listener.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    EXPECT_EQ(polled_within_quiet(root, inviter.s, kEverything), 0) << "the join has failed";

    const Bound listening = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.join(s, listening.name), "the leaf's join");
    EXPECT_EQ(polled_within_quiet(leaf, s, kEverything), 0);
    root.accept(listening.s, answer_of(XY_REJECT));
    EXPECT_EQ(polled_within_quiet(leaf, s, kEverything), 0) << "the leaf's join has failed";

    must(leaf.join(s, listening.name), "the leaf's second join");
    must(root.accept(listening.s), "accept");
    ASSERT_TRUE(is_joined_in_time(leaf, s));
    EXPECT_EQ(polled_within_quiet(leaf, s, POLLIN), 0) << "nothing was sent";
    EXPECT_EQ(polled(leaf, s, POLLOUT), POLLOUT) << "it can be written to, as any joined socket";
}

TEST_F(Completion, W_134_WithoutRegistrationThereIsNoIndication) {
    const Bound listening = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.join(s, listening.name), "the join");
    must(root.accept(listening.s), "accept");
    ASSERT_TRUE(is_joined_in_time(leaf, s));
    EXPECT_TRUE(leaf.is_quiet(s));
    EXPECT_EQ(leaf.events(s).events, 0U);

    const int blocking = open_leaf(leaf);
    must(leaf.select(blocking, XY_FD_CONNECT), "select");
    EXPECT_THAT(leaf.join(blocking, listening.name), Returns(blocking)) << "registration made it nonblocking";
    must(root.accept(listening.s), "accept");
    EXPECT_EQ(outcome(leaf, blocking), 0);
}

TEST_F(Completion, W_135_RegisteringAfterCompletionReportsItAtOnce) {
    const Bound listening = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.join(s, listening.name), "the join");
    must(root.accept(listening.s), "accept");
    ASSERT_TRUE(is_joined_in_time(leaf, s));
    must(leaf.select(s, XY_FD_CONNECT), "select");
    const Events events = leaf.events(s);
    EXPECT_TRUE(events.has(XY_FD_CONNECT));
    EXPECT_EQ(events.error_of[XY_FD_CONNECT_BIT], 0);
    EXPECT_EQ(recorded_within_quiet(leaf, s), 0U) << "once";
}

TEST_F(Completion, W_137_BlockingJoinIsReportedAtMostOnce) {
    XY_ROW("A-28");
    const Bound listening = listening_root(root);
    const Edge edge = ask(listening, leaf);
    must(leaf.select(edge.s, XY_FD_CONNECT), "select");
    const Events events = leaf.events(edge.s);
    EXPECT_EQ(events.has(XY_FD_CONNECT) ? events.error_of[XY_FD_CONNECT_BIT] : 0, 0);
    EXPECT_EQ(recorded_within_quiet(leaf, edge.s), 0U);
}

TEST_F(Completion, W_138_EachJoinOfARootHasItsConnect) {
    XY_ROW("W-138");
    must(root.select(inviter.s, XY_FD_CONNECT), "select");
    must(root.join(inviter.s, unused_address(leaf)), "the first join");
    EXPECT_EQ(outcome(root, inviter.s), ECONNREFUSED);
    EXPECT_EQ(recorded_within_quiet(root, inviter.s), 0U);

    // Two complete before the record is read: one bit, and the last code.
    must(root.join(inviter.s, unused_address(leaf)), "the second join");
    const Bound other = listening_leaf(leaf);
    const int f = must(root.run([=, s = inviter.s, name = other.name] {
        Joined joined = calls::join(s, name, {});
        for (int i = 0; i < kPatienceMs && joined.error == EALREADY; ++i) {
            calls::await_readable(-1, 1);
            joined = calls::join(s, name, {});
        }
        return joined;
    }),
                       "the third join");
    must(leaf.accept(other.s), "accept");
    ASSERT_TRUE(is_joined_in_time(root, f));
    EXPECT_EQ(outcome(root, inviter.s), 0);
    EXPECT_EQ(recorded_within_quiet(root, inviter.s), 0U);
}

TEST_F(Completion, W_139_WriteFollowsConnect) {
    XY_ROW("A-29");
    must(root.select(inviter.s, XY_FD_CONNECT | XY_FD_WRITE), "select");
    EXPECT_EQ(recorded_within_quiet(root, inviter.s), 0U) << "there is no leaf";
    must(root.join(inviter.s, listener.name), "the join");
    must(leaf.accept(listener.s), "accept");
    EXPECT_THAT(root.await(inviter.s, XY_FD_CONNECT | XY_FD_WRITE), Succeeds());
    const Bound other = listening_leaf(leaf);
    must(root.join(inviter.s, other.name), "the second join");
    must(leaf.accept(other.s), "accept");
    EXPECT_EQ(outcome(root, inviter.s), 0);
    EXPECT_EQ(recorded_within_quiet(root, inviter.s), 0U) << "it was writable before";

    const Bound listening = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.select(s, XY_FD_CONNECT | XY_FD_WRITE), "select");
    must(leaf.join(s, listening.name), "the leaf's join");
    EXPECT_EQ(recorded_within_quiet(leaf, s), 0U);
    must(root.accept(listening.s), "accept");
    EXPECT_THAT(leaf.await(s, XY_FD_CONNECT | XY_FD_WRITE), Succeeds());
}

}  // namespace
}  // namespace xylem::conformance
