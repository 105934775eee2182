// SPDX-License-Identifier: Apache-2.0
// Names of dropped frames. One table (drops.def) makes the enumerators, the names, the sentences and docs/drops.md, so
// that no frame is lost without a name (invariant 2).
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace xylem {

enum class Drop : uint8_t {
#define XY_DROP(name, sentence) name,
#include "dataplane/base/drops.def"
#undef XY_DROP
};

#define XY_DROP(name, sentence) +1
inline constexpr size_t kDropCount = 0
#include "dataplane/base/drops.def"
    ;
#undef XY_DROP

namespace drop_table {
inline constexpr const char* kNames[] = {
#define XY_DROP(name, sentence) #name,
#include "dataplane/base/drops.def"
#undef XY_DROP
};
inline constexpr const char* kSentences[] = {
#define XY_DROP(name, sentence) sentence,
#include "dataplane/base/drops.def"
#undef XY_DROP
};
}  // namespace drop_table

/// "unknown_label": the counter's name in `xylem status`.
constexpr const char* drop_name(Drop drop) { return drop_table::kNames[static_cast<size_t>(drop)]; }
/// What happened to the frame, as one sentence.
constexpr const char* drop_sentence(Drop drop) { return drop_table::kSentences[static_cast<size_t>(drop)]; }

/// One counter per drop. Written by one thread, read by any: relaxed loads and stores, no locked instruction.
class DropCounters {
  public:
    void add(Drop drop, uint64_t n_pkts = 1) {
        auto& counter = counters_[static_cast<size_t>(drop)];
        counter.store(counter.load(std::memory_order_relaxed) + n_pkts, std::memory_order_relaxed);
    }
    uint64_t count(Drop drop) const { return counters_[static_cast<size_t>(drop)].load(std::memory_order_relaxed); }
    uint64_t total() const {
        uint64_t sum = 0;
        for (const auto& counter : counters_)
            sum += counter.load(std::memory_order_relaxed);
        return sum;
    }

  private:
    std::array<std::atomic<uint64_t>, kDropCount> counters_{};
};

}  // namespace xylem
