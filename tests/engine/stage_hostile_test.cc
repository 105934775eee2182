// SPDX-License-Identifier: Apache-2.0
// What peers and applications may send and write, and under which name it is dropped. Invariant 2: each drop that a
// stage counts is provoked here by name. Invariants 3 and 4: nobody else is touched.
#include "dataplane/packet/byte_order.h"
#include "tests/engine/stage_world.h"

namespace xylem::test {
namespace {

using packet::FrameFields;
using packet::FrameType;

/// A stream with two leaves that have everything: what happens to the first must not touch the second.
class HostilePeerTest : public testing::Test {
  protected:
    void SetUp() override {
        sender_.n_left = 30;
        ASSERT_TRUE(world_.run_until([&] { return world_.is_all_read(sender_) && world_.is_acknowledged(sender_); }));
    }
    void TearDown() override {
        sender_.n_left = 1000;
        EXPECT_TRUE(world_.run_until([&] { return world_.is_all_read(sender_, good_); }, 2000));
        EXPECT_TRUE(good_.reading->messages == World::expected(sender_, good_));
    }
    uint64_t drops_here(Drop drop) { return world_.receiving.drops(drop); }
    uint64_t drops_there(Drop drop) { return world_.sending.drops(drop); }

    void send_status(const packet::Status& status) {
        std::vector<uint8_t> payload(packet::kStatusBytes);
        packet::encode_status(status, payload.data());
        world_.deliver(world_.sending, {.type = FrameType::kStatus}, bad_.replica.feedback_label, payload);
    }
    void send_nak(const std::vector<NakRange>& ranges) {
        std::vector<uint8_t> payload(ranges.size() * packet::kNakRangeBytes);
        packet::encode_nak(ranges.data(), ranges.size(), payload.data());
        world_.deliver(world_.sending, {.type = FrameType::kNak}, bad_.replica.feedback_label, payload);
    }

    World world_;
    Sender& sender_ = world_.add_sender({1408, 6});
    Leaf& bad_ = world_.add_leaf(sender_, {.geometry = {1408, 6}});
    Leaf& good_ = world_.add_leaf(sender_, {.geometry = {1408, 6}});
};

TEST_F(HostilePeerTest, UnknownLabelsAreCounted) {
    const std::vector<uint8_t> payload(64);
    for (const uint64_t label : {0ULL, 12345ULL << 16 | 77, ~0ULL}) {
        world_.deliver(world_.receiving, {}, label, payload);
        world_.deliver(world_.sending, {.type = FrameType::kStatus}, label, payload);
    }
    world_.deliver(world_.receiving, {}, bad_.replica.label ^ 1ULL << 40,
                   payload);  // the index fits, the rest does not
    EXPECT_EQ(drops_here(Drop::unknown_label), 4U);
    EXPECT_EQ(drops_there(Drop::unknown_label), 3U);
}

TEST_F(HostilePeerTest, FramesOfATypeThatTheLabelIsNotForAreCounted) {
    world_.deliver(world_.receiving, {.type = FrameType::kNak}, bad_.replica.label, std::vector<uint8_t>(16));
    world_.deliver(world_.sending, {}, bad_.replica.feedback_label, std::vector<uint8_t>(16));
    EXPECT_EQ(drops_here(Drop::wrong_type), 1U);
    EXPECT_EQ(drops_there(Drop::wrong_type), 1U);
}

TEST_F(HostilePeerTest, FramesThatAreNoXylemFramesAreCountedByWhatIsWrong) {
    const std::vector<uint8_t> good = [] {
        std::vector<uint8_t> bytes(packet::kIpv4FrameBytes);
        packet::Path path;
        path.src = {IpAddress::v4(1), 5};
        path.dst = {IpAddress::v4(2), kDataPort};
        packet::FrameTemplate(path, 1).write(FrameFields{}, bytes.data());
        return bytes;
    }();
    const auto broken = [&](size_t at, uint8_t value) {
        std::vector<uint8_t> bytes = good;
        bytes[at] = value;
        world_.deliver_raw(world_.receiving, bytes);
    };
    broken(23, 6);     // TCP
    broken(20, 0x20);  // more fragments
    broken(14, 0x46);  // options
    broken(39, 9);     // a UDP length below its header
    broken(42, 0x21);  // version 2
    broken(42, 0x1F);  // type 15
    world_.deliver_raw(world_.receiving, {good.begin(), good.begin() + 30});
    EXPECT_EQ(drops_here(Drop::not_ours), 1U);
    EXPECT_EQ(drops_here(Drop::fragment), 1U);
    EXPECT_EQ(drops_here(Drop::ip_options), 1U);
    EXPECT_EQ(drops_here(Drop::bad_length), 1U);
    EXPECT_EQ(drops_here(Drop::bad_version), 1U);
    EXPECT_EQ(drops_here(Drop::wrong_type), 1U);
    EXPECT_EQ(drops_here(Drop::truncated), 1U);
}

TEST_F(HostilePeerTest, DataThatCannotBeIsCounted) {
    const Position end = bad_.image.image.published();
    const uint64_t cell = abi::cell_of(end);
    const auto data = [&](uint64_t at_cell, uint32_t offset, size_t bytes) {
        world_.deliver(world_.receiving, {.cell = at_cell, .offset = static_cast<uint16_t>(offset)}, bad_.replica.label,
                       std::vector<uint8_t>(bytes));
    };
    data(cell, 1400, 64);   // over the cell's end
    data(cell, 3, 64);      // no multiple of 8
    data(cell, 8, 61);      // nor this
    data(cell, 65528, 64);  // far beyond the cell
    EXPECT_EQ(drops_here(Drop::malformed_frame), 4U);
    data(cell - 1, 0, 8);
    EXPECT_EQ(drops_here(Drop::duplicate), 1U);
    data(cell + 3, 64, 64);
    EXPECT_EQ(drops_here(Drop::gap_unordered), 1U);
    data(cell + 100, 0, 64);
    data(packet::kMaxCell - 1, 0, 64);
    EXPECT_EQ(drops_here(Drop::beyond_window), 2U);
}

TEST(StageDropTest, BestEffortFrameBehindItsGapIsCounted) {
    World world;
    Sender& sender = world.add_sender({1408, 6}, false);
    Leaf& leaf = world.add_leaf(sender, {.geometry = {1408, 6}, .is_reliable = false});
    sender.n_left = 30;
    ASSERT_TRUE(world.run_until([&] { return world.is_all_read(sender) && leaf.image.image.published() >= 2 << 16; }));
    world.deliver(world.receiving, {.cell = 0, .offset = 0}, leaf.replica.label, std::vector<uint8_t>(64));
    EXPECT_EQ(world.receiving.drops(Drop::behind_floor), 1U);
}

TEST_F(HostilePeerTest, HeartbeatFromTheFutureEndsNothing) {
    for (const uint64_t cell : {uint64_t{1000}, packet::kMaxCell - 1, packet::kMaxCell})
        for (const uint16_t offset : {uint16_t{0}, uint16_t{3}, uint16_t{65528}})
            world_.deliver(world_.receiving, {.type = FrameType::kHeartbeat, .cell = cell, .offset = offset},
                           bad_.replica.label);
    world_.run_for_us(100'000);
}

TEST_F(HostilePeerTest, StatusWithImpossiblePositionsIsCounted) {
    const Position cursor = sender_.stream.groups[0]->cursor;
    const Position consumed = bad_.replica.consumed.get();
    send_status({.consumed = consumed, .published = cursor + 8, .highest_packet_number = 1, .window_cells = 64});
    send_status({.consumed = ~7ULL, .published = ~7ULL, .highest_packet_number = 1, .window_cells = 64});
    send_status({.consumed = cursor + 8, .published = cursor, .highest_packet_number = 1, .window_cells = 64});
    send_status({.consumed = 3, .published = cursor, .highest_packet_number = 1, .window_cells = 64});
    const Position no_offset = abi::position(abi::cell_of(cursor) - 1, 65528);  // no offset of a cell
    send_status({.consumed = no_offset, .published = no_offset, .highest_packet_number = 1, .window_cells = 64});
    send_status({.consumed = 0, .published = no_offset, .highest_packet_number = 1, .window_cells = 64});
    world_.deliver(world_.sending, {.type = FrameType::kStatus}, bad_.replica.feedback_label, std::vector<uint8_t>(27));
    EXPECT_EQ(drops_there(Drop::malformed_status), 7U);
    EXPECT_EQ(bad_.replica.consumed.get(), consumed);
}

TEST_F(HostilePeerTest, PositionsOfAStatusOnlyGrow) {
    const Position received = bad_.replica.received.get();
    send_status({.consumed = 0, .published = 0, .highest_packet_number = 0, .window_cells = 64});
    EXPECT_EQ(bad_.replica.received.get(), received);
    EXPECT_EQ(drops_there(Drop::malformed_status), 0U);
}

TEST_F(HostilePeerTest, PeerThatConfirmsBytesButNoPacketsStopsNobody) {
    sender_.stream.max_in_flight_pkts = 16;
    world_.back.loses = [&](const packet::ParsedFrame& frame) {
        return frame.header.label == bad_.replica.feedback_label;  // it speaks by hand only
    };
    sender_.n_left = 200;
    EXPECT_TRUE(world_.run_until(
        [&] {
            const Position all = sender_.stream.groups[0]->cursor;
            send_status({.consumed = all, .published = all, .highest_packet_number = 0, .window_cells = 64});
            return world_.is_all_read(sender_, good_);
        },
        2000));
    world_.back.loses = nullptr;
}

TEST_F(HostilePeerTest, NakOfImpossibleRangesIsCounted) {
    const uint64_t cell = abi::cell_of(sender_.stream.groups[0]->cursor);
    send_nak({{3, cell}});
    send_nak({{abi::cell_start(2), 1}});
    send_nak({{0, packet::kMaxCell + 1}});
    send_nak({{0, 1}, {abi::position(1, 1408), 1}});  // no offset of a cell
    send_nak({{abi::position(0, 65528), 3}});
    world_.deliver(world_.sending, {.type = FrameType::kNak}, bad_.replica.feedback_label, {});
    world_.deliver(world_.sending, {.type = FrameType::kNak}, bad_.replica.feedback_label, std::vector<uint8_t>(17));
    world_.deliver(world_.sending, {.type = FrameType::kNak}, bad_.replica.feedback_label,
                   std::vector<uint8_t>(65 * 16));
    EXPECT_EQ(drops_there(Drop::malformed_nak), 8U);
    EXPECT_EQ(bad_.replica.n_repairs, 0U);
}

TEST_F(HostilePeerTest, NakOfEverythingSendsNothingThatWasConfirmedOrNeverSent) {
    bad_.reads = false;
    sender_.n_left = 10;
    ASSERT_TRUE(world_.run_until([&] { return sender_.n_left == 0 && world_.is_acknowledged(sender_); }));
    const uint64_t n_before = world_.out.n_taken;
    const Position consumed = bad_.replica.consumed.get();
    std::vector<NakRange> ranges(64, {0, packet::kMaxCell});
    send_nak(ranges);
    world_.run_for_us(5000);
    for (const auto& [position, n] : world_.out.sent_data[bad_.replica.label])
        EXPECT_TRUE(n == 1 || position >= consumed) << position;
    EXPECT_GT(world_.out.n_taken, n_before);
    EXPECT_EQ(bad_.replica.n_repairs, 0U);
    bad_.reads = true;
}

TEST(StageDropTest, NakForABestEffortStreamIsNotExpected) {
    World world;
    Sender& sender = world.add_sender({1408, 6}, false);
    Leaf& leaf = world.add_leaf(sender, {.geometry = {1408, 6}, .is_reliable = false});
    sender.n_left = 300;
    ASSERT_TRUE(world.run_until([&] { return world.is_all_read(sender); }));
    std::vector<uint8_t> payload(packet::kNakRangeBytes);
    const NakRange range{0, 10};  // written anew long ago
    packet::encode_nak(&range, 1, payload.data());
    const uint64_t n_before = world.out.n_taken;
    world.deliver(world.sending, {.type = FrameType::kNak}, leaf.replica.feedback_label, payload);
    world.run_for_us(1000);
    EXPECT_EQ(world.sending.drops(Drop::wrong_type), 1U);
    EXPECT_EQ(world.out.n_taken, n_before);
}

TEST_F(HostilePeerTest, RandomFramesUnderItsLabelsHurtOnlyItself) {
    for (int i = 0; i < 20'000; ++i) {
        FrameFields fields;
        fields.type = static_cast<FrameType>(1 + world_.random() % 4);
        fields.flags = static_cast<uint8_t>(world_.random() % 4);
        fields.cell = world_.random() % (world_.random() % 8 == 0 ? packet::kMaxCell : 80);
        fields.offset = static_cast<uint16_t>(world_.random() % (world_.random() % 8 == 0 ? 65536 : 1408) & ~7U);
        fields.packet_number = static_cast<uint32_t>(world_.random());
        std::vector<uint8_t> payload(world_.random() % 3 == 0 ? 28 : world_.random() % 40 * 8);
        for (uint8_t& byte : payload)
            byte = static_cast<uint8_t>(world_.random() % 4 == 0 ? world_.random() : 0);
        const bool is_feedback = fields.type == FrameType::kStatus || fields.type == FrameType::kNak;
        if (fields.type == FrameType::kHeartbeat) payload.clear();
        world_.deliver(is_feedback ? world_.sending : world_.receiving, fields,
                       is_feedback ? bad_.replica.feedback_label : bad_.replica.label, payload);
        if (i % 100 == 0) world_.step();
    }
    world_.remove_leaf(sender_, bad_);  // what control does with a replica that makes no progress
}

// ---- applications ----

TEST_F(HostilePeerTest, CommitThatCannotBeIsClampedAndCounted) {
    auto& commit = sender_.writer->header().commit;
    const Position honest = sender_.writer->position();
    const uint64_t n_before = sender_.stream.frames.get();
    for (const Position word : {Position{0}, honest + 3, sender_.facts->limit.load() + abi::cell_start(100),
                                abi::kNoPosition, abi::position(abi::cell_of(honest), 65528)}) {
        commit.store(word);
        world_.step();
    }
    EXPECT_EQ(sender_.stream.frames.get(), n_before);
    EXPECT_EQ(sender_.stream.hostile_words.get(), 5U);
    commit.store(honest);
}

TEST_F(HostilePeerTest, UsedLengthsAndRecordsOfAnEnemyHurtOnlyHisOwnStream) {
    Sender& enemy = world_.add_sender({1408, 6});
    Leaf& victim = world_.add_leaf(enemy, {.geometry = {1408, 6}});
    victim.reads = false;
    enemy.n_left = 30;
    ASSERT_TRUE(world_.run_until([&] { return enemy.n_left == 0; }));
    for (int i = 0; i < 2000; ++i) {
        for (uint64_t cell = 0; cell < 64; ++cell)
            enemy.writer->used()[cell] = static_cast<uint16_t>(world_.random());
        enemy.writer->header().commit.store(i % 2 == 0 ? enemy.facts->limit.load() - (world_.random() % 100'000 & ~7ULL)
                                                       : world_.random());
        std::vector<uint8_t> payload(packet::kNakRangeBytes);
        const NakRange range{world_.random() % (64 << 16) & ~7ULL, 64};
        packet::encode_nak(&range, 1, payload.data());
        world_.deliver(world_.sending, {.type = FrameType::kNak}, victim.replica.feedback_label, payload);
        world_.step();
    }
    EXPECT_GT(enemy.stream.hostile_words.get(), 0U);
}

TEST_F(HostilePeerTest, ConsumedWordOfAnEnemyDoesNotStopTheOtherReadersOfHisImage) {
    std::atomic<Position> word{0};
    engine::Reader enemy;
    enemy.image = &good_.image;
    enemy.consumed_word = &word;
    enemy.socket = 4000;
    world_.receiving.worker.add_reader(*world_.app, enemy);
    world_.receiving.worker.reader_live(enemy, good_.image.image.published());
    sender_.n_left = 300;
    EXPECT_TRUE(world_.run_until(
        [&] {
            // Just behind the honest reader, where there is no record and no cell's offset.
            const Position at = good_.reading->position();
            word.store(world_.random() % 2 == 0 ? at - 5 : abi::position(abi::cell_of(at) - 1, 65528));
            stage::refresh_consumed(good_.image, world_.receiving.context());
            if (world_.random() % 8 == 0) word.store(at);
            stage::refresh_consumed(good_.image, world_.receiving.context());
            return world_.is_all_read(sender_, good_);
        },
        5000));
    EXPECT_EQ(drops_there(Drop::malformed_status), 0U);
    world_.receiving.worker.remove_reader(*world_.app, enemy);
}

TEST_F(HostilePeerTest, ConsumedWordsAreClampedToWhatIsPublished) {
    const Position published = good_.image.image.published();
    good_.reads = false;
    for (const Position word : {abi::kNoPosition, Position{~7ULL}, published + 8}) {
        good_.consumed.store(word);
        stage::refresh_consumed(good_.image, world_.receiving.context());
        EXPECT_LE(good_.reader.consumed.load(), published);
    }
    good_.consumed.store(0);  // backwards
    stage::refresh_consumed(good_.image, world_.receiving.context());
    EXPECT_GE(good_.image.min_consumed, good_.p0);
    good_.reads = true;
}

TEST(StageDropTest, ReadyRingGoesOnWhateverTheApplicationWrites) {
    World world;
    Sender& sender = world.add_sender();
    Leaf& leaf = world.add_leaf(sender);
    auto engine_side = std::make_unique<abi::InboxEngine>();
    auto app_side = std::make_unique<abi::InboxApp>();
    std::atomic<bool> is_armed{false};
    stage::ReadyRing ring{engine_side.get(), app_side.get(), &is_armed};
    leaf.reader.ring = &ring;
    leaf.reader.slot = 7;
    sender.n_left = 2000;
    EXPECT_TRUE(world.run_until([&] {
        app_side->slots[7].acked.store(static_cast<uint32_t>(world.random()));
        app_side->tail.store(static_cast<uint32_t>(world.random()));
        if (world.random() % 2 == 0) app_side->slots[7].acked.store(leaf.reader.n_pushed);
        return world.is_all_read(sender);
    }));
    EXPECT_EQ(engine_side->head.load(), leaf.reader.n_pushed);
    EXPECT_GT(leaf.reader.n_pushed, 0U);
    EXPECT_EQ(engine_side->ring[0].load(), 7U);
}

}  // namespace
}  // namespace xylem::test
