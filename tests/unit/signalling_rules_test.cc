// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>

#include "control/signalling/rules.h"

namespace xylem::signalling {
namespace {

constexpr InstanceId kLow{1}, kHigh{2};
const TimePoint kStart{};

proto::Hello valid_hello() {
    proto::Hello hello;
    hello.set_version(kSignallingVersion);
    hello.set_instance(std::string(16, '\x05'));
    hello.set_data_port(7471);
    hello.set_signal_port(7470);
    hello.set_heartbeat_interval_ms(1000);
    hello.set_software("xylemd 0.1");
    return hello;
}

TEST(WhichConnectionStays, TheAcceptorDecidesByThisTable) {
    struct Row {
        InstanceId own, theirs;
        bool is_up, is_own_hello_unanswered;
        AcceptVerdict verdict;
    };
    const Row rows[] = {
        {kLow, kLow, false, false, AcceptVerdict::self},       {kLow, kLow, false, true, AcceptVerdict::self},
        {kLow, kHigh, true, false, AcceptVerdict::known},      {kHigh, kLow, true, false, AcceptVerdict::known},
        {kHigh, kLow, true, true, AcceptVerdict::known},       {kLow, kHigh, false, false, AcceptVerdict::await},
        {kLow, kHigh, false, true, AcceptVerdict::await},      {kHigh, kLow, false, true, AcceptVerdict::hold},
        {kHigh, kLow, false, false, AcceptVerdict::establish},
    };
    for (const Row& row : rows)
        EXPECT_EQ(judge_accepted(row.own, row.theirs, row.is_up, row.is_own_hello_unanswered), row.verdict)
            << &row - rows;
}

TEST(WhichConnectionStays, TheDialerDecidesByThisTable) {
    struct Row {
        InstanceId own, theirs;
        bool is_up, is_known;
        DialVerdict verdict;
    };
    const Row rows[] = {
        {kLow, kLow, false, false, DialVerdict::self},
        {kLow, kHigh, true, false, DialVerdict::existing},
        {kHigh, kLow, true, true, DialVerdict::existing},
        {kLow, kHigh, false, true, DialVerdict::wait},
        {kHigh, kLow, false, true, DialVerdict::wait},
        {kLow, kHigh, false, false, DialVerdict::establish},
        {kHigh, kLow, false, false, DialVerdict::confirm_establish},
    };
    for (const Row& row : rows)
        EXPECT_EQ(judge_dialed(row.own, row.theirs, row.is_up, row.is_known), row.verdict) << &row - rows;
}

// Whoever of two instances dials, exactly one of them decides: the greater.
TEST(WhichConnectionStays, OnlyTheGreaterEstablishesByItself) {
    EXPECT_EQ(judge_accepted(kHigh, kLow, false, false), AcceptVerdict::establish);
    EXPECT_EQ(judge_dialed(kLow, kHigh, false, false), DialVerdict::establish);
    EXPECT_EQ(judge_accepted(kLow, kHigh, false, false), AcceptVerdict::await);
    EXPECT_EQ(judge_dialed(kHigh, kLow, false, false), DialVerdict::confirm_establish);
}

TEST(Liveness, SilenceIsNoticedAfterThreeIntervalsAndNotBefore) {
    Liveness liveness(Milliseconds(500), Milliseconds(1000), kStart);
    EXPECT_FALSE(liveness.is_silent(kStart + Milliseconds(2999)));
    EXPECT_TRUE(liveness.is_silent(kStart + Milliseconds(3000)));
    liveness.heard(kStart + Milliseconds(2000));
    EXPECT_FALSE(liveness.is_silent(kStart + Milliseconds(4999)));
    EXPECT_TRUE(liveness.is_silent(kStart + Milliseconds(5000)));
    EXPECT_EQ(liveness.age(kStart + Milliseconds(2600)), Milliseconds(600));
}

TEST(Liveness, SpeaksAnIntervalAfterTheLastWord) {
    Liveness liveness(Milliseconds(500), Milliseconds(1000), kStart);
    EXPECT_FALSE(liveness.must_speak(kStart + Milliseconds(499)));
    EXPECT_TRUE(liveness.must_speak(kStart + Milliseconds(500)));
    liveness.said(kStart + Milliseconds(400));
    EXPECT_FALSE(liveness.must_speak(kStart + Milliseconds(899)));
}

TEST(Liveness, NextIsTheFirstTimeAtWhichSomethingIsDue) {
    Liveness liveness(Milliseconds(500), Milliseconds(1000), kStart);
    EXPECT_EQ(liveness.next(), kStart + Milliseconds(500));
    liveness.said(kStart + Milliseconds(2800));
    EXPECT_EQ(liveness.next(), kStart + Milliseconds(3000));
}

TEST(HelloCheck, TakesAValidOne) {
    Introduction introduction;
    ASSERT_EQ(check_hello(valid_hello(), introduction), HelloFault::none);
    EXPECT_EQ(to_hex(introduction.instance), "05050505050505050505050505050505");
    EXPECT_EQ(introduction.data_port, 7471);
    EXPECT_EQ(introduction.signal_port, 7470);
    EXPECT_EQ(introduction.heartbeat_interval_ms, 1000u);
    EXPECT_EQ(introduction.software, "xylemd 0.1");
}

TEST(HelloCheck, RefusesFieldsOutsideTheirLimits) {
    auto with = [](auto change) {
        proto::Hello hello = valid_hello();
        change(hello);
        Introduction introduction;
        return check_hello(hello, introduction);
    };
    EXPECT_EQ(with([](auto& h) { h.set_version(kSignallingVersion + 1); }), HelloFault::version);
    EXPECT_EQ(with([](auto& h) { h.clear_version(); }), HelloFault::version);
    EXPECT_EQ(with([](auto& h) { h.set_instance(std::string(15, 'x')); }), HelloFault::bad);
    EXPECT_EQ(with([](auto& h) { h.set_instance(std::string(17, 'x')); }), HelloFault::bad);
    EXPECT_EQ(with([](auto& h) { h.set_data_port(65536); }), HelloFault::bad);
    EXPECT_EQ(with([](auto& h) { h.set_signal_port(65536); }), HelloFault::bad);
    EXPECT_EQ(with([](auto& h) { h.set_heartbeat_interval_ms(0); }), HelloFault::bad);
}

TEST(HelloCheck, TamesWhatIsMerelyStrange) {
    proto::Hello hello = valid_hello();
    hello.set_heartbeat_interval_ms(UINT32_MAX);
    hello.set_software("a\nb\x1b" + std::string(1000, 'x'));
    Introduction introduction;
    ASSERT_EQ(check_hello(hello, introduction), HelloFault::none);
    EXPECT_EQ(introduction.heartbeat_interval_ms, kMaxHeartbeatMs);
    EXPECT_EQ(introduction.software, "a?b?" + std::string(kMaxSoftwareBytes - 4, 'x'));
}

TEST(JoinErrno, IsOneThatAJoinMayGet) {
    EXPECT_EQ(join_errno(EHOSTUNREACH), ENETUNREACH);
    EXPECT_EQ(join_errno(ENETUNREACH), ENETUNREACH);
    EXPECT_EQ(join_errno(EAFNOSUPPORT), ENETUNREACH);
    EXPECT_EQ(join_errno(ECONNREFUSED), ECONNREFUSED);
    EXPECT_EQ(join_errno(ECONNRESET), ECONNREFUSED);
    EXPECT_EQ(join_errno(ETIMEDOUT), ETIMEDOUT);
    EXPECT_EQ(refusal_errno(EPROTONOSUPPORT), EPROTONOSUPPORT);
    EXPECT_EQ(refusal_errno(0), ECONNREFUSED);
    EXPECT_EQ(refusal_errno(-5), ECONNREFUSED);
    EXPECT_EQ(refusal_errno(100000), ECONNREFUSED);
}

TEST(Instance, IsNeverDrawnTwice) {
    InstanceId one = draw_instance(), other = draw_instance();
    EXPECT_NE(one, other);
    EXPECT_EQ(to_hex(one).size(), 32u);
}

}  // namespace
}  // namespace xylem::signalling
