// SPDX-License-Identifier: Apache-2.0
// The worker's clock: the time stamp counter, read once per poll and passed down. Its frequency is measured once
// against the kernel's monotonic clock.
#pragma once
#include <x86intrin.h>

#include <cstdint>
#include <ctime>

namespace xylem {

inline uint64_t now_tsc() { return __rdtsc(); }

inline uint64_t monotonic_ns() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

/// TSC ticks per microsecond (at least 1). Measures for 10 ms at the first call; control thread, before the worker
/// starts.
inline uint64_t tsc_per_us() {
    static const uint64_t per_us = [] {
        const uint64_t start_ns = monotonic_ns(), start_tsc = now_tsc();
        uint64_t end_ns = start_ns;
        while (end_ns - start_ns < 10'000'000)
            end_ns = monotonic_ns();
        const uint64_t ticks = now_tsc() - start_tsc;
        return ticks * 1000 / (end_ns - start_ns) + 1;
    }();
    return per_us;
}

}  // namespace xylem
