// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/frame.h"

#include <gtest/gtest.h>

#include "dataplane/packet/parse.h"
#include "tests/unit/sample_frames.h"

namespace xylem::packet {
namespace {

const FrameFields kFields{.type = FrameType::kData,
                          .flags = kFlagStart | kFlagCellEnd,
                          .cell = 0x0000AABBCCDDEE,
                          .offset = 0x0018,
                          .packet_number = 0x01020304};

TEST(Frame, Ipv4HeadersAreTheseSixtyFourBytes) {
    const auto frame =
        test::make_frame(test::sample_path(false), 0x1122334455667788, kFields, {1, 2, 3, 4, 5, 6, 7, 8});
    const std::vector<uint8_t> golden{0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
                                      0x08, 0x00,  // Ethernet
                                      0x45, 0xB8, 0x00, 0x3A, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x25, 0xF9,  // IPv4
                                      0x0A, 0x00, 0x00, 0x01, 0x0A, 0x00, 0x00, 0x02,                          //
                                      0xC0, 0x05, 0x1D, 0x2F, 0x00, 0x26, 0x3D, 0x7B,                          // UDP
                                      0x11, 0x03, 0x00, 0x18, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,  // Xylem
                                      0x00, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0x01, 0x02, 0x03, 0x04,              //
                                      0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
    EXPECT_EQ(frame, golden);
}

TEST(Frame, Ipv6HeadersAreTheseEightyFourBytes) {
    const auto frame = test::make_frame(test::sample_path(true), 0x1122334455667788, kFields, {});
    const std::vector<uint8_t> golden{
        0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xDD,              // Ethernet
        0x6B, 0x80, 0x00, 0x00, 0x00, 0x1E, 0x11, 0x40,                                                  // IPv6
        0xFD, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,  //
        0xFD, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,  //
        0xC0, 0x05, 0x1D, 0x2F, 0x00, 0x1E, 0x67, 0x9D,                                                  // UDP
        0x11, 0x03, 0x00, 0x18, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,                          // Xylem
        0x00, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0x01, 0x02, 0x03, 0x04};
    EXPECT_EQ(frame, golden);
}

TEST(Frame, ChecksumsAgreeWithThoseComputedInFull) {
    const uint64_t seed = 20261120;
    std::mt19937_64 random(seed);
    for (unsigned i = 0; i < 4000; ++i) {
        SCOPED_TRACE("seed " + std::to_string(seed) + " frame " + std::to_string(i));
        const bool is_v6 = i % 2 == 1;
        Path path = test::sample_path(is_v6);
        for (uint8_t& byte : path.src.ip.bytes)
            byte = static_cast<uint8_t>(random());
        for (uint8_t& byte : path.dst.ip.bytes)
            byte = static_cast<uint8_t>(random());
        path.src.port = static_cast<uint16_t>(random());
        path.tos = static_cast<uint8_t>(random());
        path.ttl = static_cast<uint8_t>(random());
        const FrameFields fields{.type = static_cast<FrameType>(1 + random() % 4),
                                 .flags = static_cast<uint8_t>(random() & ~uint64_t{kFlagExt}),
                                 .cell = random() & kMaxCell,
                                 .offset = static_cast<uint16_t>(random()),
                                 .packet_number = static_cast<uint32_t>(random())};
        const auto frame = test::make_frame(path, random(), fields, test::random_bytes(random, random() % 1500));
        ASSERT_EQ(test::udp_residue(frame, is_v6), 0);
        ASSERT_NE(frame[is_v6 ? 60 : 40] | frame[is_v6 ? 61 : 41], 0);
        if (!is_v6) {
            ASSERT_EQ(test::slow_checksum({frame.begin() + 14, frame.begin() + 34}), 0);
        }
    }
}

TEST(Frame, UdpChecksumThatComesToZeroIsSentAsAllOnes) {
    for (bool is_v6 : {false, true}) {
        const size_t at = is_v6 ? 60 : 40;
        std::vector<uint8_t> payload(8);
        auto frame = test::make_frame(test::sample_path(is_v6), 1, kFields, payload);
        payload[0] = frame[at];  // the payload takes what the sum lacks
        payload[1] = frame[at + 1];
        frame = test::make_frame(test::sample_path(is_v6), 1, kFields, payload);
        EXPECT_EQ(frame[at], 0xFF);
        EXPECT_EQ(frame[at + 1], 0xFF);
        EXPECT_EQ(test::udp_residue(frame, is_v6), 0);
    }
}

TEST(Frame, PayloadSumIsTheSameAtEveryAddressAndLength) {
    std::mt19937_64 random(1);
    const auto bytes = test::random_bytes(random, 300);
    for (size_t begin = 0; begin < 17; ++begin) {
        for (size_t len = 0; len < 200; ++len) {
            const std::vector<uint8_t> piece(bytes.begin() + static_cast<long>(begin),
                                             bytes.begin() + static_cast<long>(begin + len));
            const uint16_t expected = __builtin_bswap16(static_cast<uint16_t>(~test::slow_checksum(piece)));
            ASSERT_EQ(payload_sum(bytes.data() + begin, len) % 0xFFFF, expected % 0xFFFF) << begin << " " << len;
        }
    }
    const std::vector<uint8_t> ones(65535, 0xFF);
    EXPECT_EQ(payload_sum(ones.data(), ones.size()) % 0xFFFF, 0x00FF) << "the longest, and only ones";
}

TEST(Frame, OnePartServesAllReplicas) {
    const FramePart part(kFields);
    for (uint64_t label : {1ULL, ~0ULL}) {
        const FrameTemplate replica(test::sample_path(false), label);
        uint8_t written[kMaxFrameHeaderBytes];
        ASSERT_EQ(replica.write(part, written), kIpv4FrameBytes);
        ParsedFrame parsed;
        Drop why;
        ASSERT_TRUE(parse_frame(written, kIpv4FrameBytes, test::kDataPort, &parsed, &why));
        EXPECT_EQ(parsed.header.label, label);
        EXPECT_EQ(parsed.header.cell, kFields.cell);
    }
}

TEST(Frame, WritesNothingBeyondItsHeaders) {
    for (bool is_v6 : {false, true}) {
        const FrameTemplate replica(test::sample_path(is_v6), 1);
        std::vector<uint8_t> out(128, 0xA5);
        const size_t n = replica.write(kFields, out.data());
        EXPECT_EQ(n, replica.header_bytes());
        for (size_t i = n; i < out.size(); ++i)
            EXPECT_EQ(out[i], 0xA5);
    }
}

TEST(Frame, SourcePortsAreEphemeral) {
    EXPECT_EQ(source_port(0), 49152);
    EXPECT_EQ(source_port(16384), 49152);
    EXPECT_EQ(source_port(~0ULL), 65535);
}

}  // namespace
}  // namespace xylem::packet
