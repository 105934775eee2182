// SPDX-License-Identifier: Apache-2.0
// Datagrams in a group's image: what the engine has written before each is stripped, and decides who takes it (W-290,
// W-291).
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <xylem/socket.h>

#include <cstring>
#include <string>

#include "shim/image_reader.h"
#include "tests/shm/fake_daemon.h"

namespace xylem::test {
namespace {

using abi::kRecordBegin;
using abi::kRecordEnd;
using abi::kRecordMessage;
using abi::position;
using shim::GroupFilter;
using shim::ImageReader;
using shim::Outcome;
using shim::Received;
using shim::Scatter;

constexpr uint32_t kCellBytes = 256;
constexpr uint8_t kWhole = kRecordBegin | kRecordEnd;

class GroupReading : public testing::Test {
  protected:
    GroupReading() : image({kCellBytes, 6}, abi::kImageGroup, 0) {
        shim::Mapping mapping;
        EXPECT_EQ(mapping.map(image.memory.fd(), abi::image_total_bytes(image.geometry), false), 0);
        abi::ImageReply reply{};
        reply.cell_bytes = kCellBytes;
        reply.cells_log2 = 6;
        reply.flags = abi::kImageGroup;
        EXPECT_TRUE(reader.open(std::move(mapping), reply, nullptr, &filter));
    }
    ~GroupReading() override { reader.close(); }

    /// Publishes a datagram from 10.0.0.`host`.
    void put(const std::string& text, uint8_t host = 9, uint64_t origin = 0, uint8_t flags = kWhole) {
        abi::GroupReceived from{};
        from.address[0] = 10;
        from.address[3] = host;
        from.port = 6000;
        from.family = AF_INET;
        from.ifindex = 7;
        from.origin = origin;
        put_raw(std::string(reinterpret_cast<const char*>(&from), sizeof from) + text, flags);
    }
    void put_raw(const std::string& payload, uint8_t flags = kWhole) {
        const auto bytes = static_cast<uint32_t>(payload.size());
        if (offset_of(next) + abi::record_bytes(bytes) > kCellBytes) {
            image.close_cell(abi::cell_of(next), offset_of(next), abi::cell_start(abi::cell_of(next) + 1), 0);
            next = abi::cell_start(abi::cell_of(next) + 1);
        }
        FakeDaemon::put_record(image.cell(abi::cell_of(next)) + offset_of(next), bytes, kRecordMessage, flags,
                               payload.data());
        next += abi::record_bytes(bytes);
        image.header().published = next;
    }
    static uint32_t offset_of(abi::Position p) { return abi::offset_of(p); }

    Outcome receive(std::string& text, int flags = 0, size_t room = 1 << 12) {
        std::vector<char> buffer(room);
        const iovec part{buffer.data(), buffer.size()};
        Scatter to(&part, 1);
        received = {};
        const Outcome outcome = reader.receive(to, (flags & XY_MSG_PARTIAL) != 0, (flags & XY_MSG_PEEK) != 0, received);
        text.assign(buffer.data(), outcome == Outcome::kTaken ? received.bytes : 0);
        return outcome;
    }
    /// The next datagram; "-" for none.
    std::string next_text(int flags = 0) {
        std::string text;
        return receive(text, flags) == Outcome::kTaken ? text : "-";
    }
    std::string sender() {
        char host[64];
        const auto& in = reinterpret_cast<const sockaddr_in&>(reader.source().address);
        return std::string(inet_ntop(AF_INET, &in.sin_addr, host, sizeof host)) + ":" +
               std::to_string(ntohs(in.sin_port));
    }

    GroupFilter filter;
    FakeImage image;
    ImageReader reader;
    Received received;
    abi::Position next = 0;
};

TEST_F(GroupReading, ADatagramComesWithoutWhatTheEngineWroteAndWithItsSender) {
    put("hello", 9);
    put("", 8);
    EXPECT_EQ(reader.next_bytes(), 5U);
    EXPECT_EQ(next_text(XY_MSG_PEEK), "hello");
    EXPECT_EQ(next_text(), "hello");
    EXPECT_EQ(sender(), "10.0.0.9:6000");
    EXPECT_EQ(received.flags, static_cast<uint32_t>(XY_MSG_BEGIN | XY_MSG_END));
    std::string text = "x";
    EXPECT_EQ(receive(text), Outcome::kTaken);
    EXPECT_EQ(text, "");
    EXPECT_EQ(sender(), "10.0.0.8:6000");
    EXPECT_EQ(receive(text), Outcome::kNone);
}

TEST_F(GroupReading, ASenderOfIpv6HasItsInterface) {
    abi::GroupReceived from{};
    inet_pton(AF_INET6, "fe80::9", from.address);
    from.port = 6000;
    from.family = AF_INET6;
    from.ifindex = 7;
    put_raw(std::string(reinterpret_cast<const char*>(&from), sizeof from) + "six");
    EXPECT_EQ(next_text(), "six");
    EXPECT_EQ(reader.source().length, sizeof(sockaddr_in6));
    const auto& in = reinterpret_cast<const sockaddr_in6&>(reader.source().address);
    EXPECT_EQ(memcmp(&in.sin6_addr, from.address, 16), 0);
    EXPECT_EQ(in.sin6_scope_id, 7U);
    EXPECT_EQ(ntohs(in.sin6_port), 6000);
}

TEST_F(GroupReading, ABorrowedDatagramIsItsPayloadAlone) {
    put("borrowed");
    shim::Borrowed span{};
    ASSERT_EQ(reader.borrow(span), Outcome::kTaken);
    EXPECT_EQ(std::string(span.payload, span.bytes), "borrowed");
}

TEST_F(GroupReading, ADatagramThatIsTooLongIsCutAndInPiecesIsWhole_W034_W035) {
    put("0123456789");
    put("0123456789");
    put("next");
    std::string text;
    EXPECT_EQ(receive(text, 0, 4), Outcome::kTaken);
    EXPECT_EQ(text, "0123");
    EXPECT_NE(received.flags & XY_MSG_TRUNC, 0U);
    EXPECT_EQ(receive(text, XY_MSG_PARTIAL, 4), Outcome::kTaken);
    EXPECT_EQ(text, "0123");
    EXPECT_EQ(receive(text, XY_MSG_PARTIAL, 40), Outcome::kTaken);
    EXPECT_EQ(text, "456789");
    EXPECT_EQ(sender(), "10.0.0.9:6000");
    EXPECT_EQ(next_text(), "next");
}

TEST_F(GroupReading, WithoutLoopbackThisHostsDatagramsArePassedOver_W290_W291) {
    filter.takes_local = false;
    put("local", 1, abi::group_origin(3, 4));
    EXPECT_FALSE(reader.has_message());
    EXPECT_EQ(reader.position(), next) << "it must not look unread for ever";
    EXPECT_EQ(next_text(), "-");
    for (int i = 0; i < 20; ++i)  // over cell ends, too
        put("local " + std::to_string(i), 1, abi::group_origin(3, 4));
    put("wire");
    EXPECT_TRUE(reader.has_message());
    EXPECT_EQ(reader.next_bytes(), 4U);
    EXPECT_EQ(next_text(), "wire");
    EXPECT_EQ(received.lost_bytes, 0U) << "what is not wanted is not lost";
    filter.takes_local = true;
    put("local again", 1, abi::group_origin(3, 4));
    EXPECT_EQ(next_text(), "local again");
}

TEST_F(GroupReading, OnlyTheSourcesThatWereChosen) {
    const uint8_t wanted[4] = {10, 0, 0, 5}, other[4] = {10, 0, 0, 6};
    filter.add_source(wanted, sizeof wanted);
    put("no", 9);
    put("yes", 5);
    EXPECT_EQ(next_text(), "yes");
    EXPECT_EQ(next_text(), "-");
    filter.add_source(other, sizeof other);
    filter.add_source(other, sizeof other);
    put("no", 9);
    put("six", 6);
    EXPECT_EQ(next_text(), "six");
    filter.reset();
    put("anybody", 9);
    EXPECT_EQ(next_text(), "anybody");
}

TEST_F(GroupReading, WhatNoEngineWritesEndsTheReading) {
    put_raw("shorter than its sender");
    std::string text;
    EXPECT_EQ(receive(text), Outcome::kBroken);
}

TEST_F(GroupReading, APieceOfADatagramEndsTheReading) {
    put("piece", 9, 0, kRecordBegin);
    std::string text;
    EXPECT_EQ(receive(text), Outcome::kBroken);
}

TEST_F(GroupReading, ALappedReaderCountsWhatItLost) {
    put("old");
    image.header().floor = abi::cell_start(2);
    next = abi::cell_start(2);
    put("new");
    EXPECT_EQ(next_text(), "new");
    EXPECT_EQ(received.lost_bytes, 2U * kCellBytes);
    EXPECT_EQ(reader.lost_gaps(), 1U);
}

}  // namespace
}  // namespace xylem::test
