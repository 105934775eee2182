// SPDX-License-Identifier: Apache-2.0
// Lengths and counts that no program means.
#include <sys/uio.h>

#include <climits>

#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimBadInput = ShimTest;

TEST_F(ShimBadInput, PollRefusesMoreThanAProcessCanHave) {
    pollfd fds[1] = {{make_root(SOCK_RDM), POLLIN, 0}};
    for (const nfds_t count : {~nfds_t{0}, ~nfds_t{0} / 8, nfds_t{1} << 32}) {
        EXPECT_EQ(xy_poll(fds, count, 0), -1) << count;
        EXPECT_EQ(errno, EINVAL) << count;
    }
    EXPECT_EQ(xy_poll(fds, 1, 0), 0);
}

TEST_F(ShimBadInput, PartsWhoseLengthsOverflowAreTooLong) {
    const Pair p = make_pair(SOCK_RDM);
    char byte = 'x';
    iovec parts[2] = {{&byte, SIZE_MAX}, {&byte, 2}};  // their sum is 1 where it wraps around
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;

    EXPECT_EQ(xy_sendmsg(p.root, &message, 0), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    send_text(p.root, "whole");
    EXPECT_TRUE(is_readable(p.leaf, 10000));
    EXPECT_EQ(xy_recvmsg(p.leaf, &message, 0), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    EXPECT_EQ(await_text(p.leaf), "whole");
}

TEST_F(ShimBadInput, ABatchEndsBeforeTheFirstMissingBuffer) {
    for (const int type : {SOCK_RDM, SOCK_DGRAM}) {
        const Pair p = make_pair(type);
        char room[2][16];
        xy_msg messages[2]{};
        messages[0] = {.size = sizeof(xy_msg), .flags = 0, .buf = nullptr, .len = sizeof room[0]};
        messages[1].buf = room[1], messages[1].len = sizeof room[1];
        send_text(p.root, "one");
        send_text(p.root, "two");

        EXPECT_TRUE(is_readable(p.leaf, 10000));
        EXPECT_EQ(xy_recv_batch(p.leaf, messages, 2, 0), -1);
        EXPECT_EQ(errno, EFAULT);
        messages[0].buf = room[0], messages[1].buf = nullptr;
        EXPECT_EQ(xy_recv_batch(p.leaf, messages, 2, 0), 1);
        EXPECT_EQ(std::string(room[0], messages[0].received), "one");
        EXPECT_EQ(await_text(p.leaf), "two");
        xy_detach();
        attach();
    }
}

}  // namespace
}  // namespace xylem::test
