// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.D: the root invites.
#include <cerrno>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

TEST(RootJoin, W_060_InvitedSideMustListen) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound inviter = bound_root(root);
    EXPECT_THAT(root.join(inviter.s, unused_address(leaf)), Fails(ECONNREFUSED));
    const Bound silent = bound_leaf(leaf);
    EXPECT_THAT(root.join(inviter.s, silent.name), Fails(ECONNREFUSED)) << "bound, but it does not listen";
    must(leaf.listen(silent.s), "listen");
    const Edge edge = invite(inviter, silent);
    EXPECT_GE(edge.at_root, 0);
}

}  // namespace
}  // namespace xylem::conformance
