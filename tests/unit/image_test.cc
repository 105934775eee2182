// SPDX-License-Identifier: Apache-2.0
#include "dataplane/log/image.h"

#include <gtest/gtest.h>
#include <xylem/abi/record.h>

#include <cstring>

#include "tests/unit/reference_reader.h"

namespace xylem::log {
namespace {

using abi::cell_start;
using abi::position;

constexpr abi::Geometry kGeometry{256, 6};
constexpr uint64_t kReorderTime = 200;
constexpr bool kStart = true, kNoStart = false, kEnds = true, kOpen = false;

/// An image and a reader at its start. Cells hold records of 16 bytes (header and payload), or of 256.
class ImageTest : public ::testing::Test {
  protected:
    ImageTest() { make(0); }

    void make(uint32_t flags) {
        image = std::move(*Image::create({.geometry = kGeometry, .flags = flags, .reorder_time = kReorderTime}));
    }
    void make_live(uint32_t flags, Position p0) {
        make(flags);
        image.go_live(p0, now);
        reader.emplace(image.fd(), kGeometry, p0);
    }

    /// A frame of whole 16-byte records, each with its position as payload.
    Verdict records(uint64_t cell, uint32_t offset, uint32_t length, bool ends_cell = kOpen) {
        uint8_t bytes[256];
        for (uint32_t at = 0; at < length; at += 16) {
            const abi::RecordHeader header{8, abi::kRecordMessage, abi::kRecordBegin | abi::kRecordEnd, 0};
            const uint64_t payload = position(cell, offset + at);
            std::memcpy(bytes + at, &header, 8);
            std::memcpy(bytes + at + 8, &payload, 8);
        }
        return image.accept({cell, offset, length, kStart, ends_cell, bytes}, now);
    }
    Verdict full_cell(uint64_t cell) { return records(cell, 0, 256, kEnds); }

    /// Piece [offset, offset + length) of a cell that holds one record of 256 bytes.
    Verdict piece(uint64_t cell, uint32_t offset, uint32_t length, bool starts, bool ends_cell) {
        uint8_t bytes[256];
        std::memset(bytes, 'p', sizeof(bytes));
        const abi::RecordHeader header{248, abi::kRecordMessage, abi::kRecordBegin | abi::kRecordEnd, 0};
        std::memcpy(bytes, &header, 8);
        return image.accept({cell, offset, length, starts, ends_cell, bytes + offset}, now);
    }

    /// `n` bytes of a record of `length` payload bytes.
    void cut_record(uint64_t cell, uint32_t offset, uint32_t length, uint32_t n) {
        uint8_t bytes[256] = {};
        const abi::RecordHeader header{length, abi::kRecordMessage, abi::kRecordBegin | abi::kRecordEnd, 0};
        std::memcpy(bytes, &header, sizeof(header));
        EXPECT_EQ(image.accept({cell, offset, n, kStart, kOpen, bytes}, now), Verdict::kAccepted);
    }

    std::vector<NakRange> missing() {
        NakRange ranges[64];
        return {ranges, ranges + image.missing(ranges, 64)};
    }
    uint64_t number_of_messages() {
        reader->drain();
        EXPECT_FALSE(reader->is_hostile);
        return reader->messages.size();
    }

    uint64_t now = 1000;
    Image image;
    std::optional<test::ReferenceReader> reader;
};

// ---- frames that are not taken ----

TEST_F(ImageTest, EveryVerdictHasItsDrop) {
    EXPECT_EQ(drop_of(Verdict::kDuplicate), Drop::duplicate);
    EXPECT_EQ(drop_of(Verdict::kHole), Drop::gap_unordered);
    EXPECT_EQ(drop_of(Verdict::kBeyondWindow), Drop::beyond_window);
    EXPECT_EQ(drop_of(Verdict::kBehind), Drop::behind_floor);
    EXPECT_EQ(drop_of(Verdict::kMalformed), Drop::malformed_frame);
}

TEST_F(ImageTest, FrameThatFitsNoCellIsMalformed) {  // Invariant 4
    for (uint32_t flags : {0U, abi::kImageReliable}) {
        make_live(flags, 0);
        uint8_t bytes[512] = {};
        for (const DataFrame& frame : {DataFrame{0, 4, 8, true, false, bytes},
                                       {0, 8, 4, true, false, bytes},
                                       {0, 256, 8, true, false, bytes},
                                       {0, 8, 256, true, true, bytes},
                                       {0, 65528, 65528, true, true, bytes},
                                       {0, 0, 0, true, false, bytes},
                                       {1ULL << 48, 0, 8, true, false, bytes},
                                       {~0ULL, 0, 8, true, false, bytes}})
            EXPECT_EQ(image.accept(frame, now), Verdict::kMalformed);
        EXPECT_EQ(image.published(), 0U);
    }
}

TEST_F(ImageTest, FrameThatContradictsACellEndIsMalformed) {  // Invariant 4
    for (uint32_t flags : {0U, abi::kImageReliable}) {
        make_live(flags, 0);
        records(1, 0, 32, kEnds);
        EXPECT_EQ(records(1, 16, 32), Verdict::kMalformed) << "beyond the end";
        records(2, 0, 32);
        EXPECT_EQ(records(2, 0, 16, kEnds), Verdict::kMalformed) << "an end before what is here";
    }
}

TEST_F(ImageTest, WhatIsHereAlreadyIsADuplicate) {
    make_live(abi::kImageReliable, 0);
    EXPECT_EQ(records(0, 0, 32), Verdict::kAccepted);
    EXPECT_EQ(records(0, 0, 32), Verdict::kDuplicate);
    EXPECT_EQ(records(0, 16, 16), Verdict::kDuplicate);
    EXPECT_EQ(records(0, 16, 32), Verdict::kAccepted) << "half of it is new";
    EXPECT_EQ(records(0, 32, 16, kEnds), Verdict::kAccepted) << "the end is new";
    EXPECT_EQ(records(0, 32, 16, kEnds), Verdict::kDuplicate);
    EXPECT_EQ(number_of_messages(), 3U);
}

// ---- reliable ----

TEST_F(ImageTest, ReliableGapInACellIsDroppedAndNamed) {
    make_live(abi::kImageReliable, 0);
    records(0, 0, 16);
    EXPECT_EQ(records(0, 32, 16), Verdict::kHole);
    EXPECT_EQ(image.published(), position(0, 16));
    EXPECT_TRUE(image.is_missing_something());
    EXPECT_EQ(missing(), (std::vector<NakRange>{{position(0, 16), 0}}));
}

TEST_F(ImageTest, ReliableCellsBeyondAGapFillAndAreReadInOrder) {
    make_live(abi::kImageReliable, 0);
    full_cell(0);
    full_cell(2);
    full_cell(3);
    EXPECT_EQ(image.published(), cell_start(1));
    EXPECT_EQ(missing(), (std::vector<NakRange>{{cell_start(1), 1}}));
    full_cell(1);
    EXPECT_EQ(image.published(), cell_start(4));
    EXPECT_FALSE(image.is_missing_something());
    EXPECT_EQ(number_of_messages(), 64U);
}

TEST_F(ImageTest, MissingRangesBeginAtTheFillAndJoinUnseenCells) {
    make_live(abi::kImageReliable, 0);
    records(0, 0, 16);
    full_cell(3);
    records(5, 0, 32);
    full_cell(8);
    EXPECT_EQ(missing(), (std::vector<NakRange>{{position(0, 16), 2}, {cell_start(4), 4}, {position(5, 32), 7}}));
    NakRange one;
    EXPECT_EQ(image.missing(&one, 1), 1U) << "the lowest first";
    EXPECT_EQ(one, (NakRange{position(0, 16), 2}));
}

TEST_F(ImageTest, HeartbeatTellsOfALostTail) {
    make_live(abi::kImageReliable, 0);
    full_cell(0);
    EXPECT_FALSE(image.is_missing_something());
    image.note_end(position(2, 32));
    EXPECT_EQ(missing(), (std::vector<NakRange>{{cell_start(1), 2}}));
    full_cell(1);
    records(2, 0, 32);
    EXPECT_TRUE(missing().empty()) << "an open cell misses nothing up to the end";
    image.note_end(position(2, 300));
    image.note_end(position(2, 36));
    image.note_end(abi::kNoPosition);
    EXPECT_EQ(image.highest_seen(), position(2, 32)) << "no possible ends";
}

TEST_F(ImageTest, ReliableWindowBeginsAtTheOldestNeededCell) {
    make_live(abi::kImageReliable, 0);
    EXPECT_EQ(full_cell(63), Verdict::kAccepted);
    EXPECT_EQ(full_cell(64), Verdict::kBeyondWindow);
    for (uint64_t cell = 0; cell < 63; ++cell)
        full_cell(cell);
    EXPECT_EQ(image.published(), cell_start(64));
    EXPECT_TRUE(missing().empty()) << "what has no room is not asked for";
    image.set_oldest_needed(cell_start(1));
    EXPECT_EQ(missing(), (std::vector<NakRange>{{cell_start(64), 64}}));
    EXPECT_EQ(full_cell(64), Verdict::kAccepted);
    EXPECT_EQ(full_cell(65), Verdict::kBeyondWindow);
    image.set_oldest_needed(0);
    image.set_oldest_needed(abi::kNoPosition);
    EXPECT_EQ(image.oldest_needed(), cell_start(65)) << "neither back nor beyond what is published";
}

TEST_F(ImageTest, CellFullWithoutAnEndIsClosed) {
    make_live(abi::kImageReliable, 0);
    records(0, 0, 256, kOpen);
    EXPECT_EQ(image.published(), cell_start(1));
}

// ---- becoming live ----

TEST_F(ImageTest, NothingIsPublishedBeforeTheImageIsLive) {
    full_cell(7);
    EXPECT_EQ(image.header().published.load(), 0U);
    EXPECT_FALSE(image.is_live());
    image.go_live(cell_start(7), now);
    EXPECT_EQ(image.header().published.load(), cell_start(8));
    EXPECT_EQ(image.start(), cell_start(7));
}

TEST_F(ImageTest, ReliableImageAsksForWhatWasLostBeforeItsFirstFrame) {  // Invariant 5
    make(abi::kImageReliable);
    records(7, 32, 16);
    EXPECT_EQ(records(6, 0, 16), Verdict::kBehind);
    EXPECT_TRUE(missing().empty()) << "where it starts is not known";
    image.go_live(position(5, 16), now);
    EXPECT_EQ(image.published(), position(5, 16));
    EXPECT_EQ(missing(), (std::vector<NakRange>{{position(5, 16), 7}}));
    EXPECT_EQ(records(7, 0, 48), Verdict::kAccepted);
    EXPECT_EQ(records(5, 16, 16, kEnds), Verdict::kAccepted);
    EXPECT_EQ(full_cell(6), Verdict::kAccepted);
    EXPECT_EQ(image.published(), position(7, 48));
}

TEST_F(ImageTest, ReliableImageAsksForTheBeginningOfItsFirstCell) {  // Invariant 5
    make(abi::kImageReliable);
    records(7, 32, 16, kEnds);
    full_cell(8);
    image.go_live(position(7, 16), now);
    EXPECT_EQ(missing(), (std::vector<NakRange>{{position(7, 16), 7}}));
    EXPECT_EQ(records(7, 16, 32, kEnds), Verdict::kAccepted);
    EXPECT_EQ(image.published(), cell_start(9));
}

TEST_F(ImageTest, BestEffortImageCountsWhatWasLostBeforeItsFirstFrame) {
    records(7, 32, 16);
    image.go_live(position(7, 0), now);
    reader.emplace(image.fd(), kGeometry, position(7, 0));
    EXPECT_EQ(number_of_messages(), 1U);
    EXPECT_EQ(reader->lost_bytes, 32U);

    make(0);
    full_cell(7);
    image.go_live(position(5, 16), now);
    reader.emplace(image.fd(), kGeometry, position(5, 16));
    EXPECT_EQ(number_of_messages(), 16U);
    EXPECT_EQ(reader->lost_bytes, 2 * 256U - 16);
}

TEST_F(ImageTest, BestEffortImageThatWrappedBeforeItWasLiveTellsByItsFloor) {
    for (uint64_t cell = 100; cell < 200; ++cell)
        full_cell(cell);
    image.go_live(cell_start(99), now);
    reader.emplace(image.fd(), kGeometry, cell_start(99));
    EXPECT_EQ(number_of_messages(), 64U * 16);
    EXPECT_EQ(reader->lost_bytes, 37U * 256);
    EXPECT_EQ(reader->position(), cell_start(200));
}

TEST_F(ImageTest, BestEffortImageBeginsAtAStartFrame) {
    EXPECT_EQ(piece(7, 64, 64, kNoStart, kOpen), Verdict::kHole);
    EXPECT_EQ(full_cell(8), Verdict::kAccepted);
    image.go_live(cell_start(8), now);
    EXPECT_EQ(image.published(), cell_start(9));
}

TEST_F(ImageTest, WhatCameBeforeTheStartIsNotRead) {
    for (uint32_t flags : {0U, abi::kImageReliable}) {
        make(flags);
        full_cell(3);
        full_cell(4);
        image.go_live(cell_start(6), now);
        reader.emplace(image.fd(), kGeometry, cell_start(6));
        EXPECT_EQ(image.published(), cell_start(6));
        full_cell(6);
        EXPECT_EQ(number_of_messages(), 16U);
        EXPECT_EQ(reader->lost_bytes, 0U);
    }
}

// ---- best effort ----

TEST_F(ImageTest, GapInACellBecomesAGapRecordAtOnce) {
    make_live(0, 0);
    records(0, 0, 32);
    EXPECT_EQ(records(0, 64, 32), Verdict::kAccepted);
    EXPECT_EQ(number_of_messages(), 4U);
    EXPECT_EQ(reader->lost_bytes, 32U);
    EXPECT_EQ(reader->gaps.size(), 1U);
    EXPECT_EQ(image.lost_bytes(), 32U);
    EXPECT_EQ(records(0, 32, 32), Verdict::kDuplicate) << "too late";
}

TEST_F(ImageTest, RecordThatWasCutByALossIsPartOfTheGap) {
    make_live(0, 0);
    records(0, 0, 16);
    cut_record(0, 16, 100, 32);
    EXPECT_EQ(number_of_messages(), 1U);
    EXPECT_EQ(records(0, 160, 32), Verdict::kAccepted);
    EXPECT_EQ(number_of_messages(), 3U);
    EXPECT_EQ(reader->lost_bytes, 144U);
    EXPECT_EQ(reader->position(), position(0, 192));
}

TEST_F(ImageTest, LateStartInsideAGapIsNoBoundary) {
    make_live(0, 0);
    for (uint64_t cell = 0; cell < 64; ++cell)
        piece(cell, 0, 256, kStart, kEnds);  // the slots hold old bytes
    records(64, 0, 16);
    records(64, 48, 16);
    EXPECT_EQ(records(64, 32, 72), Verdict::kAccepted) << "late, from inside the gap; new from 64, cut after 96";
    records(64, 208, 16);
    reader->drain();
    EXPECT_EQ(reader->position(), position(64, 224));
    EXPECT_EQ(reader->gaps.size(), 2U);
}

TEST_F(ImageTest, CutRecordAfterAResumptionInsideACellIsFound) {
    make_live(0, 0);
    for (uint64_t cell = 0; cell < 64; ++cell)
        piece(cell, 0, 256, kStart, kEnds);
    records(640, 32, 16);
    cut_record(640, 48, 100, 32);
    EXPECT_EQ(records(640, 160, 16), Verdict::kAccepted);
    reader->drain();
    EXPECT_EQ(reader->position(), position(640, 176));
    ASSERT_EQ(reader->gaps.size(), 1U);
    EXPECT_EQ(reader->gaps[0].length, 160 - 48 - 8U);
}

TEST_F(ImageTest, FrameWithoutStartDoesNotEndAGap) {
    make_live(0, 0);
    EXPECT_EQ(piece(0, 64, 64, kNoStart, kOpen), Verdict::kHole);
    EXPECT_EQ(piece(0, 128, 128, kNoStart, kEnds), Verdict::kHole);
    EXPECT_EQ(image.published(), 0U);
}

TEST_F(ImageTest, GapAcrossCellsIsGivenUpAfterTheReorderTime) {
    make_live(0, 0);
    full_cell(0);
    EXPECT_EQ(image.deadline(), ~0ULL);
    full_cell(3);
    EXPECT_EQ(image.deadline(), now + kReorderTime);
    EXPECT_FALSE(image.on_timer(now + kReorderTime - 1));
    EXPECT_TRUE(image.on_timer(now + kReorderTime));
    EXPECT_EQ(image.deadline(), ~0ULL);
    EXPECT_EQ(image.published(), cell_start(4));
    EXPECT_EQ(number_of_messages(), 32U);
    EXPECT_EQ(reader->lost_bytes, 512U);
    EXPECT_EQ(full_cell(1), Verdict::kBehind);
}

TEST_F(ImageTest, ReorderedCellEndsTheWaiting) {
    make_live(0, 0);
    full_cell(1);
    EXPECT_NE(image.deadline(), ~0ULL);
    full_cell(0);
    EXPECT_EQ(image.deadline(), ~0ULL);
    EXPECT_EQ(number_of_messages(), 32U);
    EXPECT_EQ(image.lost_bytes(), 0U);
}

TEST_F(ImageTest, SecondGapWaitsFromItsOwnTime) {
    make_live(0, 0);
    full_cell(1);
    now += 50;
    full_cell(3);
    EXPECT_TRUE(image.on_timer(1000 + kReorderTime));
    EXPECT_EQ(image.published(), cell_start(2));
    EXPECT_EQ(image.deadline(), 1050 + kReorderTime);
}

TEST_F(ImageTest, CellCutByALossEndsAtItsLastWholeRecord) {
    make_live(0, 0);
    piece(0, 0, 128, kStart, kOpen);
    EXPECT_EQ(image.published(), position(0, 128));
    EXPECT_EQ(number_of_messages(), 0U);
    full_cell(1);
    image.on_timer(now + kReorderTime);
    EXPECT_EQ(number_of_messages(), 16U);
    EXPECT_EQ(reader->lost_bytes, 256U);
}

TEST_F(ImageTest, HalfAnImageOfWaitingEndsIt) {
    make_live(0, 0);
    for (uint64_t cell = 1; cell < 32; ++cell)
        full_cell(cell);
    EXPECT_EQ(image.published(), 0U);
    full_cell(32);
    EXPECT_EQ(image.published(), cell_start(33));
    EXPECT_EQ(number_of_messages(), 32U * 16);
}

TEST_F(ImageTest, WideGapIsOneGapAndResumesAtAStart) {
    make_live(0, 0);
    full_cell(0);
    const uint64_t far = 1ULL << 40;
    EXPECT_EQ(piece(far, 64, 64, kNoStart, kOpen), Verdict::kHole);
    EXPECT_EQ(records(far, 32, 32), Verdict::kAccepted);
    EXPECT_EQ(image.published(), position(far, 64));
    EXPECT_EQ(image.n_gaps(), 1U);
    EXPECT_EQ(number_of_messages(), 2U) << "cell 0 is below the floor of an image that has moved on";
    EXPECT_EQ(reader->position(), position(far, 64));
    EXPECT_EQ(reader->lost_bytes, far * 256 + 32);
}

TEST_F(ImageTest, GapThatLeavesTheOldCellsIntactLosesNothingElse) {
    make_live(0, 0);
    full_cell(0);
    full_cell(40);
    EXPECT_EQ(number_of_messages(), 32U);
    EXPECT_EQ(reader->lost_bytes, 39U * 256);
    EXPECT_EQ(reader->n_laps, 0U);
}

TEST_F(ImageTest, LappedReaderGoesOnAtTheFloor) {
    make_live(0, 0);
    for (uint64_t cell = 0; cell < 100; ++cell)
        full_cell(cell);
    EXPECT_EQ(image.header().floor.load(), cell_start(36));
    EXPECT_EQ(number_of_messages(), 64U * 16);
    EXPECT_EQ(reader->n_laps, 1U);
    EXPECT_EQ(reader->lost_bytes, 36U * 256);
}

TEST_F(ImageTest, FloorNeverLiesInsideAGap) {
    make_live(0, 0);
    full_cell(0);
    for (uint64_t cell = 20; cell < 70; ++cell)
        full_cell(cell);
    image.on_timer(now + kReorderTime);
    EXPECT_EQ(image.header().floor.load(), cell_start(20)) << "cells 1 to 19 never came";
    EXPECT_EQ(number_of_messages(), 50U * 16);
    EXPECT_EQ(reader->position(), cell_start(70));
}

TEST_F(ImageTest, LostTailIsGivenUpOnceTheEndIsKnown) {
    make_live(0, 0);
    records(0, 0, 32);
    image.set_final(position(0, 64), now);
    EXPECT_EQ(image.header().final.load(), position(0, 64));
    EXPECT_EQ(image.deadline(), now + kReorderTime);
    EXPECT_TRUE(image.on_timer(now + kReorderTime));
    EXPECT_EQ(number_of_messages(), 2U);
    EXPECT_EQ(reader->position(), position(0, 64));
    EXPECT_EQ(reader->lost_bytes, 32U);
    EXPECT_EQ(image.deadline(), ~0ULL);
}

TEST_F(ImageTest, LostTailOverSeveralCellsIsOneGap) {
    make_live(0, 0);
    records(0, 0, 32);
    image.set_final(position(3, 16), now);
    image.on_timer(now + kReorderTime);
    EXPECT_EQ(number_of_messages(), 2U);
    EXPECT_EQ(reader->position(), position(3, 16));
    EXPECT_EQ(image.n_gaps(), 1U);
}

TEST_F(ImageTest, EndBeforeTheStartMovesNothingBack) {  // Invariant 4
    image.set_final(position(3, 120), now);
    EXPECT_EQ(image.deadline(), ~0ULL) << "where it starts is not known";
    image.go_live(cell_start(9), now);
    image.set_final(position(2, 8), now);
    EXPECT_EQ(image.deadline(), ~0ULL);
    EXPECT_FALSE(image.on_timer(now + kReorderTime));
    EXPECT_EQ(image.published(), cell_start(9));
    EXPECT_EQ(image.header().final.load(), position(3, 120)) << "the first one stands";
}

TEST_F(ImageTest, RecordLengthsOfAHostileSenderStayWithinTheCell) {  // Invariant 4
    for (uint32_t length : {0xFFFFFFFFU, 0xFFFFFFF8U, 0xFFFFFFF0U, 257U, 249U, 65536U}) {
        make_live(0, 0);
        uint8_t bytes[64] = {};
        const abi::RecordHeader hostile{length, abi::kRecordMessage, abi::kRecordBegin, 0};
        std::memcpy(bytes, &hostile, sizeof(hostile));
        EXPECT_EQ(image.accept({0, 0, 64, true, false, bytes}, now), Verdict::kAccepted);
        EXPECT_EQ(records(0, 128, 16), Verdict::kAccepted);
        EXPECT_EQ(image.published(), position(0, 144));
        EXPECT_EQ(number_of_messages(), 1U);
        EXPECT_EQ(reader->lost_bytes, 128U);
    }
}

}  // namespace
}  // namespace xylem::log
