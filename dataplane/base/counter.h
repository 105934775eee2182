// SPDX-License-Identifier: Apache-2.0
// A counter with one writer that any thread may read: no locked instruction, no tearing.
#pragma once
#include <atomic>
#include <cstdint>

namespace xylem {

class Counter {
  public:
    /// The writing thread only.
    void add(uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
    void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
    uint64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<uint64_t> value_{0};
};

}  // namespace xylem
