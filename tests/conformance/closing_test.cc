// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.K: linger, what a close does to calls under way, what fails afterwards.
#include <cerrno>

#include "tests/conformance/pending_join.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

struct Closing : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root);
    const Edge edge = ask(listening, leaf);
};

/// A root with a leaf that has taken nothing of what fills the root's log.
struct Lingering : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound sender = bound_root(root);
    const Edge edge = prepare();
    const int n_sent = root.run([s = sender.s] {
        static char block[1024];
        int n = 0;
        while (xy_send(s, block, sizeof block, XY_MSG_DONTWAIT) > 0)
            ++n;
        return n;
    });

    Edge prepare() {
        must(set_number(root, sender.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, 60'000), "the option");
        return invite(sender, listening_leaf(leaf));
    }
    /// Receives until there is an error: the number of messages and the error.
    Done drain() {
        return leaf.run([s = edge.s] {
            static char block[1024];
            for (int n = 0;; ++n) {
                calls::await_poll(s, POLLIN, kPatienceMs);
                if (xy_recv(s, block, sizeof block, XY_MSG_DONTWAIT) < 0) return Done{n, errno};
            }
        });
    }
    void expect_all_arrived() {
        const Done drained = drain();
        EXPECT_EQ(drained.value, n_sent);
        EXPECT_EQ(drained.error, ESHUTDOWN);
    }
    void expect_reset() {
        EXPECT_EQ(end_of(leaf, edge.s), ECONNRESET);
        EXPECT_LT(drain().value, n_sent) << "what was queued is lost";
    }
};

TEST_F(Lingering, W_170_WithoutLingerCloseDeliversInTheBackground) {
    must(root.close(sender.s), "close");
    expect_all_arrived();
}

TEST_F(Lingering, W_170_LingerZeroIsAbortive) {
    must(set_linger(root, sender.s, true, 0), "SO_LINGER");
    must(root.close(sender.s), "close");
    expect_reset();
}

TEST_F(Lingering, W_170_LingerWaitsUntilAllWasTaken) {
    must(set_linger(root, sender.s, true, kPatienceMs / 1000), "SO_LINGER");
    auto closing = root.start([s = sender.s] { return done(xy_close(s)); });
    EXPECT_TRUE(closing.is_waiting());
    expect_all_arrived();
    EXPECT_THAT(closing.result(), Returns(0));
}

TEST_F(Lingering, W_170_LingerThatIsOverIsAbortive) {
    must(set_linger(root, sender.s, true, 1), "SO_LINGER");
    must(root.close(sender.s), "close");
    expect_reset();
}

TEST_F(Lingering, W_171_NonblockingCloseThatWouldLingerDoesNothing) {
    must(set_linger(root, sender.s, true, kPatienceMs / 1000), "SO_LINGER");
    must(root.set_nonblocking(sender.s, true), "FIONBIO");
    EXPECT_THAT(root.close(sender.s), Fails(EAGAIN));
    EXPECT_EQ(root.name_of(sender.s), sender.name) << "it is still open";
    must(leaf.select(edge.s, XY_FD_CLOSE), "select");
    EXPECT_EQ(recorded_within_quiet(leaf, edge.s), 0U) << "no disconnect has begun";
    leaf.run([s = edge.s, n = n_sent] {
        static char block[1024];
        for (int i = 0; i < n; ++i) {
            EXPECT_TRUE(calls::await_poll(s, POLLIN, kPatienceMs));
            EXPECT_EQ(xy_recv(s, block, sizeof block, 0), static_cast<ssize_t>(sizeof block));
        }
    });
    must(root.set_nonblocking(sender.s, false), "FIONBIO");
    EXPECT_THAT(root.close(sender.s), Returns(0));
    EXPECT_EQ(end_of(leaf, edge.s), 0);
}

TEST_F(Closing, W_172_CloseEndsCallsUnderWay) {
    auto receiving = leaf.start_receive(edge.s);
    auto accepting = root.start_accept(listening.s);
    const Bound inviter = bound_root(root);
    const Bound silent = listening_leaf(leaf);
    auto joining = root.start_join(inviter.s, silent.name);
    EXPECT_TRUE(receiving.is_waiting());
    EXPECT_TRUE(accepting.is_waiting());
    EXPECT_TRUE(joining.is_waiting());
    must(leaf.close(edge.s), "close");
    must(root.close(listening.s), "close");
    must(root.close(inviter.s), "close");
    EXPECT_THAT(receiving.result(), Fails(ENOTSOCK));
    EXPECT_THAT(accepting.result(), Fails(ENOTSOCK));
    EXPECT_THAT(joining.result(), Fails(ENOTSOCK));
    EXPECT_THAT(accept_ended(leaf, silent.s), Fails(EACCES)) << "the invitation is withdrawn";
}

TEST_F(Closing, W_173_ClosedDescriptorIsNoSocket) {
    const int s = edge.s;
    must(leaf.close(s), "close");
    EXPECT_THAT(leaf.close(s), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.send(s, "x"), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.receive_now(s), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.join(s, listening.name), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.accept_now(s), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.bind(s, leaf.address()), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.listen(s), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.connect(s, listening.name), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.shutdown(s, SHUT_RDWR), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.select(s, XY_FD_READ), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.events(s), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.set_nonblocking(s, true), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.peer_of(s), Fails(ENOTSOCK));
    EXPECT_THAT(send_disconnect(leaf, s), Fails(ENOTSOCK));
    EXPECT_THAT(receive_disconnect(leaf, s), Fails(ENOTSOCK));
    EXPECT_THAT(set_linger(leaf, s, true, 0), Fails(ENOTSOCK));
    EXPECT_THAT(number_of(leaf, s, SOL_SOCKET, SO_TYPE), Fails(ENOTSOCK));
}

TEST_F(Closing, W_174_WhatFailsAfterShutdown) {
    EXPECT_THAT(leaf.shutdown(edge.s, 3), Fails(EINVAL));
    EXPECT_THAT(leaf.shutdown(edge.s, -1), Fails(EINVAL));
    EXPECT_THAT(leaf.shutdown(open_leaf(leaf), SHUT_WR), Fails(ENOTCONN));
    EXPECT_THAT(root.shutdown(bound_root(root).s, SHUT_WR), Fails(ENOTCONN));
    const Edge receiver = ask(listening, leaf, {}, {.flags = XY_RECEIVER_ONLY});
    const Edge sender = ask(listening, leaf, {}, {.flags = XY_SENDER_ONLY});
    EXPECT_THAT(leaf.shutdown(receiver.s, SHUT_WR), Fails(EINVAL)) << "it never sends";
    EXPECT_THAT(leaf.shutdown(sender.s, SHUT_RD), Fails(EINVAL)) << "it never receives";

    EXPECT_THAT(leaf.shutdown(edge.s, SHUT_WR), Returns(0));
    EXPECT_THAT(leaf.send(edge.s, "x"), Fails(ESHUTDOWN));
    must(root.send(listening.s, "down"), "send");
    EXPECT_EQ(leaf.receive(edge.s).text, "down") << "the other direction goes on";
    EXPECT_THAT(leaf.shutdown(edge.s, SHUT_RD), Returns(0));
    EXPECT_THAT(leaf.receive_now(edge.s), Fails(ESHUTDOWN));

    const Edge other = ask(listening, leaf);
    EXPECT_THAT(leaf.shutdown(other.s, SHUT_RD), Returns(0));
    EXPECT_THAT(leaf.receive_now(other.s), Fails(ESHUTDOWN));
    EXPECT_THAT(leaf.send(other.s, "up"), Returns(2)) << "the other direction goes on";
    EXPECT_EQ(root.receive(listening.s).text, "up");
}

}  // namespace
}  // namespace xylem::conformance
