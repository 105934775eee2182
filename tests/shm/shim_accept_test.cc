// SPDX-License-Identifier: Apache-2.0
// xy_accept at sockets that listen no longer.
#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimAccept = ShimTest;

TEST_F(ShimAccept, OfARootThatWasShutDownFailsAtOnce) {
    const int root = make_root(SOCK_RDM);
    ASSERT_EQ(xy_shutdown(root, SHUT_WR), 0) << strerror(errno);

    EXPECT_EQ(xy_accept(root, nullptr, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST_F(ShimAccept, ThatWaitsEndsWhenTheRootIsShutDown) {
    const int root = make_root(SOCK_RDM);
    const auto commands = [&] { return daemon.locked([&] { return daemon.n_commands(); }); };
    const uint64_t before = commands();
    int error = 0;
    std::thread acceptor([&] {
        EXPECT_EQ(xy_accept(root, nullptr, nullptr, nullptr, nullptr), -1);
        error = errno;
    });
    EXPECT_TRUE(eventually([&] { return commands() != before; }));  // it has found no request

    EXPECT_EQ(xy_shutdown(root, SHUT_RDWR), 0) << strerror(errno);
    acceptor.join();
    EXPECT_EQ(error, EINVAL);
}

TEST_F(ShimAccept, GoesOnAtARootThatOnlyStoppedReceiving) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    ASSERT_EQ(xy_shutdown(root, SHUT_RD), 0) << strerror(errno);

    EXPECT_GE(join(root, leaf), 0);
}

}  // namespace
}  // namespace xylem::test
