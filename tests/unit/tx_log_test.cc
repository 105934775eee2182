// SPDX-License-Identifier: Apache-2.0
#include "dataplane/log/tx_log.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/log_writer.h"

namespace xylem::log {
namespace {

constexpr abi::Geometry kGeometry{256, 6};
constexpr Position kFar = abi::cell_start(1ULL << 40);

class TxLogTest : public ::testing::Test {
  protected:
    explicit TxLogTest(Position start = 0)
        : log(std::move(*TxLog::create(kGeometry, start))), app(log.fd(), kGeometry, start) {
        EXPECT_TRUE(log.seal());
    }
    Position commit_now() {
        app.commit();
        return log.sample_commit(kFar);
    }
    void store_commit(Position value) { app.header().commit.store(value, std::memory_order_release); }

    TxLog log;
    test::LogWriter app;
    Frame frame{};
};

TEST_F(TxLogTest, NothingCommittedGivesNoFrame) {
    EXPECT_FALSE(log.next_frame(0, log.sample_commit(kFar), 256, &frame));
}

TEST_F(TxLogTest, OpenCellGivesWhatIsCommitted) {
    app.send(std::string(20, 'a'));
    const Position commit = commit_now();
    ASSERT_TRUE(log.next_frame(0, commit, 256, &frame));
    EXPECT_EQ(frame.cell, 0U);
    EXPECT_EQ(frame.offset, 0U);
    EXPECT_EQ(frame.length, 32U);
    EXPECT_TRUE(frame.starts_at_boundary);
    EXPECT_FALSE(frame.ends_cell);
    EXPECT_EQ(frame.next, commit);
    EXPECT_EQ(std::memcmp(frame.bytes + 8, "aaaa", 4), 0);
    EXPECT_FALSE(log.next_frame(frame.next, commit, 256, &frame));
}

TEST_F(TxLogTest, FullCellEndsAndTheNextOneStarts) {
    app.send(std::string(300, 'a'));
    const Position commit = commit_now();
    ASSERT_TRUE(log.next_frame(0, commit, 256, &frame));
    EXPECT_EQ(frame.length, 256U);
    EXPECT_TRUE(frame.ends_cell);
    EXPECT_EQ(frame.next, abi::cell_start(1));
    ASSERT_TRUE(log.next_frame(frame.next, commit, 256, &frame));
    EXPECT_TRUE(frame.starts_at_boundary);
    EXPECT_EQ(frame.next, commit);
}

TEST_F(TxLogTest, CellClosedEarlySendsItsUsedLengthOnly) {
    app.send("hello");
    app.close_cell();
    app.send("world");
    const Position commit = commit_now();
    ASSERT_TRUE(log.next_frame(0, commit, 256, &frame));
    EXPECT_EQ(frame.length, 16U);
    EXPECT_TRUE(frame.ends_cell);
}

TEST_F(TxLogTest, CellClosedAfterAllOfItWasSentGivesAnEmptyEnd) {
    app.send("hello");
    ASSERT_TRUE(log.next_frame(0, commit_now(), 256, &frame));
    const Position cursor = frame.next;
    app.close_cell();
    app.send("world");
    ASSERT_TRUE(log.next_frame(cursor, commit_now(), 256, &frame));
    EXPECT_EQ(frame.offset, 16U);
    EXPECT_EQ(frame.length, 0U);
    EXPECT_TRUE(frame.ends_cell);
    EXPECT_TRUE(frame.starts_at_boundary);
    EXPECT_EQ(frame.next, abi::cell_start(1));
}

TEST_F(TxLogTest, FramesAreCutToMultiplesOfEight) {
    app.send(std::string(100, 'a'));
    const Position commit = commit_now();
    ASSERT_TRUE(log.next_frame(0, commit, 47, &frame));
    EXPECT_EQ(frame.length, 40U);
    EXPECT_FALSE(frame.ends_cell);
    ASSERT_TRUE(log.next_frame(frame.next, commit, 47, &frame));
    EXPECT_FALSE(frame.starts_at_boundary) << "a cut inside a record is none";
    EXPECT_FALSE(log.next_frame(0, commit, 7, &frame));
}

TEST_F(TxLogTest, SampledCommitIsABoundary) {
    app.send("one");
    const Position first = commit_now();
    app.send("two");
    const Position second = commit_now();
    EXPECT_TRUE(log.is_boundary(first));
    ASSERT_TRUE(log.next_frame(first, second, 256, &frame));
    EXPECT_TRUE(frame.starts_at_boundary);
    EXPECT_FALSE(log.is_boundary(second + 8));
}

TEST_F(TxLogTest, HostileCommitKeepsTheLastOneAndIsCounted) {  // Invariant 3
    app.send("one");
    const Position good = commit_now();
    const Position limit = abi::cell_start(10);
    uint64_t n = 0;
    for (Position bad : {good - 8, good + 4, good + 1, limit + 8, abi::kNoPosition, abi::position(1, 256),
                         abi::position(2, 65528), Position{0}}) {
        store_commit(bad);
        EXPECT_EQ(log.sample_commit(limit), good) << bad;
        EXPECT_EQ(log.hostile_words(), ++n);
    }
    store_commit(limit);
    EXPECT_EQ(log.sample_commit(limit), limit) << "the limit itself is allowed";
}

TEST_F(TxLogTest, HostileUsedLengthStaysWithinTheCell) {  // Invariant 3
    app.send(std::string(20, 'a'));
    app.close_cell();
    app.send("x");
    const Position commit = commit_now();
    for (uint32_t used : {65535U, 257U, 264U}) {
        app.used()[0] = static_cast<uint16_t>(used);
        ASSERT_TRUE(log.next_frame(8, commit, 65535, &frame));
        EXPECT_EQ(frame.offset + frame.length, 256U) << used;
        EXPECT_TRUE(frame.ends_cell);
    }
    app.used()[0] = 33;
    ASSERT_TRUE(log.next_frame(8, commit, 256, &frame));
    EXPECT_EQ(frame.offset + frame.length, 32U);
    app.used()[0] = 0;
    ASSERT_TRUE(log.next_frame(8, commit, 256, &frame));
    EXPECT_EQ(frame.length, 0U) << "not before what was sent";
    EXPECT_EQ(log.hostile_words(), 5U);
}

TEST_F(TxLogTest, RandomWordsNeverGiveABadFrame) {  // Invariant 3
    const uint64_t seed = 11;
    std::mt19937_64 random(seed);
    Position cursor = 0;
    for (unsigned i = 0; i < 50000; ++i) {
        for (uint64_t cell = 0; cell < kGeometry.cells(); ++cell)
            app.used()[cell] = static_cast<uint16_t>(random());
        store_commit(random() % 2 == 0 ? random() : log.commit() + random() % 1000 * 8);
        const Position limit = abi::cell_start(abi::cell_of(cursor) + kGeometry.cells());
        const Position before = log.commit();
        const Position commit = log.sample_commit(limit);
        ASSERT_GE(commit, before) << "seed " << seed;
        ASSERT_LE(commit, limit);
        ASSERT_LT(abi::offset_of(commit), kGeometry.cell_bytes);
        for (unsigned n = 0; n < 8 && log.next_frame(cursor, commit, 8 + random() % 300, &frame); ++n) {
            ASSERT_LE(frame.offset + frame.length, kGeometry.cell_bytes);
            ASSERT_EQ(frame.length % 8, 0U);
            ASSERT_TRUE(frame.length > 0 || frame.ends_cell);
            ASSERT_GT(frame.next, cursor);
            ASSERT_LE(frame.next, commit);
            cursor = frame.next;
        }
    }
}

TEST_F(TxLogTest, RepairFromAnywhereGivesTheSameBytes) {
    for (char letter = 'a'; letter < 'k'; ++letter)
        app.send(std::string(90, letter));
    const Position commit = commit_now();
    ASSERT_TRUE(log.next_frame(abi::position(1, 0), commit, 256, &frame));
    const Frame whole = frame;
    ASSERT_TRUE(log.frame_at(abi::position(1, 64), commit, 256, &frame));
    EXPECT_EQ(frame.bytes, whole.bytes + 64);
    EXPECT_EQ(frame.next, whole.next);
    EXPECT_EQ(frame.ends_cell, whole.ends_cell);
}

class TxLogFarAway : public TxLogTest {
  protected:
    TxLogFarAway() : TxLogTest(abi::position((1ULL << 39) - 1, 240)) {}
};

TEST_F(TxLogFarAway, StartsWhereItWasTold) {
    EXPECT_EQ(log.commit(), log.start());
    EXPECT_TRUE(log.is_boundary(log.start()));
    app.send(std::string(50, 'z'));
    ASSERT_TRUE(log.next_frame(log.start(), commit_now(), 256, &frame));
    EXPECT_EQ(frame.offset, 240U);
    EXPECT_EQ(frame.length, 16U);
    EXPECT_TRUE(frame.ends_cell);
    EXPECT_EQ(frame.next, abi::cell_start(1ULL << 39));
}

TEST_F(TxLogTest, PrefaultWrapsAroundTheEndOfTheLog) { EXPECT_TRUE(log.prefault(60, 10)); }

}  // namespace
}  // namespace xylem::log
