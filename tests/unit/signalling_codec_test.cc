// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "control/signalling/codec.h"
#include "dataplane/base/address_text.h"

namespace xylem::signalling {
namespace {

proto::Envelope rejection(uint64_t join, const std::string& reason) {
    proto::Envelope envelope;
    envelope.mutable_reject()->set_join(join);
    envelope.mutable_reject()->set_reason(reason);
    return envelope;
}

std::string frame(const proto::Envelope& envelope) {
    std::string out;
    EXPECT_TRUE(append_frame(envelope, out));
    return out;
}

std::string length_prefix(uint32_t length) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8)
        out += static_cast<char>(length >> shift);
    return out;
}

std::span<const uint8_t> bytes(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Outcome {
    std::vector<uint64_t> joins;
    FrameStatus last = FrameStatus::incomplete;
    bool operator==(const Outcome&) const = default;
};

// Reads `stream` in chunks that end at `cuts` (ascending) and at its end.
Outcome read_in_chunks(std::string_view stream, std::vector<size_t> cuts) {
    FrameReader reader;
    Outcome outcome;
    cuts.push_back(stream.size());
    size_t from = 0;
    for (size_t cut : cuts) {
        reader.feed(bytes(stream.substr(from, cut - from)));
        from = cut;
        proto::Envelope envelope;
        while ((outcome.last = reader.next(envelope)) == FrameStatus::complete)
            outcome.joins.push_back(envelope.reject().join());
        EXPECT_LE(reader.held_bytes(), kLengthBytes + kMaxEnvelopeBytes);
    }
    return outcome;
}

TEST(FrameReader, GivesTheSameForEverySplitIntoThree) {
    std::string stream = frame(rejection(1, "")) + frame(rejection(2, "no")) + frame(rejection(3, "longer reason"));
    const Outcome whole{.joins = {1, 2, 3}, .last = FrameStatus::incomplete};
    for (size_t first = 0; first <= stream.size(); first++)
        for (size_t second = first; second <= stream.size(); second++)
            ASSERT_EQ(read_in_chunks(stream, {first, second}), whole) << first << " " << second;
}

TEST(FrameReader, GivesTheSameByteByByte) {
    std::string stream = frame(rejection(1, std::string(1000, 'x'))) + frame(rejection(2, ""));
    std::vector<size_t> cuts(stream.size());
    for (size_t i = 0; i < cuts.size(); i++)
        cuts[i] = i;
    EXPECT_EQ(read_in_chunks(stream, cuts), (Outcome{.joins = {1, 2}, .last = FrameStatus::incomplete}));
}

TEST(FrameReader, TakesTheLongestFrameAndRefusesOneByteMore) {
    proto::Envelope envelope = rejection(7, std::string(kMaxEnvelopeBytes - 32, 'x'));
    size_t missing = kMaxEnvelopeBytes - envelope.ByteSizeLong();
    envelope.mutable_reject()->mutable_reason()->append(missing, 'x');
    ASSERT_EQ(envelope.ByteSizeLong(), kMaxEnvelopeBytes);
    EXPECT_EQ(read_in_chunks(frame(envelope), {}).joins, std::vector<uint64_t>{7});

    envelope.mutable_reject()->mutable_reason()->append("x");
    std::string out = "before";
    EXPECT_FALSE(append_frame(envelope, out));
    EXPECT_EQ(out, "before");
}

TEST(FrameReader, JudgesALengthBeforeItsBytesArrive) {
    EXPECT_EQ(read_in_chunks(length_prefix(kMaxEnvelopeBytes), {}).last, FrameStatus::incomplete);
    EXPECT_EQ(read_in_chunks(length_prefix(kMaxEnvelopeBytes + 1), {}).last, FrameStatus::oversized);
    EXPECT_EQ(read_in_chunks(length_prefix(UINT32_MAX), {}).last, FrameStatus::oversized);
}

TEST(FrameReader, NamesWhatIsNoEnvelope) {
    EXPECT_EQ(read_in_chunks(length_prefix(3) + "\xff\xff\xff", {}).last, FrameStatus::malformed);
    // Text that is not UTF-8, in a string field (3) of reject (field 7).
    EXPECT_EQ(read_in_chunks(length_prefix(5) + "\x3a\x03\x1a\x01\xff", {}).last, FrameStatus::malformed);
    EXPECT_EQ(read_in_chunks(length_prefix(0), {}).last, FrameStatus::empty);
    // Field 1000, which no version has yet.
    EXPECT_EQ(read_in_chunks(length_prefix(3) + "\xc0\x3e\x01", {}).last, FrameStatus::empty);
}

TEST(FrameReader, YieldsNothingAfterAnError) {
    std::string stream = frame(rejection(1, "")) + length_prefix(0) + frame(rejection(2, ""));
    EXPECT_EQ(read_in_chunks(stream, {}), (Outcome{.joins = {1}, .last = FrameStatus::empty}));
    EXPECT_EQ(read_in_chunks(stream, {stream.size() - 1}).last, FrameStatus::empty);
}

// A valid stream with some bytes overwritten, cut at random: whatever it means, it means the same in one piece, and the
// reader holds no more than a frame.
TEST(FrameReader, MeansTheSameHoweverDamagedBytesAreCut) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 3000; round++) {
        std::string stream;
        for (uint64_t join = 1; join <= 8; join++)
            stream += frame(rejection(join, std::string(random() % 40, 'a')));
        for (unsigned n = random() % 4; n > 0; n--)
            stream[random() % stream.size()] = static_cast<char>(random());
        std::vector<size_t> cuts(random() % 12);
        for (size_t& cut : cuts)
            cut = random() % stream.size();
        std::sort(cuts.begin(), cuts.end());
        ASSERT_EQ(read_in_chunks(stream, cuts), read_in_chunks(stream, {})) << "round " << round;
    }
}

TEST(FrameReader, SurvivesGarbage) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 3000; round++) {
        std::string garbage = length_prefix(static_cast<uint32_t>(random() % 200));
        for (int i = 0; i < 400; i++)
            garbage += static_cast<char>(random());
        FrameReader reader;
        reader.feed(bytes(garbage));
        proto::Envelope envelope;
        FrameStatus status;
        while ((status = reader.next(envelope)) == FrameStatus::complete) {
        }
        if (status != FrameStatus::incomplete) {
            EXPECT_EQ(reader.held_bytes(), 0u);
            EXPECT_EQ(reader.next(envelope), status);
        }
    }
}

TEST(Codec, KeepsAddresses) {
    for (const char* text : {"192.0.2.7", "2001:db8::7", "0.0.0.0", "::"}) {
        Endpoint endpoint{*parse_ip(text), 65535};
        EXPECT_EQ(from_proto(to_proto(endpoint)), endpoint) << text;
    }
}

TEST(Codec, RefusesImpossibleAddresses) {
    EXPECT_FALSE(from_proto(to_proto(Endpoint{})));
    proto::Address address = to_proto({*parse_ip("192.0.2.7"), 1});
    address.set_port(65536);
    EXPECT_FALSE(from_proto(address));
    address.set_port(1);
    address.set_ip("12345");
    EXPECT_FALSE(from_proto(address));
    address.set_ip(std::string(17, 'x'));
    EXPECT_FALSE(from_proto(address));
}

TEST(Codec, KeepsFlowSpecifications) {
    xy_qos qos{};
    qos.sending = {1, 2, XY_UNSPECIFIED_64, 4, 5, XY_SERVICE_GUARANTEED, 7, 8, 0};
    qos.receiving = {10, 20, 30, XY_UNSPECIFIED_32, 50, XY_SERVICE_BEST_EFFORT, 70, 80, 0};
    xy_qos back = from_proto(to_proto(qos));
    for (auto [is, was] : {std::pair{back.sending, qos.sending}, std::pair{back.receiving, qos.receiving}}) {
        EXPECT_EQ(is.token_rate, was.token_rate);
        EXPECT_EQ(is.token_bucket_size, was.token_bucket_size);
        EXPECT_EQ(is.peak_bandwidth, was.peak_bandwidth);
        EXPECT_EQ(is.latency, was.latency);
        EXPECT_EQ(is.delay_variation, was.delay_variation);
        EXPECT_EQ(is.service_type, was.service_type);
        EXPECT_EQ(is.max_sdu_size, was.max_sdu_size);
        EXPECT_EQ(is.minimum_policed_size, was.minimum_policed_size);
    }
}

}  // namespace
}  // namespace xylem::signalling
