// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.G: the root's descriptor of a leaf, "F" there.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "tests/conformance/pending_join.h"
#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

/// A getsockopt's value.
template <class T>
struct Option : Done {
    T value_of{};
};
template <class T>
Option<T> option(Party& party, int s, int level, int name) {
    return party.run([=] {
        Option<T> out;
        socklen_t length = sizeof out.value_of;
        static_cast<Done&>(out) = done(xy_getsockopt(s, level, name, &out.value_of, &length));
        return out;
    });
}
template <class T>
Done set_option(Party& party, int s, int level, int name, T value) {
    return party.run([=] { return done(xy_setsockopt(s, level, name, &value, sizeof value)); });
}

TEST(LeafDescriptor, W_094_EveryLeafHasItsOwn) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const std::set<int> descriptors{at.s, invite(at, listening_leaf(ann)).at_root,
                                    invite(at, listening_leaf(bob)).at_root, ask(at, ann).at_root,
                                    ask(at, bob).at_root};
    EXPECT_EQ(descriptors.size(), 5U);
}

TEST(LeafDescriptor, W_095_EventsAreInheritedWithTheirObject) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root, kNonblocking), listener = listening_leaf(leaf);
    const int object = root.run([s = at.s] {
        const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        must(done(xy_event_select(s, fd, XY_FD_CONNECT | XY_FD_CLOSE)), "select");
        return fd;
    });
    const auto take = [&root, object](int s) {
        return root.run([object, s] {
            Events out;
            xy_events events{};
            static_cast<Done&>(out) = done(xy_enum_events(s, object, &events));
            out.events = events.events;
            return out;
        });
    };
    const auto await_signal = [&root, object] {
        return root.run([object] { return calls::await_readable(object, kPatienceMs); });
    };
    const int f = must(root.join(at.s, listener.name), "join");
    const int session = must(leaf.accept(listener.s), "accept");
    ASSERT_TRUE(await_signal());
    EXPECT_EQ(take(at.s).events, static_cast<uint32_t>(XY_FD_CONNECT));
    must(leaf.close(session), "close");
    ASSERT_TRUE(await_signal()) << "the object of the root's socket";
    EXPECT_EQ(take(f).events, static_cast<uint32_t>(XY_FD_CLOSE));
    EXPECT_EQ(take(at.s).events, 0U) << "it is the leaf's descriptor that has closed";
}

TEST(LeafDescriptor, W_097_PropertiesAreInherited) {
    XY_ROW("A-23");
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    must(set_option(root, at.s, SOL_SOCKET, SO_LINGER, linger{1, 7}), "SO_LINGER");
    must(set_option(root, at.s, SOL_SOCKET, SO_RCVTIMEO, timeval{3, 0}), "SO_RCVTIMEO");
    must(set_option(root, at.s, SOL_SOCKET, SO_SNDTIMEO, timeval{4, 0}), "SO_SNDTIMEO");
    must(set_option(root, at.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, uint32_t{4321}), "XY_OPT_SLOW_LEAF_MS");
    must(set_option(root, at.s, XY_SOL, XY_OPT_LOG_BYTES, uint64_t{200'000}), "XY_OPT_LOG_BYTES");
    const auto log_bytes = option<uint64_t>(root, at.s, XY_SOL, XY_OPT_LOG_BYTES).value_of;
    for (const int f : {invite(at, listening_leaf(ann)).at_root, ask(at, bob).at_root}) {
        const auto held = option<linger>(root, f, SOL_SOCKET, SO_LINGER).value_of;
        EXPECT_EQ(held.l_onoff, 1);
        EXPECT_EQ(held.l_linger, 7);
        EXPECT_EQ(option<timeval>(root, f, SOL_SOCKET, SO_RCVTIMEO).value_of.tv_sec, 3);
        EXPECT_EQ(option<timeval>(root, f, SOL_SOCKET, SO_SNDTIMEO).value_of.tv_sec, 4);
        EXPECT_EQ(option<uint32_t>(root, f, XY_SOL, XY_OPT_SLOW_LEAF_MS).value_of, 4321U);
        EXPECT_EQ(option<uint64_t>(root, f, XY_SOL, XY_OPT_LOG_BYTES).value_of, log_bytes);
        EXPECT_EQ(option<int>(root, f, SOL_SOCKET, SO_TYPE).value_of, SOCK_RDM);
        EXPECT_THAT(root.listen(f), Fails(EINVAL)) << "its roles are a leaf's";
    }
}

/// A call that would wait tells the mode.
TEST(LeafDescriptor, W_097_ModeIsInherited) {
    XY_ROW("A-23");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root, kNonblocking);
    const Edge edge = ask(at, leaf);
    const bool is_chat = (root.capabilities({}) & XY_CAP_SIDE_CHAT) != 0;
    EXPECT_THAT(root.receive_now(edge.at_root, 64, 0), Fails(is_chat ? EAGAIN : EOPNOTSUPP));
}

TEST(LeafDescriptor, W_098_MultipointDataStaysAway) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Edge edge = ask(at, leaf);
    must(leaf.send(edge.s, "up"), "send");
    must(root.send(at.s, "down"), "send");
    EXPECT_EQ(leaf.receive(edge.s).text, "down");
    EXPECT_TRUE(root.is_quiet(edge.at_root));
    const Received received = root.receive_now(edge.at_root);
    EXPECT_EQ(received.value, -1);
    EXPECT_EQ(root.receive(at.s).text, "up");
}

/// XY_CAP_SIDE_CHAT says which.
TEST(LeafDescriptor, W_099_SideChatReachesThatLeafAloneOrIsNotSupported) {
    XY_ROW("A-13");
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, ann), ask(at, bob)};
    const Done sent = root.send(edges[0].at_root, "for ann");
    if ((root.capabilities({}) & XY_CAP_SIDE_CHAT) == 0) {
        EXPECT_THAT(sent, Fails(EOPNOTSUPP));
        EXPECT_THAT(root.receive_now(edges[0].at_root), Fails(EOPNOTSUPP));
    } else {
        EXPECT_THAT(sent, Returns(7));
        EXPECT_EQ(ann.receive(edges[0].s).text, "for ann");
    }
    EXPECT_TRUE(bob.is_quiet(edges[1].s));
}

TEST(LeafDescriptor, W_100_LeafThatClosesEndsItsOwnDescriptorOnly) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge gone = ask(at, ann), left = ask(at, bob);
    for (const int s : {at.s, gone.at_root, left.at_root})
        must(root.select(s, XY_FD_CLOSE), "select");
    must(ann.close(gone.s), "close");
    const Events events = root.await(gone.at_root, XY_FD_CLOSE);
    EXPECT_THAT(events, Succeeds());
    EXPECT_EQ(events.error_of[XY_FD_CLOSE_BIT], 0);
    EXPECT_TRUE(root.is_quiet(left.at_root));
    EXPECT_TRUE(root.is_quiet(at.s));
    must(root.send(at.s, "still here"), "send");
    EXPECT_EQ(bob.receive(left.s).text, "still here");
}

TEST(LeafDescriptor, W_101_ClosingItEvictsTheLeaf) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge evicted = invite(at, listening_leaf(ann)), left = ask(at, bob);
    must(ann.select(evicted.s, XY_FD_CLOSE), "select");
    must(bob.select(left.s, XY_FD_CLOSE), "select");
    EXPECT_THAT(root.close(evicted.at_root), Succeeds());
    EXPECT_THAT(ann.await(evicted.s, XY_FD_CLOSE), Succeeds());
    EXPECT_TRUE(bob.is_quiet(left.s));
    must(root.send(at.s, "still here"), "send");
    EXPECT_EQ(bob.receive(left.s).text, "still here");
}

TEST(LeafDescriptor, W_102_UnusableBeforeCompletion) {
    PendingRoot scene;
    EXPECT_THAT(scene.root.send(scene.f, "too early"), Fails(ENOTCONN));
    EXPECT_THAT(scene.root.receive_now(scene.f), Fails(ENOTCONN));
    EXPECT_THAT(scene.root.peer_of(scene.f), Fails(ENOTCONN));
    EXPECT_THAT(scene.root.shutdown(scene.f, SHUT_RDWR), Fails(ENOTCONN));
    must(scene.leaf.accept(scene.listener.s), "accept");
    EXPECT_EQ(scene.outcome(), 0) << "all that did not disturb the join";
    EXPECT_THAT(scene.root.peer_of(scene.f), Succeeds());
}

TEST(LeafDescriptor, W_102_ClosingItIsAllowedBeforeCompletion) {
    PendingRoot scene;
    EXPECT_THAT(scene.root.close(scene.f), Succeeds());
}

TEST(LeafDescriptor, W_103_EventsMayBeSelectedBeforeCompletion) {
    XY_ROW("A-24");
    PendingRoot scene;
    EXPECT_THAT(scene.root.select(scene.f, XY_FD_CLOSE | XY_FD_READ | XY_FD_WRITE | XY_FD_CONNECT), Succeeds());
    EXPECT_TRUE(scene.root.is_quiet(scene.f));
    const int session = must(scene.leaf.accept(scene.listener.s), "accept");
    EXPECT_EQ(scene.outcome(), 0);
    must(scene.leaf.close(session), "close");
    const Events events = scene.root.await(scene.f, XY_FD_CLOSE);
    EXPECT_THAT(events, Succeeds());
    EXPECT_FALSE(events.has(XY_FD_CONNECT)) << "completion is told on the root's socket (W-131)";
}

TEST(LeafDescriptor, W_104_DeadAfterAFailedJoin) {
    XY_ROW("A-25");
    PendingRoot scene;
    EXPECT_THAT(scene.leaf.accept(scene.listener.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    ASSERT_EQ(scene.outcome(), ECONNREFUSED);
    EXPECT_THAT(scene.root.send(scene.f, "to nobody"), Fails(ENOTCONN));
    EXPECT_THAT(scene.root.receive_now(scene.f), Fails(ENOTCONN));
    EXPECT_THAT(scene.root.peer_of(scene.f), Fails(ENOTCONN));
    EXPECT_THAT(scene.root.shutdown(scene.f, SHUT_RDWR), Fails(ENOTCONN));
    EXPECT_THAT(option<int>(scene.root, scene.f, SOL_SOCKET, SO_ERROR), Succeeds());
    EXPECT_TRUE(scene.root.is_quiet(scene.f)) << "no FD_CLOSE for what never was open";
    EXPECT_THAT(scene.root.close(scene.f), Succeeds());
    EXPECT_THAT(scene.root.close(scene.f), Fails(ENOTSOCK));
}

TEST(LeafDescriptor, W_105_PeerOfItIsTheLeaf) {
    XY_ROW("W-105");
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    for (const Edge& edge : {ask(at, ann), invite(at, listening_leaf(bob))}) {
        Address peer;
        EXPECT_THAT(root.peer_of(edge.at_root, &peer), Succeeds());
        EXPECT_EQ(peer, edge.leaf.name_of(edge.s));
    }
    EXPECT_THAT(root.peer_of(at.s), Fails(ENOTCONN)) << "a root has no one peer";
}

TEST(LeafDescriptor, W_106_NeitherListensNorJoins) {
    XY_ROW("W-106");
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root), listener = listening_leaf(bob);
    for (const Edge& edge : {ask(at, ann), invite(at, listening_leaf(ann))}) {
        EXPECT_THAT(root.bind(edge.at_root, root.address()), Fails(EINVAL));
        EXPECT_THAT(root.listen(edge.at_root), Fails(EINVAL));
        EXPECT_THAT(root.accept_now(edge.at_root), Fails(EINVAL));
        EXPECT_THAT(root.join(edge.at_root, listener.name), Fails(EISCONN));
    }
}

TEST(LeafDescriptor, W_107_RootThatHasLostItStillReleasesTheLeaf) {
    XY_ROW("W-107");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = bound_root(root);
    const Edge edge = invite(at, listening_leaf(leaf));
    must(leaf.select(edge.s, XY_FD_CLOSE), "select");
    EXPECT_THAT(root.close(at.s), Succeeds());
    const Events events = leaf.await(edge.s, XY_FD_CLOSE);
    EXPECT_THAT(events, Succeeds());
    EXPECT_EQ(events.error_of[XY_FD_CLOSE_BIT], 0);
}

TEST(LeafDescriptor, W_108_LeafClosesBothNamesOfItsSocket) {
    XY_ROW("W-108");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Edge edge = ask(at, leaf);
    EXPECT_THAT(leaf.close(edge.s), Succeeds()) << "what the join returned";
    const int next = open_leaf(leaf);
    EXPECT_NE(next, edge.s) << "the number is not used again at once";
    EXPECT_THAT(leaf.close(edge.s), Fails(ENOTSOCK)) << "what was passed to the join";
    EXPECT_THAT(leaf.close(next), Succeeds());
}

}  // namespace
}  // namespace xylem::conformance
