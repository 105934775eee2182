// SPDX-License-Identifier: Apache-2.0
// The last stage of sending: frames gathered for one transmit queue, handed to the driver in bursts. A frame that the
// driver does not take stays held, and whoever fans out pauses: nothing is dropped for a full queue. sent + held = put.
#pragma once
#include <rte_mbuf.h>

#include "dataplane/base/counter.h"

namespace xylem::stage {

class Egress {
  public:
    static constexpr uint16_t kBurst = 64;
    using Transmit = uint16_t (*)(void* queue, rte_mbuf** burst, uint16_t n);

    /// `pool` is the port's own, so that no driver copies once more.
    Egress(void* queue, Transmit transmit, rte_mempool* pool) : queue_(queue), transmit_(transmit), pool_(pool) {}
    ~Egress() { discard(); }
    Egress(const Egress&) = delete;
    Egress& operator=(const Egress&) = delete;

    /// An empty frame, or null: the pool is empty now. Either put it or free it.
    rte_mbuf* allocate() {
        if (n_spare_ == 0 && !refill()) return nullptr;
        return spare_[--n_spare_];
    }

    /// Room for one more, after an attempt to send when it is full.
    bool has_room() { return n_held_ < kBurst || flush() < kBurst; }
    void put(rte_mbuf* frame) { held_[n_held_++] = frame; }

    /// Hands what is held to the driver; returns what it did not take.
    uint16_t flush() {
        if (n_held_ == 0) return 0;
        const uint16_t n = transmit_(queue_, held_, n_held_);
        sent.add(n);
        n_held_ = static_cast<uint16_t>(n_held_ - n);
        for (uint16_t i = 0; i < n_held_ && n != 0; ++i)
            held_[i] = held_[i + n];
        held.set(n_held_);
        return n_held_;
    }
    /// Lets the driver collect completions (AF_XDP does so only inside a transmit call).
    void poke() { transmit_(queue_, nullptr, 0); }

    uint16_t n_held() const { return n_held_; }
    /// Frees what is held and spare: at the end.
    void discard() {
        if (n_held_ != 0) rte_pktmbuf_free_bulk(held_, n_held_);
        if (n_spare_ != 0) rte_pktmbuf_free_bulk(spare_, n_spare_);
        n_held_ = n_spare_ = 0;
    }

    Counter sent;
    Counter held;  // what the driver did not take the last time

  private:
    bool refill() {
        if (rte_pktmbuf_alloc_bulk(pool_, spare_, kBurst) != 0) {
            poke();
            return false;
        }
        n_spare_ = kBurst;
        return true;
    }

    void* const queue_;
    const Transmit transmit_;
    rte_mempool* const pool_;
    uint16_t n_held_ = 0, n_spare_ = 0;
    rte_mbuf* held_[kBurst];
    rte_mbuf* spare_[kBurst];
};

}  // namespace xylem::stage
