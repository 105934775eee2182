// SPDX-License-Identifier: Apache-2.0
// A daemon that was stopped leaves free slots, which the application finds before it finds the connection gone.
#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

class ShimStopped : public ShimTest {
  protected:
    void free_all_slots() {
        daemon.locked([&] {
            for (size_t i = 0; i < daemon.n_sockets(); ++i)
                daemon.nth(i).facts->phase = static_cast<uint32_t>(abi::Phase::kFree);
        });
    }
};

TEST_F(ShimStopped, CallsOnARootAreENetDown_W203) {
    const Pair p = make_pair(SOCK_RDM);
    set_blocking(p.root, true);

    free_all_slots();

    EXPECT_EQ(receive_text(p.root), "errno ENETDOWN");
    EXPECT_EQ(xy_accept(p.root, nullptr, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, ENETDOWN);
    pollfd ready{p.root, POLLIN, 0};
    EXPECT_EQ(xy_poll(&ready, 1, 0), 1);
    EXPECT_NE(ready.revents & POLLHUP, 0);
}

TEST_F(ShimStopped, CallsOnALeafThatDidNotJoinAreENetDown_W203) {
    const int leaf = make_leaf(SOCK_RDM);

    free_all_slots();

    EXPECT_EQ(receive_text(leaf), "errno ENETDOWN");
}

}  // namespace
}  // namespace xylem::test
