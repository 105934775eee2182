// SPDX-License-Identifier: Apache-2.0
// The control thread's part of a test: it runs the engine's events until something is so, with a deadline.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <functional>

#include "dataplane/engine/engine.h"

namespace xylem::engine {

inline constexpr std::chrono::seconds kControlDeadline{30};

/// False: not in time.
inline bool run_until(Engine& engine, const std::function<bool()>& is_done) {
    const auto end = std::chrono::steady_clock::now() + kControlDeadline;
    while (!is_done()) {
        if (std::chrono::steady_clock::now() > end) return false;
        pollfd at{engine.event_fd(), POLLIN, 0};
        if (poll(&at, 1, 1) == 1) engine.run_events();
    }
    return true;
}

/// Makes a call and waits for its completion.
inline void run_to_completion(Engine& engine, const std::function<void(Done)>& call) {
    bool is_done = false;
    call([&] { is_done = true; });
    EXPECT_TRUE(run_until(engine, [&] { return is_done; }));
}

}  // namespace xylem::engine
