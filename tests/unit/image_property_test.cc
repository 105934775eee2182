// SPDX-License-Identifier: Apache-2.0
// Random streams through a TX log, a network that loses, reorders and duplicates frames of random cuts, and an image.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/log/image.h"
#include "dataplane/log/tx_log.h"
#include "tests/unit/log_writer.h"
#include "tests/unit/reference_reader.h"

namespace xylem::log {
namespace {

constexpr unsigned kRuns = 300;
constexpr uint64_t kReorderTime = 30;

struct Random {
    explicit Random(uint64_t seed) : engine(seed) {}
    uint64_t below(uint64_t n) { return engine() % n; }
    bool one_in(uint64_t n) { return n != 0 && below(n) == 0; }
    bool percent(uint64_t p) { return below(100) < p; }
    std::mt19937_64 engine;
};

struct FlyingFrame {
    DataFrame frame;
    std::vector<uint8_t> bytes;
};

/// One stream, one image, one reader; the test's clock counts rounds.
class Stream {
  public:
    Stream(uint64_t seed, bool is_reliable) : random(seed), is_reliable_(is_reliable) {
        cell_bytes_ = static_cast<uint32_t>(256 + 8 * random.below(40));
        loss_percent = random.one_in(4) ? 0 : random.below(30);
        reorder_percent = random.one_in(3) ? 0 : random.below(40);
        duplicate_percent = random.one_in(2) ? 0 : random.below(20);
        cut_percent = random.one_in(3) ? 0 : random.below(60);
        const abi::Geometry log_geometry{cell_bytes_, static_cast<uint32_t>(6 + random.below(2))};
        const abi::Geometry image_geometry{cell_bytes_, static_cast<uint32_t>(6 + random.below(2))};
        start_ = abi::position(start_cell(), static_cast<uint32_t>(8 * random.below(cell_bytes_ / 8)));
        log = std::make_unique<TxLog>(std::move(*TxLog::create(log_geometry, start_)));
        writer = std::make_unique<test::LogWriter>(log->fd(), log_geometry, start_);
        EXPECT_TRUE(log->seal());
        image = std::make_unique<Image>(std::move(*Image::create({.geometry = image_geometry,
                                                                  .flags = is_reliable ? abi::kImageReliable : 0,
                                                                  .reorder_time = kReorderTime,
                                                                  .prefault_cell = abi::cell_of(start_)})));
        reader = std::make_unique<test::ReferenceReader>(image->fd(), image_geometry, start_);
        cursor = start_;
        max_message_ = std::min(log_geometry.max_message_bytes(), image_geometry.max_message_bytes());
    }

    abi::Position oldest_kept() const { return is_reliable_ ? reader->position() : cursor; }

    void write_some() {
        const abi::Position limit = abi::cell_start(abi::cell_of(oldest_kept()) + log->geometry().cells());
        for (uint64_t i = random.below(6); i > 0; --i) {
            const size_t bytes = random.one_in(12) ? random.below(max_message_) : random.below(200);
            if (!writer->has_room(bytes, limit)) break;
            std::string message = std::to_string(sent.size()) + ":";
            while (message.size() < bytes)
                message.push_back(static_cast<char>('a' + random.below(26)));
            writer->send(message);
            sent.push_back(message);
            if (random.one_in(8)) writer->close_cell();
        }
        if (random.percent(80)) writer->commit();
        commit = log->sample_commit(limit);
    }

    void pull_some() {
        Frame frame;
        for (uint64_t i = random.below(12); i > 0; --i) {
            if (is_reliable_ && abi::cell_of(cursor) >= abi::cell_of(reader->position()) + image->geometry().cells())
                return;
            if (!log->next_frame(cursor, commit, max_bytes(), &frame)) return;
            cursor = frame.next;
            send(frame);
        }
    }

    uint32_t max_bytes() {
        return random.percent(cut_percent) ? static_cast<uint32_t>(8 + random.below(cell_bytes_)) : cell_bytes_;
    }

    void send(const Frame& frame) {
        if (random.percent(loss_percent)) return;
        FlyingFrame flying{{frame.cell, frame.offset, frame.length, frame.starts_at_boundary, frame.ends_cell, nullptr},
                           {frame.bytes, frame.bytes + frame.length}};
        if (random.percent(duplicate_percent)) network.push_back(flying);
        network.push_back(std::move(flying));
        if (random.percent(reorder_percent))
            std::swap(network.back(), network[network.size() - 1 - random.below(std::min<size_t>(network.size(), 9))]);
    }

    void deliver(uint64_t n) {
        for (; n > 0 && !network.empty(); --n) {
            FlyingFrame flying = std::move(network.front());
            network.pop_front();
            flying.frame.bytes = flying.bytes.data();
            const abi::Position before = image->published();
            const Verdict verdict = image->accept(flying.frame, now);
            ASSERT_NE(verdict, Verdict::kMalformed);
            ASSERT_GE(image->published(), before);
            if (is_reliable_) {
                ASSERT_NE(verdict, Verdict::kBeyondWindow);
            }
        }
    }

    void read_some() {
        for (uint64_t i = random.below(40); i > 0 && reader->step(); --i) {
        }
        image->set_oldest_needed(reader->position());
    }

    void repair() {
        NakRange ranges[8];
        const unsigned n = image->missing(ranges, 8);
        if (image->is_missing_something()) {
            ASSERT_GT(n, 0U);
        }
        for (unsigned i = 0; i < n; ++i) {
            abi::Position at = ranges[i].first;
            Frame frame;
            while (at < cursor && abi::cell_of(at) <= ranges[i].last_cell &&
                   log->frame_at(at, cursor, max_bytes(), &frame)) {
                at = frame.next;
                send(frame);
            }
        }
    }

    Random random;
    std::unique_ptr<TxLog> log;
    std::unique_ptr<test::LogWriter> writer;
    std::unique_ptr<Image> image;
    std::unique_ptr<test::ReferenceReader> reader;
    std::deque<FlyingFrame> network;
    std::vector<std::string> sent;
    abi::Position cursor = 0, commit = 0;
    uint64_t now = 1000;
    uint64_t loss_percent, reorder_percent, duplicate_percent, cut_percent;

    abi::Position start() const { return start_; }

  private:
    uint64_t start_cell() {
        if (random.one_in(2)) return random.below(1000);
        return (1ULL << 47) - 20 + random.below(40);
    }

    bool is_reliable_;
    uint32_t cell_bytes_;
    uint64_t max_message_;
    abi::Position start_;
};

void run_reliable(uint64_t seed) {
    Stream s(seed, true);
    const uint64_t live_after = s.random.below(30);
    for (unsigned round = 0; round < 200; ++round, ++s.now) {
        s.write_some();
        s.pull_some();
        ASSERT_NO_FATAL_FAILURE(s.deliver(s.random.below(16)));
        if (round == live_after) s.image->go_live(s.start(), s.now);
        if (s.random.one_in(10)) s.image->note_end(s.cursor);
        if (s.random.one_in(3)) s.read_some();
        if (s.random.one_in(10)) {
            ASSERT_NO_FATAL_FAILURE(s.repair());
        }
    }
    s.writer->commit();
    for (unsigned round = 0; round < 5000 && s.reader->position() < s.writer->position(); ++round, ++s.now) {
        s.commit = s.log->sample_commit(s.writer->position());
        s.pull_some();
        ASSERT_NO_FATAL_FAILURE(s.deliver(~0ULL));
        s.image->note_end(s.cursor);
        s.read_some();
        ASSERT_NO_FATAL_FAILURE(s.repair());
    }
    EXPECT_EQ(s.reader->position(), s.writer->position());
    EXPECT_FALSE(s.image->is_missing_something());
    EXPECT_FALSE(s.reader->is_hostile);
    EXPECT_EQ(s.reader->lost_bytes, 0U);
    EXPECT_EQ(s.reader->messages, s.sent);
    EXPECT_EQ(s.log->hostile_words(), 0U);
}

/// Every message read is one that was sent, whole and in order.
void expect_subset(const std::vector<std::string>& read, const std::vector<std::string>& sent) {
    size_t next = 0;
    for (const std::string& message : read) {
        const size_t number = std::stoul(message);
        ASSERT_GE(number, next);
        ASSERT_LT(number, sent.size());
        ASSERT_EQ(message, sent[number]);
        next = number + 1;
    }
}

void run_best_effort(uint64_t seed) {
    Stream s(seed, false);
    const uint64_t live_after = s.random.below(30);
    const uint64_t reads_one_in = s.random.one_in(3) ? 40 : 2;  // some readers are too slow
    uint64_t outage_until = 0;
    for (unsigned round = 0; round < 300; ++round, ++s.now) {
        s.write_some();
        s.pull_some();
        if (s.random.one_in(100) && s.loss_percent > 0) outage_until = round + s.random.below(80);
        if (round < outage_until) s.network.clear();
        ASSERT_NO_FATAL_FAILURE(s.deliver(s.random.below(16)));
        if (round == live_after) s.image->go_live(s.start(), s.now);
        if (s.random.one_in(5)) s.image->on_timer(s.now);
        if (s.random.one_in(reads_one_in)) s.read_some();
    }
    s.writer->commit();
    for (s.commit = s.log->sample_commit(abi::kNoPosition - 1); s.cursor < s.commit;)
        s.pull_some();
    ASSERT_NO_FATAL_FAILURE(s.deliver(~0ULL));
    s.image->set_final(s.cursor, s.now);
    for (; s.image->deadline() != ~0ULL; s.now = s.image->deadline())
        s.image->on_timer(s.now);
    s.reader->drain();
    EXPECT_EQ(s.image->published(), s.cursor);
    EXPECT_EQ(s.reader->position(), s.cursor);
    EXPECT_FALSE(s.reader->is_hostile);
    ASSERT_NO_FATAL_FAILURE(expect_subset(s.reader->messages, s.sent));
    EXPECT_GE(s.reader->taken_bytes + s.reader->lost_bytes, s.writer->written_bytes());
    const uint64_t at_most = (abi::cell_of(s.cursor) - abi::cell_of(s.start()) + 1) * s.log->geometry().cell_bytes;
    EXPECT_LE(s.reader->taken_bytes + s.reader->lost_bytes, at_most);
    if (s.reader->n_laps == 0) {
        EXPECT_EQ(s.reader->lost_bytes, s.image->lost_bytes());
    }
    if (s.loss_percent == 0 && s.reorder_percent == 0 && s.reader->n_laps == 0) {
        EXPECT_EQ(s.reader->messages, s.sent);
        EXPECT_EQ(s.reader->lost_bytes, 0U);
    }
}

TEST(ImageProperty, ReliableStreamsWithRepairArriveWhole) {
    const uint64_t first_seed = ::testing::UnitTest::GetInstance()->random_seed();
    for (uint64_t seed = first_seed * 1000; seed < first_seed * 1000 + kRuns; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed) + " (GTEST_RANDOM_SEED=" + std::to_string(first_seed) + ")");
        run_reliable(seed);
        if (HasFailure()) return;
    }
}

TEST(ImageProperty, BestEffortGivesWholeMessagesInOrderAndCountsTheRest) {
    const uint64_t first_seed = ::testing::UnitTest::GetInstance()->random_seed();
    for (uint64_t seed = first_seed * 1000; seed < first_seed * 1000 + kRuns; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed) + " (GTEST_RANDOM_SEED=" + std::to_string(first_seed) + ")");
        run_best_effort(seed);
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace xylem::log
