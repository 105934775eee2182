// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/parse.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/unit/sample_frames.h"

namespace xylem::packet {
namespace {

const std::vector<uint8_t> kPayload{1, 2, 3, 4, 5, 6, 7, 8};
const FrameFields kFields{.flags = kFlagStart, .cell = 7, .offset = 16, .packet_number = 9};

std::vector<uint8_t> sample(bool is_v6, FrameFields fields = kFields, const std::vector<uint8_t>& payload = kPayload) {
    return test::make_frame(test::sample_path(is_v6), 42, fields, payload);
}

/// Parses a copy of exactly the frame's size on the heap, so that a sanitizer sees a read beyond it.
bool parse(const std::vector<uint8_t>& frame, ParsedFrame* parsed, Drop* why) {
    const std::unique_ptr<uint8_t[]> copy(new uint8_t[frame.size()]);
    std::copy(frame.begin(), frame.end(), copy.get());
    if (!parse_frame(copy.get(), frame.size(), test::kDataPort, parsed, why)) return false;
    EXPECT_GE(parsed->payload, copy.get());
    EXPECT_LE(parsed->payload + parsed->payload_len, copy.get() + frame.size());
    return true;
}

std::string refusal(const std::vector<uint8_t>& frame) {
    ParsedFrame parsed;
    Drop why;
    return parse(frame, &parsed, &why) ? "taken" : drop_name(why);
}

class ParseBoth : public ::testing::TestWithParam<bool> {
  protected:
    size_t ip() const { return 14; }
    size_t udp() const { return GetParam() ? 54 : 34; }
    size_t xylem() const { return udp() + 8; }
};

TEST_P(ParseBoth, WhatWasWrittenIsRead) {
    const auto frame = sample(GetParam());
    ParsedFrame parsed;
    Drop why;
    ASSERT_TRUE(parse_frame(frame.data(), frame.size(), test::kDataPort, &parsed, &why));
    EXPECT_EQ(parsed.header, (Header{.flags = kFlagStart, .offset = 16, .label = 42, .cell = 7, .packet_number = 9}));
    EXPECT_EQ(parsed.payload, frame.data() + xylem() + kHeaderBytes);
    EXPECT_EQ(parsed.payload_len, kPayload.size());
    EXPECT_EQ(parsed.src, test::sample_path(GetParam()).src);
}

TEST_P(ParseBoth, OneVlanTagIsTolerated) {
    auto frame = sample(GetParam());
    frame.insert(frame.begin() + 12, {0x81, 0x00, 0x00, 0x05});
    EXPECT_EQ(refusal(frame), "taken");
    frame.insert(frame.begin() + 12, {0x81, 0x00, 0x00, 0x05});
    EXPECT_EQ(refusal(frame), "not_ours") << "a second one is not";
}

TEST_P(ParseBoth, EthernetPaddingIsNotPayload) {
    auto frame = sample(GetParam());
    frame.insert(frame.end(), 13, 0xEE);
    ParsedFrame parsed;
    Drop why;
    ASSERT_TRUE(parse(frame, &parsed, &why));
    EXPECT_EQ(parsed.payload_len, kPayload.size());
}

TEST_P(ParseBoth, EveryTruncationIsRefused) {
    const auto frame = sample(GetParam());
    for (size_t n = 0; n < frame.size(); ++n)
        EXPECT_EQ(refusal({frame.begin(), frame.begin() + static_cast<long>(n)}), "truncated") << n;
}

TEST_P(ParseBoth, OtherTrafficIsNotOurs) {
    auto frame = sample(GetParam());
    frame[udp() + 2] ^= 1;
    EXPECT_EQ(refusal(frame), "not_ours") << "another port";
    frame = sample(GetParam());
    frame[GetParam() ? 20 : 23] = 6;
    EXPECT_EQ(refusal(frame), "not_ours") << "TCP";
    frame = sample(GetParam());
    frame[12] = 0x08;
    frame[13] = 0x06;
    EXPECT_EQ(refusal(frame), "not_ours") << "ARP";
}

TEST_P(ParseBoth, UdpLengthThatDoesNotFitIsABadLength) {
    for (uint16_t udp_len : {0, 7, 8, 29, 39, 65535}) {
        auto frame = sample(GetParam());
        frame[udp() + 4] = static_cast<uint8_t>(udp_len >> 8);
        frame[udp() + 5] = static_cast<uint8_t>(udp_len);
        EXPECT_EQ(refusal(frame), "bad_length") << udp_len;
    }
}

TEST_P(ParseBoth, OtherVersionsAndTypesAreRefused) {
    auto frame = sample(GetParam());
    frame[xylem()] = 0x21;
    EXPECT_EQ(refusal(frame), "bad_version");
    frame[xylem()] = 0x1F;
    EXPECT_EQ(refusal(frame), "wrong_type");
}

TEST_P(ParseBoth, ExtendedHeaderIsSkipped) {
    auto frame = sample(GetParam());
    frame[xylem() + 1] |= kFlagExt;
    ParsedFrame parsed;
    Drop why;
    ASSERT_TRUE(parse(frame, &parsed, &why));
    EXPECT_EQ(parsed.payload_len, 0U);
    frame = sample(GetParam(), kFields, {1, 2, 3, 4});
    frame[xylem() + 1] |= kFlagExt;
    EXPECT_EQ(refusal(frame), "bad_length") << "no room for it";
}

TEST_P(ParseBoth, HeartbeatHasNoPayload) {
    EXPECT_EQ(refusal(sample(GetParam(), {.type = FrameType::kHeartbeat}, {})), "taken");
    EXPECT_EQ(refusal(sample(GetParam(), {.type = FrameType::kHeartbeat})), "bad_length");
}

TEST_P(ParseBoth, RandomMutationsAreTakenOrRefusedByName) {
    const uint64_t seed = 4;
    std::mt19937_64 random(seed);
    for (unsigned i = 0; i < 20000; ++i) {
        auto frame = sample(GetParam());
        for (uint64_t n = random() % 6; n > 0; --n)
            frame[12 + random() % (frame.size() - 12)] = static_cast<uint8_t>(random());
        frame.resize(frame.size() - (random() % 4 == 0 ? random() % frame.size() : 0));
        const std::string reason = refusal(frame);
        ASSERT_FALSE(reason.empty()) << "seed " << seed << " frame " << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Families, ParseBoth, ::testing::Bool(),
                         [](const auto& family) { return family.param ? "Ipv6" : "Ipv4"; });

TEST(ParseIpv4, FragmentsAndOptionsAreNamed) {
    auto frame = sample(false);
    frame[20] = 0x20;  // more fragments
    EXPECT_EQ(refusal(frame), "fragment");
    frame[20] = 0x00;
    frame[21] = 0x01;  // an offset
    EXPECT_EQ(refusal(frame), "fragment");
    frame[20] = frame[21] = 0;  // no DF is fine
    EXPECT_EQ(refusal(frame), "taken");
    frame[14] = 0x46;
    EXPECT_EQ(refusal(frame), "ip_options");
    frame[14] = 0x65;
    EXPECT_EQ(refusal(frame), "not_ours") << "version 6 under IPv4's type";
}

TEST(ParseIpv4, TotalLengthOfNoDatagramIsABadLength) {
    auto frame = sample(false);
    frame[16] = 0;
    frame[17] = 27;
    EXPECT_EQ(refusal(frame), "bad_length");
    frame[17] = 200;
    EXPECT_EQ(refusal(frame), "truncated");
}

TEST(ParseIpv6, FragmentsAndExtensionsAreNamed) {
    auto frame = sample(true);
    frame[20] = 44;
    EXPECT_EQ(refusal(frame), "fragment");
    for (uint8_t extension : {0, 43, 51, 60, 135}) {
        frame[20] = extension;
        EXPECT_EQ(refusal(frame), "ip_options") << int{extension};
    }
}

TEST(ParseIpv6, PayloadLengthOfNoDatagramIsABadLength) {
    auto frame = sample(true);
    frame[18] = 0;
    frame[19] = 7;
    EXPECT_EQ(refusal(frame), "bad_length");
}

}  // namespace
}  // namespace xylem::packet
