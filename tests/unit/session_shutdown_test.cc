// SPDX-License-Identifier: Apache-2.0
// What follows a shutdown, and a second goodbye (docs/winsock.md 1.K, 1.O).
#include <cerrno>

#include "tests/unit/session_world.h"

namespace xylem::session {

constexpr uint16_t kPort = 5000;

struct Shutdown : testing::Test {
    World w;
    TestApp root{w.a}, one{w.b};
    uint32_t s = 0, l = 0, f = 0;

    void join() {
        s = root.root(kPort, SOCK_RDM);
        l = one.leaf(SOCK_RDM);
        ASSERT_EQ(one.join(l, w.a.address(), kPort, XY_BOTH).error, 0);
        w.run();
        auto accepted = root.accept(s);
        w.run();
        ASSERT_EQ(accepted->error, 0);
        f = socket_in(*accepted);
    }
    static abi::BlobBody blob(std::string_view text) {
        abi::BlobBody body{};
        body.bytes = static_cast<uint32_t>(text.size());
        std::memcpy(body.blob, text.data(), text.size());
        return body;
    }
    static int disconnect(TestApp& app, uint32_t socket, std::string_view text) {
        return app.s().send_disconnect(*app.app, socket, blob(text)).error;
    }
    static int shut(TestApp& app, uint32_t socket, int how) {
        return app.s().shutdown(*app.app, socket, abi::HowBody{how, 0}).error;
    }
};

TEST_F(Shutdown, OfARootLeavesNoRequestToAccept) {
    s = root.root(kPort, SOCK_RDM);
    l = one.leaf(SOCK_RDM);
    ASSERT_EQ(one.join(l, w.a.address(), kPort, XY_BOTH).error, 0);
    w.run();
    ASSERT_EQ(root.facts(s).backlog, 1U);

    EXPECT_EQ(shut(root, s, SHUT_WR), 0);
    w.run();
    EXPECT_EQ(root.facts(s).backlog, 0U);
}

TEST_F(Shutdown, OfARootEndsTheRowOfItsInvitation) {
    s = root.root(kPort, SOCK_RDM);
    one.listening_leaf(kPort);
    ASSERT_EQ(root.join(s, w.b.address(), kPort, XY_BOTH).error, 0);
    w.run();
    ASSERT_EQ(root.rows(s).at(0).state, static_cast<uint32_t>(XY_LEAF_PENDING));

    EXPECT_EQ(shut(root, s, SHUT_WR), 0);
    w.run();
    EXPECT_EQ(root.rows(s).at(0).state, static_cast<uint32_t>(XY_LEAF_ENDED));
    EXPECT_EQ(root.rows(s).at(0).reason, static_cast<uint32_t>(XY_END_REFUSED));
}

TEST_F(Shutdown, OfALeafsSendingDoesNotSwallowItsGoodbye_W231) {
    join();
    EXPECT_EQ(shut(one, l, SHUT_WR), 0);
    w.run();
    EXPECT_EQ(root.end_code(f), -1);

    EXPECT_EQ(disconnect(one, l, "bye"), 0);
    w.run();
    EXPECT_EQ(root.end_code(f), 0);
    EXPECT_EQ(body_in<abi::BlobBody>(root.s().recv_disconnect(*root.app, f)).bytes, 3U);
    EXPECT_EQ(disconnect(one, l, "once more"), ESHUTDOWN);
}

TEST_F(Shutdown, OfReceivingByTakingTheGoodbyeEndsTheSessionForTheRoot_W233) {
    join();
    root.commit(s, abi::position(4, 0));
    w.carry();
    EXPECT_EQ(disconnect(root, s, "bye"), 0);
    w.run();
    EXPECT_EQ(root.end_code(f), -1);  // not read yet

    EXPECT_EQ(body_in<abi::BlobBody>(one.s().recv_disconnect(*one.app, l)).bytes, 3U);
    w.run();
    EXPECT_EQ(root.end_code(f), 0);
    EXPECT_EQ(body_in<abi::BlobBody>(one.s().recv_disconnect(*one.app, l)).bytes, 3U);
}

TEST_F(Shutdown, OfARootWasItsGoodbye_W231) {
    join();
    EXPECT_EQ(shut(root, s, SHUT_WR), 0);
    EXPECT_EQ(disconnect(root, s, "too late"), ESHUTDOWN);
}

}  // namespace xylem::session
