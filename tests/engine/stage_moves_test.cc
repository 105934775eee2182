// SPDX-License-Identifier: Apache-2.0
// Replicas whose path takes another port: they change groups, whose cursors stand at different places.
#include "tests/engine/stage_world.h"

namespace xylem::test {
namespace {

constexpr uint32_t kWaiting = stage::TxStream::kWaitingGroup;

bool is_done(const World& world, const Sender& sender) {
    return world.is_all_read(sender) && world.is_acknowledged(sender);
}

TEST(StageMoveTest, PortsOfOneStreamGoOnByThemselves) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& near = world.add_leaf(sender);
    Leaf& other = world.add_leaf(sender, {.at = 1});
    sender.n_left = 300;
    EXPECT_TRUE(world.run_until([&] { return is_done(world, sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(world.out.sent_data.count(other.replica.label), 0U);
    EXPECT_EQ(world.other_out.sent_data.count(near.replica.label), 0U);
}

TEST(StageMoveTest, FirstPathOfAReplicaDecidesItsPort) {
    World world;
    Sender& sender = world.add_sender();
    world.add_leaf(sender);
    Leaf& late = world.add_leaf(sender, {.at = kWaiting});
    sender.n_left = 100;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0; }));
    EXPECT_GT(late.replica.skipped_frames.get(), 0U);
    world.move(late, 1);
    EXPECT_TRUE(world.run_until([&] { return is_done(world, sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(world.out.sent_data.count(late.replica.label), 0U);
    EXPECT_EQ(world.leaves[0]->replica.naks.get(), 0U);
    EXPECT_EQ(sender.stream.groups[kWaiting]->n, 0U);
}

// Invariant 5: what has its way elsewhere disturbs nobody.
TEST(StageMoveTest, EmptyPortBeginsWhereTheOtherStood) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender);
    world.add_leaf(sender);
    sender.n_left = 200;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left <= 100 && !sender.stream.groups[0]->is_open; }));
    world.move(leaf, 1);
    EXPECT_EQ(sender.stream.groups[1]->cursor, sender.stream.groups[0]->cursor);
    EXPECT_TRUE(world.run_until([&] { return is_done(world, sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(leaf.replica.naks.get() + world.receiving.drops(Drop::duplicate), 0U);
    EXPECT_EQ(leaf.replica.sent_bytes(), sender.writer->written_bytes());
    EXPECT_EQ(sender.stream.n_replicas, 2U);
}

TEST(StageMoveTest, ReplicaThatMovesAheadGetsTheRestByRepair) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& stuck = world.add_leaf(sender);
    world.add_leaf(sender, {.at = 1});
    bool is_stuck = false;
    world.out.takes = [&](uint16_t n) { return is_stuck ? uint16_t{0} : n; };
    sender.n_left = 300;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left <= 200; }));
    is_stuck = true;
    ASSERT_TRUE(world.run_until([&] { return sender.stream.groups[0]->is_open; })) << "paused in a frame";
    world.run_for_us(1000);
    ASSERT_LT(sender.stream.groups[0]->cursor, sender.stream.groups[1]->cursor);
    world.move(stuck, 1);
    EXPECT_TRUE(world.run_until([&] { return is_done(world, sender); }));
    world.expect_intact(sender);
    EXPECT_GT(stuck.replica.repaired_bytes.get(), 0U);
    EXPECT_FALSE(sender.stream.groups[0]->is_open);
}

TEST(StageMoveTest, ReplicaThatMovesBackDoesNotWaitForWhatItHas) {
    World world;
    Sender& sender = world.add_sender({1408, 9});
    sender.stream.max_in_flight_pkts = 20;
    Leaf& slow = world.add_leaf(sender, {.geometry = {1408, 9}});
    Leaf& ahead = world.add_leaf(sender, {.geometry = {1408, 9}, .at = 1});
    bool is_stuck = true;
    world.out.takes = [&](uint16_t n) { return is_stuck ? uint16_t{0} : n; };
    sender.n_left = 150;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0 && World::is_all_read(sender, ahead); }));
    world.run_for_us(1000);
    ASSERT_GT(abi::cell_of(ahead.replica.received.get()), abi::cell_of(sender.stream.groups[0]->cursor) + 40);
    world.move(ahead, 0);
    is_stuck = false;
    sender.n_left = 50;
    EXPECT_TRUE(world.run_until([&] { return is_done(world, sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(world.sending.drops(Drop::malformed_status), 0U);
    EXPECT_EQ(slow.replica.naks.get(), 0U);
}

TEST(StageMoveTest, BestEffortReplicaCountsWhatItMissed) {
    World world;
    Sender& sender = world.add_sender({1408, 8}, false);
    sender.longest = 900;
    Leaf& leaf = world.add_leaf(sender, {.is_reliable = false, .at = kWaiting});
    world.add_leaf(sender, {.is_reliable = false, .at = 1});
    sender.n_left = 50;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0 && world.is_all_read(sender, *world.leaves[1]); }));
    world.move(leaf, 1);
    sender.n_left = 50;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender); }));
    EXPECT_GT(leaf.reading->lost_bytes, 0U);
    EXPECT_GE(leaf.reading->messages.size(), 45U);
    EXPECT_EQ(leaf.reading->messages.back(), sender.messages.back());
    EXPECT_EQ(world.leaves[1]->reading->lost_bytes, 0U);
}

TEST(StageMoveTest, ReplicasThatMoveToAndFroGetEverything) {
    World world;
    world.out.loss = world.other_out.loss = world.back.loss = 0.01;
    world.out.jitter_us = world.other_out.jitter_us = 40;
    for (Wire* wire : {&world.out, &world.other_out})
        wire->takes = [&](uint16_t n) { return static_cast<uint16_t>(world.random() % (n + 1)); };
    Sender& sender = world.add_sender();
    for (uint32_t i = 0; i < 12; ++i)
        world.add_leaf(sender, {.at = i % 2});
    for (size_t round = 0; round < 40; ++round) {
        sender.n_left = 10;
        ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0; }));
        Leaf& leaf = *world.leaves[world.random() % world.leaves.size()];
        world.move(leaf, world.random() % 2 != 0 ? 1 : 0);
    }
    EXPECT_TRUE(world.run_until([&] { return is_done(world, sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(world.sending.drops(Drop::malformed_status), 0U);
    EXPECT_EQ(sender.stream.n_replicas, 12U);
}

}  // namespace
}  // namespace xylem::test
