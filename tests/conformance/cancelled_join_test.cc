// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.H: joins that are cancelled, and what the acceptor learns of it.
#include <cerrno>

#include "tests/conformance/pending_join.h"
#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

TEST(CancelledJoin, W_119_ClosingTheLeafsDescriptorCancelsAnInvitation) {
    PendingRoot scene;
    scene.await_request();
    EXPECT_THAT(scene.root.close(scene.f), Succeeds());
    EXPECT_THAT(scene.root.send(scene.at.s, "to nobody"), Fails(ENOTCONN));
    EXPECT_THAT(accept_ended(scene.leaf, scene.listener.s), Fails(EACCES));
}

TEST(CancelledJoin, W_119_ClosingTheSocketCancelsARequest) {
    PendingLeaf scene;
    scene.await_request();
    EXPECT_THAT(scene.leaf.close(scene.s), Succeeds());
    EXPECT_THAT(accept_ended(scene.root, scene.at.s), Fails(EACCES));
    EXPECT_THAT(scene.root.send(scene.at.s, "to nobody"), Fails(ENOTCONN));
}

TEST(CancelledJoin, W_120_RootThatCancelledMayInviteAtOnce) {
    XY_ROW("A-08");
    PendingRoot scene;
    Party other = on_host(2, "other");
    const Bound another = listening_leaf(other);
    scene.await_request();
    must(scene.root.close(scene.f), "close");
    EXPECT_TRUE(scene.root.is_quiet(scene.at.s)) << "no FD_CONNECT for what was cancelled";
    EXPECT_THAT(scene.root.join(scene.at.s, another.name), Succeeds());
    must(other.accept(another.s), "accept");
    EXPECT_EQ(scene.outcome(), 0);
    EXPECT_TRUE(scene.root.is_quiet(scene.at.s)) << "one FD_CONNECT";
}

TEST(CancelledJoin, W_121_LeafThatCancelledHasNoSocketLeft) {
    XY_ROW("W-121");
    PendingLeaf scene;
    must(scene.leaf.close(scene.s), "close");
    EXPECT_THAT(scene.leaf.join(scene.s, scene.at.name), Fails(ENOTSOCK));
    EXPECT_THAT(scene.leaf.events(scene.s), Fails(ENOTSOCK));
    EXPECT_THAT(scene.leaf.receive_now(scene.s), Fails(ENOTSOCK));
    EXPECT_THAT(scene.leaf.close(scene.s), Fails(ENOTSOCK));
}

TEST(CancelledJoin, W_122_WithdrawnRequestIsTold) {
    XY_ROW("A-09");
    PendingLeaf scene;
    must(scene.root.select(scene.at.s, XY_FD_ACCEPT), "select");
    ASSERT_THAT(scene.root.await(scene.at.s, XY_FD_ACCEPT), Succeeds());
    must(scene.leaf.close(scene.s), "close");
    EXPECT_THAT(accept_ended(scene.root, scene.at.s), Fails(EACCES));
    EXPECT_THAT(scene.root.accept_now(scene.at.s), Fails(EAGAIN)) << "told once";
}

TEST(CancelledJoin, W_122_WithdrawnInvitationIsTold) {
    XY_ROW("A-09");
    PendingRoot scene;
    must(scene.leaf.select(scene.listener.s, XY_FD_ACCEPT), "select");
    ASSERT_TRUE(scene.leaf.run([s = scene.listener.s] { return calls::await_readable(s, kPatienceMs); }));
    must(scene.root.close(scene.f), "close");
    EXPECT_TRUE(scene.leaf.events(scene.listener.s).has(XY_FD_ACCEPT)) << "what was recorded is not taken back";
    EXPECT_THAT(accept_ended(scene.leaf, scene.listener.s), Fails(EACCES));
}

TEST(CancelledJoin, W_122_RequestOfACrashedCallerIsTold) {
    XY_ROW("A-09");
    PendingLeaf scene;
    scene.await_request();
    scene.leaf.kill();
    EXPECT_THAT(accept_ended(scene.root, scene.at.s), Fails(ECONNRESET));
}

TEST(CancelledJoin, W_122_InvitationOfACrashedRootIsTold) {
    XY_ROW("A-09");
    PendingRoot scene;
    scene.await_request();
    scene.root.kill();
    EXPECT_THAT(accept_ended(scene.leaf, scene.listener.s), Fails(ECONNRESET));
}

}  // namespace
}  // namespace xylem::conformance
