// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/udp_frame.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/base/address_text.h"
#include "dataplane/packet/parse.h"
#include "tests/unit/sample_frames.h"

namespace xylem::packet {
namespace {

Path path_to(const char* dest, bool is_v6) {
    Path path = test::sample_path(is_v6);
    path.dst = {*parse_ip(dest), 5555};
    path.src.port = 4000;
    path.ttl = 3;
    return path;
}

std::vector<uint8_t> frame_of(const Path& path, const std::vector<uint8_t>& payload) {
    const UdpTemplate header(path);
    std::vector<uint8_t> frame(header.header_bytes());
    frame.insert(frame.end(), payload.begin(), payload.end());
    header.write(frame.data(), static_cast<uint32_t>(payload.size()));
    return frame;
}

// What Linux sends for "xylem" from port 4000 to port 5555 with TTL 3, TOS 0xB8 and DF, as captured.
const std::vector<uint8_t> kKernelV4 = {0x01, 0x00, 0x5E, 0x01, 0x02, 0x03, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
                                        0x08, 0x00, 0x45, 0xB8, 0x00, 0x21, 0x00, 0x00, 0x40, 0x00, 0x03, 0x11,
                                        0x7C, 0x0F, 0x0A, 0x00, 0x00, 0x01, 0xEF, 0x01, 0x02, 0x03, 0x0F, 0xA0,
                                        0x15, 0xB3, 0x00, 0x0D, 0x8D, 0x9C, 0x78, 0x79, 0x6C, 0x65, 0x6D};
const std::vector<uint8_t> kKernelV6 = {
    0x33, 0x33, 0x00, 0x00, 0x00, 0x07, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xDD, 0x6B, 0x80, 0x00,
    0x00, 0x00, 0x0D, 0x11, 0x03, 0xFD, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x01, 0xFF, 0x15, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x07, 0x0F, 0xA0, 0x15, 0xB3, 0x00, 0x0D, 0x8C, 0x83, 0x78, 0x79, 0x6C, 0x65, 0x6D};

TEST(UdpFrameTest, BytesAreThoseOfAKernelSender) {
    const std::vector<uint8_t> payload = {'x', 'y', 'l', 'e', 'm'};
    EXPECT_EQ(frame_of(path_to("239.1.2.3", false), payload), kKernelV4);
    EXPECT_EQ(frame_of(path_to("ff15::7", true), payload), kKernelV6);
}

TEST(UdpFrameTest, GroupsHaveTheirEthernetAddress) {
    const auto mac = [](const char* group) { return multicast_mac(*parse_ip(group)).bytes; };
    EXPECT_EQ(mac("224.0.0.251"), (std::array<uint8_t, 6>{0x01, 0x00, 0x5E, 0x00, 0x00, 0xFB}));
    EXPECT_EQ(mac("239.255.2.3"), (std::array<uint8_t, 6>{0x01, 0x00, 0x5E, 0x7F, 0x02, 0x03}));  // 23 bits
    EXPECT_EQ(mac("ff15::1:2:abcd"), (std::array<uint8_t, 6>{0x33, 0x33, 0x00, 0x02, 0xAB, 0xCD}));
}

TEST(UdpFrameTest, HostsKeepTheAddressOfThePath) {
    const Path path = path_to("10.0.0.9", false);
    const std::vector<uint8_t> frame = frame_of(path, {1, 2, 3});
    EXPECT_TRUE(std::equal(path.dst_mac.bytes.begin(), path.dst_mac.bytes.end(), frame.begin()));
}

TEST(UdpFrameTest, EveryLengthAndFamilyComesBackWithItsSums) {
    std::mt19937_64 random(7);
    for (const bool is_v6 : {false, true}) {
        const Path path = path_to(is_v6 ? "ff15::7" : "239.1.2.3", is_v6);
        for (size_t n = 0; n <= 1500; n += n < 40 ? 1 : 97) {
            const std::vector<uint8_t> payload = test::random_bytes(random, n), frame = frame_of(path, payload);
            EXPECT_EQ(test::udp_residue(frame, is_v6), 0) << n;
            EXPECT_EQ(frame[is_v6 ? 21 : 22], 3);           // TTL
            EXPECT_TRUE(is_v6 || (frame[20] & 0x40) != 0);  // DF
            EXPECT_NE(frame[is_v6 ? 60 : 40] | frame[is_v6 ? 61 : 41], 0);
            ParsedFrame ours;
            ParsedDatagram datagram;
            Drop why;
            ASSERT_EQ(parse(frame.data(), frame.size(), test::kDataPort, &ours, &datagram, &why), Parsed::kDatagram);
            EXPECT_EQ(datagram.src, path.src);
            EXPECT_EQ(datagram.dst, path.dst);
            std::span<const uint8_t> taken;
            ASSERT_TRUE(take_payload(datagram, &taken, &why));
            EXPECT_TRUE(std::equal(taken.begin(), taken.end(), payload.begin(), payload.end()));
        }
    }
}

TEST(UdpFrameTest, SumThatComesOutAsZeroIsSentAsAllOnes) {
    const Path path = path_to("239.1.2.3", false);
    std::vector<uint8_t> frame = frame_of(path, {0, 0});
    // What the two bytes must be for the sum over everything to be all ones.
    const std::vector<uint8_t> completing = {frame[40], frame[41]};
    frame = frame_of(path, completing);
    EXPECT_EQ(frame[40], 0xFF);
    EXPECT_EQ(frame[41], 0xFF);
    EXPECT_EQ(test::udp_residue(frame, false), 0);
}

class DatagramFaultTest : public testing::Test {
  protected:
    /// The payload's length, or the drop.
    size_t take(const std::vector<uint8_t>& frame, Drop* why) {
        ParsedFrame ours;
        ParsedDatagram datagram;
        std::span<const uint8_t> payload;
        if (parse(frame.data(), frame.size(), test::kDataPort, &ours, &datagram, why) != Parsed::kDatagram) return 0;
        return take_payload(datagram, &payload, why) ? payload.size() : 0;
    }
    const std::vector<uint8_t> good_ = frame_of(path_to("239.1.2.3", false), std::vector<uint8_t>(100));
};

TEST_F(DatagramFaultTest, IsNamed) {
    Drop why{};
    ASSERT_EQ(take(good_, &why), 100U);
    for (const auto& [at, value, name] : {std::tuple{38, 0x01, Drop::bad_length},
                                          {38, 0xFF, Drop::bad_length},
                                          {24, 0x55, Drop::bad_checksum},
                                          {31, 0x77, Drop::bad_checksum},
                                          {20, 0x20, Drop::fragment},
                                          {21, 0x01, Drop::fragment},
                                          {14, 0x46, Drop::ip_options},
                                          {23, 6, Drop::not_ours}}) {
        std::vector<uint8_t> frame = good_;
        frame[static_cast<size_t>(at)] = static_cast<uint8_t>(value);
        EXPECT_EQ(take(frame, &why), 0U);
        EXPECT_EQ(drop_name(why), drop_name(name)) << "byte " << at;
    }
    std::vector<uint8_t> frame = good_;
    frame[38] = 0;
    frame[39] = 7;  // less than its own header
    EXPECT_EQ(take(frame, &why), 0U);
    EXPECT_EQ(why, Drop::bad_length);
}

TEST_F(DatagramFaultTest, PaddingOfShortFramesIsNoPayload) {
    std::vector<uint8_t> frame = frame_of(path_to("239.1.2.3", false), {1, 2, 3});
    frame.resize(60, 0xEE);
    Drop why;
    EXPECT_EQ(take(frame, &why), 3U);
}

TEST_F(DatagramFaultTest, NothingBeyondTheFrameIsReadHoweverItIsBroken) {
    std::mt19937_64 random(11);
    for (int i = 0; i < 50'000; ++i) {
        std::vector<uint8_t> frame = good_;
        for (uint64_t n = random() % 4; n > 0; --n)
            frame[random() % 42] = static_cast<uint8_t>(random());
        frame.resize(random() % (frame.size() + 1));
        frame.shrink_to_fit();  // so that ASan sees the end
        Drop why;
        EXPECT_LE(take(frame, &why), frame.size());
    }
}

}  // namespace
}  // namespace xylem::packet
