// SPDX-License-Identifier: Apache-2.0
// A writer that never waits and readers beside it: whatever is overwritten under a reader's hands, it takes no torn
// record. (Invariant 3: readers cost the engine nothing.)
#include <gtest/gtest.h>
#include <xylem/abi/record.h>

#include <cstring>
#include <thread>
#include <vector>

#include "dataplane/log/image.h"
#include "tests/unit/reference_reader.h"

namespace xylem::log {
namespace {

constexpr abi::Geometry kGeometry{1408, 6};
constexpr uint64_t kCells = 100000;
constexpr uint32_t kRecord = 176;  // eight in a cell

/// Every byte of a record's payload tells its number.
void fill_cell(uint64_t cell, uint8_t* bytes) {
    for (uint32_t at = 0; at < kGeometry.cell_bytes; at += kRecord) {
        const abi::RecordHeader header{kRecord - 8, abi::kRecordMessage, abi::kRecordBegin | abi::kRecordEnd, 0};
        std::memcpy(bytes + at, &header, sizeof(header));
        const uint64_t number = cell * 8 + at / kRecord;
        for (uint32_t i = 8; i < kRecord; i += 8)
            std::memcpy(bytes + at + i, &number, 8);
    }
}

/// Reads to the end; returns false at the first record that is torn or out of order.
bool reads_whole_records(test::ReferenceReader& reader) {
    uint64_t next = 0;
    while (reader.position() < abi::cell_start(kCells)) {
        if (!reader.step()) {
            if (reader.is_hostile) return false;
            std::this_thread::yield();
        }
        for (const std::string& message : reader.messages) {
            uint64_t number;
            std::memcpy(&number, message.data(), sizeof(number));
            if (number < next) return false;
            for (size_t i = 0; i < message.size(); i += 8)
                if (std::memcmp(message.data() + i, &number, sizeof(number)) != 0) return false;
            next = number + 1;
        }
        reader.messages.clear();
    }
    return true;
}

TEST(ImageThreads, LappedReadersNeverTakeATornRecord) {
    Image image = std::move(*Image::create({.geometry = kGeometry, .reorder_time = 1}));
    image.go_live(0, 0);
    test::ReferenceReader first(image.fd(), kGeometry, 0), second(image.fd(), kGeometry, 0);
    bool is_first_whole = false, is_second_whole = false;
    std::thread first_thread([&] { is_first_whole = reads_whole_records(first); });
    std::thread second_thread([&] { is_second_whole = reads_whole_records(second); });
    std::vector<uint8_t> bytes(kGeometry.cell_bytes);
    for (uint64_t cell = 0; cell < kCells; ++cell) {
        fill_cell(cell, bytes.data());
        const bool is_lost = cell % 50 == 7 && cell + 1 < kCells;
        if (!is_lost) image.accept({cell, 0, 704, true, false, bytes.data()}, cell);
        if (!is_lost) image.accept({cell, 704, 704, true, true, bytes.data() + 704}, cell);
        image.on_timer(cell);
    }
    first_thread.join();
    second_thread.join();
    EXPECT_TRUE(is_first_whole);
    EXPECT_TRUE(is_second_whole);
    EXPECT_EQ(first.taken_bytes + first.lost_bytes, kCells * kGeometry.cell_bytes);
    EXPECT_EQ(second.taken_bytes + second.lost_bytes, kCells * kGeometry.cell_bytes);
    RecordProperty("laps", static_cast<int>(first.n_laps + second.n_laps));
}

}  // namespace
}  // namespace xylem::log
