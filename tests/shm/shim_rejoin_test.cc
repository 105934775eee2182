// SPDX-License-Identifier: Apache-2.0
// Joins after joins; receives after looks, and beside the thread that records events.
#include <sys/eventfd.h>

#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimRejoin = ShimTest;

TEST_F(ShimRejoin, AJoinThatDoesNotStartLeavesTheLastOneDecided) {
    const int leaf = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);
    const auto join_error = [&] {
        const int s = xy_join_leaf(leaf, as_sockaddr(name), sizeof name, nullptr, nullptr, nullptr, nullptr, XY_BOTH);
        return s < 0 ? errno : 0;
    };
    EXPECT_EQ(join_error(), 0);  // nobody listens: decided, and nobody asks for the outcome

    daemon.locked([&] { daemon.nth(0).join_error = EADDRINUSE; });
    EXPECT_EQ(join_error(), EADDRINUSE);
    EXPECT_EQ(join_error(), EADDRINUSE);  // and not EALREADY: none is under way
    daemon.locked([&] { daemon.nth(0).join_error = 0; });
    EXPECT_EQ(join_error(), 0);
}

TEST_F(ShimRejoin, AMessageAnnouncedBetweenALookAndAReceiveIsNotForgotten) {
    const Pair p = make_pair(SOCK_RDM);
    set_blocking(p.root, false);
    const auto n_pushes = [&] {
        return daemon.locked([&] {
            const auto& slots = daemon.nth(0).slots;
            return slots.empty() ? 0U : slots.begin()->second->pushes;
        });
    };
    send_text(p.leaf, "one");
    pollfd look{p.root, POLLIN, 0};
    ASSERT_EQ(xy_poll(&look, 1, 10000), 1);
    ASSERT_EQ(n_pushes(), 1U);
    send_text(p.leaf, "two");
    ASSERT_TRUE(eventually([&] { return n_pushes() == 2; }));

    EXPECT_EQ(receive_text(p.root), "one");
    EXPECT_EQ(receive_text(p.root), "two");
}

TEST_F(ShimRejoin, WhatAReceiveHasTakenIsNotToldAgain_W147) {
    const Pair p = make_pair(SOCK_RDM);
    const int event = eventfd(0, EFD_CLOEXEC);
    ASSERT_EQ(xy_event_select(p.leaf, event, XY_FD_READ), 0) << strerror(errno);
    for (int i = 0; i < 2000 && !HasFailure(); ++i) {
        send_text(p.root, "one");
        ASSERT_TRUE(is_readable(event, 10000));
        ASSERT_EQ(take_events(p.leaf, event).events, uint32_t{XY_FD_READ});
        EXPECT_EQ(receive_text(p.leaf), "one");
        EXPECT_EQ(take_events(p.leaf, event).events, 0U) << "after " << i;
    }
    close(event);
}

}  // namespace
}  // namespace xylem::test
