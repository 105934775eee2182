// SPDX-License-Identifier: Apache-2.0
// What an application may write into the log of a GROUP stream. Invariant 3: it hurts only that stream.
#include <thread>

#include "tests/engine/stage_group_world.h"

namespace xylem::test {
namespace {

TEST_F(StageGroupTest, RecordThatIsNoDatagramCostsTheRestOfItsCell) {
    set(0, route_to("239.1.2.3", 5555));
    using abi::RecordHeader;
    const uint8_t whole = abi::kRecordBegin | abi::kRecordEnd;
    const RecordHeader bad[] = {{7, abi::kRecordMessage, whole, 0},   {1400, abi::kRecordMessage, whole, 0},
                                {~0U, abi::kRecordMessage, whole, 0}, {~7U, abi::kRecordMessage, whole, 0},
                                {16, abi::kRecordGap, whole, 0},      {16, abi::kRecordMessage, abi::kRecordBegin, 0},
                                {16, abi::kRecordMessage, 0xFF, 0}};
    uint64_t n_bad = 0;
    for (const RecordHeader& header : bad) {
        send(0, "before");
        const Position at = writer_->position();
        send(0, std::string(40, 'b'));
        writer_->overwrite(at, header);
        send(0, "in the same cell, lost");
        writer_->close_cell();
        writer_->commit();
        send(0, "in the next cell");
        poll_all();
        EXPECT_EQ(drops(Drop::malformed_record), ++n_bad);
        EXPECT_EQ(stream_.hostile_words.get(), n_bad);
        ASSERT_EQ(out_.frames.size(), 2 * n_bad);
        EXPECT_EQ(payload_of(out_.frames.back()), "in the next cell");
        writer_->close_cell();
        writer_->commit();
    }
}

// Invariant 1: each datagram is at its port, in this host's image, or dropped by name, once for each of the two.
TEST_F(StageGroupTest, RandomLogsHurtOnlyTheirOwnStream) {
    for (uint32_t i = 0; i < abi::kMaxDestinations; i += 2)
        set(i, route_to("239.1.2.3", static_cast<uint16_t>(5000 + i), i % 4 == 0));
    GroupImage &wired = join("239.1.2.3", 5000), &local = join("239.1.2.3", 5002, kLocalPort);
    uint64_t n_out = 0, n_out_to_both = 0, n_stored = 0;
    const auto take_all = [&] {
        for (const std::vector<uint8_t>& frame : out_.frames) {
            Endpoint dest;
            payload_of(frame, &dest);
            EXPECT_EQ(udp_residue(frame, false), 0);
            n_out_to_both += dest.port == 5000 ? 1 : 0;
        }
        n_out += out_.frames.size();
        out_.frames.clear();
        for (GroupImage* image : {&wired, &local}) {
            n_stored += read(*image).size();
            image->reading->messages.clear();
        }
    };
    for (int round = 0; round < 3000; ++round) {
        for (int i = 0; i < 20 && writer_->has_room_for_one(stream_.limit); ++i) {
            writer_->send_to(random_() % 66, std::string(random_() % 200, 'h'));
            if (random_() % 8 == 0) writer_->close_cell();
        }
        writer_->commit();
        for (int i = 0; i < 8; ++i)
            writer_->overwrite(random_() % (64 * kGroupGeometry.cell_stride()), random_());
        if (round % 3 == 0) writer_->used()[random_() % 64] = static_cast<uint16_t>(random_());
        if (round % 5 == 0) writer_->header().commit.store(random_() % (stream_.limit + 100) & ~7ULL);
        out_.n_taken_at_once = random_() % 65;
        poll();
        EXPECT_LE(stream_.position, stream_.committed.get());
        EXPECT_LT(abi::offset_of(stream_.position), kGroupGeometry.cell_bytes);
        take_all();
    }
    out_.n_taken_at_once = 64;
    poll_all();
    take_all();
    EXPECT_EQ(egress_.n_held(), 0U);
    EXPECT_EQ(stream_.frames.get() + n_out_to_both, n_out + n_stored + drops(Drop::unknown_destination) +
                                                        drops(Drop::no_member) + drops(Drop::image_too_small));
    EXPECT_EQ(wired.reading->n_laps + local.reading->n_laps, 0U);
    EXPECT_GT(stream_.hostile_words.get(), 0U);
    EXPECT_GT(drops(Drop::malformed_record), 0U);
    EXPECT_GT(wired.image.received_bytes.get(), 0U);
    EXPECT_GT(abi::cell_of(stream_.position), 1000U);  // it went on and on
}

TEST_F(StageGroupTest, PayloadThatChangesWhileItIsSentHasTheSumOfWhatWasSent) {
    set(0, route_to("239.1.2.3", 5555));
    std::atomic<bool> is_done{false};
    std::thread scribbler([&] {
        std::mt19937_64 random(1);
        while (!is_done)
            for (int i = 0; i < 1000; ++i) {  // payloads only: each record begins a cell
                const uint64_t off = random() % 64 * kGroupGeometry.cell_stride() + 16 + random() % 1300;
                writer_->overwrite(off, random());
            }
    });
    size_t n_frames = 0;
    for (int i = 0; i < 2000; ++i) {
        for (int n = 0; n < 20 && writer_->has_room_for_one(stream_.limit); ++n)
            send(0, std::string(1350, 'x'));
        poll();
        for (const std::vector<uint8_t>& frame : out_.frames)
            EXPECT_EQ(udp_residue(frame, false), 0);
        n_frames += out_.frames.size();
        out_.frames.clear();
    }
    is_done = true;
    scribbler.join();
    EXPECT_GT(n_frames, 10'000U);
    EXPECT_EQ(stream_.hostile_words.get(), 0U);
}

}  // namespace
}  // namespace xylem::test
