// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.J: what is recorded, and what enables it again.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

constexpr uint32_t kPatientLeafMs = 60'000;  // no leaf is too slow for its root

static_assert(XY_FD_READ == 1 << 0 && XY_FD_WRITE == 1 << 1 && XY_FD_OOB == 1 << 2 && XY_FD_ACCEPT == 1 << 3);
static_assert(XY_FD_CONNECT == 1 << 4 && XY_FD_CLOSE == 1 << 5 && XY_FD_QOS == 1 << 6);
static_assert(XY_FD_READ_BIT == 0 && XY_FD_WRITE_BIT == 1 && XY_FD_OOB_BIT == 2 && XY_FD_ACCEPT_BIT == 3);
static_assert(XY_FD_CONNECT_BIT == 4 && XY_FD_CLOSE_BIT == 5 && XY_FD_QOS_BIT == 6 && XY_FD_MAX_EVENTS == 10);

TEST(EventBits, W_140_EventsHaveTheirBits) {
    EXPECT_EQ(sizeof(xy_events), sizeof(uint32_t) + XY_FD_MAX_EVENTS * sizeof(int32_t));
}

/// A root with one leaf.
struct Recording : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root);
    const Edge edge = ask(listening, leaf);

    void arrives(const char* text) { must(root.send(listening.s, text), "send"); }
    void taken(unsigned event) { must(leaf.await(edge.s, event), "the event"); }
};

Done set_blocking(Party& party, int s) { return party.set_nonblocking(s, false); }

TEST_F(Recording, W_141_RegistrationMakesNonblocking) {
    for (const unsigned mask : {unsigned{XY_FD_READ}, unsigned{XY_FD_CLOSE}, 0U}) {
        must(set_blocking(leaf, edge.s), "FIONBIO");
        EXPECT_THAT(leaf.select(edge.s, mask), Returns(0));
        EXPECT_THAT(leaf.receive_now(edge.s, 10, 0), Fails(EAGAIN)) << "mask " << mask;
        const Done back = set_blocking(leaf, edge.s);
        EXPECT_EQ(back.error, mask != 0 ? EINVAL : 0);
        must(leaf.select(edge.s, 0), "select");
    }
    EXPECT_THAT(set_blocking(leaf, edge.s), Returns(0));
    EXPECT_TRUE(leaf.start_receive(edge.s).is_waiting());
}

TEST_F(Recording, W_142_NewRegistrationReplacesTheOld) {
    must(leaf.select(edge.s, XY_FD_READ), "select");
    arrives("one");
    EXPECT_TRUE(is_signalled(leaf, edge.s)) << "recorded, and not taken";
    must(leaf.select(edge.s, XY_FD_WRITE), "select");
    EXPECT_EQ(leaf.events(edge.s).events, unsigned{XY_FD_WRITE});
    EXPECT_EQ(recorded_within_quiet(leaf, edge.s), 0U);

    const int first = make_eventfd(leaf), second = make_eventfd(leaf);
    must(leaf.receive(edge.s), "receive");
    must(select_on(leaf, edge.s, first, XY_FD_READ), "select");
    must(select_on(leaf, edge.s, second, XY_FD_CLOSE), "select");
    arrives("two");
    EXPECT_TRUE(stays_unsignalled(leaf, first)) << "two masks on two events do not combine";
    must(root.close(listening.s), "close");
    must(leaf.receive(edge.s), "receive");
    EXPECT_TRUE(is_signalled(leaf, second));
    EXPECT_TRUE(stays_unsignalled(leaf, first));
}

TEST_F(Recording, W_143_MaskZeroCancels) {
    const int signal = make_eventfd(leaf);
    must(select_on(leaf, edge.s, signal, XY_FD_READ), "select");
    must(select_on(leaf, edge.s, signal, 0), "select");
    arrives("one");
    EXPECT_TRUE(stays_unsignalled(leaf, signal));
    EXPECT_EQ(leaf.events(edge.s).events, 0U);
    EXPECT_THAT(select_on(leaf, edge.s, 1'000'000, 0), Returns(0)) << "with mask 0 the event object is ignored";
}

TEST_F(Recording, W_144_EnumerationIsOneStep) {
    const int signal = make_eventfd(leaf);
    must(select_on(leaf, edge.s, signal, XY_FD_READ | XY_FD_CLOSE), "select");
    arrives("one");
    EXPECT_TRUE(is_signalled(leaf, signal));
    EXPECT_THAT(leaf.run([s = edge.s, signal] { return done(xy_enum_events(s, signal, nullptr)); }), Fails(EFAULT));
    EXPECT_TRUE(is_signalled(leaf, signal)) << "an enumeration that fails changes nothing";
    const Events events = leaf.run([s = edge.s, signal] {
        Events out;
        xy_events taken;
        for (int32_t& error : taken.error)
            error = -77;
        static_cast<Done&>(out) = done(xy_enum_events(s, signal, &taken));
        out.events = taken.events;
        std::memcpy(out.error_of, taken.error, sizeof taken.error);
        return out;
    });
    EXPECT_EQ(events.events, unsigned{XY_FD_READ});
    EXPECT_EQ(events.error_of[XY_FD_READ_BIT], 0);
    for (int bit = 1; bit < XY_FD_MAX_EVENTS; ++bit)
        EXPECT_EQ(events.error_of[bit], -77) << "bit " << bit << " is not set";
    EXPECT_TRUE(stays_unsignalled(leaf, signal));
    EXPECT_EQ(take_on(leaf, edge.s, signal).events, 0U);

    // An event that comes during an enumeration is not lost: whoever takes one message per event gets all of them.
    constexpr int kMessages = 3000;
    must(leaf.receive(edge.s), "receive");
    auto sending = root.start([s = listening.s] {
        for (int i = 0; i < kMessages; ++i)
            if (xy_send(s, &i, sizeof i, 0) != sizeof i) return i;
        return kMessages;
    });
    const int received = leaf.run([s = edge.s, signal] {
        for (int i = 0; i < kMessages;) {
            xy_events taken{};
            if (!calls::await_readable(signal, kPatienceMs) || xy_enum_events(s, signal, &taken) != 0) return i;
            int number;
            if ((taken.events & XY_FD_READ) != 0 && xy_recv(s, &number, sizeof number, 0) == sizeof number) ++i;
        }
        return kMessages;
    });
    EXPECT_EQ(received, kMessages);
    EXPECT_EQ(sending.result(), kMessages);
}

TEST_F(Recording, W_145_OnceUntilItsReenablingCall) {
    must(leaf.select(edge.s, XY_FD_READ), "select");
    arrives("one");
    taken(XY_FD_READ);
    arrives("two");
    EXPECT_EQ(recorded_within_quiet(leaf, edge.s), 0U) << "no receive since";
    EXPECT_THAT(leaf.receive_now(edge.s, 1), Fails(EMSGSIZE));
    EXPECT_TRUE(leaf.events(edge.s).has(XY_FD_READ)) << "a call that fails enables as well";
    EXPECT_THAT(leaf.receive_now(edge.s), Returns(3));
    taken(XY_FD_READ);
    EXPECT_THAT(leaf.receive_now(edge.s), Returns(3));
    EXPECT_EQ(recorded_within_quiet(leaf, edge.s), 0U);
    arrives("three");
    taken(XY_FD_READ);
    EXPECT_THAT(leaf.receive_now(edge.s), Returns(5));
    EXPECT_THAT(leaf.receive_now(edge.s), Fails(EAGAIN));
    arrives("four");
    taken(XY_FD_READ);
}

TEST_F(Recording, W_147_ReadAndAcceptAreLevelTriggered) {
    const Bound stream_root = listening_root(root, {SOCK_STREAM});
    const Edge stream = ask(stream_root, leaf, {SOCK_STREAM});
    must(leaf.select(stream.s, XY_FD_READ), "select");
    must(root.send(stream_root.s, std::string(100, 'x')), "send");
    must(leaf.await(stream.s, XY_FD_READ), "FD_READ");
    EXPECT_THAT(leaf.receive_now(stream.s, 50), Returns(50));
    EXPECT_TRUE(leaf.events(stream.s).has(XY_FD_READ)) << "50 bytes are left";
    EXPECT_THAT(leaf.receive_now(stream.s, 50), Returns(50));
    EXPECT_EQ(recorded_within_quiet(leaf, stream.s), 0U);

    must(root.select(listening.s, XY_FD_ACCEPT), "select");
    const int a = open_leaf(leaf, {SOCK_RDM | SOCK_NONBLOCK}), b = open_leaf(leaf, {SOCK_RDM | SOCK_NONBLOCK});
    must(leaf.join(a, listening.name), "the first join");
    must(root.await(listening.s, XY_FD_ACCEPT), "FD_ACCEPT");
    must(leaf.join(b, listening.name), "the second join");
    EXPECT_EQ(recorded_within_quiet(root, listening.s), 0U) << "no accept since";
    EXPECT_THAT(root.accept_now(listening.s), Succeeds());
    EXPECT_TRUE(root.events(listening.s).has(XY_FD_ACCEPT)) << "one request is left";
    EXPECT_THAT(root.accept_now(listening.s), Succeeds());
    EXPECT_EQ(recorded_within_quiet(root, listening.s), 0U);
}

TEST_F(Recording, W_149_WhatHoldsAtRegistrationIsRecordedAtOnce) {
    const int asking = open_leaf(leaf, {SOCK_RDM | SOCK_NONBLOCK});
    must(leaf.join(asking, listening.name), "the join");
    ASSERT_EQ(polled(root, listening.s, POLLIN), POLLIN);
    must(root.select(listening.s, XY_FD_ACCEPT), "select");
    EXPECT_EQ(root.events(listening.s).events, unsigned{XY_FD_ACCEPT});

    arrives("one");
    ASSERT_EQ(polled(leaf, edge.s, POLLIN), POLLIN);
    must(leaf.select(edge.s, XY_FD_READ | XY_FD_WRITE), "select");
    EXPECT_EQ(leaf.events(edge.s).events, unsigned{XY_FD_READ | XY_FD_WRITE});

    must(leaf.receive(edge.s), "receive");
    must(root.close(listening.s), "close");
    ASSERT_EQ(polled(leaf, edge.s, POLLIN), POLLIN);
    must(leaf.select(edge.s, XY_FD_CLOSE), "select");
    EXPECT_EQ(leaf.events(edge.s).events, unsigned{XY_FD_CLOSE});
}

/// Sends until there is no room; the number of messages.
int fill(Party& party, int s) {
    return party.run([=] {
        static char block[1024];
        int n = 0;
        while (xy_send(s, block, sizeof block, 0) == static_cast<ssize_t>(sizeof block))
            ++n;
        EXPECT_EQ(errno, EAGAIN);
        return n;
    });
}

void drain(Party& party, int s, int n) {
    party.run([=] {
        char block[1024];
        for (int i = 0; i < n; ++i) {
            EXPECT_TRUE(calls::await_poll(s, POLLIN, kPatienceMs));
            EXPECT_EQ(xy_recv(s, block, sizeof block, 0), static_cast<ssize_t>(sizeof block));
        }
    });
}

TEST_F(Recording, W_150_WriteIsRecordedAgainOnlyAfterASendFoundNoRoom) {
    const Bound sender = bound_root(root);
    must(set_number(root, sender.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, kPatientLeafMs), "the option");
    const Edge to = invite(sender, listening_leaf(leaf));
    must(root.select(sender.s, XY_FD_WRITE), "select");
    EXPECT_TRUE(root.events(sender.s).has(XY_FD_WRITE)) << "connected";
    must(root.send(sender.s, "one"), "send");
    must(leaf.receive(to.s), "receive");
    EXPECT_EQ(recorded_within_quiet(root, sender.s), 0U) << "a send that found room enables nothing";
    const int n = fill(root, sender.s);
    EXPECT_EQ(recorded_within_quiet(root, sender.s), 0U) << "nothing was taken";
    drain(leaf, to.s, n);
    EXPECT_THAT(root.await(sender.s, XY_FD_WRITE), Succeeds());
    EXPECT_EQ(recorded_within_quiet(root, sender.s), 0U) << "once";
}

}  // namespace
}  // namespace xylem::conformance
