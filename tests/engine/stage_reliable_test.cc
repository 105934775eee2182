// SPDX-License-Identifier: Apache-2.0
// Reliable streams over wires that fail: everything arrives, nothing twice, and the pools are whole at the end.
#include <set>

#include "tests/engine/stage_world.h"

namespace xylem::test {
namespace {

struct Weather {
    unsigned n_leaves;
    double loss;
};

class ReliableStreamTest : public testing::TestWithParam<Weather> {};

// Invariant 1 (checked by ~World), Invariant 7.
TEST_P(ReliableStreamTest, ArrivesIntactAtEveryReplica) {
    World world;
    for (Wire* wire : {&world.out, &world.back}) {
        wire->loss = GetParam().loss;
        wire->duplication = GetParam().loss / 2;
        wire->jitter_us = GetParam().loss > 0 ? 60 : 0;
    }
    Sender& sender = world.add_sender();
    for (unsigned i = 0; i < GetParam().n_leaves; ++i)
        world.add_leaf(sender);
    sender.n_left = 400;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.expect_intact(sender);
    EXPECT_FALSE(sender.has_finished);
    world.finish(sender);
    EXPECT_TRUE(world.run_until([&] { return sender.has_finished; }));
    if (GetParam().loss == 0.01) return;  // so little may miss a replica altogether
    for (const auto& leaf : world.leaves)
        EXPECT_EQ(leaf->replica.repaired_bytes.get() != 0, GetParam().loss > 0);
}

INSTANTIATE_TEST_SUITE_P(Weathers, ReliableStreamTest,
                         testing::Values(Weather{1, 0}, Weather{3, 0}, Weather{70, 0}, Weather{1, 0.01},
                                         Weather{3, 0.01}, Weather{70, 0.01}, Weather{1, 0.1}, Weather{3, 0.1},
                                         Weather{70, 0.1}),
                         [](const auto& at) {
                             return std::to_string(at.param.n_leaves) + "ReplicasAt" +
                                    std::to_string(static_cast<int>(at.param.loss * 100)) + "PercentLoss";
                         });

/// A world whose wire loses each frame of `type` the first `n` times, and one leaf.
std::function<bool(const packet::ParsedFrame&)> lose_first(packet::FrameType type, unsigned n) {
    return [type, n](const packet::ParsedFrame& frame) mutable {
        if (frame.header.type != type || n == 0) return false;
        --n;
        return true;
    };
}

TEST(StageTest, LostTailIsRepaired) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender);
    sender.n_left = 5;
    world.out.loses = [](const packet::ParsedFrame& frame) {
        return frame.header.type == packet::FrameType::kData && frame.header.packet_number <= 10;
    };
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    EXPECT_GT(world.out.n_lost, 0U);
    EXPECT_GT(leaf.replica.naks.get(), 0U);
    world.expect_intact(sender);
}

TEST(StageTest, LostStatusDoesNotStopTheStream) {
    World world;
    Sender& sender = world.add_sender({1408, 6});
    world.add_leaf(sender, {.geometry = {1408, 6}});
    world.back.loses = lose_first(packet::FrameType::kStatus, 8);
    sender.n_left = 500;  // several logs full
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    EXPECT_EQ(world.back.n_lost, 8U);
    world.expect_intact(sender);
}

TEST(StageTest, LostNakIsSentAgain) {
    World world;
    Sender& sender = world.add_sender();
    world.add_leaf(sender);
    world.out.loses = lose_first(packet::FrameType::kData, 1);
    world.back.loses = lose_first(packet::FrameType::kNak, 5);
    sender.n_left = 50;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    EXPECT_GT(world.back.n_naks, 5U);
    world.expect_intact(sender);
}

TEST(StageTest, ReaderThatStopsStopsTheWriterAndGoesOnWhereItWas) {
    World world;
    Sender& sender = world.add_sender({1408, 6});
    Leaf& slow = world.add_leaf(sender, {.geometry = {1408, 6}});
    world.add_leaf(sender);
    slow.reads = false;
    sender.n_left = 2000;
    world.run_for_us(100'000);
    EXPECT_GT(sender.n_left, 0U);
    EXPECT_LE(sender.facts->limit.load(), abi::cell_start(64));  // from where it has not read
    EXPECT_LE(sender.writer->position(), sender.facts->limit.load());
    slow.reads = true;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(world.receiving.drops(Drop::beyond_window), 0U);
}

/// Every DATA frame of `sender` went to every leaf exactly once.
void expect_each_sent_once(World& world) {
    for (const auto& leaf : world.leaves)
        for (const auto& [position, n] : world.out.sent_data[leaf->replica.label])
            ASSERT_EQ(n, 1U) << "label " << leaf->replica.label << " position " << position;
}

// Invariant 7: a fan-out is resumed where it stopped.
TEST(StageTest, QueueFullInTheMiddleOfAFanOutLosesAndDoublesNothing) {
    World world;
    Sender& sender = world.add_sender();
    for (int i = 0; i < 70; ++i)
        world.add_leaf(sender);
    world.out.takes = [&](uint16_t n) { return static_cast<uint16_t>(world.random() % (n + 1)); };
    sender.n_left = 300;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.expect_intact(sender);
    expect_each_sent_once(world);
    EXPECT_EQ(world.receiving.drops(Drop::duplicate), 0U);
}

TEST(StageTest, QueueThatTakesNothingForAWhileLosesNothing) {
    World world;
    Sender& sender = world.add_sender();
    for (int i = 0; i < 3; ++i)
        world.add_leaf(sender);
    bool is_stuck = true;
    world.out.takes = [&](uint16_t n) { return is_stuck ? uint16_t{0} : n; };
    sender.n_left = 100;
    world.run_for_us(10'000);
    EXPECT_EQ(world.out.n_taken, 0U);
    EXPECT_EQ(world.sending.egress.held.get(), stage::Egress::kBurst);
    is_stuck = false;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.expect_intact(sender);
    expect_each_sent_once(world);
}

TEST(StageTest, PoolEmptyInTheMiddleOfAFanOutLosesAndDoublesNothing) {
    World world(255);  // the wire holds more than that: 70 replicas, 200 microseconds
    Sender& sender = world.add_sender();
    for (int i = 0; i < 70; ++i)
        world.add_leaf(sender);
    world.out.latency_us = 200;
    sender.n_left = 200;
    bool was_empty = false;
    EXPECT_TRUE(world.run_until([&] {
        was_empty |= world.pool.n_free() < stage::Egress::kBurst;
        return world.is_all_read(sender) && world.is_acknowledged(sender);
    }));
    EXPECT_TRUE(was_empty);
    world.expect_intact(sender);
    expect_each_sent_once(world);
}

// Invariant 5: nothing is lost at join, and nobody else sees it.
TEST(StageTest, ReplicaAddedInTheMiddleGetsExactlyWhatFollows) {
    World world;
    Sender& sender = world.add_sender();
    for (int i = 0; i < 3; ++i)
        world.add_leaf(sender);
    world.out.takes = [&](uint16_t n) { return static_cast<uint16_t>(world.random() % (n + 1)); };
    sender.n_left = 400;
    for (size_t n_written = 50; n_written <= 350; n_written += 50) {
        ASSERT_TRUE(world.run_until([&] { return sender.n_left <= 400 - n_written; }));
        world.add_leaf(sender);
    }
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    std::set<Position> starts;
    for (const auto& leaf : world.leaves) {
        starts.insert(leaf->p0);
        EXPECT_EQ(leaf->replica.naks.get(), 0U);
        EXPECT_EQ(world.out.sent_data[leaf->replica.label].begin()->first, leaf->p0);
    }
    EXPECT_GE(starts.size(), 8U);
    world.expect_intact(sender);
    expect_each_sent_once(world);
}

// Invariant 5: nobody is disturbed by a leave.
TEST(StageTest, ReplicaRemovedInTheMiddleOfAFanOutDisturbsNobody) {
    World world;
    Sender& sender = world.add_sender();
    for (int i = 0; i < 70; ++i)
        world.add_leaf(sender);
    stage::Group& group = *sender.stream.groups[0];
    world.out.takes = [&](uint16_t n) { return static_cast<uint16_t>(world.random() % (n + 1)); };
    sender.n_left = 400;
    const auto remove_at = [&](size_t idx) {
        const auto is_it = [&](const auto& leaf) { return !leaf->is_removed && &leaf->replica == group.replicas[idx]; };
        world.remove_leaf(sender, **std::find_if(world.leaves.begin(), world.leaves.end(), is_it));
    };
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(
            world.run_until([&] { return group.is_open && group.resume_idx > 1 && group.resume_idx + 2 < group.n; }));
        remove_at(0);                     // has it already
        remove_at(group.resume_idx);      // would be next
        remove_at(group.resume_idx + 1);  // would be later
    }
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.expect_intact(sender);
    expect_each_sent_once(world);
    EXPECT_EQ(sender.stream.n_replicas, 55U);
}

TEST(StageTest, LastReplicaThatLeavesFreesTheWriter) {
    World world;
    Sender& sender = world.add_sender({1408, 6});
    Leaf& leaf = world.add_leaf(sender, {.geometry = {1408, 6}});
    leaf.reads = false;
    sender.n_left = 1000;
    world.run_for_us(50'000);
    ASSERT_GT(sender.n_left, 0U);
    world.remove_leaf(sender, leaf);
    EXPECT_TRUE(world.run_until([&] { return sender.n_left == 0; }));
    world.run_for_us(1000);
    EXPECT_EQ(sender.stream.position, sender.writer->position());
}

}  // namespace
}  // namespace xylem::test
