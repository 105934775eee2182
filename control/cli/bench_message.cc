// SPDX-License-Identifier: Apache-2.0
#include "control/cli/bench_message.h"

#include <array>
#include <cstring>

namespace xylem::cli {
namespace {

struct Header {
    uint64_t sequence;
    uint32_t bytes;
    uint32_t crc;  // over the whole message, this field being 0
};
static_assert(sizeof(Header) == kBenchHeaderBytes);

/// kTables[k][b]: the sum of byte b followed by k zero bytes (slicing by 8).
constexpr std::array<std::array<uint32_t, 256>, 8> make_tables() {
    std::array<std::array<uint32_t, 256>, 8> tables{};
    for (uint32_t b = 0; b < 256; ++b) {
        uint32_t sum = b;
        for (int bit = 0; bit < 8; ++bit)
            sum = sum >> 1 ^ (sum & 1 ? 0x82F63B78U : 0);
        tables[0][b] = sum;
    }
    for (size_t k = 1; k < 8; ++k)
        for (size_t b = 0; b < 256; ++b)
            tables[k][b] = tables[k - 1][b] >> 8 ^ tables[0][tables[k - 1][b] & 0xFF];
    return tables;
}

constexpr auto kTables = make_tables();

uint32_t extend(uint32_t sum, std::span<const std::byte> bytes) {
    const std::byte* at = bytes.data();
    size_t left = bytes.size();
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        std::memcpy(&word, at, 8);
        word ^= sum;
        sum = 0;
        for (size_t k = 0; k < 8; ++k)
            sum ^= kTables[7 - k][word >> (8 * k) & 0xFF];
    }
    for (; left > 0; ++at, --left)
        sum = sum >> 8 ^ kTables[0][(sum ^ static_cast<uint32_t>(*at)) & 0xFF];
    return sum;
}

uint32_t sum_of(Header header, std::span<const std::byte> body) {
    header.crc = 0;
    std::array<std::byte, sizeof header> raw;
    std::memcpy(raw.data(), &header, sizeof header);
    return ~extend(extend(~0U, raw), body);
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) { return ~extend(~0U, bytes); }

void fill_message(std::span<std::byte> message, uint64_t sequence) {
    Header header{sequence, static_cast<uint32_t>(message.size()), 0};
    const auto body = message.subspan(sizeof header);
    for (size_t i = 0; i < body.size(); ++i)
        body[i] = static_cast<std::byte>(sequence + i);
    header.crc = sum_of(header, body);
    std::memcpy(message.data(), &header, sizeof header);
}

uint32_t MessageChecker::length_of(std::span<const std::byte> header) {
    Header h;
    std::memcpy(&h, header.data(), sizeof h);
    return h.bytes;
}

void MessageChecker::check(std::span<const std::byte> message) {
    ++n_messages_;
    Header header{};
    if (message.size() < sizeof header) {
        ++n_corrupt_;
        return;
    }
    std::memcpy(&header, message.data(), sizeof header);
    const bool is_whole =
        header.bytes == message.size() && header.crc == sum_of(header, message.subspan(sizeof header));
    if (!is_whole || header.sequence < next_) {
        ++n_corrupt_;
        return;
    }
    n_missing_ += header.sequence - next_;
    next_ = header.sequence + 1;
}

}  // namespace xylem::cli
