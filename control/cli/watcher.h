// SPDX-License-Identifier: Apache-2.0
// A thread beside the one that works: takes SIGINT and SIGTERM, and keeps a progress line on a terminal. The first
// signal asks the work to end gracefully: is_stopping() turns true, and whatever call the working thread blocks in ends
// with EINTR. The second ends the process at once.
#pragma once
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace xylem::cli {

class Watcher {
  public:
    /// Made by the working thread, before the library is attached (signals are blocked here and in every later thread).
    explicit Watcher(std::string name);
    ~Watcher();
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    bool is_stopping() const {
        return n_signals_.load(std::memory_order_relaxed) > n_seen_.load(std::memory_order_relaxed);
    }
    /// The graceful end has begun: is_stopping() is false again, and blocking calls are left alone.
    void rearm();

    void add_bytes(uint64_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
    uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
    void set_leaves(unsigned leaves) { leaves_.store(leaves, std::memory_order_relaxed); }

  private:
    void run();
    void take_signal();
    void interrupt_work() const;
    void show_progress();

    const std::string name_;
    const pthread_t worker_;
    const bool has_terminal_;
    std::atomic<int> n_signals_{0}, n_seen_{0};
    std::atomic<bool> is_done_{false};
    std::atomic<uint64_t> bytes_{0};
    std::atomic<unsigned> leaves_{0};
    uint64_t shown_bytes_ = 0;
    int64_t shown_at_ns_ = 0;
    bool has_line_ = false;
    std::thread thread_;
};

}  // namespace xylem::cli
