// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.P: blocking calls, what ends them, and calls from within a callback.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <random>
#include <thread>

#include "tests/conformance/pending_join.h"
#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

/// The thread that a party's blocking call runs in.
std::atomic<pthread_t> g_blocked;

Pending<Done> start_receiving(Party& party, int s) {
    return party.start([=] {
        g_blocked = pthread_self();
        return static_cast<Done>(calls::receive(s, sizeof(Text::bytes), 0));
    });
}
Pending<Done> start_accepting(Party& party, int s) {
    return party.start([=] {
        g_blocked = pthread_self();
        return static_cast<Done>(calls::accept(s, {}));
    });
}
Pending<Done> start_joining(Party& party, int s, const Address& name) {
    return party.start([=] {
        g_blocked = pthread_self();
        return static_cast<Done>(calls::join(s, name, {}));
    });
}
Done cancel(Party& party) {
    return party.run([] { return done(xy_cancel(g_blocked)); });
}

struct Cancelling : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root), listener = listening_leaf(leaf);

    void expect_cancelled(Party& party, Pending<Done> call) {
        EXPECT_TRUE(call.is_waiting());
        EXPECT_THAT(cancel(party), Returns(0));
        EXPECT_THAT(call.result(), Fails(EINTR));
    }
};

TEST_F(Cancelling, W_240_CancelEndsTheBlockingCallOfAThread) {
    const Edge edge = ask(listening, leaf);
    expect_cancelled(leaf, start_receiving(leaf, edge.s));
    expect_cancelled(root, start_accepting(root, listening.s));
    expect_cancelled(leaf, start_joining(leaf, open_leaf(leaf), listening.name));
    expect_cancelled(root, start_joining(root, bound_root(root).s, listener.name));
    expect_cancelled(leaf, leaf.start([s = edge.s] {
        g_blocked = pthread_self();
        pollfd readable{s, POLLIN, 0};
        return done(xy_poll(&readable, 1, -1));
    }));
    must(set_number(root, listening.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, 60'000), "the option");
    const Bound patient = bound_root(root);
    must(set_number(root, patient.s, XY_SOL, XY_OPT_SLOW_LEAF_MS, 60'000), "the option");
    auto joining = root.start_join(patient.s, listener.name);
    while (leaf.accept(listener.s).error != 0) {
    }
    must(joining.result(), "the join");
    expect_cancelled(root, root.start([s = patient.s] {
        g_blocked = pthread_self();
        static char block[1024];
        while (xy_send(s, block, sizeof block, 0) > 0) {
        }
        return done(-1);
    }));
}

TEST_F(Cancelling, W_241_NothingToCancelIsInvalid) {
    EXPECT_THAT(leaf.run([] { return done(xy_cancel(pthread_self())); }), Fails(EINVAL));
    const Edge edge = ask(listening, leaf);
    auto receiving = start_receiving(leaf, edge.s);
    EXPECT_TRUE(receiving.is_waiting());
    must(root.send(listening.s, "one"), "send");
    EXPECT_THAT(receiving.result(), Returns(3));
    EXPECT_THAT(cancel(leaf), Fails(EINVAL)) << "it has returned";
}

TEST_F(Cancelling, W_242_ACancelThatComesTooLateChangesNothing) {
    // A reader that is cancelled again and again gets every message, each once: a call ends with a message or with
    // EINTR.
    constexpr int kMessages = 1500;
    const Edge edge = ask(listening, leaf);
    auto sending = root.start([s = listening.s] {
        std::minstd_rand random(1);
        for (int i = 0; i < kMessages; ++i) {
            if (xy_send(s, &i, sizeof i, 0) != sizeof i) return i;
            usleep(random() % 500);
        }
        return kMessages;
    });
    const int n_cancelled = leaf.run([s = edge.s] {
        std::atomic<bool> is_over{false};
        std::atomic<pthread_t> reader{pthread_self()};
        std::thread canceller([&] {
            std::minstd_rand random(2);
            while (!is_over) {
                xy_cancel(reader);
                usleep(random() % 500);
            }
        });
        int n = 0;
        for (int next = 0; next < kMessages;) {
            int number = -1;
            const ssize_t got = xy_recv(s, &number, sizeof number, 0);
            if (got < 0 && errno == EINTR) {
                ++n;
                continue;
            }
            EXPECT_EQ(got, static_cast<ssize_t>(sizeof number));
            EXPECT_EQ(number, next);
            if (number != next) break;
            ++next;
        }
        is_over = true;
        canceller.join();
        return n;
    });
    EXPECT_EQ(sending.result(), kMessages);
    EXPECT_GT(n_cancelled, 0) << "no cancel was in time";

    // The same with joins: joined, and accepted by the root; or EINTR, and the socket is free to join again.
    constexpr int kJoins = 100;
    must(root.set_nonblocking(listening.s, true), "FIONBIO");
    auto accepting = root.start([s = listening.s] {
        int n = 0;
        for (int n_idle = 0; n_idle < 3;) {
            if (!calls::await_poll(s, POLLIN, kQuietMs)) {
                ++n_idle;
                continue;
            }
            n_idle = 0;
            if (const int f = xy_accept(s, nullptr, nullptr, nullptr, nullptr); f >= 0) {
                ++n;
                xy_close(f);
            }
        }
        return n;
    });
    const int n_joined = leaf.run([name = listening.name] {
        std::minstd_rand random(3);
        int n = 0;
        for (int i = 0; i < kJoins; ++i) {
            const int s = xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, kLeaf);
            std::atomic<bool> is_over{false};
            const pthread_t joiner = pthread_self();
            std::thread canceller([&, pause_us = random() % 2000] {
                usleep(pause_us);
                while (!is_over && xy_cancel(joiner) != 0)
                    usleep(50);
            });
            const Joined joined = calls::join(s, name, {});
            is_over = true;
            canceller.join();
            EXPECT_TRUE(joined.value == s || joined.error == EINTR) << joined.error;
            Address peer;
            EXPECT_EQ(calls::name(s, true, peer).value, joined.value == s ? 0 : -1);
            if (joined.value == s) ++n;
            EXPECT_EQ(xy_close(s), 0);
        }
        return n;
    });
    EXPECT_GE(accepting.result(), n_joined) << "who joined was accepted";
}

TEST_F(Cancelling, W_243_ACancelledCallLeavesTheSocketUsable) {
    expect_cancelled(root, start_accepting(root, listening.s));
    const Edge edge = ask(listening, leaf);
    EXPECT_GE(edge.at_root, 0) << "accept again works";
    expect_cancelled(leaf, start_receiving(leaf, edge.s));
    must(root.send(listening.s, "one"), "send");
    EXPECT_EQ(leaf.receive(edge.s).text, "one");

    const int s = open_leaf(leaf);
    expect_cancelled(leaf, start_joining(leaf, s, listening.name));
    EXPECT_THAT(accept_ended(root, listening.s), Fails(EACCES)) << "it was withdrawn";
    auto again = leaf.start_join(s, listening.name);
    must(root.accept(listening.s), "accept");
    EXPECT_THAT(again.result(), Returns(s)) << "a new join is allowed";
    const int other = open_leaf(leaf);
    expect_cancelled(leaf, start_joining(leaf, other, listening.name));
    EXPECT_THAT(leaf.close(other), Returns(0));
}

/// What the daemon holds in its engine.
int engine_objects(Party& party) {
    return party.run([] {
        static char json[1 << 20];
        if (xy_status(json, sizeof json) < 0) return -1;
        const char* found = std::strstr(json, "\"engine_objects\":");
        return found != nullptr ? std::atoi(found + std::strlen("\"engine_objects\":")) : -1;
    });
}

/// The same once it has not changed for the quiet period.
int settled_objects(Party& party) {
    int before = -1, now = engine_objects(party);
    for (int i = 0; i < kPatienceMs / kQuietMs && now != before; ++i) {
        usleep(kQuietMs * 1000);
        before = now;
        now = engine_objects(party);
    }
    return now;
}

TEST_F(Cancelling, W_244_ACancelledJoinHoldsNothing) {
    const int s = open_leaf(leaf);
    const Bound inviter = bound_root(root);
    const auto join_and_cancel = [&] {
        expect_cancelled(leaf, start_joining(leaf, s, listening.name));
        EXPECT_THAT(accept_ended(root, listening.s), Fails(EACCES));
        expect_cancelled(root, start_joining(root, inviter.s, listener.name));
        EXPECT_THAT(accept_ended(leaf, listener.s), Fails(EACCES));
    };
    join_and_cancel();  // what is made once, and stays
    const int at_root = settled_objects(root), at_leaf = settled_objects(leaf);
    for (int i = 0; i < 3; ++i)
        join_and_cancel();
    EXPECT_LE(settled_objects(root), at_root);
    EXPECT_LE(settled_objects(leaf), at_leaf);
}

}  // namespace
}  // namespace xylem::conformance
