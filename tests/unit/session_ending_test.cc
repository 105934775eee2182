// SPDX-License-Identifier: Apache-2.0
// How sessions end (docs/winsock.md 1.G, 1.K, 1.O), slow leaves, and what peers may not do.
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "tests/unit/session_world.h"

namespace xylem::session {

constexpr uint16_t kPort = 5000;

struct Ending : testing::Test {
    World w;
    TestApp root{w.a}, one{w.b}, two{w.b};
    uint32_t s = 0, l1 = 0, l2 = 0, f1 = 0, f2 = 0;

    void join(TestApp& app, uint32_t& l, uint32_t& f, int type, uint32_t direction = XY_BOTH) {
        l = app.leaf(type);
        ASSERT_EQ(app.join(l, w.a.address(), kPort, direction).error, 0);
        w.run();
        auto accepted = root.accept(s);
        w.run();
        ASSERT_EQ(accepted->error, 0);
        f = socket_in(*accepted);
    }
    void start(int type = SOCK_RDM) {
        s = root.root(kPort, type);
        join(one, l1, f1, type);
        join(two, l2, f2, type);
    }
    struct xy_leaf_stats row(unsigned i) {
        return root.rows(s).at(i);
    }
    void expect_nothing_left() {
        root.die();
        one.die();
        two.die();
        w.run();
        w.pass(100);
        EXPECT_EQ(w.leftovers(), "");
        EXPECT_TRUE(w.a.network.watches.empty() && w.b.network.watches.empty());
    }
};

TEST_F(Ending, LeafThatLeavesDisturbsNobody_W100_Invariant5) {
    start();
    root.commit(s, abi::position(4, 0));
    w.read_and_carry();
    EXPECT_EQ(one.close(l1), 0);
    w.run();
    EXPECT_EQ(root.end_code(f1), 0);
    EXPECT_EQ(root.end_code(f2), -1);
    EXPECT_EQ(two.end_code(l2), -1);
    EXPECT_EQ(root.facts(s).leaves, 1U);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_LEFT));
    EXPECT_EQ(row(0).state, static_cast<uint32_t>(XY_LEAF_ENDED));
    EXPECT_EQ(row(1).state, static_cast<uint32_t>(XY_LEAF_LIVE));
    root.commit(s, abi::position(8, 0));
    w.carry();
    EXPECT_EQ(two.reader(l2)->image->published, abi::position(8, 0));
    EXPECT_EQ(root.close(f1), 0);
    EXPECT_EQ(root.rows(s).size(), 1U);
    expect_nothing_left();
}

TEST_F(Ending, LeafWhoseApplicationDiesIsAResetAndDisturbsNobody_W176) {
    start();
    one.die();
    w.run();
    EXPECT_EQ(root.end_code(f1), ECONNRESET);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_APP_DIED));
    EXPECT_EQ(root.end_code(f2), -1);
    root.commit(s, abi::position(8, 0));
    w.carry();
    EXPECT_EQ(two.reader(l2)->image->published, abi::position(8, 0));
    expect_nothing_left();
}

TEST_F(Ending, RootsCloseIsSeenAfterTheLastByte_W160_W163_W165) {
    start();
    root.commit(s, abi::position(4, 16));
    EXPECT_EQ(root.close(s), 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(one.reader(l1)->image->final, abi::position(4, 16));
    EXPECT_EQ(root.end_code(f1), -1) << "a leaf has not taken everything yet";
    w.carry();
    one.reader(l1)->consumed = abi::position(4, 16);
    w.carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f1), 0);
    EXPECT_EQ(root.end_code(f2), -1);
    w.read_and_carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f2), 0);
    EXPECT_EQ(w.a.engine.stream_of(root.id(), s), nullptr) << "the stream goes when nobody needs it";
    EXPECT_EQ(root.close(f1), 0);
    expect_nothing_left();
}

TEST_F(Ending, ShutdownEndsTheSessionAndKeepsTheDescriptors_W161_W162) {
    start();
    root.commit(s, abi::position(2, 0));
    EXPECT_EQ(root.shutdown(s, 9), EINVAL);
    EXPECT_EQ(root.shutdown(s, SHUT_RD), 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), -1);
    EXPECT_EQ(root.shutdown(s, SHUT_WR), 0);
    w.read_and_carry();
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(root.end_code(f1), 0);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_CLOSED));
    EXPECT_EQ(row(0).confirmed_bytes, row(0).sent_bytes);
    EXPECT_EQ(root.join(s, w.b.address(), 9).error, ESHUTDOWN);
    const uint32_t late = two.leaf();
    two.join(late, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(two.outcome(late), ECONNREFUSED);
    // The other direction goes on: what a leaf sends after it is still read.
    one.commit(l1, abi::position(1, 0));
    w.carry();
    EXPECT_EQ(root.reader(s)->image->published, abi::position(1, 0));
    EXPECT_EQ(root.close(s), 0);
    w.run();
    expect_nothing_left();
}

TEST_F(Ending, BestEffortIsClosedWhenItWasSent) {
    start(SOCK_DGRAM);
    root.commit(s, abi::position(2, 0));
    root.close(s);
    w.carry();
    w.pass(100);
    EXPECT_EQ(one.end_code(l1), 0);
    w.read_and_carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f1), 0);
    expect_nothing_left();
}

TEST_F(Ending, AnAbortiveCloseResetsTheLeaves_W170) {
    start();
    root.commit(s, abi::position(2, 0));
    EXPECT_EQ(root.close(s, true), 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), ECONNRESET);
    EXPECT_EQ(two.end_code(l2), ECONNRESET);
    EXPECT_EQ(one.join(l1, w.a.address(), kPort).error, EISCONN);  // W-175
    expect_nothing_left();
}

TEST_F(Ending, ALingeringRootIsDeliveredWhenEveryLeafHasTakenEverything_W170) {
    using enum abi::CloseHow;
    start();
    root.commit(s, abi::position(4, 0));
    w.carry();
    EXPECT_EQ(root.close(s, kAsk), EAGAIN);
    EXPECT_EQ(one.end_code(l1), -1) << "no disconnect has begun";  // W-171
    EXPECT_EQ(root.close(s, kLinger), 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(root.facts(s).has_delivered, 0U);
    one.reader(l1)->consumed = abi::position(4, 0);
    w.carry();
    w.pass(100);
    EXPECT_EQ(root.facts(s).has_delivered, 0U) << "the other has not";
    w.read_and_carry();
    w.pass(100);
    EXPECT_EQ(root.facts(s).has_delivered, 1U);
    EXPECT_EQ(root.close(s, kAsk), 0);
    EXPECT_EQ(root.close(s), 0);
    w.run();
    EXPECT_EQ(two.end_code(l2), 0);
    EXPECT_EQ(root.end_code(f2), 0);
    expect_nothing_left();
}

TEST_F(Ending, WhatALingeringRootHasNotDeliveredInTimeIsReset_W170) {
    start();
    root.commit(s, abi::position(4, 0));
    w.carry();
    one.reader(l1)->consumed = abi::position(4, 0);
    EXPECT_EQ(root.close(s, abi::CloseHow::kLinger), 0);
    w.carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f1), 0);
    EXPECT_EQ(root.close(s, true), 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), 0) << "it has everything";
    EXPECT_EQ(two.end_code(l2), ECONNRESET);
    EXPECT_EQ(root.end_code(f2), ECONNRESET);
    expect_nothing_left();
}

TEST_F(Ending, ALingeringLeafIsDeliveredWhenTheRootHasTakenEverything_W170_W171) {
    using enum abi::CloseHow;
    start();
    EXPECT_EQ(one.close(l1, kAsk), 0);
    one.commit(l1, abi::position(3, 0));
    w.carry();
    EXPECT_EQ(one.close(l1, kAsk), EAGAIN);
    EXPECT_EQ(one.close(l1, kLinger), 0);
    w.carry();
    EXPECT_EQ(one.reader(l1), nullptr) << "it takes nothing more, and holds nobody up";
    EXPECT_EQ(one.facts(l1).has_delivered, 0U);
    EXPECT_EQ(root.end_code(f1), -1);
    w.read_and_carry();
    w.pass(100);
    EXPECT_EQ(one.facts(l1).has_delivered, 1U);
    EXPECT_EQ(one.close(l1), 0);
    w.read_and_carry();
    EXPECT_EQ(root.end_code(f1), 0);
    two.commit(l2, abi::position(3, 0));
    w.carry();
    EXPECT_EQ(two.close(l2, kLinger), 0);
    w.run();
    EXPECT_EQ(two.close(l2, true), 0);  // its time is over
    w.run();
    EXPECT_EQ(root.end_code(f2), ECONNRESET);
    expect_nothing_left();
}

TEST_F(Ending, ASocketThatHasSentNothingLingersNotAtAll_W170) {
    using enum abi::CloseHow;
    start();
    const uint32_t fresh = one.leaf();
    for (const auto& [app, socket] : {std::pair{&root, s}, {&one, l1}, {&root, f1}, {&one, fresh}}) {
        EXPECT_EQ(app->close(socket, kAsk), 0);
        EXPECT_EQ(app->close(socket, kLinger), 0);
        EXPECT_EQ(app->facts(socket).has_delivered, 1U);
    }
    EXPECT_EQ(one.s().close(*one.app, l1, {.how = 4, .reserved_zero = 0}).error, EINVAL);
    w.run();
    expect_nothing_left();
}

TEST_F(Ending, BestEffortIsDeliveredWhenItHasGoneOut_W170) {
    start(SOCK_DGRAM);
    root.commit(s, abi::position(2, 0));
    w.a.engine.stream_of(root.id(), s)->held_at = abi::position(1, 0);
    EXPECT_EQ(root.close(s, abi::CloseHow::kAsk), EAGAIN);
    w.a.engine.stream_of(root.id(), s)->held_at = abi::kNoPosition;
    EXPECT_EQ(root.close(s, abi::CloseHow::kAsk), 0);
    root.close(s);
    w.read_and_carry();
    expect_nothing_left();
}

TEST_F(Ending, TheRootsDeathBreaksTheSession_W020) {
    start();
    root.die();
    w.run();
    EXPECT_EQ(one.end_code(l1), ECONNRESET);
    EXPECT_EQ(two.end_code(l2), ECONNRESET);
    EXPECT_EQ(w.a.engine.leftovers(), "");
    expect_nothing_left();
}

TEST_F(Ending, ClosingAHandleSendsThatLeafAway_W101) {
    s = root.root(kPort);
    TestApp local{w.a};
    join(one, l1, f1, SOCK_RDM);
    join(local, l2, f2, SOCK_RDM);
    root.commit(s, abi::position(2, 0));
    w.carry();
    EXPECT_EQ(root.close(f1), 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(one.reader(l1)->image->final, abi::position(2, 0));
    EXPECT_EQ(local.end_code(l2), -1);
    EXPECT_EQ(root.rows(s).size(), 1U);
    EXPECT_EQ(root.facts(s).leaves, 1U);
    local.die();
    expect_nothing_left();
}

TEST_F(Ending, ALeafSentAwayAloneReadsUpToThereWhileTheImageGoesOn_W101_W165) {
    start();
    root.commit(s, abi::position(2, 0));
    w.carry();
    EXPECT_EQ(root.close(f1), 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(one.facts(l1).read_end, abi::position(2, 0));
    EXPECT_EQ(one.reader(l1)->image->final, abi::kNoPosition);
    EXPECT_EQ(two.end_code(l2), -1);
    EXPECT_EQ(two.facts(l2).read_end, abi::kNoPosition);
    root.commit(s, abi::position(6, 0));
    w.carry();
    EXPECT_EQ(two.reader(l2)->image->published, abi::position(6, 0));
    ASSERT_NE(one.reader(l1), nullptr) << "what it was sent is still its";
    one.reader(l1)->consumed = abi::position(2, 0);
    w.pass(100);
    EXPECT_EQ(one.reader(l1), nullptr) << "it no longer holds the image";
    EXPECT_EQ(one.end_code(l1), 0);
    expect_nothing_left();
}

TEST_F(Ending, ALeafSentAwayThatReadsNothingHoldsTheOthersUpNoLongerThanASlowOne_W101) {
    start();
    root.commit(s, abi::position(2, 0));
    w.carry();
    EXPECT_EQ(root.close(f1), 0);
    w.run();
    root.commit(s, abi::cell_start(800));
    w.carry();
    two.reader(l2)->consumed = abi::cell_start(800);
    w.pass(2000);
    EXPECT_EQ(one.end_code(l1), ECONNABORTED);
    EXPECT_EQ(one.reader(l1), nullptr);
    EXPECT_EQ(two.end_code(l2), -1);
    expect_nothing_left();
}

TEST_F(Ending, ALeafSentAwayWithDisconnectDataHasConfirmedWhenItHasReadUpToThere_W235) {
    start();
    root.commit(s, abi::position(2, 0));
    w.carry();
    EXPECT_EQ(root.s().send_disconnect(*root.app, f1, abi::BlobBody{}).error, 0);
    w.run();
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(root.end_code(f1), -1);
    one.reader(l1)->consumed = abi::position(2, 0);
    w.pass(100);
    EXPECT_EQ(root.end_code(f1), 0);
    expect_nothing_left();
}

TEST_F(Ending, TheRootsCloseReleasesLeavesWhoseHandlesWereLost_W107) {
    start();
    root.close(s);
    w.read_and_carry();
    EXPECT_EQ(one.end_code(l1), 0);
    one.close(l1);
    two.close(l2);
    w.run();
    root.die();
    w.run();
    EXPECT_EQ(w.a.engine.leftovers(), "");
    expect_nothing_left();
}

TEST_F(Ending, WhatALeafSentBeforeItClosedIsReadBeforeFdClose_W165) {
    start();
    one.commit(l1, abi::position(3, 0));
    EXPECT_EQ(one.close(l1), 0);
    one.die();  // it had closed: that is no crash
    w.carry();
    EXPECT_EQ(root.end_code(f1), -1);
    EXPECT_EQ(root.reader(s)->image->published, abi::position(3, 0));
    w.read_and_carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f1), 0);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_LEFT));
    expect_nothing_left();
}

TEST_F(Ending, ALingeringLeafGoesWhenTheRootIsGone) {
    start();
    one.commit(l1, abi::position(3, 0));
    one.close(l1);
    w.run();
    root.die();
    w.run();
    one.die();
    w.run();
    expect_nothing_left();
}

TEST_F(Ending, ALeafMayEndItsOwnStreamAndReadOn_W174_W254) {
    start();
    const uint32_t fresh = one.leaf();
    EXPECT_EQ(one.shutdown(fresh), ENOTCONN);
    EXPECT_EQ(root.shutdown(f1), EOPNOTSUPP);
    one.commit(l1, abi::position(3, 0));
    EXPECT_EQ(one.shutdown(l1, SHUT_WR), 0);
    EXPECT_EQ(one.s().make_log(*one.app, l1).error, ESHUTDOWN);
    w.read_and_carry();
    EXPECT_EQ(root.reader(s) != nullptr, true);
    EXPECT_EQ(root.end_code(f1), -1);
    root.commit(s, abi::position(4, 0));
    w.carry();
    EXPECT_EQ(one.reader(l1)->image->published, abi::position(4, 0));
    uint32_t l3 = 0, f3 = 0;
    join(one, l3, f3, SOCK_RDM, XY_RECEIVER_ONLY);
    EXPECT_EQ(one.shutdown(l3, SHUT_WR), EINVAL);
    EXPECT_EQ(one.shutdown(l3, SHUT_RD), 0);
    w.run();
    EXPECT_EQ(one.reader(l3), nullptr) << "it holds nobody";
    expect_nothing_left();
}

TEST_F(Ending, DisconnectDataGoBothWays_W231_W233_W234_W235) {
    start();
    auto blob = [](const char* text) {
        abi::BlobBody body{};
        body.bytes = static_cast<uint32_t>(std::strlen(text));
        std::memcpy(body.blob, text, body.bytes);
        return body;
    };
    auto received = [](TestApp& app, uint32_t socket) {
        const auto body = body_in<abi::BlobBody>(app.s().recv_disconnect(*app.app, socket));
        return std::string(reinterpret_cast<const char*>(body.blob), body.bytes);
    };
    EXPECT_EQ(one.s().recv_disconnect(*one.app, l1).error, ENOTCONN);
    EXPECT_EQ(one.s().send_disconnect(*one.app, l1, blob("bye from one")).error, 0);
    w.run();
    EXPECT_EQ(root.end_code(f1), 0);
    EXPECT_EQ(received(root, f1), "bye from one");
    EXPECT_EQ(root.end_code(f2), -1);
    EXPECT_EQ(root.s().send_disconnect(*root.app, s, blob("bye from the root")).error, 0);
    w.run();
    EXPECT_EQ(received(one, l1), "bye from the root");
    EXPECT_EQ(received(two, l2), "bye from the root");
    expect_nothing_left();
}

TEST_F(Ending, ALostHostIsAbortedAtBothEnds_W164) {
    start();
    TestApp local{w.a};
    uint32_t l3 = 0, f3 = 0;
    join(local, l3, f3, SOCK_RDM);
    w.cut();
    w.run();
    EXPECT_EQ(one.end_code(l1), ECONNABORTED);
    EXPECT_EQ(two.end_code(l2), ECONNABORTED);
    EXPECT_EQ(root.end_code(f1), ECONNABORTED);
    EXPECT_EQ(root.end_code(f2), ECONNABORTED);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_PEER_LOST));
    EXPECT_EQ(root.end_code(f3), -1);
    EXPECT_EQ(local.end_code(l3), -1);
    EXPECT_EQ(w.b.engine.images().size(), 0U);
    local.die();
    expect_nothing_left();
}

TEST_F(Ending, AReaderThatHoldsTheImageBackIsEvictedAlone) {
    start();
    const engine::Position nearly_full = abi::position(1024 * 3 / 4, 0);
    root.commit(s, nearly_full);
    w.carry();
    two.reader(l2)->consumed = nearly_full;
    w.pass(900);
    EXPECT_EQ(one.end_code(l1), -1);
    one.reader(l1)->consumed = 8;  // progress
    root.commit(s, nearly_full + abi::position(1, 0));
    w.carry();
    w.pass(900);
    EXPECT_EQ(one.end_code(l1), -1);
    w.pass(300);
    EXPECT_EQ(one.end_code(l1), ECONNABORTED);
    EXPECT_EQ(root.end_code(f1), ECONNABORTED);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_SLOW));
    EXPECT_EQ(two.end_code(l2), -1);
    EXPECT_EQ(root.end_code(f2), -1);
    expect_nothing_left();
}

TEST_F(Ending, ALeafThatClosesAsSoonAsItHasReadTheEndHasConfirmedIt) {
    start();
    root.commit(s, abi::position(4, 0));
    root.shutdown(s);
    w.carry();
    one.reader(l1)->consumed = abi::position(4, 0);
    one.close(l1);  // before the engine has told of the end
    two.close(l2);  // and this one without having read
    w.run();
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_CLOSED));
    EXPECT_EQ(row(1).reason, static_cast<uint32_t>(XY_END_LEFT));
    EXPECT_EQ(root.end_code(f1), 0);
    expect_nothing_left();
}

TEST_F(Ending, AnEndThatCannotBeReadAnyMoreIsAnError_W164) {
    start();
    root.commit(s, abi::position(4, 0));
    root.close(s);
    w.run();
    EXPECT_EQ(one.end_code(l1), 0);
    w.cut();
    w.run();
    EXPECT_EQ(one.end_code(l1), ECONNABORTED);
    expect_nothing_left();
}

TEST_F(Ending, AReaderThatHoldsNobodyBackMayTakeItsTime) {
    start();
    root.commit(s, abi::position(100, 0));
    w.carry();
    w.pass(10000);
    EXPECT_EQ(one.end_code(l1), -1);
    EXPECT_EQ(root.end_code(f1), -1);
    root.close(s);
    w.run();
    w.pass(10000);
    EXPECT_EQ(one.end_code(l1), 0) << "and so when the root has closed";
    EXPECT_EQ(one.reader(l1)->image->published, abi::position(100, 0));
    w.read_and_carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f1), 0);
    expect_nothing_left();
}

class Lingering : public Ending, public testing::WithParamInterface<int> {};

TEST_P(Lingering, AClosedRootWhoseLeavesDoNotReadIsGivenUp) {
    start(GetParam());
    root.commit(s, abi::position(100, 0));
    w.carry();
    root.close(s);
    w.carry();
    w.pass(100);
    root.die();
    w.run();
    w.pass(29'000);
    EXPECT_NE(w.a.engine.leftovers(), "") << "it delivers";
    w.pass(2'000);
    EXPECT_EQ(w.a.engine.leftovers(), "");
    EXPECT_EQ(w.a.sessions->n_engine_objects(), 0U);
    w.read_and_carry();
    EXPECT_EQ(one.reader(l1)->consumed, abi::position(100, 0)) << "what has arrived is the leaf's";
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(two.end_code(l2), 0);
    one.die();
    two.die();
    w.run();
    EXPECT_EQ(w.leftovers(), "");
    EXPECT_TRUE(w.a.sessions->violations().empty() && w.b.sessions->violations().empty());
}

TEST_P(Lingering, AClosedRootWhoseLeavesReadOnIsNot) {
    start(GetParam());
    root.commit(s, abi::position(100, 0));
    w.carry();
    root.close(s);
    w.carry();
    w.pass(29'000);
    one.reader(l1)->consumed = abi::position(100, 0);
    w.carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f1), 0);
    w.pass(29'000);
    EXPECT_EQ(root.end_code(f2), -1);
    two.reader(l2)->consumed = abi::position(100, 0);
    w.carry();
    w.pass(100);
    EXPECT_EQ(root.end_code(f2), 0);
    expect_nothing_left();
}

INSTANTIATE_TEST_SUITE_P(Types, Lingering, testing::Values(SOCK_RDM, SOCK_DGRAM));

TEST_F(Ending, AHostThatTakesNothingIsEvictedAfterTwiceTheTime) {
    start();
    root.commit(s, abi::position(10, 0));  // and nothing arrives
    w.pass(1900);
    EXPECT_EQ(root.end_code(f1), -1);
    w.pass(300);
    EXPECT_EQ(root.end_code(f1), ECONNABORTED);
    EXPECT_EQ(root.end_code(f2), ECONNABORTED);
    EXPECT_EQ(one.end_code(l1), ECONNABORTED);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_SLOW));
    expect_nothing_left();
}

TEST_F(Ending, ALeafThatGivesUpWhileTheRootClosesHasLeft_W119) {
    s = root.root(kPort);
    l1 = one.leaf();
    one.join(l1, w.a.address(), kPort);
    w.run();
    auto accepted = root.accept(s);
    while (w.a.engine.step()) {
    }
    ASSERT_EQ(accepted->error, 0);
    f1 = socket_in(*accepted);
    root.shutdown(s);  // its Close is on the way behind the JoinAccept
    one.close(l1);     // and the leaf's Cancel comes towards them
    w.run();
    EXPECT_EQ(root.end_code(f1), 0);
    EXPECT_EQ(row(0).reason, static_cast<uint32_t>(XY_END_LEFT));
    EXPECT_TRUE(w.a.sessions->violations().empty());
    expect_nothing_left();
}

TEST_F(Ending, AHostThatWaitsForAnotherIsNotToBlame_Invariant5) {
    s = root.root(kPort);
    TestApp local{w.a};
    join(one, l1, f1, SOCK_RDM);
    join(local, l2, f2, SOCK_RDM);
    root.commit(s, abi::position(10, 0));
    w.a.engine.deliver(w.a.engine);  // to the leaf here; the other host gets nothing
    local.reader(l2)->consumed = abi::position(10, 0);
    w.a.engine.deliver(w.a.engine);
    engine::Stream* stream = w.a.engine.stream_of(root.id(), s);
    stream->held_at = abi::position(10, 0);
    stream->committed = abi::position(20, 0);
    w.pass(1900);
    EXPECT_EQ(root.end_code(f1), -1);
    w.pass(300);
    EXPECT_EQ(root.end_code(f1), ECONNABORTED);
    EXPECT_EQ(root.end_code(f2), -1);
    EXPECT_EQ(local.end_code(l2), -1);
    local.die();
    expect_nothing_left();
}

TEST_F(Ending, AStoppingDaemonEndsItsSessions) {
    start();
    root.commit(s, abi::position(10, 0));
    bool is_done = false;
    w.a.sessions->stop([&] { is_done = true; });
    w.read_and_carry();
    w.pass(200);
    EXPECT_TRUE(is_done);
    EXPECT_EQ(one.end_code(l1), 0);
    EXPECT_EQ(one.reader(l1)->image->published, abi::position(10, 0));
    EXPECT_EQ(w.a.engine.leftovers(), "");
    expect_nothing_left();
}

TEST_F(Ending, AStoppingDaemonDoesNotWaitForever) {
    start();
    root.commit(s, abi::position(10, 0));
    bool is_done = false;
    w.a.sessions->stop([&] { is_done = true; });
    w.run();
    w.pass(900);
    EXPECT_FALSE(is_done);
    w.pass(300);
    EXPECT_TRUE(is_done);
    EXPECT_EQ(one.end_code(l1), ECONNABORTED);
    EXPECT_EQ(w.a.engine.leftovers(), "");
    expect_nothing_left();
}

TEST_F(Ending, SessionsThatGoWhileTheyLastLeaveNoMemory) {
    start();
    const std::weak_ptr<Root> held = root.app->sockets.at(s)->root;
    root.app.reset();
    w.a.sessions.reset();
    EXPECT_TRUE(held.expired());
    one.die();
    two.die();
}

TEST_F(Ending, StatusNamesWhatOnesOwnUidHas) {
    start();
    TestApp stranger{w.a, 1000};
    stranger.root(7000);
    const auto all = nlohmann::json::parse(w.a.sessions->status_json(0));
    EXPECT_EQ(all["sessions"].size(), 2U);
    EXPECT_EQ(all["sessions"][0]["leaves"].size(), 2U);
    EXPECT_EQ(all["drops"]["unknown_label"], 3);
    EXPECT_EQ(all["now_ms"], w.now_ms);
    const auto own = nlohmann::json::parse(w.a.sessions->status_json(1000));
    ASSERT_EQ(own["sessions"].size(), 1U);
    EXPECT_EQ(own["sessions"][0]["local"], "10.0.0.1:7000");
    stranger.die();
    expect_nothing_left();
}

TEST_F(Ending, StatusCountsWhatTheDaemonHoldsAndItGoesBack_Invariant6) {
    auto level = [&] {
        const auto status = nlohmann::json::parse(w.a.sessions->status_json(0));
        return std::array<uint64_t, 3>{status["apps"], status["engine_objects"], status["open_descriptors"]};
    };
    const auto before = level();
    EXPECT_GE(before[2], 3U);
    TestApp later{w.a};
    const Reply opened = later.try_open(XY_C_ROOT | XY_D_ROOT, SOCK_RDM, XY_PROTO_TREE);
    ASSERT_EQ(opened.error, 0);
    const OwnedFd held(::dup(0));
    const auto during = level();
    for (size_t i = 0; i < before.size(); ++i)
        EXPECT_GT(during[i], before[i]) << i;
    later.die();
    w.run();
    const auto after = level();
    EXPECT_EQ(after[0], before[0]);
    EXPECT_EQ(after[1], before[1]);
}

TEST_F(Ending, StatusNamesTheLocalPortThatEveryDaemonHas) {
    w.a.engine.port_facts = {};
    const auto alone = nlohmann::json::parse(w.a.sessions->status_json(0));
    ASSERT_EQ(alone["ports"].size(), 1U);
    EXPECT_EQ(alone["ports"][0]["port"], "local");
    w.a.engine.port_facts = {{.text = "af_xdp:eth0", .spec = {}, .mac = {}, .mtu = 1500}};
    const auto beside = nlohmann::json::parse(w.a.sessions->status_json(0));
    ASSERT_EQ(beside["ports"].size(), 2U);
    EXPECT_EQ(beside["ports"][1]["port"], "af_xdp:eth0");
}

// ---- hostile peers (invariant 4) ----

struct Hostile : Ending {
    void from_b(const proto::Envelope& message) {
        w.a.sessions->on_message(2, message);
        w.run();
    }
    proto::Envelope request(uint64_t join) {
        proto::Envelope message;
        proto::JoinRequest& r = *message.mutable_join_request();
        r.set_join(join);
        to_proto(Endpoint{w.a.address(), kPort}, *r.mutable_root());
        to_proto(Endpoint{w.b.address(), 1}, *r.mutable_leaf());
        r.set_socket_type(SOCK_RDM);
        r.set_direction(XY_BOTH);
        r.set_max_cell_bytes(1408);
        return message;
    }
    proto::Envelope ready(uint64_t join, uint64_t label, const IpAddress& to, uint32_t cells_log2 = 10) {
        proto::Envelope message;
        proto::JoinReady& r = *message.mutable_join_ready();
        r.set_join(join);
        r.set_label(label);
        r.set_upstream_feedback_label(5);
        r.set_window_cells(1024);
        to_proto(engine::Geometry{1408, cells_log2}, SOCK_RDM, *r.mutable_upstream());
        to_proto(Endpoint{to, 7471}, *r.mutable_data_address());
        return message;
    }
};

TEST_F(Hostile, MessagesForUnknownJoinsAreIgnored) {
    start();
    for (int kind = 0; kind < 12; ++kind) {
        proto::Envelope m;
        switch (kind) {
            case 0:
                m.mutable_join_offer()->set_join(7);
                break;
            case 1:
                m.mutable_join_ready()->set_join(7);
                break;
            case 2:
                m.mutable_join_accept()->set_join(7);
                break;
            case 3:
                m.mutable_reject()->set_join(7);
                break;
            case 4:
                m.mutable_cancel()->set_join(7);
                break;
            case 5:
                m.mutable_invite_accept()->set_join(7);
                break;
            case 6:
                m.mutable_live()->set_join(7);
                break;
            case 7:
                m.mutable_close()->set_join(7);
                break;
            case 8:
                m.mutable_upstream_close()->set_join(7);
                break;
            case 9:
                m.mutable_leave()->set_join(7);
                break;
            case 10:
                m.mutable_confirmed()->set_join(7);
                break;
            default:
                m.mutable_join_prepare()->set_join(7);
                break;
        }
        from_b(m);
    }
    EXPECT_TRUE(w.a.sessions->violations().empty());
    EXPECT_EQ(root.facts(s).leaves, 2U);
    expect_nothing_left();
}

TEST_F(Hostile, NonsenseEndsItsOwnJoinOnly) {
    start();
    from_b(request(77));
    from_b(request(77));  // the same join id twice
    EXPECT_EQ(w.a.sessions->violations().at("join_id_twice"), 1U);
    from_b(request(78));
    from_b(ready(78, 0, w.b.address()));  // a label that is none
    from_b(request(79));
    from_b(ready(79, 9, ip("192.0.2.9")));  // our stream aimed at somebody else
    from_b(request(80));
    from_b(ready(80, 9, w.b.address(), 40));  // an image larger than the world
    EXPECT_EQ(w.a.sessions->violations().at("malformed_ready"), 3U);
    from_b(request(81));
    proto::Envelope confirmed;
    confirmed.mutable_confirmed()->set_join(81);
    from_b(confirmed);
    EXPECT_EQ(w.a.sessions->violations().at("out_of_order"), 1U);
    proto::Envelope bad = request(82);
    bad.mutable_join_request()->set_caller_data(std::string(2000, 'x'));
    from_b(bad);
    bad = request(83);
    bad.mutable_join_request()->mutable_root()->set_ip("abc");
    from_b(bad);
    EXPECT_EQ(w.a.sessions->violations().at("malformed_request"), 2U);
    EXPECT_EQ(root.facts(s).backlog, 0U);
    EXPECT_EQ(root.facts(s).leaves, 2U);
    EXPECT_EQ(root.end_code(f1), -1);
    expect_nothing_left();
}

TEST_F(Hostile, ARequestDoesNotMakeTheCellsOfTheOthers_Invariant4) {
    s = root.root(kPort);
    proto::Envelope narrow = request(77);
    narrow.mutable_join_request()->set_max_cell_bytes(256);
    from_b(narrow);
    EXPECT_EQ(w.a.engine.stream_of(root.id(), s)->spec.geometry.cell_bytes, 1408U);
    join(one, l1, f1, SOCK_RDM);
    EXPECT_EQ(one.outcome(l1), 0);
    w.b.network.mtu = 600;
    l2 = two.leaf();
    two.join(l2, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(two.outcome(l2), EMSGSIZE);
    EXPECT_EQ(root.facts(s).backlog, 0U);
    w.a.network.mtu = 600;  // our frames are as small as that
    two.join(l2, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(root.facts(s).backlog, 1U);
    EXPECT_EQ(w.a.engine.stream_of(root.id(), s)->spec.geometry.cell_bytes, 1408U);
    EXPECT_EQ(root.end_code(f1), -1);
    expect_nothing_left();
}

TEST_F(Hostile, TheWayToAnAddressThatIsNotThePeersSaysNothing_Invariant4) {
    s = root.root(kPort);
    w.a.network.mtu = 600;
    proto::Envelope elsewhere = request(77);
    to_proto(Endpoint{ip("192.0.2.9"), 1}, *elsewhere.mutable_join_request()->mutable_leaf());
    from_b(elsewhere);
    EXPECT_EQ(w.a.engine.stream_of(root.id(), s)->spec.geometry.cell_bytes, 1408U);
    expect_nothing_left();
}

TEST_F(Hostile, AnOfferThatIsNeverFollowedUpEnds) {
    s = root.root(kPort, SOCK_RDM, 1);
    from_b(request(77));
    l1 = one.leaf();
    one.join(l1, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(one.outcome(l1), ECONNREFUSED) << "it has the only place";
    w.pass(30100);
    one.join(l1, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(one.outcome(l1), EINPROGRESS);
    expect_nothing_left();
}

TEST_F(Hostile, AFinalPositionThatCannotBeEndsThatLeafOnly) {
    start();
    uint64_t join = 0;
    // The leaves' host hears a Close that makes no sense: its offset lies beyond the cell.
    w.a.links.wire.clear();
    root.close(f2);
    ASSERT_FALSE(w.a.links.wire.empty());
    join = w.a.links.wire.front().close().join();
    w.a.links.wire.clear();
    proto::Envelope close;
    close.mutable_close()->set_join(join);
    close.mutable_close()->set_final(abi::position(1, 1500));
    w.b.sessions->on_message(2, close);
    w.run();
    EXPECT_EQ(two.end_code(l2), ECONNABORTED);
    EXPECT_EQ(one.end_code(l1), -1);
    EXPECT_EQ(w.b.sessions->violations().at("malformed_close"), 1U);
    expect_nothing_left();
}

TEST_F(Hostile, APeersImagesHaveALimit) {
    Settings settings;
    settings.now_ms = [] { return 1ULL; };
    settings.max_peer_image_bytes = 1 << 20;
    EXPECT_LT(settings.max_peer_image_bytes, abi::image_total_bytes({1408, 10}));
    w.b.sessions = nullptr;
    w.b.sessions = std::make_unique<Sessions>(w.b.engine, w.b.links, w.b.network, settings);
    TestApp poor{w.b};
    s = root.root(kPort);
    l1 = poor.leaf();
    poor.join(l1, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(poor.outcome(l1), ENOBUFS);
    EXPECT_TRUE(w.b.engine.images().empty());
    poor.die();
    w.run();
}

}  // namespace xylem::session
