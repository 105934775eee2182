// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/wire.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace xylem::packet {
namespace {

using HeaderArray = std::array<uint8_t, kHeaderBytes>;

const Header kHeader{.type = FrameType::kNak,
                     .flags = kFlagStart | kFlagCellEnd,
                     .offset = 0x0578,
                     .label = 0x1122334455667788,
                     .cell = 0xAABBCCDDEEFF,
                     .packet_number = 0x01020304};

TEST(Wire, HeaderIsTwentyTwoBigEndianBytes) {
    HeaderArray bytes;
    encode_header(kHeader, bytes.data());
    const HeaderArray golden{0x13, 0x03, 0x05, 0x78, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                             0x88, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF, 0x01, 0x02, 0x03, 0x04};
    EXPECT_EQ(bytes, golden);
}

TEST(Wire, HeaderReadsBackAsWritten) {
    HeaderArray bytes;
    encode_header(kHeader, bytes.data());
    Header read;
    Drop why;
    ASSERT_TRUE(decode_header(bytes.data(), bytes.size(), &read, &why));
    EXPECT_EQ(read, kHeader);
}

TEST(Wire, HeaderThatIsNotOursHasAReason) {
    HeaderArray bytes;
    encode_header(kHeader, bytes.data());
    Header read;
    Drop why;
    EXPECT_FALSE(decode_header(bytes.data(), kHeaderBytes - 1, &read, &why));
    EXPECT_EQ(why, Drop::truncated);
    bytes[0] = 0x23;
    EXPECT_FALSE(decode_header(bytes.data(), bytes.size(), &read, &why));
    EXPECT_EQ(why, Drop::bad_version);
    for (uint8_t type : {0, 5, 15}) {
        bytes[0] = static_cast<uint8_t>(kWireVersion << 4 | type);
        EXPECT_FALSE(decode_header(bytes.data(), bytes.size(), &read, &why));
        EXPECT_EQ(why, Drop::wrong_type);
    }
}

TEST(Wire, StatusReadsBackAsWritten) {
    const Status status{.consumed = 0x10008, .published = 0x20000, .highest_packet_number = 7, .window_cells = 1024};
    std::array<uint8_t, kStatusBytes> bytes;
    encode_status(status, bytes.data());
    const std::array<uint8_t, kStatusBytes> golden{0, 0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0, 0, 2,
                                                   0, 0, 0, 0, 0, 7, 0, 0, 4, 0, 0, 0, 0, 0};
    EXPECT_EQ(bytes, golden);
    EXPECT_EQ(decode_status(bytes.data(), bytes.size()), status);
}

TEST(Wire, ImpossibleStatusIsMalformed) {  // malformed_status
    std::array<uint8_t, kStatusBytes + 1> bytes{};
    EXPECT_TRUE(decode_status(bytes.data(), kStatusBytes));
    EXPECT_FALSE(decode_status(bytes.data(), kStatusBytes - 1));
    EXPECT_FALSE(decode_status(bytes.data(), kStatusBytes + 1));
    EXPECT_FALSE(decode_status(nullptr, 0));
    encode_status({.consumed = 0x20000, .published = 0x10000}, bytes.data());
    EXPECT_FALSE(decode_status(bytes.data(), kStatusBytes)) << "consumed beyond published";
    encode_status({.consumed = 4, .published = 0x10000}, bytes.data());
    EXPECT_FALSE(decode_status(bytes.data(), kStatusBytes)) << "offset 4";
    encode_status({.consumed = 8, .published = 0x10001}, bytes.data());
    EXPECT_FALSE(decode_status(bytes.data(), kStatusBytes)) << "offset 1";
}

std::vector<uint8_t> nak_of(const std::vector<NakRange>& ranges) {
    std::vector<uint8_t> bytes(ranges.size() * kNakRangeBytes);
    if (!ranges.empty()) encode_nak(ranges.data(), ranges.size(), bytes.data());
    return bytes;
}

TEST(Wire, NakOfOneAndOfSixtyFourRangesReadsBack) {
    for (size_t n : {1, 2, 64}) {
        std::vector<NakRange> ranges;
        for (uint64_t i = 0; i < n; ++i)
            ranges.push_back({(i * 10) << 16 | 8 * i, i * 10 + i % 3});
        const std::vector<uint8_t> bytes = nak_of(ranges);
        std::array<NakRange, kMaxNakRanges> read;
        ASSERT_EQ(decode_nak(bytes.data(), bytes.size(), read.data()), n);
        EXPECT_TRUE(std::equal(ranges.begin(), ranges.end(), read.begin()));
    }
}

TEST(Wire, ImpossibleNakIsMalformed) {  // malformed_nak
    std::array<NakRange, kMaxNakRanges> read;
    const auto ranges_in = [&](const std::vector<uint8_t>& bytes) {
        return decode_nak(bytes.data(), bytes.size(), read.data());
    };
    EXPECT_EQ(ranges_in({}), 0U);
    EXPECT_EQ(ranges_in(std::vector<uint8_t>(65 * kNakRangeBytes)), 0U);
    EXPECT_EQ(ranges_in(std::vector<uint8_t>(kNakRangeBytes + 1)), 0U);
    EXPECT_EQ(ranges_in(std::vector<uint8_t>(kNakRangeBytes - 1)), 0U);
    EXPECT_EQ(ranges_in(nak_of({{5 << 16, 4}})), 0U) << "last cell before the first";
    EXPECT_EQ(ranges_in(nak_of({{5 << 16 | 4, 6}})), 0U) << "offset 4";
    EXPECT_EQ(ranges_in(nak_of({{5 << 16, kMaxCell + 1}})), 0U) << "no 48-bit cell";
    EXPECT_EQ(ranges_in(nak_of({{5 << 16, 5}, {7 << 16, 6}})), 0U) << "one bad range spoils the NAK";
    EXPECT_EQ(ranges_in(nak_of({{kMaxCell << 16 | 8, kMaxCell}})), 1U);
}

TEST(Drops, EveryDropHasItsNameAndASentence) {
    EXPECT_STREQ(drop_name(Drop::not_ours), "not_ours");
    EXPECT_STREQ(drop_name(static_cast<Drop>(kDropCount - 1)), drop_table::kNames[kDropCount - 1]);
    for (const char* sentence : drop_table::kSentences)
        EXPECT_GT(std::string_view(sentence).size(), 10U);
}

TEST(Drops, CountersCountByNameAndInTotal) {
    DropCounters counters;
    counters.add(Drop::truncated);
    counters.add(Drop::duplicate, 5);
    EXPECT_EQ(counters.count(Drop::truncated), 1U);
    EXPECT_EQ(counters.count(Drop::duplicate), 5U);
    EXPECT_EQ(counters.count(Drop::fragment), 0U);
    EXPECT_EQ(counters.total(), 6U);
}

}  // namespace
}  // namespace xylem::packet
