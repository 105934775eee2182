// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.J: registrations of accepted sockets, of deferred requests, of closed and duplicated descriptors;
// and which calls enable what.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

constexpr Kind kNonblocking{SOCK_RDM | SOCK_NONBLOCK};

/// A root that listens.
struct Registration : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root);

    /// A leaf that asks and does not wait.
    int asks() {
        const int s = open_leaf(leaf, kNonblocking);
        must(leaf.join(s, listening.name), "the join");
        return s;
    }
};

TEST_F(Registration, W_146_EachEventHasItsReenablingCall) {
    // READ: a receive; WRITE: a send that finds no room (W-150). A call of the other kind does not enable.
    const Edge edge = ask(listening, leaf);
    must(leaf.select(edge.s, XY_FD_READ), "select");
    must(root.send(listening.s, "one"), "send");
    must(leaf.await(edge.s, XY_FD_READ), "FD_READ");
    must(leaf.send(edge.s, "up"), "send");
    EXPECT_EQ(recorded_within_quiet(leaf, edge.s), 0U) << "a send does not enable FD_READ";
    EXPECT_THAT(leaf.run([s = edge.s] {
        char byte;
        return done(xy_recv(s, &byte, 1, XY_MSG_PEEK | XY_MSG_PARTIAL));
    }),
                Returns(1));
    EXPECT_TRUE(leaf.events(edge.s).has(XY_FD_READ)) << "a receive does, and one is still there";

    // ACCEPT: an accept, unless it deferred the request.
    must(root.select(listening.s, XY_FD_ACCEPT), "select");
    asks();
    must(root.await(listening.s, XY_FD_ACCEPT), "FD_ACCEPT");
    EXPECT_THAT(root.accept_now(listening.s, answer_of(XY_DEFER)), Fails(EBUSY));
    EXPECT_EQ(recorded_within_quiet(root, listening.s), 0U) << "deferred";
    EXPECT_THAT(root.accept_now(listening.s, answer_of(7)), Fails(EINVAL));
    EXPECT_TRUE(root.events(listening.s).has(XY_FD_ACCEPT)) << "it failed otherwise, and the request is there";
    EXPECT_THAT(root.accept_now(listening.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    asks();
    EXPECT_THAT(root.await(listening.s, XY_FD_ACCEPT), Succeeds());

    // CONNECT and CLOSE: nothing does.
    must(leaf.select(edge.s, XY_FD_CONNECT | XY_FD_CLOSE), "select");
    must(root.close(listening.s), "close");
    must(leaf.receive_now(edge.s), "receive");
    must(leaf.await(edge.s, XY_FD_CLOSE), "FD_CLOSE");
    EXPECT_THAT(leaf.receive_now(edge.s), Fails(ESHUTDOWN));
    EXPECT_THAT(leaf.join(edge.s, listening.name), Fails(EISCONN));
    EXPECT_EQ(recorded_within_quiet(leaf, edge.s), 0U);
}

TEST_F(Registration, W_151_AcceptedSocketInheritsTheListenersRegistration) {
    const Bound listener = listening_leaf(leaf);
    const int signal = make_eventfd(leaf), other = make_eventfd(leaf);
    must(select_on(leaf, listener.s, signal, XY_FD_ACCEPT | XY_FD_READ | XY_FD_CLOSE), "select");
    const Bound inviter = bound_root(root);
    auto joining = root.start_join(inviter.s, listener.name);
    ASSERT_TRUE(is_signalled(leaf, signal));
    EXPECT_EQ(take_on(leaf, listener.s, signal).events, unsigned{XY_FD_ACCEPT});
    const int s = must(leaf.accept_now(listener.s), "accept");
    must(joining.result(), "the join");
    EXPECT_THAT(leaf.set_nonblocking(s, false), Fails(EINVAL)) << "it is registered";

    must(root.send(inviter.s, "one"), "send");
    ASSERT_TRUE(is_signalled(leaf, signal)) << "the inherited event object";
    EXPECT_EQ(take_on(leaf, s, signal).events, unsigned{XY_FD_READ});
    EXPECT_EQ(take_on(leaf, listener.s, signal).events, 0U);

    must(select_on(leaf, s, other, XY_FD_CLOSE), "select");
    must(leaf.receive_now(s), "receive");
    must(root.close(inviter.s), "close");
    ASSERT_TRUE(is_signalled(leaf, other)) << "its own event object";
    EXPECT_EQ(take_on(leaf, s, other).events, unsigned{XY_FD_CLOSE});
    EXPECT_TRUE(stays_unsignalled(leaf, signal));
}

TEST_F(Registration, W_152_DeferredRequestKeepsTheOthersQuiet) {
    must(root.select(listening.s, XY_FD_ACCEPT), "select");
    const int first = asks();
    must(root.await(listening.s, XY_FD_ACCEPT), "FD_ACCEPT");
    EXPECT_THAT(root.accept_now(listening.s, answer_of(XY_DEFER)), Fails(EBUSY));
    asks();
    EXPECT_EQ(recorded_within_quiet(root, listening.s), 0U);
    const Accepted accepted = root.accept_now(listening.s, answer_of(XY_ACCEPT));
    EXPECT_THAT(accepted, Succeeds());
    EXPECT_EQ(accepted.caller, leaf.name_of(first)) << "the deferred one comes first";
    EXPECT_TRUE(root.events(listening.s).has(XY_FD_ACCEPT)) << "the other one";
}

TEST_F(Registration, W_153_CloseCancelsARegistration) {
    const Edge edge = ask(listening, leaf), other = ask(listening, leaf);
    const int signal = make_eventfd(leaf);
    must(select_on(leaf, edge.s, signal, XY_FD_READ | XY_FD_CLOSE), "select");
    must(leaf.close(edge.s), "close");
    must(root.send(listening.s, "one"), "send");
    must(leaf.receive(other.s), "receive");
    must(root.close(listening.s), "close");
    EXPECT_TRUE(stays_unsignalled(leaf, signal));
    EXPECT_THAT(leaf.run([signal] { return done(close(signal)); }), Returns(0)) << "the event object is the caller's";
}

TEST_F(Registration, W_154_DuplicateOfTheDescriptorIsNoSecondSocket) {
    // dup is not offered: there is one descriptor, and so one registration.
    const Edge edge = ask(listening, leaf);
    must(leaf.select(edge.s, XY_FD_READ), "select");
    const int copy = must(leaf.run([s = edge.s] { return done(fcntl(s, F_DUPFD_CLOEXEC, 0)); }), "dup");
    EXPECT_THAT(leaf.select(copy, XY_FD_CLOSE), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.events(copy), Fails(ENOTSOCK));
    EXPECT_THAT(leaf.close(copy), Fails(ENOTSOCK));
    must(leaf.run([copy] { return done(close(copy)); }), "close");
    must(root.send(listening.s, "one"), "send");
    EXPECT_THAT(leaf.await(edge.s, XY_FD_READ), Succeeds());
}

}  // namespace
}  // namespace xylem::conformance
