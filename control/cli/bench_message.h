// SPDX-License-Identifier: Apache-2.0
// Messages that prove themselves: sequence number, length and CRC-32C in front, a pattern behind. A sink that saw every
// number once, in order, with a right sum, has received exactly what was sent.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace xylem::cli {

/// CRC-32C (Castagnoli) of `bytes`.
uint32_t crc32c(std::span<const std::byte> bytes);

/// Writes message `sequence` over the whole of `message` (at least kBenchHeaderBytes).
void fill_message(std::span<std::byte> message, uint64_t sequence);

inline constexpr size_t kBenchHeaderBytes = 16;

/// Checks messages one after the other.
class MessageChecker {
  public:
    void check(std::span<const std::byte> message);
    /// The length that the header of a message tells (stream sockets: there are no boundaries).
    static uint32_t length_of(std::span<const std::byte> header);

    uint64_t n_messages() const { return n_messages_; }
    uint64_t n_missing() const { return n_missing_; }  // numbers passed over
    uint64_t n_corrupt() const { return n_corrupt_; }  // wrong sum or length, or a number seen before

  private:
    uint64_t next_ = 0, n_messages_ = 0, n_missing_ = 0, n_corrupt_ = 0;
};

}  // namespace xylem::cli
