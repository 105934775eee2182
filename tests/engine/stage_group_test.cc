// SPDX-License-Identifier: Apache-2.0
// Datagrams of groups from a log to the port and to this host's images: what goes where, what waits, and under which
// name the rest is dropped (Invariant 2).
#include <thread>

#include "tests/engine/stage_group_world.h"

namespace xylem::test {
namespace {

TEST_F(StageGroupTest, EachRecordIsOneDatagramToItsDestination) {
    set(0, route_to("239.1.2.3", 5555));
    set(63, route_to("ff15::7", 5556));
    send(0, "one");
    send(63, "two");
    send(0, "");
    poll_all();
    ASSERT_EQ(out_.frames.size(), 3U);
    Endpoint dest;
    EXPECT_EQ(payload_of(out_.frames[0], &dest), "one");
    EXPECT_EQ(dest, endpoint("239.1.2.3", 5555));
    EXPECT_EQ(udp_residue(out_.frames[0], false), 0);
    EXPECT_EQ(payload_of(out_.frames[1], &dest), "two");
    EXPECT_EQ(dest, endpoint("ff15::7", 5556));
    EXPECT_EQ(udp_residue(out_.frames[1], true), 0);
    EXPECT_EQ(payload_of(out_.frames[2]), "");
    EXPECT_EQ(context().drops.total(), 0U);
    EXPECT_EQ(stream_.frames.get(), 3U);
    EXPECT_EQ(stream_.pulled_bytes.get(), writer_->written_bytes());
}

TEST_F(StageGroupTest, DestinationAndGroupAskedForBeforeTheCommitAreUsed) {
    GroupImage* image = nullptr;
    send(0, "committed after control had asked");
    poll();  // the worker sees the commit in the middle of a poll, before it takes the commands
    EXPECT_EQ(n_gone(), 0U);
    context().is_up_to_date = false;  // more commands than the ring holds are under way
    poll();
    EXPECT_EQ(n_gone(), 0U);
    set(0, route_to("239.1.2.3", 5555));
    image = &join("239.1.2.3", 5555);
    context().is_up_to_date = true;
    poll_all();
    EXPECT_EQ(out_.frames.size(), 1U);
    EXPECT_EQ(read(*image).size(), 1U);
}

TEST_F(StageGroupTest, CommandsThatFoundNoRoomInTheirRingAreAwaited) {
    ASSERT_TRUE(worker().init());
    std::atomic<bool> is_busy{false}, may_go_on{false};
    std::thread loop([&] { worker().run(); });
    worker().post(
        [&](engine::Worker&) {
            is_busy = true;
            while (!may_go_on)
                std::this_thread::yield();
            return true;
        },
        {});
    while (!is_busy)
        std::this_thread::yield();
    for (int i = 0; i < 10'000; ++i)
        worker().post([](engine::Worker&) { return true; }, {});
    const stage::GroupRoute route = route_to("239.1.2.3", 5555);
    worker().post([&](engine::Worker& on) { return on.set_destination(stream_, 0, route), true; }, {});
    send(0, "committed after control had asked");
    const uint64_t n_polls_before = worker().polls.get();
    may_go_on = true;
    while (worker().polls.get() < n_polls_before + 50)
        std::this_thread::yield();
    EXPECT_EQ(stream_.cursor.get(), 0U);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (stream_.cursor.get() != writer_->position() && std::chrono::steady_clock::now() < end) {
        engine::Notice notice;
        while (worker().take(notice))
            delete notice.applied;
        worker().hand_over();
    }
    worker().stop();
    loop.join();
    egress_.flush();
    EXPECT_EQ(out_.frames.size(), 1U);
    EXPECT_EQ(context().drops.total(), 0U);
}

TEST_F(StageGroupTest, FullQueueHoldsAndLosesNothing) {
    set(0, route_to("239.1.2.3", 5555));
    GroupImage& here = join("239.1.2.3", 5555);
    out_.n_taken_at_once = 0;
    for (int i = 0; i < 300; ++i)
        send(0, std::to_string(i));
    poll_all();
    EXPECT_TRUE(stream_.datagrams->is_paused);
    EXPECT_EQ(out_.frames.size(), 0U);
    EXPECT_EQ(read(here).size(), stage::Egress::kBurst);  // what is held here was sent here
    EXPECT_EQ(poll(), 0U);                                // nothing to do, so that the worker may sleep
    for (int i = 0; i < 1000 && out_.frames.size() < 300; ++i) {
        out_.n_taken_at_once = random_() % 3;
        poll();
    }
    out_.n_taken_at_once = 64;
    poll_all();
    EXPECT_FALSE(stream_.datagrams->is_paused);
    const std::vector<Received> all = read(here);
    ASSERT_EQ(out_.frames.size(), 300U);
    ASSERT_EQ(all.size(), 300U);
    for (size_t i = 0; i < 300; ++i) {
        EXPECT_EQ(payload_of(out_.frames[i]), std::to_string(i));
        EXPECT_EQ(all[i].payload, std::to_string(i));  // once, though the wire was asked many times
    }
    EXPECT_EQ(context().drops.total(), 0U);
}

TEST_F(StageGroupTest, EmptyPoolHoldsAndLosesNothing) {
    set(0, route_to("239.1.2.3", 5555));
    std::vector<rte_mbuf*> taken;
    while (rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_.get()))
        taken.push_back(mbuf);
    for (int i = 0; i < 100; ++i)
        send(0, std::to_string(i));
    poll_all();
    EXPECT_TRUE(stream_.datagrams->is_paused);
    rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
    poll_all();
    EXPECT_EQ(out_.frames.size(), 100U);
}

TEST_F(StageGroupTest, PathThatGoesDownEndsTheWaitingUnderItsName) {
    stage::GroupRoute route = route_to("239.1.2.3", 5555);
    set(0, route);
    GroupImage& here = join("239.1.2.3", 5555);
    out_.n_taken_at_once = 0;
    for (int i = 0; i < 100; ++i)
        send(0, std::to_string(i));
    poll_all();
    ASSERT_TRUE(stream_.datagrams->is_paused);
    route.is_up = false;
    set(0, route);
    poll_all();
    EXPECT_EQ(drops(Drop::path_down), 100U - stage::Egress::kBurst);
    EXPECT_EQ(stream_.position, writer_->position());
    EXPECT_EQ(read(here).size(), 100U);  // on this host there is a way
    EXPECT_EQ(n_gone(), 100U);
}

TEST_F(StageGroupTest, WhatCannotBeSentIsDroppedUnderItsName) {
    stage::GroupRoute narrow = route_to("239.1.2.3", 5555);
    narrow.max_payload_bytes = 100;
    set(0, narrow);
    set(1, route_to("239.1.2.4", 5555, false));
    send(0, std::string(100, 'x'));
    send(0, std::string(101, 'x'));
    send(1, "to nobody");
    send(2, "not set");
    send(64, "no such index");
    send(~0U, "no such index");
    poll_all();
    EXPECT_EQ(out_.frames.size(), 1U);
    EXPECT_EQ(drops(Drop::too_long), 1U);
    EXPECT_EQ(drops(Drop::no_member), 1U);
    EXPECT_EQ(drops(Drop::unknown_destination), 3U);
    EXPECT_EQ(n_gone(), 6U);
    EXPECT_EQ(stream_.hostile_words.get(), 0U);
}

TEST_F(StageGroupTest, OnlyTheImageOfThatGroupPortAndPortGetsIt) {
    set(0, route_to("239.1.2.3", 5555));
    set(1, route_to("239.1.2.3", 5555, false));
    GroupImage &right = join("239.1.2.3", 5555), &local = join("239.1.2.3", 5555, kLocalPort);
    GroupImage &other_udp_port = join("239.1.2.3", 5556), &other_group = join("239.1.2.4", 5555);
    GroupImage& other_port = join("239.1.2.3", 5555, 1);
    send(0, "wired");
    send(1, "local");
    poll_all();
    ASSERT_EQ(read(right).size(), 1U);
    EXPECT_EQ(read(right)[0].payload, "wired");
    EXPECT_EQ(read(right)[0].from.origin, kOrigin);
    ASSERT_EQ(read(local).size(), 1U);
    EXPECT_EQ(read(local)[0].payload, "local");
    for (GroupImage* none : {&other_udp_port, &other_group, &other_port})
        EXPECT_EQ(read(*none).size(), 0U);
    EXPECT_EQ(out_.frames.size(), 1U);
}

TEST_F(StageGroupTest, DatagramLongerThanACellOfItsImageIsDroppedThere) {
    set(0, route_to("239.1.2.3", 5555));
    GroupImage& narrow = join("239.1.2.3", 5555, kWirePort, {256, 6});
    send(0, std::string(256 - 8 - 32, 'f'));
    send(0, std::string(256 - 8 - 32 + 1, 'g'));
    poll_all();
    EXPECT_EQ(out_.frames.size(), 2U);
    EXPECT_EQ(read(narrow).size(), 1U);
    EXPECT_EQ(drops(Drop::image_too_small), 1U);
    EXPECT_EQ(narrow.image.received_bytes.get(), 256U);
}

TEST_F(StageGroupTest, LimitFollowsTheCursorAndTheEndIsReached) {
    set(0, route_to("239.1.2.3", 5555));
    EXPECT_EQ(stream_.limit, abi::cell_start(64));
    for (int i = 0; i < 20; ++i)
        send(0, std::string(1200, 'x'));
    worker().finish_stream(stream_, writer_->position());
    poll();
    EXPECT_FALSE(stage::take_finished(stream_));
    poll_all();
    EXPECT_EQ(stream_.limit, abi::cell_start(64 + abi::cell_of(writer_->position())));
    EXPECT_EQ(stream_.facts->limit.load(), stream_.limit);
    EXPECT_TRUE(stage::take_finished(stream_));
    send(0, "after the end");
    poll_all();
    EXPECT_EQ(out_.frames.size(), 20U);
}

TEST_F(StageGroupTest, BudgetBoundsWhatOnePollSends) {
    set(0, route_to("239.1.2.3", 5555));
    for (int i = 0; i < 100; ++i)
        send(0, "x");
    poll();  // samples
    for (size_t n = kBudget; n <= 96; n += kBudget) {
        poll();
        EXPECT_EQ(out_.frames.size(), n);
    }
}

}  // namespace
}  // namespace xylem::test
