// SPDX-License-Identifier: Apache-2.0
#include "control/cli/watcher.h"

#include <fmt/core.h>
#include <unistd.h>
#include <xylem/socket.h>

#include <chrono>
#include <csignal>
#include <utility>

namespace xylem::cli {
namespace {

constexpr int64_t kProgressNs = 500'000'000;
constexpr timespec kTick = {.tv_sec = 0, .tv_nsec = 50'000'000};

sigset_t stop_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

Watcher::Watcher(std::string name)
    : name_(std::move(name)),
      worker_(pthread_self()),
      has_terminal_(isatty(STDERR_FILENO) == 1),
      shown_at_ns_(now_ns()) {
    const sigset_t set = stop_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    // SIGURG does nothing but end a system call of the working thread (no SA_RESTART).
    struct sigaction nothing {};
    nothing.sa_handler = [](int) {};
    sigaction(SIGURG, &nothing, nullptr);
    thread_ = std::thread([this] { run(); });
}

Watcher::~Watcher() {
    is_done_.store(true, std::memory_order_relaxed);
    thread_.join();
    if (has_line_) fmt::print(stderr, "\r\033[K");
}

void Watcher::rearm() { n_seen_.store(n_signals_.load(std::memory_order_relaxed), std::memory_order_relaxed); }

void Watcher::run() {
    const sigset_t set = stop_signals();
    while (!is_done_.load(std::memory_order_relaxed)) {
        if (sigtimedwait(&set, nullptr, &kTick) > 0) take_signal();
        if (is_stopping()) interrupt_work();
        if (has_terminal_ && now_ns() - shown_at_ns_ >= kProgressNs) show_progress();
    }
}

void Watcher::take_signal() {
    if (n_signals_.fetch_add(1, std::memory_order_relaxed) > 0) _exit(1);
}

void Watcher::interrupt_work() const {
    xy_cancel(worker_);
    pthread_kill(worker_, SIGURG);
}

void Watcher::show_progress() {
    const int64_t now = now_ns();
    const uint64_t bytes = this->bytes();
    const double bits = static_cast<double>(bytes - shown_bytes_) * 8, ns = static_cast<double>(now - shown_at_ns_);
    fmt::print(stderr, "\r\033[K{}: {:.1f} MiB, {:.2f} Gbit/s, {} {}", name_, static_cast<double>(bytes) / (1 << 20),
               bits / ns, leaves_.load(std::memory_order_relaxed),
               leaves_.load(std::memory_order_relaxed) == 1 ? "leaf" : "leaves");
    std::fflush(stderr);
    shown_bytes_ = bytes;
    shown_at_ns_ = now;
    has_line_ = true;
}

}  // namespace xylem::cli
