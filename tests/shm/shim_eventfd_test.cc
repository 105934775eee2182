// SPDX-License-Identifier: Apache-2.0
// Registrations with an eventfd of the application's: which descriptors may be one, and several users of one.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimEventfd = ShimTest;

TEST_F(ShimEventfd, WhatIsNoEventfdIsRefusedAndChangesNothing) {
    const Pair p = make_pair(SOCK_RDM);
    const int other = eventfd(0, EFD_CLOEXEC), closed = fcntl(other, F_DUPFD_CLOEXEC, 900);
    close(closed);
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_READ), 0);
    int pipe_ends[2];
    ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);

    for (const int bad : {closed, pipe_ends[1], p.branch, -2, 1 << 30}) {
        EXPECT_EQ(xy_event_select(p.leaf, bad, XY_FD_READ | XY_FD_CLOSE), -1) << bad;
        EXPECT_EQ(errno, EINVAL);
    }
    EXPECT_EQ(xy_event_select(p.root, closed, 0), 0);  // W-143

    send_text(p.root, "still told");
    EXPECT_TRUE(is_readable(p.leaf, 10000));
    xy_events events{};
    EXPECT_EQ(xy_enum_events(p.leaf, closed, &events), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(take_events(p.leaf).events, static_cast<uint32_t>(XY_FD_READ));  // the record was left alone
    for (const int fd : {other, pipe_ends[0], pipe_ends[1]})
        close(fd);
}

TEST_F(ShimEventfd, EnumeratingNeverWaitsThoughAnotherThreadResetsTheEventfd) {
    const Pair p = make_pair(SOCK_RDM);
    const int shared = eventfd(0, EFD_CLOEXEC);  // a blocking one
    ASSERT_EQ(xy_event_select(p.leaf, shared, XY_FD_CLOSE), 0);
    constexpr int kRounds = 100000;
    std::atomic<int> n_done{0};
    std::atomic<bool> has_stopped{false};
    const auto add_one = [&] {
        const uint64_t one = 1;
        EXPECT_EQ(write(shared, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    };
    std::thread enumerator([&] {
        for (int i = 0; i < kRounds; ++i, ++n_done) {
            add_one();
            take_events(p.leaf, shared);
        }
    });
    std::thread other([&] {
        uint64_t count;
        const iovec part{&count, sizeof count};
        while (n_done.load() != kRounds && !has_stopped)
            [[maybe_unused]] const ssize_t n = preadv2(shared, &part, 1, -1, RWF_NOWAIT);
    });

    for (int before = -1, now = 0; now != kRounds; before = now, now = n_done.load()) {
        const bool goes_on = eventually([&] { return n_done.load() != before; });
        EXPECT_TRUE(goes_on) << "round " << before;
        if (goes_on) continue;
        has_stopped = true;
        add_one();  // frees it, so that the test ends
    }
    enumerator.join();
    other.join();
    close(shared);
}

}  // namespace
}  // namespace xylem::test
