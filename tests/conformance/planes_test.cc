// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.B: who receives what, in a rooted data plane. The nonrooted ones: mesh_test.cc, group_test.cc.
#include <cerrno>
#include <string>
#include <vector>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

constexpr int kTypes[] = {SOCK_RDM, SOCK_DGRAM, SOCK_STREAM};

TEST(Planes, W_020_SessionEndsWithItsRoot) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, ann), ask(at, bob)};
    for (const Edge& edge : edges)
        must(edge.leaf.select(edge.s, XY_FD_CLOSE), "select");
    root.kill();
    for (const Edge& edge : edges) {
        const Events events = edge.leaf.await(edge.s, XY_FD_CLOSE);
        ASSERT_THAT(events, Succeeds());
        EXPECT_EQ(events.error_of[XY_FD_CLOSE_BIT], ECONNRESET);
    }
}

TEST(Planes, W_021_RootInvitesAndLeavesAsk) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge invited = invite(at, listening_leaf(ann));
    const Edge asked = ask(at, bob);
    EXPECT_THAT(root.send(at.s, "to both"), Succeeds());
    EXPECT_EQ(ann.receive(invited.s).text, "to both");
    EXPECT_EQ(bob.receive(asked.s).text, "to both");
}

TEST(Planes, W_023_EveryLeafReceivesWhatTheRootSends) {
    for (const int type : {SOCK_RDM, SOCK_DGRAM}) {
        Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob"), cid = on_host(2, "cid");
        const Bound at = listening_root(root, {type});
        const Edge edges[] = {ask(at, ann, {type}), ask(at, bob, {type}), ask(at, cid, {type})};
        constexpr int kMessages = 100;
        for (int i = 0; i < kMessages; ++i)
            EXPECT_THAT(root.send(at.s, "message " + std::to_string(i)), Succeeds());
        for (const Edge& edge : edges) {
            for (int i = 0; i < kMessages; ++i)
                EXPECT_EQ(edge.leaf.receive(edge.s).text, "message " + std::to_string(i)) << edge.leaf.name();
            EXPECT_THAT(edge.leaf.receive_now(edge.s), Fails(EAGAIN)) << "once, and no more";
        }
    }
}

TEST(Planes, W_024_WhatALeafSendsReachesTheRootOnly) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(1, "bob"), cid = on_host(2, "cid");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, ann), ask(at, bob), ask(at, cid)};
    EXPECT_THAT(ann.send(edges[0].s, "from ann"), Succeeds());
    EXPECT_EQ(root.receive(at.s).text, "from ann");
    for (const Edge& edge : edges)
        EXPECT_TRUE(edge.leaf.is_quiet(edge.s)) << edge.leaf.name();
}

TEST(Planes, W_025_LeavesSendWhereTheCapabilitySaysSo) {
    for (const int type : kTypes) {
        Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
        const Bound at = listening_root(root, {type});
        const Edge edge = ask(at, leaf, {type});
        const Done sent = leaf.send(edge.s, "up");
        if ((leaf.capabilities({type}) & XY_CAP_LEAF_TO_ROOT) == 0) {
            EXPECT_THAT(sent, Fails(EOPNOTSUPP));
            continue;
        }
        EXPECT_THAT(sent, Returns(2));
        EXPECT_EQ(root.receive(at.s).text, "up");
    }
}

TEST(Planes, W_028_RootReadsEveryLeafOnItsSocket) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, ann), ask(at, bob)};
    for (const Edge& edge : edges)
        EXPECT_THAT(edge.leaf.send(edge.s, "from " + edge.leaf.name()), Succeeds());
    std::vector<std::string> got;
    for (int i = 0; i < 2; ++i)
        got.emplace_back(root.receive(at.s).text.view());
    EXPECT_THAT(got, testing::UnorderedElementsAre("from ann", "from bob"));
    EXPECT_THAT(root.receive_now(at.s), Fails(EAGAIN));
}

TEST(Planes, W_029_LeafIsLikeAConnectedSocket) {
    for (const int type : kTypes) {
        Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
        const Bound at = listening_root(root, {type});
        const Edge edge = ask(at, leaf, {type});
        Address peer;
        EXPECT_THAT(leaf.peer_of(edge.s, &peer), Succeeds());
        EXPECT_EQ(peer, at.name);
        EXPECT_THAT(leaf.send(edge.s, "up"), Returns(2));
        EXPECT_EQ(root.receive(at.s).text, "up");
        EXPECT_THAT(root.send(at.s, "down"), Returns(4));
        EXPECT_EQ(leaf.receive(edge.s).text, "down");
    }
}

/// Leaves beside the root, alone on a host and together on one: none can tell.
TEST(Planes, W_031_WhereCopiesAreMadeIsInvisible) {
    Party root = on_host(0, "root"), near = on_host(0, "near"), far = on_host(1, "far"), twin = on_host(1, "twin");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, near), ask(at, far), ask(at, twin)};
    EXPECT_THAT(root.send(at.s, "to all"), Succeeds());
    for (const Edge& edge : edges) {
        Address peer;
        EXPECT_THAT(edge.leaf.peer_of(edge.s, &peer), Succeeds());
        EXPECT_EQ(peer, at.name);
        EXPECT_EQ(edge.leaf.receive(edge.s).text, "to all");
        EXPECT_THAT(edge.leaf.receive_now(edge.s), Fails(EAGAIN)) << "one copy each";
        EXPECT_THAT(edge.leaf.send(edge.s, edge.leaf.name()), Succeeds());
        EXPECT_EQ(root.receive(at.s).text, edge.leaf.name());
    }
}

TEST(Planes, W_032_MultipointDataIsTheRootSocketsOwn) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge edges[] = {ask(at, ann), ask(at, bob)};
    EXPECT_THAT(root.send(at.s, "to all"), Succeeds());
    for (const Edge& edge : edges) {
        EXPECT_EQ(edge.leaf.receive(edge.s).text, "to all");
        EXPECT_THAT(edge.leaf.send(edge.s, "up"), Succeeds());
    }
    for (int i = 0; i < 2; ++i)
        EXPECT_EQ(root.receive(at.s).text, "up");
    for (const Edge& edge : edges)
        EXPECT_TRUE(root.is_quiet(edge.at_root)) << "what leaves send comes on the root's socket";
}

TEST(Planes, W_033_ListeningRootSendsReceivesAndInvites) {
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge invited = invite(at, listening_leaf(ann));
    EXPECT_THAT(root.send(at.s, "first"), Succeeds());
    EXPECT_EQ(ann.receive(invited.s).text, "first");
    EXPECT_THAT(ann.send(invited.s, "up"), Succeeds());
    EXPECT_EQ(root.receive(at.s).text, "up");
    const Edge asked = ask(at, bob);
    EXPECT_THAT(root.send(at.s, "second"), Succeeds());
    EXPECT_EQ(ann.receive(invited.s).text, "second");
    EXPECT_EQ(bob.receive(asked.s).text, "second");
}

const std::string kHundred = std::string(50, 'a') + std::string(50, 'b');

TEST(Planes, W_034_MessagesStayWholeAndStreamsFlow) {
    for (const int type : kTypes) {
        Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
        const Bound at = listening_root(root, {type});
        const Edge edge = ask(at, leaf, {type});
        must(root.send(at.s, kHundred), "send");
        must(root.send(at.s, "next"), "send");
        const bool is_stream = type == SOCK_STREAM;
        const int flags = is_stream ? 0 : XY_MSG_PARTIAL;
        ASSERT_TRUE(leaf.run([s = edge.s] { return calls::await_poll(s, POLLIN, kPatienceMs); }));
        EXPECT_EQ(leaf.receive_now(edge.s, 50, flags).text, std::string(50, 'a'));
        EXPECT_EQ(leaf.receive_now(edge.s, 50, flags).text, std::string(50, 'b'));
        EXPECT_EQ(leaf.receive(edge.s).text, "next");
        if (is_stream) continue;
        must(root.send(at.s, kHundred), "send");
        EXPECT_EQ(leaf.receive(edge.s).text, kHundred) << "one receive, one whole message";
    }
}

TEST(Planes, W_034_RestOfAMessageIsToldFromItsEnd) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Edge edge = ask(at, leaf);
    must(root.send(at.s, kHundred), "send");
    struct Piece {
        ssize_t bytes;
        bool is_end;
    };
    const auto receive_piece = [s = edge.s] {
        calls::await_poll(s, POLLIN, kPatienceMs);
        char room[50];
        iovec part{room, sizeof room};
        msghdr message{};
        message.msg_iov = &part, message.msg_iovlen = 1;
        const ssize_t n = xy_recvmsg(s, &message, XY_MSG_PARTIAL);
        return Piece{n, (message.msg_flags & MSG_EOR) != 0};
    };
    const Piece first = leaf.run(receive_piece), second = leaf.run(receive_piece);
    EXPECT_EQ(first.bytes, 50);
    EXPECT_FALSE(first.is_end);
    EXPECT_EQ(second.bytes, 50);
    EXPECT_TRUE(second.is_end);
}

TEST(Planes, W_035_ReliableMessageThatIsTooLongWaitsForABiggerBuffer) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Edge edge = ask(at, leaf);
    must(root.send(at.s, kHundred), "send");
    ASSERT_TRUE(leaf.run([s = edge.s] { return calls::await_poll(s, POLLIN, kPatienceMs); }));
    EXPECT_THAT(leaf.receive_now(edge.s, 50, 0), Fails(EMSGSIZE));
    EXPECT_THAT(leaf.receive_now(edge.s, 99, 0), Fails(EMSGSIZE));
    EXPECT_EQ(leaf.receive_now(edge.s, 100, 0).text, kHundred);
}

TEST(Planes, W_035_BestEffortMessageThatIsTooLongLosesItsTail) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root, {SOCK_DGRAM});
    const Edge edge = ask(at, leaf, {SOCK_DGRAM});
    must(root.send(at.s, kHundred), "send");
    must(root.send(at.s, "next"), "send");
    ASSERT_TRUE(leaf.run([s = edge.s] { return calls::await_poll(s, POLLIN, kPatienceMs); }));
    const Received cut = leaf.receive_now(edge.s, 50, 0);
    EXPECT_THAT(cut, Fails(EMSGSIZE));
    EXPECT_EQ(std::string_view(cut.text.bytes, 50), std::string(50, 'a')) << "what fits is in the buffer";
    EXPECT_EQ(leaf.receive(edge.s).text, "next");
}

/// Sends a message of the longest length and `more` bytes.
Done send_longest(Party& party, int s, int more) {
    return party.run([s, more] {
        uint64_t longest = 0;
        socklen_t length = sizeof longest;
        const Done asked = done(xy_getsockopt(s, XY_SOL, XY_OPT_MAX_MSG_SIZE, &longest, &length));
        if (asked.value < 0) return asked;
        const std::vector<char> message(longest + static_cast<uint64_t>(more), 'x');
        return done(xy_send(s, message.data(), message.size(), 0));
    });
}

TEST(Planes, W_036_MessageBeyondTheMaximumIsNotSent) {
    for (const int type : {SOCK_RDM, SOCK_DGRAM}) {
        Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
        const Bound at = listening_root(root, {type});
        const Edge edge = ask(at, leaf, {type});
        EXPECT_THAT(send_longest(root, at.s, 1), Fails(EMSGSIZE));
        EXPECT_THAT(send_longest(leaf, edge.s, 1), Fails(EMSGSIZE));
        must(root.send(at.s, "next"), "send");
        EXPECT_EQ(leaf.receive(edge.s).text, "next") << "nothing of the long one was sent";
        EXPECT_THAT(send_longest(root, at.s, 0), Succeeds());
    }
}

TEST(Planes, W_037_RootWithoutLeavesIsNotConnected) {
    XY_ROW("A-15");
    for (const int type : kTypes) {
        Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
        const Bound at = listening_root(root, {type});
        EXPECT_THAT(root.send(at.s, "to nobody"), Fails(ENOTCONN));
        const Edge edge = ask(at, leaf, {type});
        EXPECT_THAT(root.send(at.s, "to somebody"), Succeeds());
        must(root.select(edge.at_root, XY_FD_CLOSE), "select");
        must(leaf.close(edge.s), "close");
        ASSERT_THAT(root.await(edge.at_root, XY_FD_CLOSE), Succeeds());
        EXPECT_THAT(root.send(at.s, "to nobody any more"), Fails(ENOTCONN));
    }
}

TEST(Planes, W_038_RootLearnsWhichLeafSent) {
    XY_ROW("A-16");
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    for (Party* party : {&ann, &bob}) {
        const Edge edge = ask(at, *party);
        must(party->send(edge.s, "mine"), "send");
        const Received received = root.receive(at.s);
        EXPECT_EQ(received.from, party->name_of(edge.s)) << party->name();
        Address peer;
        must(root.peer_of(edge.at_root, &peer), "getpeername");
        EXPECT_EQ(received.from, peer);
    }
}

}  // namespace
}  // namespace xylem::conformance
