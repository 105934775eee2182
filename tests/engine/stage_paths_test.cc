// SPDX-License-Identifier: Apache-2.0
// Streams whose paths change, whose frames are cut small, that are best effort, or that stay on this host; and when
// they are silent.
#include "tests/engine/stage_world.h"

namespace xylem::test {
namespace {

TEST(StagePathTest, PathThatWasDownComesBackByRepair) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& away = world.add_leaf(sender);
    world.add_leaf(sender);
    sender.n_left = 150;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left <= 130; }));
    world.set_path(away, false);
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0 && world.is_all_read(sender, *world.leaves[1]); }));
    EXPECT_GT(away.replica.skipped_frames.get(), 0U);
    EXPECT_FALSE(world.is_all_read(sender, away));
    world.run_for_us(500'000);  // heartbeats to it are far apart by now
    world.set_path(away, true);
    const uint64_t back_at = world.now;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    EXPECT_LT(world.now - back_at, 20'000 * kTicksPerUs);  // not only at the next backed-off heartbeat
    world.expect_intact(sender);
    EXPECT_EQ(world.leaves[1]->replica.naks.get(), 0U);
}

TEST(StagePathTest, PathThatIsDownHoldsTheWriterAtItsLog) {
    World world;
    Sender& sender = world.add_sender({1408, 6});
    Leaf& away = world.add_leaf(sender, {.geometry = {1408, 6}});
    world.set_path(away, false);
    sender.n_left = 500;
    world.run_for_us(50'000);
    EXPECT_GT(sender.n_left, 0U);
    world.set_path(away, true);
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.expect_intact(sender);
}

class SmallMtuTest : public testing::TestWithParam<uint32_t> {};

TEST_P(SmallMtuTest, FramesCutInTheMiddleOfARecordArriveIntact) {
    World world;
    world.out.loss = world.back.loss = 0.02;
    world.out.jitter_us = 60;
    Sender& sender = world.add_sender();
    world.add_leaf(sender, {.max_frame_bytes = GetParam()});
    world.add_leaf(sender);
    sender.n_left = 100;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.expect_intact(sender);
}

INSTANTIATE_TEST_SUITE_P(Bytes, SmallMtuTest, testing::Values(8U, 136U, 704U, 1400U));

TEST(StagePathTest, MtuThatShrinksMidwayIsFollowed) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender);
    sender.n_left = 100;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left <= 50; }));
    world.set_path(leaf, true, 512);
    world.run_for_us(100);
    world.out.loses = [](const packet::ParsedFrame& frame) { return frame.payload_len > 512; };
    const uint64_t n_before = world.out.n_lost;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    EXPECT_EQ(world.out.n_lost, n_before);
    world.expect_intact(sender);
}

// ---- best effort ----

/// Each message in `read` was sent, in the order of sending.
bool is_in_order(const std::vector<std::string>& read, const std::vector<std::string>& sent) {
    auto at = sent.begin();
    for (const std::string& message : read) {
        at = std::find(at, sent.end(), message);
        if (at == sent.end()) return false;
        ++at;
    }
    return true;
}

TEST(StagePathTest, BestEffortCountsWhatIsLostAndNeverWaits) {
    World world;
    world.out.loss = 0.05;
    world.out.jitter_us = 60;
    Sender& sender = world.add_sender({1408, 8}, false);
    Leaf& leaf = world.add_leaf(sender, {.is_reliable = false});
    sender.longest = 900;
    sender.n_left = 1000;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0; }));
    world.out.loss = 0;
    sender.n_left = 20;  // so that the last gap has something behind it
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender); }));
    EXPECT_GT(leaf.reading->lost_bytes, 0U);
    EXPECT_EQ(leaf.reading->lost_bytes, leaf.image.image.lost_bytes());
    EXPECT_EQ(leaf.image.lost_bytes.get(), leaf.image.image.lost_bytes());
    EXPECT_GE(leaf.reading->lost_bytes + leaf.reading->taken_bytes, sender.writer->written_bytes());
    EXPECT_TRUE(is_in_order(leaf.reading->messages, sender.messages));
    EXPECT_GT(leaf.reading->messages.size(), sender.messages.size() / 2);
    EXPECT_EQ(world.back.n_taken, 0U);  // no feedback
    EXPECT_EQ(leaf.replica.repaired_bytes.get(), 0U);
}

TEST(StagePathTest, BestEffortReaderThatStopsDoesNotStopTheWriter) {
    World world;
    Sender& sender = world.add_sender({1408, 6}, false);
    Leaf& leaf = world.add_leaf(sender, {.geometry = {1408, 6}, .is_reliable = false});
    leaf.reads = false;
    sender.n_left = 1000;
    EXPECT_TRUE(world.run_until([&] { return sender.n_left == 0; }));
}

// ---- flow control and silence ----

TEST(StagePathTest, NeverMoreUnderWayThanAllowed) {
    World world;
    world.out.latency_us = 300;
    Sender& sender = world.add_sender({1408, 9});
    sender.stream.max_in_flight_pkts = 40;
    Leaf& leaf = world.add_leaf(sender, {.geometry = {1408, 9}});
    sender.n_left = 500;
    size_t most = 0;
    EXPECT_TRUE(world.run_until([&] {
        most = std::max(most, world.out.n_under_way(leaf.replica.label) + world.sending.egress.n_held());
        return world.is_all_read(sender) && world.is_acknowledged(sender);
    }));
    EXPECT_LE(most, 40U);
    EXPECT_GT(most, 20U);
    world.expect_intact(sender);
}

TEST(StagePathTest, IdleStreamIsSilent) {
    World world;
    world.out.loss = world.back.loss = 0.02;
    Sender& sender = world.add_sender();
    for (int i = 0; i < 3; ++i)
        world.add_leaf(sender);
    sender.n_left = 100;
    ASSERT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    world.run_for_us(300'000);
    const uint64_t n_before = world.out.n_taken + world.back.n_taken;
    world.run_for_us(1'000'000);
    EXPECT_EQ(world.out.n_taken + world.back.n_taken, n_before);
    EXPECT_EQ(world.sending.context().timed_streams.size(), 0U);
    EXPECT_EQ(world.receiving.context().timed_images.size(), 0U);
}

TEST(StagePathTest, StreamThatEndsLongAfterItsLastFrameIsConfirmed) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender);
    leaf.reads = false;
    sender.n_left = 3;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0 && world.is_acknowledged(sender); }));
    leaf.reads = true;
    world.run_for_us(500'000);  // silent by now
    ASSERT_LT(leaf.replica.consumed.get(), sender.writer->position());
    world.finish(sender);
    EXPECT_TRUE(world.run_until([&] { return sender.has_finished; }, 1000));
    EXPECT_EQ(leaf.replica.consumed.get(), sender.writer->position());
}

TEST(StagePathTest, FinishedOnlyWhenTheReaderHasTakenEverything) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender);
    leaf.reads = false;
    sender.n_left = 20;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0 && world.is_acknowledged(sender); }));
    world.finish(sender);
    world.run_for_us(300'000);
    EXPECT_FALSE(sender.has_finished);
    leaf.reads = true;
    EXPECT_TRUE(world.run_until([&] { return sender.has_finished; }, 1000));
    world.expect_intact(sender);
}

class PacketNumberTest : public testing::TestWithParam<uint32_t> {};

TEST_P(PacketNumberTest, LeafThatJoinsALongStreamKeepsItsWindowOpen) {
    World world;
    Sender& sender = world.add_sender();
    sender.stream.packet_number = GetParam();
    sender.stream.max_in_flight_pkts = 200;
    world.add_leaf(sender);
    sender.n_left = 1000;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }, 1000));
    world.expect_intact(sender);
}

INSTANTIATE_TEST_SUITE_P(SentBefore, PacketNumberTest, testing::Values(0x7FFFFFF0, 0x90000000, 0xFFFFFF00));

// ---- this host's own image ----

TEST(StagePathTest, LocalImageIsFedWithoutAFrame) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender, {.is_local = true});
    sender.n_left = 1000;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(leaf.image.received_bytes.get(), sender.writer->written_bytes());
    world.finish(sender);
    world.sending.worker.set_final(leaf.image, sender.writer->position());
    EXPECT_TRUE(world.run_until([&] { return sender.has_finished; }, 1000));
    EXPECT_EQ(world.out.n_taken, 0U);
}

TEST(StagePathTest, ReaderThatReachedTheEndWithoutRingingIsSeen) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender, {.is_local = true});
    leaf.reads = false;
    sender.n_left = 5;
    ASSERT_TRUE(world.run_until([&] { return sender.n_left == 0; }));
    world.finish(sender);
    world.run_for_us(1000);
    world.sending.worker.set_final(leaf.image, sender.writer->position());
    leaf.consumed.store(sender.writer->position());  // it still saw the old kick_at
    EXPECT_TRUE(world.run_until([&] { return sender.has_finished; }, 100));
    world.run_for_us(1000);
    EXPECT_EQ(stage::timer_of(leaf.image), stage::kNever);
}

TEST(StagePathTest, LocalImageSmallerThanTheLogLosesNothing) {
    World world;
    Sender& sender = world.add_sender({1408, 9});
    sender.n_left = 120;
    for (int i = 0; i < 8; ++i)
        world.write_some(sender);  // more than the image holds, committed before it is there
    Leaf& leaf = world.add_leaf(sender, {.geometry = {1408, 6}, .is_local = true});
    ASSERT_EQ(leaf.p0, 0U);
    leaf.reads = false;
    world.run_for_us(5000);
    leaf.reads = true;
    EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender); }));
    world.expect_intact(sender);
    EXPECT_EQ(world.sending.drops(Drop::beyond_window), 0U);
}

TEST(StagePathTest, LimitIsThatOfTheSlowestLocalOrRemote) {
    for (const bool is_local_slow : {true, false}) {
        World world;
        Sender& sender = world.add_sender({1408, 6});
        Leaf& local = world.add_leaf(sender, {.geometry = {1408, 6}, .is_local = true});
        Leaf& remote = world.add_leaf(sender, {.geometry = {1408, 6}});
        Leaf& slow = is_local_slow ? local : remote;
        slow.reads = false;
        sender.n_left = 500;
        world.run_for_us(50'000);
        EXPECT_GT(sender.n_left, 0U);
        EXPECT_LE(sender.writer->position(), abi::cell_start(64));
        slow.reads = true;
        EXPECT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
        world.expect_intact(sender);
    }
}

TEST(StagePathTest, ReaderAddedBeforeTheImageIsLiveDoesNotLetItsStartBeOverwritten) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender);
    sender.n_left = 10;
    ASSERT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    log::ImageConfig config{.geometry = {1408, 6}, .flags = abi::kImageReliable};
    engine::Image early(std::move(*log::Image::create(config)));
    const std::vector<uint8_t> bytes(64);
    early.image.accept({0, 0, 64, true, false, bytes.data()}, world.now);  // arrives before P0 is known here
    engine::Reader reader;
    reader.image = &early;
    reader.consumed_word = &leaf.consumed;
    reader.socket = 4000;
    world.receiving.worker.add_reader(*world.app, reader);
    EXPECT_EQ(reader.consumed.load(), 0U);
    world.receiving.worker.remove_reader(*world.app, reader);
    world.receiving.worker.remove_image(early);
}

TEST(StagePathTest, LateReaderHoldsTheImageWhereItStarts) {
    World world;
    Sender& sender = world.add_sender({1408, 7});
    Leaf& leaf = world.add_leaf(sender, {.geometry = {1408, 6}});
    sender.n_left = 20;
    ASSERT_TRUE(world.run_until([&] { return world.is_all_read(sender) && world.is_acknowledged(sender); }));
    const Position start = sender.writer->position();
    std::atomic<Position> consumed{0};
    engine::Reader late;
    late.image = &leaf.image;
    late.consumed_word = &consumed;
    late.socket = 4000;
    world.receiving.worker.add_reader(*world.app, late);
    sender.n_left = 500;
    world.run_for_us(20'000);
    EXPECT_GT(sender.n_left, 0U);  // it holds the image, though it does not read yet
    world.receiving.worker.reader_live(late, start);
    ReferenceReader reading(leaf.image.image.fd(), {1408, 6}, start);
    EXPECT_TRUE(world.run_until([&] {
        reading.drain();
        consumed.store(reading.position());
        stage::refresh_consumed(leaf.image, world.receiving.context());
        return world.is_all_read(sender) && reading.position() >= sender.writer->position();
    }));
    EXPECT_EQ(reading.messages.size(), 500U);
    world.receiving.worker.remove_reader(*world.app, late);
}

}  // namespace
}  // namespace xylem::test
