// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.M: the accepting side decides; an invited leaf as well as a root.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

/// A request at a listening socket of `acceptor`, and its join, which waits.
struct Queued {
    Party& acceptor;
    Bound listener;
    Address caller;
    Pending<Joined> joining;
};

struct Deciding : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");

    Queued leaf_asks(const JoinWish& wish = {}) {
        const Bound at = listening_root(root), asking = bound_leaf(leaf);
        return {root, at, asking.name, leaf.start_join(asking.s, at.name, wish)};
    }
    Queued root_invites(const JoinWish& wish = {}) {
        const Bound at = listening_leaf(leaf), inviter = bound_root(root);
        return {leaf, at, inviter.name, root.start_join(inviter.s, at.name, wish)};
    }
    std::vector<Queued> both_ways(const JoinWish& wish = {}) { return {leaf_asks(wish), root_invites(wish)}; }
};

TEST_F(Deciding, W_190_TheConditionFunctionSeesTheRequest) {
    JoinWish wish{.flags = XY_RECEIVER_ONLY, .caller = "hello", .has_qos = true};
    wish.qos.sending = wish.qos.receiving = {1000, 100, 2000, 30, 40, XY_SERVICE_BEST_EFFORT, 60, 70, 0};
    for (Queued& queued : both_ways(wish)) {
        const Accepted accepted = queued.acceptor.accept(queued.listener.s, answer_of(XY_ACCEPT));
        EXPECT_THAT(accepted, Succeeds());
        EXPECT_TRUE(accepted.was_asked);
        EXPECT_TRUE(accepted.is_same_thread);
        EXPECT_EQ(accepted.caller, queued.caller);
        EXPECT_EQ(accepted.callee, queued.listener.name);
        EXPECT_EQ(accepted.caller_data, "hello");
        EXPECT_EQ(accepted.flags, unsigned{XY_RECEIVER_ONLY});
        ASSERT_TRUE(accepted.has_qos);
        EXPECT_EQ(accepted.qos.receiving.token_rate, 1000U);
        EXPECT_EQ(accepted.qos.receiving.minimum_policed_size, 70U);
        EXPECT_THAT(queued.joining.result(), Succeeds());
    }
    // The first in the queue comes first.
    const Bound at = listening_root(root);
    const Bound first = bound_leaf(leaf), second = bound_leaf(leaf);
    leaf.start_join(first.s, at.name);
    ASSERT_EQ(polled(root, at.s, POLLIN), POLLIN);
    auto two = leaf.start_join(second.s, at.name);
    EXPECT_TRUE(two.is_waiting());
    EXPECT_EQ(root.accept(at.s).peer, first.name);
    EXPECT_EQ(root.accept(at.s).peer, second.name);
}

TEST_F(Deciding, W_191_WhatIsAbsentIsNull) {
    for (Queued& queued : both_ways()) {
        const Accepted accepted = queued.acceptor.accept(queued.listener.s, answer_of(XY_ACCEPT));
        EXPECT_FALSE(accepted.has_caller_data);
        EXPECT_FALSE(accepted.has_qos);
        EXPECT_EQ(accepted.caller, queued.caller) << "a caller always has an address";
        EXPECT_EQ(accepted.callee, queued.listener.name);
    }
}

TEST_F(Deciding, W_192_AcceptMakesANewSocketAndTheListenerGoesOn) {
    for (Queued& queued : both_ways()) {
        must(set_number(queued.acceptor, queued.listener.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, 4321), "the option");
        must(set_linger(queued.acceptor, queued.listener.s, true, 7), "SO_LINGER");
        const int s = must(queued.acceptor.accept(queued.listener.s, answer_of(XY_ACCEPT)), "accept");
        EXPECT_NE(s, queued.listener.s);
        EXPECT_THAT(number_of(queued.acceptor, s, XY_SOL, XY_OPT_SLOW_LEAF_MS), Returns(4321));
        EXPECT_THAT(number_of(queued.acceptor, s, SOL_SOCKET, SO_LINGER), Returns(1));
        must(queued.joining.result(), "the join");
        EXPECT_THAT(number_of(queued.acceptor, queued.listener.s, SOL_SOCKET, SO_ACCEPTCONN), Returns(1));
    }
    const Bound at = listening_root(root);
    for (int i = 0; i < 3; ++i)
        ask(at, leaf);
}

TEST_F(Deciding, W_193_RejectRefusesTheJoin) {
    for (Queued& queued : both_ways()) {
        EXPECT_THAT(queued.acceptor.accept(queued.listener.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
        EXPECT_THAT(queued.joining.result(), Fails(ECONNREFUSED));
    }
}

TEST_F(Deciding, W_194_DeferLeavesTheRequestInTheQueue) {
    for (Queued& queued : both_ways()) {
        EXPECT_THAT(queued.acceptor.accept(queued.listener.s, answer_of(XY_DEFER)), Fails(EBUSY));
        EXPECT_TRUE(queued.joining.is_waiting()) << "the requester sees only delay";
        EXPECT_THAT(queued.acceptor.accept(queued.listener.s, answer_of(XY_DEFER)), Fails(EBUSY));
        const Accepted accepted = queued.acceptor.accept(queued.listener.s, answer_of(XY_ACCEPT));
        EXPECT_EQ(accepted.caller, queued.caller);
        EXPECT_THAT(queued.joining.result(), Succeeds());
    }
}

TEST_F(Deciding, W_195_OtherDecisionsAreInvalid) {
    for (Queued& queued : both_ways()) {
        for (const int decision : {7, -1, 3})
            EXPECT_THAT(queued.acceptor.accept(queued.listener.s, answer_of(decision)), Fails(EINVAL)) << decision;
        EXPECT_TRUE(queued.joining.is_waiting()) << "nothing was decided";
        EXPECT_THAT(queued.acceptor.accept(queued.listener.s, answer_of(XY_ACCEPT)), Succeeds());
    }
}

TEST_F(Deciding, W_196_TheCalleeBufferHasItsRoom) {
    for (Queued& queued : both_ways({.callee_room = XY_CONNECT_DATA_MAX})) {
        const std::string most(XY_CONNECT_DATA_MAX, 'c');
        const Accepted accepted = queued.acceptor.accept(queued.listener.s, answer_of(XY_ACCEPT, most));
        EXPECT_EQ(accepted.callee_room, size_t{XY_CONNECT_DATA_MAX});
        EXPECT_EQ(queued.joining.result().callee, most);
    }
    for (Queued& queued : both_ways({.callee_room = 10})) {
        must(queued.acceptor.accept(queued.listener.s, answer_of(XY_ACCEPT)), "accept");
        EXPECT_EQ(queued.joining.result().callee_length, 0U);
    }
}

void lower(const xy_request* request) {
    request->qos->sending.token_rate = 500;
    request->qos->receiving.service_type = XY_SERVICE_NO_CHANGE;
}

uint64_t rate_of(Party& party, int s, bool is_sending) {
    return party.run([=] {
        xy_qos qos{};
        EXPECT_EQ(xy_ioctl(s, XY_SIO_GET_QOS, nullptr, 0, &qos, sizeof qos, nullptr), 0);
        return is_sending ? qos.sending.token_rate : qos.receiving.token_rate;
    });
}

TEST_F(Deciding, W_197_TheFlowSpecMayBeChanged) {
    JoinWish wish{.has_qos = true};
    wish.qos.sending = wish.qos.receiving = {1000, 100, 2000, 30, 40, XY_SERVICE_BEST_EFFORT, 60, 70, 0};
    for (Queued& queued : both_ways(wish)) {
        xy_qos preset = wish.qos;
        preset.receiving.token_rate = 777;
        must(queued.acceptor.run([s = queued.listener.s, preset] {
            return done(xy_ioctl(s, XY_SIO_SET_QOS, &preset, sizeof preset, nullptr, 0, nullptr));
        }),
             "SIO_SET_QOS");
        const Accepted accepted = queued.acceptor.accept(queued.listener.s, {true, XY_ACCEPT, {}, &lower});
        const int s = must(accepted, "accept");
        EXPECT_EQ(rate_of(queued.acceptor, s, true), 500U);
        EXPECT_EQ(rate_of(queued.acceptor, s, false), 777U) << "NO_CHANGE leaves what the socket was preset to";
        must(queued.joining.result(), "the join");
    }
}

TEST_F(Deciding, W_199_TheArgumentIsPassedThroughUnread) {
    const Bound at = listening_root(root);
    leaf.start_join(open_leaf(leaf), at.name);
    ASSERT_EQ(polled(root, at.s, POLLIN), POLLIN);
    EXPECT_TRUE(root.run([s = at.s] {
        static void* seen;
        void* const argument = reinterpret_cast<void*>(0x10);  // points to nothing
        const auto note = [](const xy_request*, xy_data* callee, void* arg) -> int {
            callee->len = 0;
            seen = arg;
            return XY_ACCEPT;
        };
        return xy_accept(s, nullptr, nullptr, note, argument) >= 0 && seen == argument;
    }));
}

TEST_F(Deciding, W_200_TheCallersAddressIsAlwaysFilledIn) {
    XY_ROW("A-30");
    for (const int decision : {XY_DEFER, XY_ACCEPT, XY_REJECT}) {
        for (Queued& queued : both_ways()) {
            const Accepted accepted = queued.acceptor.accept(queued.listener.s, answer_of(decision));
            EXPECT_EQ(accepted.peer, queued.caller) << "decision " << decision;
            EXPECT_EQ(accepted.peer.length, socklen_t{sizeof(sockaddr_in)});
            if (decision == XY_DEFER) queued.acceptor.close(queued.listener.s);
        }
    }
    Queued queued = leaf_asks();
    ASSERT_EQ(polled(root, queued.listener.s, POLLIN), POLLIN);
    const auto accept_with = [&](socklen_t room) {
        return root.run([s = queued.listener.s, room] {
            sockaddr_storage address;
            socklen_t length = room;
            return done(xy_accept(s, reinterpret_cast<sockaddr*>(&address), &length, nullptr, nullptr));
        });
    };
    EXPECT_THAT(accept_with(sizeof(sockaddr_in) - 1), Fails(EFAULT));
    EXPECT_THAT(accept_with(0), Fails(EFAULT));
    EXPECT_TRUE(queued.joining.is_waiting()) << "nothing was decided";
    EXPECT_THAT(root.run([s = queued.listener.s] { return done(xy_accept(s, nullptr, nullptr, nullptr, nullptr)); }),
                Succeeds())
        << "the address is optional";
}

/// Accepts with no descriptor left.
Done accept_without_descriptors(Party& party, int s) {
    return party.run([=] {
        rlimit before{};
        getrlimit(RLIMIT_NOFILE, &before);
        const rlimit few{256, before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        std::vector<int> taken;
        for (int fd; (fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0;)
            taken.push_back(fd);
        const Done result = done(xy_accept(s, nullptr, nullptr, nullptr, nullptr));
        for (const int fd : taken)
            close(fd);
        setrlimit(RLIMIT_NOFILE, &before);
        return result;
    });
}

TEST_F(Deciding, W_201_WhatAcceptSaysWhenThereIsNothingToAccept) {
    const Bound at = listening_root(root);
    auto accepting = root.start_accept(at.s);
    EXPECT_TRUE(accepting.is_waiting()) << "blocking";
    leaf.start_join(open_leaf(leaf), at.name);
    EXPECT_THAT(accepting.result(), Succeeds());
    must(root.set_nonblocking(at.s, true), "FIONBIO");
    EXPECT_THAT(root.accept_now(at.s), Fails(EAGAIN)) << "nonblocking";
    EXPECT_THAT(root.accept_now(bound_root(root).s), Fails(EINVAL)) << "it does not listen";
    EXPECT_THAT(leaf.accept_now(open_leaf(leaf)), Fails(EINVAL)) << "it does not listen";

    // One after the other: a party without descriptors cannot join either.
    for (const bool is_invited : {false, true}) {
        Queued queued = is_invited ? root_invites() : leaf_asks();
        ASSERT_EQ(polled(queued.acceptor, queued.listener.s, POLLIN), POLLIN);
        EXPECT_THAT(accept_without_descriptors(queued.acceptor, queued.listener.s), Fails(EMFILE));
        EXPECT_TRUE(queued.joining.is_waiting()) << "the request stays";
        EXPECT_THAT(queued.acceptor.accept_now(queued.listener.s), Succeeds());
        EXPECT_THAT(queued.joining.result(), Succeeds());
    }
}

TEST_F(Deciding, W_202_TheRequesterNeverSeesSuccessAndThenAReset) {
    XY_ROW("A-14");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf, {SOCK_RDM | SOCK_NONBLOCK});
    must(leaf.select(s, XY_FD_CONNECT | XY_FD_WRITE | XY_FD_READ | XY_FD_CLOSE), "select");
    must(leaf.join(s, at.name), "the join");
    EXPECT_THAT(root.accept(at.s, answer_of(XY_DEFER)), Fails(EBUSY));
    EXPECT_EQ(recorded_within_quiet(leaf, s), 0U) << "undecided";
    EXPECT_THAT(root.accept(at.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    const Events events = leaf.await(s, XY_FD_CONNECT);
    EXPECT_EQ(events.error_of[XY_FD_CONNECT_BIT], ECONNREFUSED);
    EXPECT_EQ(events.events, unsigned{XY_FD_CONNECT});
    EXPECT_EQ(recorded_within_quiet(leaf, s), 0U);
}

}  // namespace
}  // namespace xylem::conformance
