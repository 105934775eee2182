// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.K: how a session ends, and what FD_CLOSE tells of it.
#include <cerrno>

#include "tests/conformance/daemon.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

constexpr unsigned kAll = XY_FD_READ | XY_FD_WRITE | XY_FD_ACCEPT | XY_FD_CONNECT | XY_FD_CLOSE | XY_FD_QOS;

/// A root with three leaves on three hosts.
struct Ending : testing::Test {
    Party root = on_host(0, "root"), a = on_host(0, "a"), b = on_host(1, "b"), c = on_host(2, "c");
    const Bound listening = listening_root(root);
    std::vector<Edge> edges{ask(listening, a), ask(listening, b), ask(listening, c)};

    void expect_closed_everywhere() {
        for (const Edge& edge : edges) {
            EXPECT_EQ(end_of(edge.leaf, edge.s), 0) << edge.leaf.name();
            EXPECT_EQ(end_of(root, edge.at_root), 0) << "the root's descriptor of " << edge.leaf.name();
        }
    }
    void expect_open_everywhere() {
        must(root.send(listening.s, "still there"), "send");
        for (const Edge& edge : edges) {
            must(edge.leaf.select(edge.s, XY_FD_CLOSE), "select");
            EXPECT_EQ(edge.leaf.receive(edge.s).text, "still there") << edge.leaf.name();
            EXPECT_EQ(recorded_within_quiet(edge.leaf, edge.s), 0U) << edge.leaf.name();
        }
    }
};

TEST_F(Ending, W_160_ClosingTheRootEndsEveryLeaf) {
    must(root.close(listening.s), "close");
    expect_closed_everywhere();
}

TEST_F(Ending, W_161_ShutdownOfTheSendingSideEndsTheSession) {
    XY_ROW("A-10");
    EXPECT_THAT(root.shutdown(listening.s, SHUT_RD), Returns(0));
    EXPECT_THAT(root.receive_now(listening.s), Fails(ESHUTDOWN));
    expect_open_everywhere();
    EXPECT_THAT(root.shutdown(listening.s, SHUT_WR), Returns(0));
    expect_closed_everywhere();

    const Bound other = listening_root(root);
    edges.clear();
    edges.push_back(ask(other, a));
    edges.push_back(ask(other, b));
    EXPECT_THAT(root.shutdown(other.s, SHUT_RDWR), Returns(0));
    expect_closed_everywhere();
}

TEST_F(Ending, W_162_ShutdownClosesNoDescriptor) {
    // Leaves that take nothing: shutdown does not wait for them.
    must(root.send(listening.s, "unread"), "send");
    EXPECT_THAT(root.shutdown(listening.s, SHUT_WR), Returns(0));
    EXPECT_EQ(root.name_of(listening.s), listening.name);
    const Bound late = listening_leaf(b);
    EXPECT_THAT(root.join(listening.s, late.name), Fails(ESHUTDOWN));
    EXPECT_THAT(a.join(open_leaf(a), listening.name), Fails(ECONNREFUSED)) << "it is not to be used again";
    for (const Edge& edge : edges)
        EXPECT_THAT(root.close(edge.at_root), Returns(0));
    EXPECT_THAT(root.close(listening.s), Returns(0));
}

TEST_F(Ending, W_163_TheLeafsDescriptorsOutliveTheRoot) {
    XY_ROW("W-163");
    must(root.close(listening.s), "close");
    for (const Edge& edge : edges) {
        EXPECT_EQ(end_of(root, edge.at_root), 0);
        EXPECT_THAT(root.close(edge.at_root), Returns(0));
        EXPECT_THAT(root.close(edge.at_root), Fails(ENOTSOCK));
    }
}

TEST_F(Ending, W_164_CloseTellsHowItEnded) {
    must(a.close(edges[0].s), "close");
    EXPECT_EQ(end_of(root, edges[0].at_root), 0) << "gracefully";

    b.kill();
    EXPECT_EQ(end_of(root, edges[1].at_root), ECONNRESET) << "its process died";

    const Bound impatient = bound_root(root);
    must(set_number(root, impatient.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, 1), "the option");
    const Edge slow = invite(impatient, listening_leaf(c));
    must(root.run([s = impatient.s] {
        static char block[1024];
        while (xy_send(s, block, sizeof block, 0) > 0) {
        }
        return done(errno == ECONNABORTED || errno == ENOTCONN ? 0 : -1);
    }),
         "sending until the only leaf is gone");
    EXPECT_EQ(end_of(root, slow.at_root), ECONNABORTED) << "it took nothing for too long";
    EXPECT_EQ(end_of(c, slow.s), ECONNABORTED);
}

TEST(EndingOfTheDaemon, W_164_CloseTellsThatTheDaemonIsGone) {
    Daemon daemon;
    Party root(daemon.host(), "root"), leaf(daemon.host(), "leaf");
    const Edge edge = ask(listening_root(root), leaf);
    daemon.kill();
    EXPECT_EQ(end_of(leaf, edge.s), ENETDOWN);
    EXPECT_EQ(end_of(root, edge.at_root), ENETDOWN);
}

TEST_F(Ending, W_165_GracefulCloseComesAfterAllDataWasRead) {
    must(root.send(listening.s, "one"), "send");
    must(root.send(listening.s, "two"), "send");
    must(root.close(listening.s), "close");
    for (const Edge& edge : edges) {
        must(edge.leaf.select(edge.s, XY_FD_READ | XY_FD_CLOSE), "select");
        must(edge.leaf.await(edge.s, XY_FD_READ), "FD_READ");
        EXPECT_EQ(recorded_within_quiet(edge.leaf, edge.s), 0U);
        EXPECT_EQ(edge.leaf.receive_now(edge.s).text, "one");
        EXPECT_EQ(recorded_within_quiet(edge.leaf, edge.s), unsigned{XY_FD_READ});
        EXPECT_EQ(edge.leaf.receive(edge.s).text, "two");
        EXPECT_EQ(end_of(edge.leaf, edge.s), 0);
    }
}

TEST_F(Ending, W_166_ReadNeverTellsOfAnEnd) {
    for (const Edge& edge : edges)
        must(edge.leaf.select(edge.s, XY_FD_READ), "select");
    must(root.close(listening.s), "close");
    for (const Edge& edge : edges) {
        EXPECT_EQ(end_of(root, edge.at_root), 0);  // the leaf's side has ended before
        EXPECT_EQ(recorded_within_quiet(edge.leaf, edge.s), 0U) << edge.leaf.name();
    }
}

TEST_F(Ending, W_167_NoCloseAfterTheOwnClose) {
    const int at_leaf = make_eventfd(b), at_root = make_eventfd(root);
    must(select_on(b, edges[1].s, at_leaf, XY_FD_CLOSE), "select");
    must(select_on(root, edges[2].at_root, at_root, XY_FD_CLOSE), "select");
    must(b.close(edges[1].s), "close");
    EXPECT_EQ(end_of(root, edges[1].at_root), 0);
    EXPECT_TRUE(stays_unsignalled(b, at_leaf));
    must(root.close(edges[2].at_root), "close");
    EXPECT_EQ(end_of(c, edges[2].s), 0);
    EXPECT_TRUE(stays_unsignalled(root, at_root));
}

TEST_F(Ending, W_169_ReceivingAfterTheEnd) {
    const Bound stream_root = listening_root(root, {SOCK_STREAM});
    const Edge stream = ask(stream_root, a, {SOCK_STREAM});
    must(root.close(stream_root.s), "close");
    EXPECT_EQ(end_of(a, stream.s), 0);
    EXPECT_THAT(a.receive(stream.s), Returns(0)) << "a stream ends with 0";

    must(root.close(listening.s), "close");
    EXPECT_EQ(end_of(a, edges[0].s), 0);
    EXPECT_THAT(a.receive(edges[0].s), Fails(ESHUTDOWN)) << "messages end with ESHUTDOWN, WSAEDISCON's twin";

    Party dying = on_host(0, "dying");
    const Edge edge = ask(listening_root(dying), c);
    dying.kill();
    EXPECT_EQ(end_of(c, edge.s), ECONNRESET);
    EXPECT_THAT(c.receive(edge.s), Fails(ECONNRESET));
}

TEST_F(Ending, W_175_BrokenSocketsAreNotJoinedAgain) {
    must(root.close(listening.s), "close");
    const Bound again = listening_root(root);
    for (const Edge& edge : edges) {
        EXPECT_EQ(end_of(edge.leaf, edge.s), 0);
        EXPECT_THAT(edge.leaf.join(edge.s, again.name), Fails(EISCONN)) << edge.leaf.name();
    }
}

TEST_F(Ending, W_176_CrashedLeafIsTold) {
    XY_ROW("W-164");
    b.kill();
    EXPECT_EQ(end_of(root, edges[1].at_root), ECONNRESET);
    must(root.send(listening.s, "to the others"), "send");
    EXPECT_EQ(a.receive(edges[0].s).text, "to the others");
    EXPECT_EQ(c.receive(edges[2].s).text, "to the others");
    must(root.select(edges[0].at_root, kAll), "select");
    EXPECT_EQ(recorded_within_quiet(root, edges[0].at_root), 0U) << "the others go on";
}

}  // namespace
}  // namespace xylem::conformance
