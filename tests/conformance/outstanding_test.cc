// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.H: one outstanding join, joins of a member, another try.
#include <cerrno>

#include "tests/conformance/pending_join.h"
#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

TEST(Outstanding, W_110_OneJoinPerSocket) {
    PendingLeaf scene;
    EXPECT_EQ(scene.leaf.join(scene.s, scene.at.name).value, -1);
    const int other = open_leaf(scene.leaf, kNonblocking);
    EXPECT_THAT(scene.leaf.join(other, scene.at.name), Returns(other)) << "another socket is another matter";
}

TEST(Outstanding, W_110_OneInvitationPerRoot) {
    PendingRoot scene;
    Party ann = on_host(2, "ann");
    const Bound another = listening_leaf(ann);
    EXPECT_EQ(scene.root.join(scene.at.s, another.name).value, -1);
    EXPECT_TRUE(ann.is_quiet(another.s));
    const Bound other = bound_root(scene.root, kNonblocking);
    EXPECT_THAT(scene.root.join(other.s, another.name), Succeeds()) << "another root is another matter";
}

TEST(Outstanding, W_111_SecondJoinIsAlreadyUnderWay) {
    PendingLeaf scene;
    Party other = on_host(2, "other");
    EXPECT_THAT(scene.leaf.join(scene.s, scene.at.name), Fails(EALREADY));
    EXPECT_THAT(scene.leaf.join(scene.s, listening_root(other).name), Fails(EALREADY)) << "whatever its name";
}

TEST(Outstanding, W_111_SecondInvitationIsAlreadyUnderWay) {
    PendingRoot scene;
    Party other = on_host(2, "other");
    EXPECT_THAT(scene.root.join(scene.at.s, scene.listener.name), Fails(EALREADY));
    EXPECT_THAT(scene.root.join(scene.at.s, listening_leaf(other).name), Fails(EALREADY)) << "whatever its name";
}

TEST(Outstanding, W_112_PendingJoinIsNotDisturbed) {
    XY_ROW("W-112");
    PendingLeaf scene;
    EXPECT_THAT(scene.leaf.join(scene.s, scene.at.name), Fails(EALREADY));
    EXPECT_TRUE(scene.leaf.is_quiet(scene.s));
    must(scene.root.accept(scene.at.s), "accept");
    EXPECT_EQ(scene.outcome(), 0);
    EXPECT_TRUE(scene.leaf.is_quiet(scene.s)) << "one FD_CONNECT";
    EXPECT_TRUE(scene.root.is_quiet(scene.at.s)) << "one request";
}

TEST(Outstanding, W_112_PendingInvitationIsNotDisturbed) {
    XY_ROW("W-112");
    PendingRoot scene;
    EXPECT_THAT(scene.root.join(scene.at.s, scene.listener.name), Fails(EALREADY));
    EXPECT_TRUE(scene.root.is_quiet(scene.at.s));
    must(scene.leaf.accept(scene.listener.s), "accept");
    EXPECT_EQ(scene.outcome(), 0);
    EXPECT_TRUE(scene.root.is_quiet(scene.at.s)) << "one FD_CONNECT";
    EXPECT_THAT(scene.root.peer_of(scene.f), Succeeds());
}

TEST(Outstanding, W_113_MemberCannotJoinAgain) {
    Party root = on_host(0, "root"), other = on_host(2, "other"), ann = on_host(1, "ann"), bob = on_host(1, "bob");
    const Bound at = listening_root(root), another = listening_root(other);
    for (const Edge& edge : {ask(at, ann), invite(at, listening_leaf(bob))}) {
        EXPECT_THAT(edge.leaf.join(edge.s, at.name), Fails(EISCONN));
        EXPECT_THAT(edge.leaf.join(edge.s, another.name), Fails(EISCONN));
        must(root.send(at.s, "still a member"), "send");
        EXPECT_EQ(edge.leaf.receive(edge.s).text, "still a member");
    }
}

TEST(Outstanding, W_114_RootMayInviteTheNext) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = bound_root(root);
    const int first = invite(at, listening_leaf(ann)).at_root;
    EXPECT_NE(invite(at, listening_leaf(bob)).at_root, first);
}

TEST(Outstanding, W_115_LeafThatIsInvitedTwice) {
    XY_ROW("A-26");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root), listener = listening_leaf(leaf);
    const Edge edge = invite(at, listener);
    EXPECT_THAT(root.join(at.s, listener.name), Fails(EISCONN));
    EXPECT_TRUE(leaf.is_quiet(listener.s));
    must(root.send(at.s, "still a member"), "send");
    EXPECT_EQ(leaf.receive(edge.s).text, "still a member");
}

/// Every rooted protocol here has both kinds of joins.
TEST(Outstanding, W_116_EveryRootMayInvite) {
    XY_ROW("A-26");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    for (const xy_protocol& entry : root.protocols()) {
        if ((entry.capabilities & XY_CAP_ROOTED_CONTROL) == 0 || entry.family != AF_INET) continue;
        const Kind kind{entry.type, entry.protocol};
        const Bound at = bound_root(root, kind), listener = listening_leaf(leaf, kind);
        auto joining = root.start_join(at.s, listener.name);
        EXPECT_THAT(leaf.accept(listener.s), Succeeds()) << entry.name;
        EXPECT_THAT(joining.result(), Succeeds()) << entry.name;
    }
}

TEST(Outstanding, W_117_RefusedLeafMayTryAgain) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root);
    const int s = open_leaf(leaf);
    EXPECT_THAT(leaf.join(s, at.name), Fails(ECONNREFUSED));
    must(root.listen(at.s), "listen");
    auto joining = leaf.start_join(s, at.name);
    must(root.accept(at.s), "accept");
    EXPECT_THAT(joining.result(), Returns(s));
    must(root.send(at.s, "welcome"), "send");
    EXPECT_EQ(leaf.receive(s).text, "welcome");
}

TEST(Outstanding, W_117_RefusedRootMayTryAgain) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root), listener = bound_leaf(leaf);
    EXPECT_THAT(root.join(at.s, listener.name), Fails(ECONNREFUSED));
    must(leaf.listen(listener.s), "listen");
    const Edge edge = invite(at, listener);
    must(root.send(at.s, "welcome"), "send");
    EXPECT_EQ(leaf.receive(edge.s).text, "welcome");
}

TEST(Outstanding, W_117_JoinThatTimedOutMayBeTriedAgain) {
    PendingLeaf scene;
    const int s = open_leaf(scene.leaf);
    must(scene.leaf.run([s] {
        const uint32_t timeout_ms = 100;
        return done(xy_setsockopt(s, XY_SOL, XY_OPT_JOIN_TIMEOUT_MS, &timeout_ms, sizeof timeout_ms));
    }),
         "XY_OPT_JOIN_TIMEOUT_MS");
    EXPECT_THAT(scene.leaf.join(s, scene.at.name), Fails(ETIMEDOUT));
    must(scene.leaf.run([s] {
        const uint32_t timeout_ms = kPatienceMs;
        return done(xy_setsockopt(s, XY_SOL, XY_OPT_JOIN_TIMEOUT_MS, &timeout_ms, sizeof timeout_ms));
    }),
         "XY_OPT_JOIN_TIMEOUT_MS");
    auto joining = scene.leaf.start_join(s, scene.at.name);
    must(scene.root.accept(scene.at.s), "the other one's");
    const Accepted withdrawn = accept_ended(scene.root, scene.at.s);
    EXPECT_THAT(withdrawn, Fails(EACCES)) << "the one that timed out";
    must(scene.root.accept(scene.at.s), "accept");
    EXPECT_THAT(joining.result(), Returns(s));
}

TEST(Outstanding, W_118_SocketIsBoundAgainAfterOtherFailures) {
    XY_ROW("W-118");
    PendingLeaf scene;
    Party other = on_host(2, "other");
    scene.await_request();
    const Address own = scene.leaf.name_of(scene.s);
    scene.root.kill();
    EXPECT_NE(scene.outcome(), 0);
    EXPECT_EQ(scene.leaf.name_of(scene.s), own);
    const Bound another = listening_root(other);
    EXPECT_THAT(scene.leaf.join(scene.s, another.name), Returns(scene.s));
    must(other.accept(another.s), "accept");
    EXPECT_EQ(scene.outcome(), 0);
    EXPECT_EQ(scene.leaf.name_of(scene.s), own);
}

TEST(Outstanding, W_123_BlockingJoinInAnotherThreadIsUnderWay) {
    XY_ROW("A-27");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf);
    auto joining = leaf.start_join(s, at.name);
    ASSERT_TRUE(root.run([s = at.s] { return calls::await_readable(s, kPatienceMs); }));
    EXPECT_THAT(leaf.join(s, at.name), Fails(EALREADY));
    must(root.accept(at.s), "accept");
    EXPECT_THAT(joining.result(), Returns(s));
}

TEST(Outstanding, W_123_BlockingInvitationInAnotherThreadIsUnderWay) {
    XY_ROW("A-27");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root), listener = listening_leaf(leaf);
    auto joining = root.start_join(at.s, listener.name);
    ASSERT_TRUE(leaf.run([s = listener.s] { return calls::await_readable(s, kPatienceMs); }));
    EXPECT_THAT(root.join(at.s, listener.name), Fails(EALREADY));
    must(leaf.accept(listener.s), "accept");
    EXPECT_THAT(joining.result(), Succeeds());
}

}  // namespace
}  // namespace xylem::conformance
