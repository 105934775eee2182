// SPDX-License-Identifier: Apache-2.0
// Counters of sockets and leaves.
#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimStatistics = ShimTest;

TEST_F(ShimStatistics, RowsOfLeavesMayBeMoreThanTheCallerHasRoomFor) {
    const int root = make_root(SOCK_RDM);
    std::vector<int> branches;
    for (int i = 0; i < 3; ++i)
        branches.push_back(join(root, make_leaf(SOCK_RDM)));
    struct xy_leaf_stats rows[4]{};
    rows[0].size = sizeof rows[0];

    EXPECT_EQ(xy_leaf_stats(root, nullptr, 0), 3) << strerror(errno);
    EXPECT_EQ(xy_leaf_stats(root, rows, 2), 3) << strerror(errno);
    EXPECT_EQ(rows[0].descriptor, branches[0]);
    EXPECT_EQ(rows[1].descriptor, branches[1]);
    EXPECT_EQ(rows[2].size, 0U);
    EXPECT_EQ(xy_leaf_stats(root, rows, 4), 3) << strerror(errno);
    EXPECT_EQ(rows[2].descriptor, branches[2]);
    EXPECT_EQ(rows[3].size, 0U);
}

TEST_F(ShimStatistics, ARootWithoutLeavesHasNoRows) {
    const int root = make_root(SOCK_RDM);
    struct xy_leaf_stats row {};
    row.size = sizeof row;

    EXPECT_EQ(xy_leaf_stats(root, nullptr, 0), 0) << strerror(errno);
    EXPECT_EQ(xy_leaf_stats(root, &row, 1), 0) << strerror(errno);
}

}  // namespace
}  // namespace xylem::test
