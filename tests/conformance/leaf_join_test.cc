// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.E: a leaf asks, in a rooted control plane.
#include <cerrno>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

TEST(LeafJoin, W_080_LeafAsksAListeningRoot) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const int r = must(root.socket({}, kRoot), "socket");
    EXPECT_THAT(root.bind(r, root.address()), Succeeds());
    EXPECT_THAT(root.listen(r), Succeeds());
    const int s = must(leaf.socket({}, kLeaf), "socket");
    auto joining = leaf.start_join(s, root.name_of(r));
    EXPECT_THAT(root.accept(r), Succeeds());
    EXPECT_THAT(joining.result(), Succeeds());
    EXPECT_THAT(root.send(r, "down"), Succeeds());
    EXPECT_EQ(leaf.receive(s).text, "down");
}

TEST(LeafJoin, W_080_OverIpv6) {
    const Kind v6{.family = AF_INET6};
    Party root = on_host(0, "root"), leaf = on_host(0, "leaf");
    const int r = must(root.socket(v6, kRoot), "socket");
    EXPECT_THAT(root.bind(r, Address::of("::1", 0)), Succeeds());
    EXPECT_THAT(root.listen(r), Succeeds());
    const Edge edge = ask({root, r, root.name_of(r)}, leaf, v6);
    EXPECT_THAT(root.send(r, "down"), Succeeds());
    EXPECT_EQ(leaf.receive(edge.s).text, "down");
}

TEST(LeafJoin, W_081_RootSeesAnOrdinaryRequest) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    must(root.select(at.s, XY_FD_ACCEPT), "select");
    EXPECT_TRUE(root.is_quiet(at.s));
    const int first = open_leaf(leaf), second = open_leaf(leaf);
    auto joining = leaf.start_join(first, at.name);
    EXPECT_EQ(root.await(at.s, XY_FD_ACCEPT).error_of[XY_FD_ACCEPT_BIT], 0);
    EXPECT_THAT(root.accept_now(at.s), Succeeds());
    EXPECT_THAT(joining.result(), Returns(first));
    joining = leaf.start_join(second, at.name, {.caller = "hello"});
    EXPECT_EQ(root.await(at.s, XY_FD_ACCEPT).error_of[XY_FD_ACCEPT_BIT], 0);
    const Accepted accepted = root.accept_now(at.s, answer_of(XY_ACCEPT));
    EXPECT_THAT(accepted, Succeeds());
    EXPECT_TRUE(accepted.was_asked);
    EXPECT_EQ(accepted.caller_data, "hello");
    EXPECT_THAT(joining.result(), Returns(second));
}

/// What leaf_descriptor_test.cc shows of a descriptor that a join returned.
TEST(LeafJoin, W_082_AcceptedDescriptorIsALeafs) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, ann), ask(at, bob)};
    EXPECT_NE(edges[0].at_root, edges[1].at_root);
    EXPECT_NE(edges[0].at_root, at.s);
    Address peer;
    EXPECT_THAT(root.peer_of(edges[0].at_root, &peer), Succeeds());
    EXPECT_EQ(peer, ann.name_of(edges[0].s));
    EXPECT_THAT(root.listen(edges[0].at_root), Fails(EINVAL));
    EXPECT_THAT(root.accept_now(edges[0].at_root), Fails(EINVAL));
    EXPECT_THAT(root.join(edges[0].at_root, at.name), Fails(EISCONN));
    must(bob.select(edges[1].s, XY_FD_CLOSE), "select");
    EXPECT_THAT(root.close(edges[1].at_root), Succeeds());
    EXPECT_THAT(bob.await(edges[1].s, XY_FD_CLOSE), Succeeds()) << "evicted";
    must(root.select(edges[0].at_root, XY_FD_CLOSE), "select");
    EXPECT_THAT(ann.close(edges[0].s), Succeeds());
    EXPECT_THAT(root.await(edges[0].at_root, XY_FD_CLOSE), Succeeds()) << "left";
}

TEST(LeafJoin, W_083_LeafLearnsThatItIsAdmitted) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.select(s, XY_FD_CONNECT), "select");
    must(leaf.join(s, at.name), "join");
    EXPECT_TRUE(leaf.is_quiet(s));
    must(root.accept(at.s), "accept");
    const Events events = leaf.await(s, XY_FD_CONNECT);
    EXPECT_THAT(events, Succeeds());
    EXPECT_EQ(events.error_of[XY_FD_CONNECT_BIT], 0);
}

TEST(LeafJoin, W_084_RefusedWithoutAListener) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root);
    EXPECT_THAT(leaf.join(open_leaf(leaf), at.name), Fails(ECONNREFUSED)) << "bound, but it does not listen";
    EXPECT_THAT(leaf.join(open_leaf(leaf), unused_address(root)), Fails(ECONNREFUSED));
}

TEST(LeafJoin, W_084_RefusedByTheConditionFunction) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    auto joining = leaf.start_join(open_leaf(leaf), at.name);
    EXPECT_THAT(root.accept(at.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    EXPECT_THAT(joining.result(), Fails(ECONNREFUSED));
}

TEST(LeafJoin, W_084_RefusedByARootThatCloses) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    auto joining = leaf.start_join(open_leaf(leaf), at.name);
    ASSERT_TRUE(root.run([s = at.s] { return calls::await_readable(s, kPatienceMs); }));
    must(root.close(at.s), "close");
    EXPECT_THAT(joining.result(), Fails(ECONNREFUSED));
}

TEST(LeafJoin, W_085_SameRootListensAndInvites) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, ann), invite(at, listening_leaf(bob)), ask(at, bob)};
    must(root.send(at.s, "to all"), "send");
    for (const Edge& edge : edges) {
        EXPECT_EQ(edge.leaf.receive(edge.s).text, "to all");
        must(edge.leaf.send(edge.s, "up"), "send");
        EXPECT_EQ(root.receive(at.s).text, "up");
    }
}

TEST(LeafJoin, W_086_JoinReturnsTheLeafsOwnSocket) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int blocking = open_leaf(leaf), nonblocking = open_leaf(leaf, kNonblocking);
    auto joining = leaf.start_join(blocking, at.name);
    must(root.accept(at.s), "accept");
    EXPECT_THAT(joining.result(), Returns(blocking));
    EXPECT_THAT(leaf.join(nonblocking, at.name), Returns(nonblocking));
}

TEST(LeafJoin, W_087_ListeningLeafCannotAsk) {
    XY_ROW("A-22");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root), listener = listening_leaf(leaf);
    EXPECT_THAT(leaf.join(listener.s, at.name), Fails(EINVAL));
    EXPECT_TRUE(root.is_quiet(at.s));
    EXPECT_GE(invite(at, listener).at_root, 0) << "it still listens";
}

/// Every rooted protocol here takes leaves that ask.
TEST(LeafJoin, W_088_EveryRootedProtocolTakesLeavesThatAsk) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    for (const xy_protocol& entry : root.protocols()) {
        if ((entry.capabilities & XY_CAP_ROOTED_CONTROL) == 0 || entry.family != AF_INET) continue;
        const Kind kind{entry.type, entry.protocol};
        const Bound at = listening_root(root, kind);
        const int s = open_leaf(leaf, kind);
        auto joining = leaf.start_join(s, at.name);
        EXPECT_THAT(root.accept(at.s), Succeeds()) << entry.name;
        EXPECT_THAT(joining.result(), Returns(s)) << entry.name;
    }
}

}  // namespace
}  // namespace xylem::conformance
