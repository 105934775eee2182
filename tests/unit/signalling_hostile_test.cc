// SPDX-License-Identifier: Apache-2.0
// Invariant 4: what a peer sends can at worst close its own sessions. In each of these an innocent peer stays
// connected.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <functional>
#include <ostream>

#include "tests/unit/signalling_world.h"

namespace xylem::signalling {
namespace {

std::string framed(const proto::Envelope& envelope) {
    std::string out;
    append_frame(envelope, out);
    return out;
}

std::string changed_hello(const std::function<void(proto::Hello&)>& change) {
    proto::Envelope envelope = RawPeer::hello(lowest_instance(66));
    change(*envelope.mutable_hello());
    return framed(envelope);
}

// A daemon, and an innocent peer of it. Hostile ones come from other addresses.
class Hostile : public testing::Test {
  protected:
    static constexpr unsigned kDaemon = 1, kInnocent = 2, kEnemy = 3;

    void start(Config config) {
        daemon_ = std::make_unique<TestHost>(std::move(config));
        ASSERT_TRUE(daemon_->peers.listen());
        auto answer = innocent_.dial(test_address(kDaemon));
        ASSERT_TRUE(turn([&] { return answer->has_value() && daemon_->ups.size() == 1; }));
        ASSERT_TRUE(**answer);
        at_innocent_ = ***answer;
        innocent_at_daemon_ = daemon_->ups[0];
    }
    void SetUp() override { start(test_config(kDaemon)); }
    void TearDown() override { expect_innocent_served(); }

    bool turn(const std::function<bool()>& condition) { return turn_until({daemon_.get(), &innocent_}, condition); }
    const Counters& counters() const { return daemon_->peers.counters(); }
    size_t n_served() { return daemon_->received[innocent_at_daemon_].size(); }

    void expect_innocent_served() {
        size_t n_before = n_served();
        innocent_.peers.send(at_innocent_, numbered(1));
        EXPECT_TRUE(turn([&] { return n_served() > n_before; }));
        EXPECT_TRUE(innocent_.losses.empty());
        for (TestHost::Loss loss : daemon_->losses)
            EXPECT_NE(loss.peer, innocent_at_daemon_);
    }
    // An enemy that the daemon believes to be a peer.
    RawPeer established(const InstanceId& instance = lowest_instance(66), unsigned from = kEnemy) {
        RawPeer enemy(from, kDaemon);
        size_t n_ups = daemon_->ups.size();
        enemy.write(RawPeer::hello(instance));
        EXPECT_TRUE(turn([&] { return daemon_->ups.size() > n_ups; }));
        return enemy;
    }

    std::unique_ptr<TestHost> daemon_;
    TestHost innocent_{kInnocent};
    PeerId at_innocent_ = kNoPeer, innocent_at_daemon_ = kNoPeer;
};

struct Offence {
    const char* name;
    std::string bytes;
    uint64_t Counters::*counter;
    friend std::ostream& operator<<(std::ostream& out, const Offence& offence) { return out << offence.name; }
};
class HostileFirstWords : public Hostile, public testing::WithParamInterface<Offence> {};

TEST_P(HostileFirstWords, EndThatConnectionAlone) {
    RawPeer enemy(kEnemy, kDaemon);
    enemy.write(GetParam().bytes);
    EXPECT_TRUE(turn([&] { return enemy.has_ended(); }));
    EXPECT_EQ(counters().*GetParam().counter, 1u);
    EXPECT_EQ(daemon_->ups.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Table, HostileFirstWords,
    testing::Values(
        Offence{"NoEnvelope", std::string("\0\0\0\3\xff\xff\xff", 7), &Counters::malformed_frame},
        Offence{"Oversized", std::string("\0\1\0\1", 4), &Counters::oversized},
        Offence{"Http", "GET / HTTP/1.1\r\n\r\n", &Counters::oversized},
        Offence{"Empty", std::string("\0\0\0\0", 4), &Counters::empty_frame},
        Offence{"MessageBeforeHello", framed(numbered(1)), &Counters::unexpected},
        Offence{"HeartbeatBeforeHello", framed(RawPeer::heartbeat()), &Counters::unexpected},
        Offence{"ShortInstance", changed_hello([](auto& h) { h.set_instance("short"); }), &Counters::bad_hello},
        Offence{"ImpossiblePort", changed_hello([](auto& h) { h.set_data_port(70000); }), &Counters::bad_hello},
        Offence{"OtherVersion", changed_hello([](auto& h) { h.set_version(99); }), &Counters::version_mismatch}),
    [](const auto& info) { return std::string(info.param.name); });

class HostileLaterWords : public Hostile, public testing::WithParamInterface<Offence> {};

TEST_P(HostileLaterWords, EndThatPeerAlone) {
    RawPeer enemy = established();
    enemy.write(GetParam().bytes);
    EXPECT_TRUE(turn([&] { return daemon_->lost(EPROTO); }));
    EXPECT_EQ(counters().*GetParam().counter, 1u);
    EXPECT_TRUE(turn([&] { return enemy.has_ended(); }));
}

INSTANTIATE_TEST_SUITE_P(
    Table, HostileLaterWords,
    testing::Values(Offence{"NoEnvelope", std::string("\0\0\0\3\xff\xff\xff", 7), &Counters::malformed_frame},
                    Offence{"Oversized", std::string("\xff\xff\xff\xff", 4), &Counters::oversized},
                    Offence{"Empty", std::string("\0\0\0\0", 4), &Counters::empty_frame},
                    Offence{"SecondHello", framed(RawPeer::hello(lowest_instance(66))), &Counters::unexpected},
                    Offence{"HelloOfAnother", framed(RawPeer::hello(lowest_instance(67))), &Counters::unexpected}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(Hostile, AnotherVersionIsToldWhy) {
    RawPeer enemy(kEnemy, kDaemon);
    enemy.write(changed_hello([](auto& h) { h.set_version(99); }));
    ASSERT_TRUE(turn([&] { return enemy.has_received(1); }));
    EXPECT_EQ(enemy.received[0].reject().code(), EPROTONOSUPPORT);
    EXPECT_EQ(enemy.received[0].reject().reason(), "signalling version 99 is not spoken here, only version 1");
    EXPECT_EQ(daemon_->notices.size(), 1u);
}

TEST_F(Hostile, DialToAnotherVersionSaysSo) {
    RawListener listener(9);
    auto answer = daemon_->dial(test_address(9));
    std::unique_ptr<RawPeer> other;
    proto::Envelope refusal;
    refusal.mutable_reject()->set_code(EPROTONOSUPPORT);
    ASSERT_TRUE(turn([&] {
        if (int fd = listener.accept(); fd >= 0) other = std::make_unique<RawPeer>(fd), other->write(refusal);
        return answer->has_value();
    }));
    ASSERT_FALSE(**answer);
    EXPECT_EQ((**answer).error().code, EPROTONOSUPPORT);
}

TEST_F(Hostile, DialToWhatIsNoDaemonIsRefused) {
    RawListener listener(9);
    auto answer = daemon_->dial(test_address(9));
    std::unique_ptr<RawPeer> other;
    ASSERT_TRUE(turn([&] {
        if (int fd = listener.accept(); fd >= 0) other = std::make_unique<RawPeer>(fd), other->write("SSH-2.0-x\r\n");
        return answer->has_value();
    }));
    ASSERT_FALSE(**answer);
    EXPECT_EQ((**answer).error().code, ECONNREFUSED);
    EXPECT_EQ(counters().oversized, 1u);
}

TEST_F(Hostile, PeerThatBreaksOffIsLost) {
    established().break_off();
    EXPECT_TRUE(turn([&] { return daemon_->lost(ECONNRESET); }));
}

TEST_F(Hostile, PeerThatBreaksOffWhileItIsWrittenToIsLostWithTheSameCode) {
    established().break_off();
    daemon_->peers.send(daemon_->ups.back(), numbered(1));
    EXPECT_TRUE(turn([&] { return !daemon_->losses.empty(); }));
    EXPECT_EQ(daemon_->losses[0].code, ECONNRESET);
}

TEST_F(Hostile, PeerThatClosesIsLostAfterItsLastMessage) {
    RawPeer enemy = established();
    PeerId id = daemon_->ups.back();
    enemy.write(numbered(5));
    enemy.close();
    EXPECT_TRUE(turn([&] { return !daemon_->losses.empty(); }));
    EXPECT_EQ(daemon_->received[id], std::vector<uint64_t>{5});
    EXPECT_EQ(daemon_->losses[0].peer, id);
    EXPECT_FALSE(daemon_->peers.facts(id));
}

// Any process of the peer's host can say that it listens at the daemon's port.
TEST_F(Hostile, ANewInstanceAtAPeersAddressEndsNobody_Invariant4) {
    RawPeer real = established(lowest_instance(66));
    PeerId real_id = daemon_->ups.back();
    ASSERT_TRUE(turn([&] { return real.has_received(1); }));
    RawPeer stranger = established(lowest_instance(67));
    PeerId stranger_id = daemon_->ups.back();
    EXPECT_NE(stranger_id, real_id);
    EXPECT_TRUE(turn([&] { return real.has_received(2); })) << "it is asked for a sign of life";
    EXPECT_TRUE(real.received[1].has_heartbeat());
    EXPECT_TRUE(daemon_->losses.empty());

    real.break_off();  // what the kernel of a host that has started anew says to that
    EXPECT_TRUE(turn([&] { return daemon_->losses.size() == 1; }));
    EXPECT_EQ(daemon_->losses[0].peer, real_id);
    auto answer = daemon_->dial(test_address(kEnemy));
    ASSERT_TRUE(turn([&] { return answer->has_value(); }));
    EXPECT_EQ(***answer, stranger_id) << "the only one left that says it is there";
    EXPECT_EQ(counters().dialed, 0u);
}

TEST_F(Hostile, ADialFindsOutWhoOfTwoIsAtTheAddress_Invariant4) {
    RawPeer stranger = established(lowest_instance(66));
    RawPeer real = established(lowest_instance(67));
    PeerId real_id = daemon_->ups.back();
    RawListener listener(kEnemy);
    auto answer = daemon_->dial(test_address(kEnemy));
    int fd = -1;
    ASSERT_TRUE(turn([&] { return (fd = listener.accept()) >= 0; })) << "neither is believed";
    RawPeer dialed(fd);
    proto::Envelope known = RawPeer::hello(lowest_instance(67));
    known.mutable_hello()->set_is_known(true);
    dialed.write(known);
    ASSERT_TRUE(turn([&] { return answer->has_value(); }));
    EXPECT_EQ(***answer, real_id);

    RawPeer another = established(lowest_instance(68));
    auto again = daemon_->dial(test_address(kEnemy));
    ASSERT_TRUE(turn([&] { return again->has_value(); }));
    EXPECT_EQ(***again, real_id) << "it was found there";
    EXPECT_EQ(counters().dialed, 1u);
    EXPECT_TRUE(daemon_->losses.empty());
}

TEST_F(Hostile, TwoDaemonsOfOneHostAreTwoPeers) {
    RawPeer one = established(lowest_instance(66));
    RawPeer other(kEnemy, kDaemon);
    other.write(RawPeer::hello(lowest_instance(67), kTestPort + 1));
    EXPECT_TRUE(turn([&] { return daemon_->ups.size() == 3; }));
    EXPECT_TRUE(daemon_->losses.empty());
    EXPECT_EQ(daemon_->peers.list().size(), 3u);
}

// A stranger says the innocent's instance id, from its own address; then another id from there.
TEST_F(Hostile, RepeatedInstanceIdTakesNothingOver) {
    std::string hex = innocent_.peers.facts(kSelf)->instance;
    InstanceId stolen;
    for (size_t i = 0; i < stolen.size(); i++)
        stolen[i] = static_cast<uint8_t>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));

    RawPeer enemy(kEnemy, kDaemon);
    enemy.write(RawPeer::hello(stolen));
    ASSERT_TRUE(turn([&] { return enemy.has_received(1) && enemy.has_ended(); }));
    EXPECT_TRUE(enemy.received[0].hello().is_known());
    EXPECT_EQ(daemon_->ups.size(), 1u);
    EXPECT_EQ(daemon_->peers.facts(innocent_at_daemon_)->addresses.size(), 2u);

    RawPeer later = established(lowest_instance(67));
    EXPECT_TRUE(daemon_->losses.empty());
    EXPECT_EQ(daemon_->peers.facts(innocent_at_daemon_)->addresses.size(), 1u);
}

// The greater instance opens two connections and confirms both.
TEST_F(Hostile, SecondConfirmationIsUnexpected) {
    RawPeer one(kEnemy, kDaemon), other(kEnemy, kDaemon);
    for (RawPeer* enemy : {&one, &other})
        enemy->write(RawPeer::hello(highest_instance(66)));
    ASSERT_TRUE(turn([&] { return one.has_received(1) && other.has_received(1); }));
    EXPECT_EQ(daemon_->ups.size(), 1u) << "up before it was confirmed";
    for (RawPeer* enemy : {&one, &other})
        enemy->write(RawPeer::heartbeat());
    EXPECT_TRUE(turn([&] { return counters().unexpected == 1; }));
    EXPECT_EQ(daemon_->ups.size(), 2u);
    EXPECT_TRUE(daemon_->losses.empty());
}

TEST_F(Hostile, MessageInPlaceOfTheConfirmationIsUnexpected) {
    RawPeer enemy(kEnemy, kDaemon);
    enemy.write(RawPeer::hello(highest_instance(66)));
    enemy.write(numbered(1));
    EXPECT_TRUE(turn([&] { return enemy.has_ended(); }));
    EXPECT_EQ(counters().unexpected, 1u);
    EXPECT_EQ(daemon_->ups.size(), 1u);
}

TEST_F(Hostile, FloodDoesNotKeepOthersWaiting) {
    RawPeer enemy = established();
    std::string burst;
    for (int i = 0; i < 5000; i++)
        append_frame(RawPeer::heartbeat(), burst);
    size_t n_turns = 0;
    innocent_.peers.send(at_innocent_, numbered(1));
    // Each turn of the loop is fed more than it can read; the innocent is served in the meantime.
    EXPECT_TRUE(turn([&] {
        n_turns++;
        enemy.write(burst);
        return n_served() == 1;
    }));
    EXPECT_GT(n_turns, 0u);
}

struct SmallLimits : Hostile {
    void SetUp() override {
        Config config = test_config(kDaemon);
        config.max_half_open = 4;
        config.max_peers = 3;
        config.max_queued_bytes = 100000;
        start(config);
    }
};

TEST_F(SmallLimits, OldestOfTooManyHalfOpenConnectionsIsEnded) {
    std::vector<RawPeer> crowd;
    for (int i = 0; i < 6; i++) {
        crowd.emplace_back(kEnemy, kDaemon);
        ASSERT_TRUE(turn([&] { return counters().accepted == static_cast<uint64_t>(i) + 2; }));
    }
    EXPECT_EQ(counters().half_open_evicted, 2u);
    EXPECT_TRUE(turn([&] { return crowd[0].has_ended() && crowd[1].has_ended(); }));
    EXPECT_FALSE(crowd[2].has_ended());
    crowd[5].write(RawPeer::hello(lowest_instance(66)));
    EXPECT_TRUE(turn([&] { return daemon_->ups.size() == 2; }));
}

TEST_F(SmallLimits, PeersBeyondTheLimitAreRefused) {
    RawPeer one = established(lowest_instance(66), 4), other = established(lowest_instance(67), 5);
    RawPeer late(6, kDaemon);
    late.write(RawPeer::hello(lowest_instance(68)));
    ASSERT_TRUE(turn([&] { return late.has_received(1); }));
    EXPECT_EQ(late.received[0].reject().code(), ECONNREFUSED);
    EXPECT_EQ(counters().too_many_peers, 1u);
    EXPECT_TRUE(daemon_->losses.empty());
}

TEST_F(SmallLimits, PeerThatLetsTooMuchWaitIsLost) {
    RawPeer deaf = established();
    PeerId id = daemon_->ups.back();
    proto::Envelope big = numbered(1);
    big.mutable_leave()->set_disconnect_data(std::string(60000, 'x'));
    EXPECT_TRUE(turn([&] {
        daemon_->peers.send(id, big);
        return daemon_->lost(ENOBUFS);
    }));
    EXPECT_EQ(counters().slow_reader, 1u);
}

TEST_F(Hostile, MessageOfOursThatFitsNoFrameEndsItsPeerAlone) {
    RawPeer other = established();
    proto::Envelope huge = numbered(1);
    huge.mutable_leave()->set_disconnect_data(std::string(kMaxEnvelopeBytes, 'x'));
    daemon_->peers.send(daemon_->ups.back(), huge);
    EXPECT_TRUE(daemon_->losses.empty()) << "told before send() returned";
    EXPECT_TRUE(turn([&] { return daemon_->lost(EMSGSIZE); }));
    EXPECT_EQ(counters().too_long_to_send, 1u);
}

struct ShortTimes : Hostile {
    void SetUp() override {
        Config config = test_config(kDaemon);
        config.hello_timeout_ms = 50;
        config.write_stall_ms = 100;
        config.heartbeat_interval_ms = 200;  // the innocent allows 600, so that a stolen CPU ends nothing
        config.max_queued_bytes = 64 << 20;
        start(config);
    }
};

TEST_F(ShortTimes, ConnectionWithoutHelloIsEnded) {
    RawPeer mute(kEnemy, kDaemon);
    EXPECT_TRUE(turn([&] { return mute.has_ended(); }));
    EXPECT_EQ(counters().hello_timeout, 1u);
}

TEST_F(ShortTimes, HalfAFrameThenSilenceIsEnded) {
    RawPeer enemy(kEnemy, kDaemon);
    enemy.write(framed(RawPeer::hello(lowest_instance(66))).substr(0, 9));
    EXPECT_TRUE(turn([&] { return enemy.has_ended(); }));
    EXPECT_EQ(counters().hello_timeout, 1u);
}

TEST_F(ShortTimes, DripDoesNotProlongTheHello) {
    RawPeer enemy(kEnemy, kDaemon);
    std::string hello = std::string("\0\0\xff\xff", 4);
    enemy.write(hello);
    EXPECT_TRUE(turn([&] {
        enemy.write("x");
        return counters().hello_timeout == 1;
    }));
}

TEST_F(ShortTimes, UnconfirmedConnectionIsEnded) {
    RawPeer enemy(kEnemy, kDaemon);
    enemy.write(RawPeer::hello(highest_instance(66)));
    EXPECT_TRUE(turn([&] { return enemy.has_ended(); }));
    EXPECT_EQ(counters().hello_timeout, 1u);
    EXPECT_EQ(daemon_->ups.size(), 1u);
}

TEST_F(ShortTimes, SilentPeerIsLost) {
    RawPeer enemy(kEnemy, kDaemon);
    enemy.write(changed_hello([](auto& h) { h.set_heartbeat_interval_ms(20); }));
    EXPECT_TRUE(turn([&] { return daemon_->lost(ETIMEDOUT); }));
    EXPECT_EQ(counters().silent, 1u);
}

// Its words are there; it was the daemon that did not read.
TEST_F(ShortTimes, PeerIsNotSilentWhenItWasTheDaemonThatStoodStill) {
    RawPeer other(kEnemy, kDaemon);
    other.write(changed_hello([](auto& h) { h.set_heartbeat_interval_ms(20); }));
    ASSERT_TRUE(turn([&] { return daemon_->ups.size() == 2; }));
    for (int round = 0; round < 5; round++) {
        other.write(numbered(1));
        auto later = Clock::now() + Milliseconds(70);
        ASSERT_TRUE(turn_until({&innocent_}, [&] { return Clock::now() > later; }));
        daemon_->context.poll();
        ASSERT_TRUE(daemon_->losses.empty()) << "round " << round;
    }
}

TEST_F(ShortTimes, PeerThatBeatsStaysAndIsBeatenTo) {
    RawPeer other(kEnemy, kDaemon);
    other.write(changed_hello([](auto& h) { h.set_heartbeat_interval_ms(200); }));
    EXPECT_TRUE(turn([&] {
        other.write(RawPeer::heartbeat());
        return other.has_received(6);
    }));
    EXPECT_TRUE(daemon_->losses.empty());
    EXPECT_TRUE(other.received.back().has_heartbeat());
}

TEST_F(ShortTimes, PeerThatBeatsButNeverReadsIsLost) {
    RawPeer deaf = established();
    proto::Envelope big = numbered(1);
    big.mutable_leave()->set_disconnect_data(std::string(60000, 'x'));
    for (int i = 0; i < 500; i++)
        daemon_->peers.send(daemon_->ups.back(), big);
    EXPECT_TRUE(turn([&] {
        deaf.write(RawPeer::heartbeat());
        return daemon_->lost(ENOBUFS);
    }));
    EXPECT_EQ(counters().slow_reader, 1u);
}

// While no descriptor is free.
TEST_F(Hostile, DaemonOutOfDescriptorsPausesAndGoesOn) {
    rlimit before;
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    RawPeer waiting(kEnemy, kDaemon);
    rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    auto answer = daemon_->dial(test_address(9));
    bool has_paused = turn([&] { return counters().accept_paused == 1 && answer->has_value(); });
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);

    EXPECT_TRUE(has_paused);
    EXPECT_EQ((**answer).error().code, EMFILE);
    EXPECT_EQ(daemon_->notices, std::vector<std::string>{"accepting connections pauses: Too many open files"});
    waiting.write(RawPeer::hello(lowest_instance(66)));
    EXPECT_TRUE(turn([&] { return daemon_->ups.size() == 2; }));
}

}  // namespace
}  // namespace xylem::signalling
