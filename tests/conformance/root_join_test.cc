// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.D: the root invites.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

/// A kernel socket's connect() to the name, made by the party.
Done kernel_connect(Party& party, const Address& name) {
    return party.run([name] {
        const int s = ::socket(name.family(), SOCK_STREAM, 0);
        const Done out = done(::connect(s, name.get(), name.length));
        ::close(s);
        return out;
    });
}

TEST(RootJoin, W_060_InvitedSideMustListen) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root);
    EXPECT_THAT(root.join(at.s, unused_address(leaf)), Fails(ECONNREFUSED));
    const Bound silent = bound_leaf(leaf);
    EXPECT_THAT(root.join(at.s, silent.name), Fails(ECONNREFUSED)) << "bound, but it does not listen";
    must(leaf.listen(silent.s), "listen");
    EXPECT_GE(invite(at, silent).at_root, 0);
}

TEST(RootJoin, W_061_ListenNeedsABind) {
    Party leaf = on_host(0, "leaf");
    const int s = open_leaf(leaf);
    EXPECT_THAT(leaf.listen(s), Fails(EINVAL));
    must(leaf.bind(s, leaf.address()), "bind");
    EXPECT_THAT(leaf.listen(s), Succeeds());
}

TEST(RootJoin, W_062_NameIsThatOfOneLeaf) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(1, "bob"), cid = on_host(2, "cid");
    const Bound at = bound_root(root, kNonblocking);
    const Bound meant = listening_leaf(ann), twin = listening_leaf(bob), other = listening_leaf(cid);
    must(root.join(at.s, meant.name), "join");
    EXPECT_TRUE(ann.run([s = meant.s] { return calls::await_readable(s, kPatienceMs); }));
    EXPECT_TRUE(bob.is_quiet(twin.s));
    EXPECT_TRUE(cid.is_quiet(other.s));
}

TEST(RootJoin, W_063_InvitationRaisesAcceptAtTheListener) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root, kNonblocking), listener = listening_leaf(leaf);
    must(leaf.select(listener.s, XY_FD_ACCEPT), "select");
    EXPECT_TRUE(leaf.is_quiet(listener.s));
    must(root.join(at.s, listener.name), "join");
    const Events events = leaf.await(listener.s, XY_FD_ACCEPT);
    EXPECT_THAT(events, Succeeds());
    EXPECT_EQ(events.events, static_cast<uint32_t>(XY_FD_ACCEPT));
    EXPECT_EQ(events.error_of[XY_FD_ACCEPT_BIT], 0);
}

TEST(RootJoin, W_064_AcceptedSocketIsTheSession) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root), listener = listening_leaf(leaf);
    const Edge edge = invite(at, listener);
    EXPECT_NE(edge.s, listener.s);
    must(root.send(at.s, "to the session"), "send");
    EXPECT_EQ(leaf.receive(edge.s).text, "to the session");
    must(leaf.send(edge.s, "from the session"), "send");
    EXPECT_EQ(root.receive(at.s).text, "from the session");
    EXPECT_TRUE(leaf.is_quiet(listener.s));
}

TEST(RootJoin, W_065_CompletionComesToTheRootsSocket) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root, kNonblocking), listener = listening_leaf(leaf);
    must(root.select(at.s, XY_FD_CONNECT), "select");
    must(root.join(at.s, listener.name), "join");
    must(leaf.accept(listener.s), "accept");
    const Events events = root.await(at.s, XY_FD_CONNECT);
    EXPECT_THAT(events, Succeeds());
    EXPECT_EQ(events.error_of[XY_FD_CONNECT_BIT], 0);
}

TEST(RootJoin, W_066_ListeningLeafTakesOnlyInvitations) {
    Party asking = on_host(0, "asking"), leaf = on_host(1, "leaf");
    const Bound listener = listening_leaf(leaf);
    must(leaf.select(listener.s, XY_FD_ACCEPT), "select");
    const int s = open_leaf(asking);
    EXPECT_THAT(asking.connect(s, listener.name), Fails(ECONNREFUSED));
    EXPECT_THAT(asking.join(s, listener.name), Fails(ECONNREFUSED));
    EXPECT_TRUE(leaf.is_quiet(listener.s));
    if (is_network()) return;  // a party's kernel sockets are on the host of the test
    EXPECT_THAT(kernel_connect(leaf, listener.name), Fails(ECONNREFUSED));
    EXPECT_TRUE(leaf.is_quiet(listener.s));
}

TEST(RootJoin, W_067_OtherListenersRefuseAnInvitation) {
    XY_ROW("A-20");
    Party root = on_host(0, "root"), other = on_host(1, "other");
    const Bound at = bound_root(root), another = listening_root(other);
    EXPECT_THAT(root.join(at.s, another.name), Fails(ECONNREFUSED)) << "a listening root";
    EXPECT_TRUE(other.is_quiet(another.s));
    if (is_network()) return;  // a party's kernel sockets are on the host of the test
    const Address ordinary = other.run([any = Address::of("0.0.0.0", 0), own = other.address()] {
        const int s = ::socket(AF_INET, SOCK_STREAM, 0);
        Address name = any;
        ::bind(s, name.get(), name.length);
        ::listen(s, 5);
        ::getsockname(s, name.get(), &name.length);
        return own.with_port(name.port());
    });
    EXPECT_THAT(root.join(at.s, ordinary), Fails(ECONNREFUSED)) << "a kernel's listening socket";
}

TEST(RootJoin, W_068_RootInvitesManyLeaves) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = bound_root(root);
    std::set<int> descriptors{at.s};
    constexpr int kEach = 4;
    for (int i = 0; i < kEach; ++i)
        for (Party* party : {&ann, &bob})
            descriptors.insert(invite(at, listening_leaf(*party)).at_root);
    EXPECT_EQ(descriptors.size(), 2U * kEach + 1);
}

TEST(RootJoin, W_069_FullBacklogRefusesTheInviter) {
    Party ann = on_host(0, "ann"), bob = on_host(1, "bob"), cid = on_host(2, "cid"), leaf = on_host(1, "leaf");
    const Bound listener = listening_leaf(leaf, {}, 1);
    const Bound first = bound_root(ann, kNonblocking);
    must(ann.select(first.s, XY_FD_CONNECT), "select");
    must(ann.join(first.s, listener.name), "join");
    ASSERT_TRUE(leaf.run([s = listener.s] { return calls::await_readable(s, kPatienceMs); }));
    EXPECT_THAT(bob.join(bound_root(bob).s, listener.name), Fails(ECONNREFUSED));
    EXPECT_THAT(cid.join(bound_root(cid).s, listener.name), Fails(ECONNREFUSED));
    must(leaf.accept(listener.s), "accept");
    EXPECT_EQ(ann.await(first.s, XY_FD_CONNECT).error_of[XY_FD_CONNECT_BIT], 0) << "the one that had room";
    EXPECT_GE(invite(bound_root(bob), listener).at_root, 0) << "there is room again";
}

/// Invitations of one host arrive in their order, so the one that finds the backlog full comes after all others.
TEST(RootJoin, W_070_ShorterBacklogResetsTheSurplus) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listener = listening_leaf(leaf, {}, 3);
    const Bound inviters[] = {bound_root(root, kNonblocking), bound_root(root, kNonblocking),
                              bound_root(root, kNonblocking)};
    for (const Bound& at : inviters) {
        must(root.select(at.s, XY_FD_CONNECT), "select");
        must(root.join(at.s, listener.name), "join");
    }
    EXPECT_THAT(root.join(bound_root(root).s, listener.name), Fails(ECONNREFUSED)) << "full";
    EXPECT_THAT(leaf.listen(listener.s, 1), Succeeds());
    EXPECT_EQ(root.await(inviters[1].s, XY_FD_CONNECT).error_of[XY_FD_CONNECT_BIT], ECONNREFUSED);
    EXPECT_EQ(root.await(inviters[2].s, XY_FD_CONNECT).error_of[XY_FD_CONNECT_BIT], ECONNREFUSED);
    must(leaf.accept(listener.s), "accept");
    EXPECT_EQ(root.await(inviters[0].s, XY_FD_CONNECT).error_of[XY_FD_CONNECT_BIT], 0);
}

TEST(RootJoin, W_070_SillyBacklogsAreClipped) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root);
    for (const int backlog : {0, -1, -2147483647, 2147483647}) {
        const Bound listener = bound_leaf(leaf);
        EXPECT_THAT(leaf.listen(listener.s, backlog), Succeeds()) << backlog;
        EXPECT_GE(invite(at, listener).at_root, 0) << backlog;
    }
}

TEST(RootJoin, W_071_CompleteOnlyAfterTheAccept) {
    XY_ROW("A-05");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root), listener = listening_leaf(leaf);
    auto joining = root.start_join(at.s, listener.name);
    ASSERT_TRUE(leaf.run([s = listener.s] { return calls::await_readable(s, kPatienceMs); }));
    EXPECT_TRUE(joining.is_waiting()) << "the invitation has arrived, and nobody has agreed";
    must(leaf.accept(listener.s), "accept");
    EXPECT_THAT(joining.result(), Succeeds());
}

/// The choice here: a root's leaf is named with a join.
TEST(RootJoin, W_072_ConnectOfARootIsNotSupported) {
    XY_ROW("A-21");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root), listener = listening_leaf(leaf);
    EXPECT_THAT(root.connect(at.s, listener.name), Fails(EOPNOTSUPP));
    EXPECT_TRUE(leaf.is_quiet(listener.s));
    EXPECT_GE(invite(at, listener).at_root, 0);
}

TEST(RootJoin, W_073_InvitingRootNeedNotListen) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = bound_root(root);
    const Edge edges[] = {invite(at, listening_leaf(ann)), invite(at, listening_leaf(bob))};
    EXPECT_THAT(root.accept_now(at.s), Fails(EINVAL)) << "it does not listen";
    must(root.send(at.s, "to all"), "send");
    for (const Edge& edge : edges)
        EXPECT_EQ(edge.leaf.receive(edge.s).text, "to all");
}

}  // namespace
}  // namespace xylem::conformance
