// SPDX-License-Identifier: Apache-2.0
// A bounded ring between one producing and one consuming thread. Each side caches the other's index, so that a line
// moves between cores once per lap of the cache, not once per element. Capacity is a power of two; nothing is allocated
// after construction.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace xylem {

template <class T>
class SpscRing {
  public:
    explicit SpscRing(size_t capacity_log2)
        : mask_((size_t{1} << capacity_log2) - 1), slots_(std::make_unique<T[]>(mask_ + 1)) {}

    size_t capacity() const { return mask_ + 1; }

    /// Producer. False: full.
    bool push(T value) {
        const size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - cached_head_ > mask_) {
            cached_head_ = head_.load(std::memory_order_acquire);  // partner: pop's release
            if (tail - cached_head_ > mask_) return false;
        }
        slots_[tail & mask_] = value;
        tail_.store(tail + 1, std::memory_order_release);  // partner: pop's acquire
        return true;
    }

    /// Consumer. False: empty.
    bool pop(T& out) {
        const size_t head = head_.load(std::memory_order_relaxed);
        if (head == cached_tail_) {
            cached_tail_ = tail_.load(std::memory_order_acquire);
            if (head == cached_tail_) return false;
        }
        out = slots_[head & mask_];
        head_.store(head + 1, std::memory_order_release);
        return true;
    }

    /// Either side; exact for the consumer.
    bool is_empty() const { return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_acquire); }

  private:
    const size_t mask_;
    const std::unique_ptr<T[]> slots_;
    alignas(64) std::atomic<size_t> tail_{0};  // producer's line
    size_t cached_head_ = 0;
    alignas(64) std::atomic<size_t> head_{0};  // consumer's line
    size_t cached_tail_ = 0;
};

}  // namespace xylem
