// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.O: data that travel with the end.
#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

struct Disconnecting : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf"), other = on_host(2, "other");
    const Bound listening = listening_root(root);
    const Edge edge = ask(listening, leaf), bystander = ask(listening, other);
};

TEST_F(Disconnecting, W_230_DisconnectDataAreAnnounced) {
    for (const int type : {SOCK_RDM, SOCK_STREAM, SOCK_DGRAM})
        EXPECT_TRUE(root.capabilities({type}) & XY_CAP_DISCONNECT_DATA) << "type " << type;
    EXPECT_TRUE(number_of(root, listening.s, XY_SOL, XY_OPT_CAPABILITIES).value & XY_CAP_DISCONNECT_DATA);
}

TEST_F(Disconnecting, W_231_SendDisconnectEndsSendingAndClosesNothing) {
    EXPECT_THAT(send_disconnect(leaf, edge.s), Returns(0));
    EXPECT_THAT(leaf.send(edge.s, "x"), Fails(ESHUTDOWN));
    EXPECT_EQ(end_of(root, edge.at_root), 0) << "the graceful end has begun";
    EXPECT_THAT(leaf.peer_of(edge.s), Returns(0)) << "it is still open";
    must(root.send(listening.s, "still down"), "send");
    EXPECT_EQ(leaf.receive(edge.s).text, "still down");
    EXPECT_THAT(leaf.close(edge.s), Returns(0));

    // A root whose leaf reads nothing does not wait for it.
    must(root.send(listening.s, "unread"), "send");
    EXPECT_THAT(send_disconnect(root, listening.s, "bye"), Returns(0));
    EXPECT_THAT(root.send(listening.s, "x"), Fails(ESHUTDOWN));
    EXPECT_EQ(root.name_of(listening.s), listening.name) << "it is still open";
}

TEST_F(Disconnecting, W_232_WhatSendDisconnectRefuses) {
    EXPECT_THAT(send_disconnect(leaf, open_leaf(leaf), "x"), Fails(ENOTCONN));
    EXPECT_THAT(send_disconnect(root, bound_root(root).s, "x"), Fails(ENOTCONN));
    EXPECT_THAT(leaf.run([s = edge.s] {
        const xy_data nowhere{nullptr, 5};
        return done(xy_send_disconnect(s, &nowhere));
    }),
                Fails(EFAULT));
    EXPECT_THAT(send_disconnect(leaf, edge.s, std::string(XY_DISCONNECT_DATA_MAX + 1, 'x')), Fails(EFAULT));
    EXPECT_THAT(leaf.send(edge.s, "up"), Returns(2)) << "nothing has ended";
    const std::string most(XY_DISCONNECT_DATA_MAX, 'm');
    EXPECT_THAT(send_disconnect(leaf, edge.s, most), Returns(0));
    EXPECT_EQ(root.receive(listening.s).text, "up");
    EXPECT_EQ(end_of(root, edge.at_root), 0);
    EXPECT_EQ(receive_disconnect(root, edge.at_root).text, most);

    const Kind group{SOCK_DGRAM, XY_PROTO_GROUP};
    ASSERT_FALSE(leaf.capabilities(group) & XY_CAP_DISCONNECT_DATA);
    EXPECT_THAT(send_disconnect(leaf, open_leaf(leaf, group), "x"), Fails(ENOPROTOOPT)) << "unsupported";
}

TEST_F(Disconnecting, W_233_ReceiveDisconnectFetchesTheDataAfterTheEnd) {
    EXPECT_THAT(receive_disconnect(leaf, edge.s), Fails(ENOTCONN)) << "nothing has ended";
    EXPECT_THAT(receive_disconnect(root, edge.at_root), Fails(ENOTCONN)) << "nothing has ended";
    must(root.send(listening.s, "last words"), "send");
    must(send_disconnect(root, listening.s, "goodbye"), "xy_send_disconnect");
    ASSERT_EQ(other.receive(bystander.s).text, "last words");
    EXPECT_EQ(end_of(other, bystander.s), 0);
    ASSERT_EQ(polled(leaf, edge.s, POLLIN), POLLIN);
    EXPECT_THAT(receive_disconnect(leaf, edge.s), Fails(ENOTCONN)) << "the end is behind what it has not read";
    EXPECT_EQ(leaf.receive(edge.s).text, "last words");
    EXPECT_THAT(leaf.receive(edge.s), Fails(ESHUTDOWN));
    EXPECT_THAT(receive_disconnect(leaf, edge.s, 6), Fails(EFAULT)) << "too little room";
    EXPECT_EQ(receive_disconnect(leaf, edge.s, 7).text, "goodbye");
    EXPECT_THAT(leaf.receive_now(edge.s), Fails(ESHUTDOWN)) << "receiving has ended";
    EXPECT_THAT(other.run([s = bystander.s] { return done(xy_recv_disconnect(s, nullptr)); }), Returns(0))
        << "data that nobody wants";
}

TEST_F(Disconnecting, W_234_BothSidesSayGoodbye) {
    // The leaf begins.
    must(send_disconnect(leaf, edge.s, "I leave"), "xy_send_disconnect");
    EXPECT_EQ(end_of(root, edge.at_root), 0);
    EXPECT_EQ(receive_disconnect(root, edge.at_root).text, "I leave");
    EXPECT_THAT(send_disconnect(root, edge.at_root, "farewell"), Returns(0));
    EXPECT_THAT(root.close(edge.at_root), Returns(0)) << "the one that answers may close at once";
    EXPECT_EQ(end_of(leaf, edge.s), 0);
    EXPECT_EQ(receive_disconnect(leaf, edge.s).text, "farewell");
    EXPECT_THAT(leaf.close(edge.s), Returns(0));

    // The root begins.
    must(send_disconnect(root, listening.s, "it is over"), "xy_send_disconnect");
    EXPECT_EQ(end_of(other, bystander.s), 0);
    EXPECT_EQ(receive_disconnect(other, bystander.s).text, "it is over");
    EXPECT_THAT(send_disconnect(other, bystander.s, "thank you"), Returns(0));
    EXPECT_THAT(other.close(bystander.s), Returns(0)) << "the one that answers may close at once";
    EXPECT_EQ(end_of(root, bystander.at_root), 0);
    EXPECT_EQ(root.run([f = bystander.at_root] {
        // FD_CLOSE tells that the leaf has taken everything; its answer may be on its way.
        Text out;
        for (int i = 0; i < kPatienceMs && out.length == 0; ++i) {
            xy_data data{out.bytes, sizeof out.bytes};
            if (xy_recv_disconnect(f, &data) != 0) break;
            out.length = static_cast<uint32_t>(data.len);
            calls::await_readable(-1, 1);
        }
        return out;
    }),
              "thank you");
}

TEST_F(Disconnecting, W_235_TheRootsGoodbyeGoesToEveryLeafAndADescriptorsToOne) {
    XY_ROW("W-235");
    must(send_disconnect(root, edge.at_root, "only you"), "xy_send_disconnect");
    EXPECT_EQ(end_of(leaf, edge.s), 0);
    EXPECT_EQ(receive_disconnect(leaf, edge.s).text, "only you");
    must(other.select(bystander.s, XY_FD_CLOSE), "select");
    EXPECT_EQ(recorded_within_quiet(other, bystander.s), 0U);

    const Edge again = ask(listening, leaf);
    must(send_disconnect(root, listening.s, "everybody"), "xy_send_disconnect");
    EXPECT_EQ(end_of(leaf, again.s), 0);
    EXPECT_EQ(end_of(other, bystander.s), 0);
    EXPECT_EQ(receive_disconnect(leaf, again.s).text, "everybody");
    EXPECT_EQ(receive_disconnect(other, bystander.s).text, "everybody");
}

}  // namespace
}  // namespace xylem::conformance
