// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.T: xy_poll in select's place, names, and what a receive needs.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

constexpr short kAnything = POLLIN | POLLOUT | POLLPRI;

struct Polling : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root);
};

TEST_F(Polling, W_300_ReadableAndWritable) {
    EXPECT_EQ(polled_within_quiet(root, listening.s, kAnything), 0) << "no request, no leaf";
    const int s = open_leaf(leaf);
    auto joining = leaf.start_join(s, listening.name);
    EXPECT_EQ(polled(root, listening.s, kAnything), POLLIN) << "a request";
    EXPECT_EQ(polled_within_quiet(leaf, s, kAnything), 0) << "a join is none of it";
    must(root.accept(listening.s), "accept");
    must(joining.result(), "the join");
    EXPECT_EQ(polled(leaf, s, kAnything), POLLOUT) << "connected, and there is room";
    EXPECT_EQ(polled(root, listening.s, kAnything), POLLOUT);
    must(root.send(listening.s, "one"), "send");
    EXPECT_EQ(polled(leaf, s, POLLIN), POLLIN) << "data";
    must(leaf.receive_now(s), "receive");
    EXPECT_EQ(polled_within_quiet(leaf, s, POLLIN | POLLPRI), 0) << "they were taken";

    must(set_number(root, listening.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, 60'000), "the option");
    const Bound sender = bound_root(root);
    must(set_number(root, sender.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, 60'000), "the option");
    invite(sender, listening_leaf(leaf));
    root.run([s = sender.s] {
        static char block[1024];
        while (xy_send(s, block, sizeof block, XY_MSG_DONTWAIT) > 0) {
        }
    });
    EXPECT_EQ(polled_within_quiet(root, sender.s, kAnything), 0) << "no room";

    must(root.close(listening.s), "close");
    EXPECT_EQ(polled(leaf, s, POLLIN), POLLIN) << "the end";
    EXPECT_THAT(leaf.receive_now(s), Fails(ESHUTDOWN));
}

TEST_F(Polling, W_301_WhatPollRefuses) {
    // It has poll's shape: no sets that could all be NULL; a bad descriptor is told in its own entry.
    EXPECT_THAT(root.run([] { return done(xy_poll(nullptr, 1, 0)); }), Fails(EFAULT));
    EXPECT_THAT(root.run([] { return done(xy_poll(nullptr, 0, 0)); }), Returns(0));
    const int closed = must(root.run([] {
        const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(fd);
        return Done{fd, 0};
    }),
                            "a closed number");
    EXPECT_EQ(polled(root, closed, POLLIN), POLLNVAL);
    EXPECT_THAT(root.run([s = listening.s, closed] {
        pollfd fds[] = {{s, POLLIN, 0}, {closed, POLLIN, 0}, {-1, POLLIN, 0}};
        return done(xy_poll(fds, 3, -1));
    }),
                Returns(1))
        << "the others are looked at";
}

TEST_F(Polling, W_303_TheDescriptorTellsWhetherThereIsANewSocket) {
    const int s = open_leaf(leaf);
    auto joining = leaf.start_join(s, listening.name);
    must(root.accept(listening.s), "accept");
    EXPECT_THAT(joining.result(), Returns(s));
    const Bound inviter = bound_root(root);
    const Edge edge = invite(inviter, listening_leaf(leaf));
    EXPECT_NE(edge.at_root, inviter.s);
}

TEST_F(Polling, W_304_NamesOfBothEnds) {
    const int s = open_leaf(leaf);
    Address name;
    EXPECT_THAT(leaf.run([s] {
        Address out;
        return calls::name(s, false, out);
    }),
                Fails(EINVAL))
        << "not bound";
    EXPECT_THAT(leaf.peer_of(s), Fails(ENOTCONN));
    auto joining = leaf.start_join(s, listening.name);
    const Accepted accepted = root.accept(listening.s);
    must(joining.result(), "the join");
    EXPECT_NE(leaf.name_of(s).port(), 0) << "bound by the join";
    EXPECT_EQ(accepted.peer, leaf.name_of(s));
    EXPECT_THAT(leaf.peer_of(s, &name), Returns(0));
    EXPECT_EQ(name, listening.name);
    EXPECT_THAT(root.peer_of(listening.s), Fails(ENOTCONN)) << "a root has many";
    EXPECT_THAT(root.peer_of(static_cast<int>(accepted.value), &name), Returns(0));
    EXPECT_EQ(name, leaf.name_of(s));
}

TEST_F(Polling, W_305_ReceivingNeedsAnAddress) {
    const int s = open_leaf(leaf);
    EXPECT_THAT(leaf.receive_now(s), Fails(EINVAL)) << "neither bound nor joined";
    EXPECT_THAT(leaf.receive_now(s, 10, 0), Fails(EINVAL)) << "and it does not wait";
    auto joining = leaf.start_join(s, listening.name);
    must(root.accept(listening.s), "accept");
    must(joining.result(), "the join");
    EXPECT_THAT(leaf.receive_now(s), Fails(EAGAIN)) << "the join has bound it";
}

}  // namespace
}  // namespace xylem::conformance
