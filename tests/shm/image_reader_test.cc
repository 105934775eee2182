// SPDX-License-Identifier: Apache-2.0
// What a hostile sender, or a worker that overwrites, may do to a reader: end its session or cost it messages, never
// more (invariant 4).
#include <gtest/gtest.h>
#include <xylem/socket.h>

#include <cstring>
#include <random>
#include <string>

#include "shim/image_reader.h"
#include "tests/shm/fake_daemon.h"

namespace xylem::test {
namespace {

using abi::kRecordBegin;
using abi::kRecordEnd;
using abi::kRecordGap;
using abi::kRecordMessage;
using abi::position;
using shim::ImageReader;
using shim::Outcome;
using shim::Received;
using shim::Scatter;

constexpr uint32_t kCellBytes = 256;
constexpr uint8_t kWhole = kRecordBegin | kRecordEnd;

class ImageReading : public testing::Test {
  protected:
    explicit ImageReading(uint32_t flags = 0) : image({kCellBytes, 6}, flags, 0) {
        shim::Mapping mapping;
        EXPECT_EQ(mapping.map(image.memory.fd(), abi::image_total_bytes(image.geometry), false), 0);
        abi::ImageReply reply{};
        reply.cell_bytes = kCellBytes;
        reply.cells_log2 = 6;
        reply.flags = flags;
        EXPECT_TRUE(reader.open(std::move(mapping), reply, &read_end));
    }
    ~ImageReading() override { reader.close(); }

    void put(uint64_t cell, uint32_t offset, const std::string& text, uint8_t flags = kWhole) {
        FakeDaemon::put_record(image.cell(cell) + offset, static_cast<uint32_t>(text.size()), kRecordMessage, flags,
                               text.data());
    }
    void publish(abi::Position p) { image.header().published = p; }

    Outcome receive(std::string& text, int flags = 0, size_t room = 1 << 16) {
        std::vector<char> buffer(room);
        const iovec part{buffer.data(), buffer.size()};
        Scatter to(&part, 1);
        received = {};
        const Outcome outcome = reader.receive(to, (flags & XY_MSG_PARTIAL) != 0, (flags & XY_MSG_PEEK) != 0, received);
        text.assign(buffer.data(), outcome == Outcome::kTaken ? received.bytes : 0);
        return outcome;
    }

    std::atomic<abi::Position> read_end{abi::kNoPosition};
    FakeImage image;
    ImageReader reader;
    Received received;
};

class ReliableReading : public ImageReading {
  protected:
    ReliableReading() : ImageReading(abi::kImageReliable) {}
};

TEST_F(ReliableReading, ARecordThatIsPublishedInPartIsWaitedFor) {
    put(0, 0, std::string(100, 'x'));
    std::string text;

    publish(position(0, 56));
    EXPECT_EQ(receive(text), Outcome::kNone);
    publish(position(0, 112));

    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text.size(), 100U);
}

TEST_F(ReliableReading, AMessageInPiecesIsWaitedForUntilItsEnd) {
    put(0, 0, std::string(248, 'a'), kRecordBegin);
    image.close_cell(0, 256, position(1, 0), 0);
    put(1, 0, std::string(248, 'b'), 0);
    image.close_cell(1, 256, position(2, 0), 0);
    put(2, 0, "end", kRecordEnd);
    std::string text;

    publish(position(1, 0));
    EXPECT_EQ(receive(text), Outcome::kNone);
    publish(position(2, 0));
    EXPECT_EQ(receive(text), Outcome::kNone);
    EXPECT_EQ(reader.position(), 0U);
    publish(position(2, 16));

    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text, std::string(248, 'a') + std::string(248, 'b') + "end");
    EXPECT_EQ(reader.position(), position(2, 16));
}

TEST_F(ReliableReading, AMessageInPiecesThatWasOnlyLookedAtStays) {
    put(0, 0, std::string(248, 'a'), kRecordBegin);
    image.close_cell(0, 256, position(1, 0), 0);
    put(1, 0, "end", kRecordEnd);
    put(1, 16, "next");
    publish(position(1, 32));
    const std::string whole = std::string(248, 'a') + "end";
    std::string text;

    EXPECT_TRUE(reader.has_message());
    EXPECT_TRUE(reader.has_message());
    EXPECT_EQ(reader.next_bytes(), whole.size());
    EXPECT_EQ(receive(text, XY_MSG_PEEK), Outcome::kTaken);
    EXPECT_EQ(text, whole);
    EXPECT_EQ(receive(text, 0, 10), Outcome::kTooLong);
    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text, whole);
    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text, "next");
    EXPECT_EQ(reader.lost_bytes(), 0U);
}

TEST_F(ReliableReading, AMessageIsThereWhenItIsPublishedWhole) {
    put(0, 0, std::string(248, 'a'), kRecordBegin);
    image.close_cell(0, 256, position(1, 0), 0);
    put(1, 0, "", kRecordEnd);

    EXPECT_FALSE(reader.has_message());
    publish(position(1, 0));
    EXPECT_FALSE(reader.has_message());
    publish(position(1, 8));
    EXPECT_TRUE(reader.has_message());
}

TEST_F(ReliableReading, TheLastRecordOfAFullCellLeavesTheReaderAtTheNextOne) {
    put(0, 0, std::string(248, 'a'));
    image.close_cell(0, 256, position(1, 0), 0);
    publish(position(1, 0));
    image.header().final = position(1, 0);
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kTaken);

    EXPECT_TRUE(reader.is_at_final());
}

TEST_F(ReliableReading, ReadingEndsWhereItsOwnEndIsThoughTheImageGoesOn) {
    put(0, 0, "first");
    put(0, 16, "second");
    put(0, 32, std::string(40, 'c'));
    publish(position(0, 80));
    std::string text;
    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_FALSE(reader.is_at_final());

    read_end = position(0, 56);  // in the middle of the third

    EXPECT_FALSE(reader.is_at_final());
    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text, "second");
    EXPECT_EQ(receive(text), Outcome::kNone);
    EXPECT_TRUE(reader.is_at_final());
    EXPECT_GE(reader.position(), position(0, 56)) << "the engine must learn that all was read";
    EXPECT_EQ(receive(text), Outcome::kNone);
}

TEST_F(ReliableReading, AMessageThatCrossesItsOwnEndIsNotHandedOutInPart) {
    put(0, 0, std::string(248, 'a'), kRecordBegin);
    image.close_cell(0, 256, position(1, 0), 0);
    put(1, 0, "end", kRecordEnd);
    publish(position(1, 16));
    read_end = position(1, 0);
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kNone);

    EXPECT_TRUE(reader.is_at_final());
}

TEST_F(ReliableReading, LengthsThatDoNotFitTheCellEndTheSession) {
    for (const uint32_t length : {249U, 1000U, 0x7FFFFFFFU, 0xFFFFFFF8U, 0xFFFFFFFFU}) {
        FakeDaemon::put_record(image.cell(0), length, kRecordMessage, kWhole, nullptr);
        publish(position(0, 64));
        std::string text;
        EXPECT_EQ(receive(text), Outcome::kBroken) << length;
    }
}

TEST_F(ReliableReading, UnknownTypesEndTheSession) {
    FakeDaemon::put_record(image.cell(0), 8, 77, kWhole, "12345678");
    publish(position(0, 16));
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kBroken);
}

TEST_F(ReliableReading, ALossInAReliableStreamEndsTheSession) {
    put(0, 0, "whole");
    image.close_cell(0, 16, position(2, 0), 500);
    publish(position(2, 0));
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(receive(text), Outcome::kBroken);
}

TEST_F(ReliableReading, CellEndsThatPointBackwardsOrBeyondEndTheSession) {
    std::string text;
    for (const abi::Position next : {position(0, 0), position(5, 0), position(1, 255), abi::kNoPosition}) {
        image.close_cell(0, 0, next, 0);
        publish(position(1, 8));
        EXPECT_EQ(receive(text), Outcome::kBroken) << next;
    }
    image.close_cell(0, 257, position(1, 0), 0);
    EXPECT_EQ(receive(text), Outcome::kBroken);
}

TEST_F(ReliableReading, APieceOfAnUnfinishedMessageIsDroppedWhenAnotherBegins) {
    put(0, 0, "unfinished", kRecordBegin);
    put(0, 24, "whole");
    publish(position(0, 40));
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text, "whole");
    EXPECT_EQ(received.lost_bytes, 0U) << "its sender broke it off";
    EXPECT_EQ(reader.lost_bytes(), 0U);
    EXPECT_EQ(reader.lost_gaps(), 0U);
}

TEST_F(ImageReading, AGapRecordIsSkippedAndCounted) {
    put(0, 0, "first");
    FakeDaemon::put_record(image.cell(0) + 16, 56, kRecordGap, 0, nullptr);
    put(0, 80, "tail of something", kRecordEnd);
    put(0, 112, "next");
    publish(position(0, 128));
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text, "next");
    EXPECT_EQ(received.lost_bytes, 64U + 17U);
    EXPECT_EQ(receive(text), Outcome::kNone);
}

TEST_F(ImageReading, AGapInTheMiddleOfAMessageDropsTheMessage) {
    put(0, 0, std::string(248, 'a'), kRecordBegin);
    image.close_cell(0, 256, position(3, 0), 512);
    put(3, 0, "middle", 0);
    put(3, 16, "whole");
    publish(position(3, 32));
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kTaken);

    EXPECT_EQ(text, "whole");
    EXPECT_EQ(received.lost_bytes, 248U + 512U + 6U);
    EXPECT_EQ(reader.lost_gaps(), 1U);
}

TEST_F(ImageReading, AReaderThatWasLappedGoesOnAtTheFloor) {
    put(0, 0, "gone");
    publish(position(70, 16));
    image.header().floor = abi::cell_start(70);
    put(70, 0, "here");
    std::string text;

    EXPECT_EQ(receive(text), Outcome::kTaken);

    EXPECT_EQ(text, "here");
    EXPECT_EQ(received.lost_bytes, 70U * kCellBytes);
    EXPECT_EQ(reader.position(), position(70, 16));
}

TEST_F(ImageReading, ABorrowedRecordThatWasOverwrittenIsKnown) {
    put(0, 0, "borrowed");
    publish(position(0, 16));
    shim::Borrowed span;
    ASSERT_EQ(reader.borrow(span), Outcome::kTaken);
    EXPECT_EQ(std::string(span.payload, span.bytes), "borrowed");
    EXPECT_TRUE(reader.is_intact(span.start));

    image.header().floor = abi::cell_start(1);

    EXPECT_FALSE(reader.is_intact(span.start));
}

TEST_F(ImageReading, PiecesOfTwoMessagesAreNotMixed) {
    put(0, 0, "one");
    put(0, 16, "two");
    publish(position(0, 32));
    std::string text;

    EXPECT_EQ(receive(text, XY_MSG_PARTIAL, 2), Outcome::kTaken);
    EXPECT_EQ(text, "on");
    EXPECT_EQ(received.flags, uint32_t{XY_MSG_BEGIN});
    EXPECT_EQ(receive(text, XY_MSG_PARTIAL), Outcome::kTaken);
    EXPECT_EQ(text, "e");
    EXPECT_EQ(received.flags, uint32_t{XY_MSG_END});
    EXPECT_EQ(receive(text, XY_MSG_PARTIAL), Outcome::kTaken);
    EXPECT_EQ(text, "two");
}

// Whatever lies in an image, a reader terminates, reads nothing outside it, and its position only grows.
class RandomImages : public testing::TestWithParam<uint32_t> {};

TEST_P(RandomImages, AreReadWithoutHarm) {
    const uint32_t flags = GetParam();
    for (uint32_t seed = 0; seed < 300; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        FakeImage image({kCellBytes, 6}, flags, 0);
        for (uint64_t cell = 0; cell < 64; ++cell) {
            uint32_t offset = 0;
            while (offset + 8 <= kCellBytes && random() % 12 != 0) {
                const uint32_t length = random() % 20 == 0 ? random() : random() % 100;
                const auto type = static_cast<uint8_t>(random() % 30 == 0 ? random() : 1 + (random() % 8 == 0));
                FakeDaemon::put_record(image.cell(cell) + offset, length, type, static_cast<uint8_t>(random() % 4),
                                       nullptr);
                offset += abi::record_bytes(length % 256);
            }
            const abi::Position next = random() % 20 == 0 ? random() : abi::cell_start(cell + 1);
            image.close_cell(cell, std::min(offset, kCellBytes), next, random() % 10 == 0 ? random() % 1000 : 0);
        }
        image.header().published = position(63, random() % 32 * 8);
        image.header().floor = random() % 2 == 0 ? abi::cell_start(random() % 64) : 0;
        shim::Mapping mapping;
        ASSERT_EQ(mapping.map(image.memory.fd(), abi::image_total_bytes(image.geometry), false), 0);
        abi::ImageReply reply{};
        reply.cell_bytes = kCellBytes, reply.cells_log2 = 6, reply.flags = flags;
        ImageReader reader;
        ASSERT_TRUE(reader.open(std::move(mapping), reply));
        std::vector<char> buffer(4096);
        Outcome outcome = Outcome::kTaken;
        for (int i = 0; i < 10000 && outcome != Outcome::kNone && outcome != Outcome::kBroken; ++i) {
            const iovec part{buffer.data(), buffer.size()};
            Scatter to(&part, 1);
            Received received;
            const abi::Position before = reader.position();
            const bool is_partial = random() % 3 == 0, is_peek = random() % 5 == 0;
            outcome = reader.receive(to, is_partial, is_peek, received);
            ASSERT_GE(reader.position(), before);
            if (outcome == Outcome::kTooLong) buffer.resize(buffer.size() * 2);
        }
        EXPECT_TRUE(outcome == Outcome::kNone || outcome == Outcome::kBroken);
        reader.close();
    }
}

INSTANTIATE_TEST_SUITE_P(Kinds, RandomImages,
                         testing::Values(0U, uint32_t{abi::kImageReliable}, abi::kImageReliable | abi::kImageStream,
                                         uint32_t{abi::kImageGroup}));

}  // namespace
}  // namespace xylem::test
