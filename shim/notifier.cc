// SPDX-License-Identifier: Apache-2.0
#include "shim/notifier.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace xylem::shim {

namespace {
// A late answer to an old arming is looked for this often where none should come: it must not stay for good.
constexpr uint32_t kLookEvery = 32;
constexpr uint32_t kDoubtfulLooks = 16;
constexpr int kFullMs = 100;
}  // namespace

void Notifier::open(int fd, uint8_t interests) {
    Lock lock(mutex_);
    fd_ = fd;
    interests_ = interests;
    n_quiet_ = 0;
    for (uint16_t& n : n_waiting_)
        n = 0;
    arm();
    state_.store(kArmed, std::memory_order_relaxed);
}

uint8_t Notifier::wanted() const {
    uint8_t all = interests_;
    for (unsigned i = 0; i < 8; ++i)
        if (n_waiting_[i] != 0) all |= static_cast<uint8_t>(1U << i);
    return all;
}

bool Notifier::drain(bool& had_byte) {
    char bytes[64];
    for (;;) {
        const ssize_t n = recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0) had_byte = true;
        if (n == static_cast<ssize_t>(sizeof bytes) || (n < 0 && errno == EINTR)) continue;
        return n > 0 || (n < 0 && errno == EAGAIN);
    }
}

bool Notifier::arm() {
    armed_ = wanted();
    for (;;) {
        if (send(fd_, &armed_, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) return true;
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return false;
        pollfd p{fd_, POLLOUT, 0};  // the daemon has hundreds of our bytes before it
        poll(&p, 1, kFullMs);
    }
}

bool Notifier::drain_and_arm() {
    bool had_byte = false;
    if (!drain(had_byte)) return false;
    if (!arm()) return false;
    const bool is_clean = had_byte || state_.load(std::memory_order_relaxed) == kArmed;
    state_.store(is_clean ? kArmed : kDoubt, std::memory_order_relaxed);
    n_quiet_ = 0;
    return true;
}

bool Notifier::settle() {
    Lock lock(mutex_);
    const uint8_t state = state_.load(std::memory_order_relaxed);
    if (armed_ != wanted() || state == kStale) return drain_and_arm();
    ++n_quiet_;
    if (state == kArmed && n_quiet_ % kLookEvery != 0) return true;
    bool had_byte = false;
    if (!drain(had_byte)) return false;
    if (had_byte) {
        state_.store(kArmed, std::memory_order_relaxed);
        return arm();
    }
    if (n_quiet_ >= kDoubtfulLooks) state_.store(kArmed, std::memory_order_relaxed);
    return true;
}

bool Notifier::set_interests(uint8_t interests) {
    Lock lock(mutex_);
    interests_ = interests;
    return armed_ == wanted() && is_armed() ? true : drain_and_arm();
}

bool Notifier::renew_interests(uint8_t interests) {
    Lock lock(mutex_);
    interests_ = interests;
    return drain_and_arm();
}

bool Notifier::begin_wait(uint8_t interests) {
    Lock lock(mutex_);
    for (unsigned i = 0; i < 8; ++i)
        if ((interests >> i & 1) != 0) ++n_waiting_[i];
    return armed_ == wanted() && is_armed() ? true : drain_and_arm();
}

bool Notifier::rearm() {
    Lock lock(mutex_);
    return drain_and_arm();
}

bool Notifier::end_wait(uint8_t interests) {
    Lock lock(mutex_);
    for (unsigned i = 0; i < 8; ++i)
        if ((interests >> i & 1) != 0) --n_waiting_[i];
    return drain_and_arm();
}

}  // namespace xylem::shim
