// SPDX-License-Identifier: Apache-2.0
// Which datagrams a GROUP socket takes of those that its host's image holds: the image is shared with all readers of
// the host, what a socket asked for is its own. Read by the one who holds the receive mutex.
#pragma once
#include <xylem/abi/group.h>

#include <atomic>
#include <cstring>

namespace xylem::shim {

class GroupFilter {
  public:
    static constexpr uint32_t kMaxSources = 32;

    void reset() {
        takes_local = true;
        n_sources_ = 0;
    }
    /// Before the join only: nothing is read meanwhile.
    void add_source(const void* address, size_t bytes) {
        const uint32_t n = n_sources_.load(std::memory_order_relaxed);
        uint8_t whole[16]{};
        memcpy(whole, address, bytes);
        for (uint32_t i = 0; i < n; ++i)
            if (memcmp(sources_[i], whole, sizeof whole) == 0) return;
        if (n == kMaxSources) return;  // the daemon has refused it
        memcpy(sources_[n], whole, sizeof whole);
        n_sources_.store(n + 1, std::memory_order_release);
    }

    bool passes(const abi::GroupReceived& from) const {
        if (from.origin != 0 && !takes_local.load(std::memory_order_relaxed)) return false;
        const uint32_t n = n_sources_.load(std::memory_order_acquire);
        for (uint32_t i = 0; i < n; ++i)
            if (memcmp(sources_[i], from.address, sizeof from.address) == 0) return true;
        return n == 0;
    }

    std::atomic<bool> takes_local{true};  // what is sent on this host, by this socket or another (W-290, W-291)

  private:
    std::atomic<uint32_t> n_sources_{0};
    uint8_t sources_[kMaxSources][16] = {};
};

}  // namespace xylem::shim
