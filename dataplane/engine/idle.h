// SPDX-License-Identifier: Apache-2.0
// What a worker does between polls that found nothing. `busy` pauses. `adaptive` pauses a little, then yields for a
// while, and then says that it is time to sleep: with more runnable threads than cores a spinning worker only takes the
// CPU from those who would give it work.
#pragma once
#include <sched.h>
#include <x86intrin.h>

#include <cstdint>

namespace xylem::engine {

class Idle {
  public:
    static constexpr unsigned kPauses = 32;  // measured: more makes round trips on two cores slower
    static constexpr uint64_t kYieldForUs = 200;

    Idle(bool is_busy, uint64_t tsc_per_us) : is_busy_(is_busy), yield_for_tsc_(kYieldForUs * tsc_per_us) {}

    /// After every poll. True: nothing to do for long, go to sleep.
    bool after_poll(bool has_worked, uint64_t now) {
        if (has_worked) {
            n_idle_ = 0;
            return false;
        }
        if (is_busy_ || n_idle_ < kPauses) {
            ++n_idle_;
            since_ = now;
            _mm_pause();
            return false;
        }
        if (now - since_ < yield_for_tsc_) {
            sched_yield();
            return false;
        }
        return true;
    }

  private:
    const bool is_busy_;
    const uint64_t yield_for_tsc_;
    unsigned n_idle_ = 0;
    uint64_t since_ = 0;
};

}  // namespace xylem::engine
