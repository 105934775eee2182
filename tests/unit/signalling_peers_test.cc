// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "dataplane/base/address_text.h"
#include "tests/unit/signalling_world.h"

namespace xylem::signalling {
namespace {

std::vector<uint64_t> count_to(uint64_t n) {
    std::vector<uint64_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), 1);
    return numbers;
}

// `dialer` dials test_address(n); the PeerIds at both ends.
std::pair<PeerId, PeerId> connect(TestHost& dialer, TestHost& other, unsigned n) {
    size_t n_ups = other.ups.size();
    auto answer = dialer.dial(test_address(n));
    EXPECT_TRUE(turn_until({&dialer, &other}, [&] { return answer->has_value() && other.ups.size() > n_ups; }));
    EXPECT_TRUE(**answer) << (**answer).error().what;
    return {***answer, other.ups.back()};
}

TEST(Peers, DialedPeerIsUpOnBothSidesAndKnowsTheOther) {
    TestHost a(1), b(2);
    auto [b_at_a, a_at_b] = connect(a, b, 2);

    PeerFacts at_a = a.peers.facts(b_at_a).value(), at_b = b.peers.facts(a_at_b).value();
    EXPECT_EQ(a.ups, std::vector{b_at_a});
    EXPECT_EQ(at_a.address, test_address(2));
    EXPECT_EQ(at_a.local_address, test_address(1));
    EXPECT_EQ(at_a.data_port, 20002);
    EXPECT_EQ(at_a.addresses, std::vector<Endpoint>({{test_address(2), kTestPort}}));
    EXPECT_TRUE(at_a.is_opened_here);
    EXPECT_EQ(at_a.instance, b.peers.facts(kSelf)->instance);
    EXPECT_EQ(at_b.address, test_address(1));
    EXPECT_EQ(at_b.addresses, std::vector<Endpoint>({{test_address(1), kTestPort}}));
    EXPECT_EQ(at_b.instance, a.peers.facts(kSelf)->instance);
    EXPECT_EQ(at_b.data_port, 20001);
    EXPECT_FALSE(at_b.is_opened_here);
    EXPECT_EQ(a.peers.list().size(), 1u);
    EXPECT_FALSE(a.peers.facts(PeerId{99}));
}

TEST(Peers, MessagesArriveInOrderBothWays) {
    TestHost a(1), b(2);
    auto [b_at_a, a_at_b] = connect(a, b, 2);

    for (uint64_t number : count_to(20000)) {
        a.peers.send(b_at_a, numbered(number));
        b.peers.send(a_at_b, numbered(number));
    }

    ASSERT_TRUE(turn_until({&a, &b}, [&] { return a.n_received == 20000 && b.n_received == 20000; }));
    EXPECT_EQ(a.received[b_at_a], count_to(20000));
    EXPECT_EQ(b.received[a_at_b], count_to(20000));
    EXPECT_EQ(a.peers.facts(b_at_a)->queued_bytes, 0u);
}

TEST(Peers, SecondDialFindsThePeerFromEitherSide) {
    TestHost a(1), b(2);
    auto [b_at_a, a_at_b] = connect(a, b, 2);

    auto again = a.dial(test_address(2)), back = b.dial(test_address(1));

    EXPECT_FALSE(again->has_value()) << "answered before dial() returned";
    ASSERT_TRUE(turn_until({&a, &b}, [&] { return again->has_value() && back->has_value(); }));
    EXPECT_EQ(***again, b_at_a);
    EXPECT_EQ(***back, a_at_b);
    EXPECT_EQ(a.peers.counters().dialed, 1u);
    EXPECT_EQ(b.peers.counters().dialed, 0u);
}

TEST(Peers, DialsOfOneAddressShareOneConnection) {
    TestHost a(1), b(2);
    auto one = a.dial(test_address(2)), other = a.dial(test_address(2));
    ASSERT_TRUE(turn_until({&a, &b}, [&] { return one->has_value() && other->has_value(); }));
    EXPECT_EQ(***one, ***other);
    EXPECT_EQ(a.peers.counters().dialed, 1u);
}

TEST(Peers, OfTwoSimultaneousConnectionsTheGreatersStays) {
    for (int round = 0; round < 20; round++) {
        TestHost a(1), b(2);
        auto at_a = a.dial(test_address(2)), at_b = b.dial(test_address(1));
        ASSERT_TRUE(turn_until({&a, &b}, [&] { return at_a->has_value() && at_b->has_value(); }));
        ASSERT_TRUE(**at_a && **at_b);
        bool is_a_greater = a.peers.facts(kSelf)->instance > b.peers.facts(kSelf)->instance;
        EXPECT_EQ(a.peers.facts(***at_a)->is_opened_here, is_a_greater);
        EXPECT_EQ(b.peers.facts(***at_b)->is_opened_here, !is_a_greater);
    }
}

// Each host in its own thread, so that the two dials cross in every way there is.
TEST(Peers, SimultaneousDialsLeaveOneConnectionAndLoseNoMessage) {
    constexpr size_t kMessages = 50;
    auto run = [](TestHost& host, unsigned other, std::atomic<int>& n_ready) {
        host.peers.dial(test_address(other), [&host](Result<PeerId> peer) {
            ASSERT_TRUE(peer) << peer.error().what;
            for (uint64_t number : count_to(kMessages))
                host.peers.send(*peer, numbered(number));
        });
        EXPECT_TRUE(turn_until({&host}, [&] { return host.n_received >= kMessages; }));
        n_ready++;
        EXPECT_TRUE(turn_until({&host}, [&] { return n_ready == 2; }));
    };
    for (int round = 0; round < 100; round++) {
        TestHost a(1), b(2);
        std::atomic<int> n_ready = 0;
        std::thread other([&] { run(b, 1, n_ready); });
        run(a, 2, n_ready);
        other.join();
        ASSERT_TRUE(turn_until({&a, &b}, [&] {
            return a.peers.counters().duplicate + b.peers.counters().duplicate > 0 ||
                   a.peers.counters().dialed + b.peers.counters().dialed == 1;
        }));
        for (TestHost* host : {&a, &b}) {
            ASSERT_EQ(host->ups.size(), 1u) << "round " << round;
            ASSERT_TRUE(host->losses.empty()) << "round " << round;
            ASSERT_EQ(host->received[host->ups[0]], count_to(kMessages)) << "round " << round;
            ASSERT_EQ(host->peers.list().size(), 1u);
        }
        ASSERT_NE(a.peers.list()[0].is_opened_here, b.peers.list()[0].is_opened_here);
    }
}

TEST(Peers, AnotherAddressOfAKnownInstanceJoinsIt) {
    // Both orders of the two random ids occur in so many rounds, but for one run in 2^20.
    for (int round = 0; round < 20; round++) {
        Config config = test_config(2);
        config.listen_addresses.push_back(test_address(3));
        TestHost a(1), b(config);
        ASSERT_TRUE(b.peers.listen());
        auto [b_at_a, a_at_b] = connect(a, b, 2);
        auto other = a.dial(test_address(3));
        ASSERT_TRUE(turn_until({&a, &b}, [&] { return other->has_value(); }));
        ASSERT_TRUE(**other) << (**other).error().what;
        EXPECT_EQ(***other, b_at_a);
        EXPECT_EQ(a.peers.facts(b_at_a)->addresses,
                  std::vector<Endpoint>({{test_address(2), kTestPort}, {test_address(3), kTestPort}}));
        EXPECT_EQ(a.peers.counters().duplicate, 1u);
        EXPECT_EQ(a.ups.size() + b.ups.size(), 2u);
        EXPECT_TRUE(a.losses.empty() && b.losses.empty());
    }
}

TEST(Peers, DialToThisDaemonIsSelf) {
    TestHost a(1);
    auto answer = a.dial(test_address(1));
    ASSERT_TRUE(turn_until({&a}, [&] { return answer->has_value(); }));
    ASSERT_TRUE(**answer);
    EXPECT_EQ(***answer, kSelf);
    EXPECT_TRUE(a.ups.empty());
    EXPECT_TRUE(a.peers.list().empty());
}

TEST(Peers, MessagesToSelfArriveInOrderAndLater) {
    TestHost a(1);
    for (uint64_t number : count_to(100))
        a.peers.send(kSelf, numbered(number));
    EXPECT_EQ(a.n_received, 0u);
    ASSERT_TRUE(turn_until({&a}, [&] { return a.n_received == 100; }));
    EXPECT_EQ(a.received[kSelf], count_to(100));
}

TEST(Peers, StaticEntrySaysWhereAPeerListens) {
    Config config = test_config(2);
    config.signal_port = kTestPort + 1;
    TestHost b(config);
    ASSERT_TRUE(b.peers.listen());
    config = test_config(1);
    config.static_peers = {{test_address(2), kTestPort + 1}};
    TestHost a(config);
    ASSERT_TRUE(a.peers.listen());
    connect(a, b, 2);
}

TEST(Peers, DialWhereNobodyListensIsRefused) {
    TestHost a(1);
    auto answer = a.dial(test_address(9));
    ASSERT_TRUE(turn_until({&a}, [&] { return answer->has_value(); }));
    ASSERT_FALSE(**answer);
    EXPECT_EQ((**answer).error().code, ECONNREFUSED);
    EXPECT_EQ((**answer).error().what, to_string(Endpoint{test_address(9), kTestPort}) +
                                           ": no daemon answers: is xylemd running there, with this --signal-port?");
}

TEST(Peers, DialWithoutARouteIsUnreachable) {
    int code = -1;
    std::thread([&] {  // a namespace of this thread's own, where not even lo is up
        if (unshare(CLONE_NEWNET) != 0) return;
        Config config = test_config(1);
        config.listen_addresses.clear();
        TestHost a(config);
        auto answer = a.dial(*parse_ip("192.0.2.1"));
        if (turn_until({&a}, [&] { return answer->has_value(); }) && !**answer) code = (**answer).error().code;
    })
        .join();
    if (code == -1) GTEST_SKIP() << "no network namespace can be made: needs CAP_SYS_ADMIN";
    EXPECT_EQ(code, ENETUNREACH);
}

TEST(Peers, DialThatIsNotAnsweredTimesOut) {
    RawListener full(9, 0);
    std::vector<int> fillers;
    for (int i = 0; i < 4; i++) {
        int fd = fillers.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        sockaddr_in target = RawPeer::socket_address(9, kTestPort);
        (void)::connect(fd, reinterpret_cast<sockaddr*>(&target), sizeof target);
    }
    Config config = test_config(1);
    config.connect_timeout_ms = 50;
    TestHost a(config);
    auto answer = a.dial(test_address(9));
    ASSERT_TRUE(turn_until({&a}, [&] { return answer->has_value(); }));
    ASSERT_FALSE(**answer);
    EXPECT_EQ((**answer).error().code, ETIMEDOUT);
    for (int fd : fillers)
        close(fd);
}

TEST(Peers, DialToWhatNeverSaysHelloTimesOut) {
    RawListener mute(9);
    Config config = test_config(1);
    config.hello_timeout_ms = 50;
    TestHost a(config);
    auto answer = a.dial(test_address(9));
    ASSERT_TRUE(turn_until({&a}, [&] { return answer->has_value(); }));
    ASSERT_FALSE(**answer);
    EXPECT_EQ((**answer).error().code, ETIMEDOUT);
    EXPECT_EQ(a.peers.counters().hello_timeout, 1u);
}

// The other side still holds a connection that is dead here: the dial goes on until that is found out there.
TEST(Peers, DialThatIsKnownElsewhereIsTriedAgain) {
    RawListener listener(9);
    Config config = test_config(1);
    config.heartbeat_interval_ms = 20;
    TestHost a(config);
    auto answer = a.dial(test_address(9));
    std::vector<RawPeer> attempts;
    ASSERT_TRUE(turn_until({&a}, [&] {
        if (int fd = listener.accept(); fd >= 0) {
            proto::Envelope hello = RawPeer::hello(highest_instance(1));
            hello.mutable_hello()->set_is_known(attempts.size() < 2);
            attempts.emplace_back(fd).write(hello);
        }
        return answer->has_value();
    }));
    ASSERT_TRUE(**answer) << (**answer).error().what;
    EXPECT_EQ(attempts.size(), 3u);
    EXPECT_EQ(a.ups, std::vector{***answer});
}

TEST(Peers, DialThatIsKnownElsewhereIsAnsweredWhenThatPeerComesUp) {
    RawListener listener(9);
    TestHost a(1);
    auto answer = a.dial(test_address(9));
    proto::Envelope hello = RawPeer::hello(lowest_instance(1));
    hello.mutable_hello()->set_is_known(true);
    std::unique_ptr<RawPeer> refusing, other;
    ASSERT_TRUE(turn_until({&a}, [&] {
        if (int fd = listener.accept(); fd >= 0) refusing = std::make_unique<RawPeer>(fd), refusing->write(hello);
        return refusing && refusing->has_ended();
    }));
    EXPECT_FALSE(answer->has_value());

    other = std::make_unique<RawPeer>(8, 1);
    other->write(RawPeer::hello(lowest_instance(1)));

    ASSERT_TRUE(turn_until({&a}, [&] { return answer->has_value(); }));
    ASSERT_TRUE(**answer) << (**answer).error().what;
    EXPECT_EQ(a.ups, std::vector{***answer});
    EXPECT_EQ(a.peers.counters().dialed, 1u);
}

TEST(Peers, ListeningWhereAnotherListensNamesThePortAndTheCure) {
    TestHost a(1);
    TestHost b(test_config(1));
    Result<void> outcome = b.peers.listen();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, EADDRINUSE);
    EXPECT_EQ(outcome.error().what, "signalling port 17470 is already in use: choose another with --signal-port");
}

TEST(Peers, ListeningAtAForeignAddressNamesIt) {
    Config config = test_config(1);
    config.listen_addresses = {*parse_ip("192.0.2.77")};
    TestHost a(config);
    Result<void> outcome = a.peers.listen();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().what, "signalling address 192.0.2.77 is not an address of this host");
}

TEST(Peers, ListeningNowhereStillDials) {
    Config config = test_config(1);
    config.signal_port = 0;
    config.static_peers = {{test_address(2), kTestPort}};
    TestHost a(config), b(2);
    ASSERT_TRUE(a.peers.listen());
    auto [b_at_a, a_at_b] = connect(a, b, 2);
    EXPECT_EQ(b.peers.facts(a_at_b)->addresses, std::vector<Endpoint>({{test_address(1), 0}}));
}

TEST(Peers, ShutdownSendsWhatIsQueuedThenCloses) {
    TestHost a(1), b(2);
    auto [b_at_a, a_at_b] = connect(a, b, 2);
    for (uint64_t number : count_to(5000))
        a.peers.send(b_at_a, numbered(number));
    auto late = a.dial(test_address(9));
    bool is_done = false;

    a.peers.shutdown([&] { is_done = true; });
    auto later = a.dial(test_address(8));

    EXPECT_FALSE(is_done);
    ASSERT_TRUE(turn_until({&a, &b}, [&] { return is_done && !b.losses.empty(); }));
    EXPECT_EQ(b.received[a_at_b], count_to(5000));
    EXPECT_EQ(b.losses[0].code, ECONNABORTED);
    EXPECT_TRUE(a.losses.empty());
    ASSERT_TRUE(turn_until({&a}, [&] { return late->has_value() && later->has_value(); }));
    EXPECT_EQ((**late).error().code, ECANCELED);
    EXPECT_EQ((**later).error().code, ECANCELED);
}

TEST(Peers, ShutdownDoesNotWaitForAPeerThatDoesNotRead) {
    Config config = test_config(1);
    config.shutdown_ms = 50;
    config.max_queued_bytes = 64 << 20;
    TestHost a(config);
    ASSERT_TRUE(a.peers.listen());
    RawPeer deaf(5, 1);
    deaf.write(RawPeer::hello(lowest_instance(1)));
    ASSERT_TRUE(turn_until({&a}, [&] { return !a.ups.empty(); }));
    proto::Envelope big = numbered(1);
    big.mutable_leave()->set_disconnect_data(std::string(60000, 'x'));
    for (int i = 0; i < 500; i++)
        a.peers.send(a.ups[0], big);
    bool is_done = false;
    a.peers.shutdown([&] { is_done = true; });
    EXPECT_TRUE(turn_until({&a}, [&] { return is_done; }));
}

TEST(Peers, CountersGoByTheirNames) {
    Counters counters;
    counters.silent = 7;
    bool is_found = false;
    for (auto [name, count] : counters.named())
        is_found = is_found || (name == "silent" && count == 7);
    EXPECT_TRUE(is_found);
}

}  // namespace
}  // namespace xylem::signalling
