// SPDX-License-Identifier: Apache-2.0
// The shim's side of a socket's descriptor. The application polls it; the engine puts a byte in when an interest that
// the shim armed holds. Invariant: whenever a call returns to the application, the descriptor is armed for all that the
// application may wait for, or has (or is owed) a byte: so a wake-up may be spurious, but is never lost. A call that
// finds nothing leaves the descriptor drained and armed.
//
// While nothing was taken since the last arming no system call is needed: hence the states.
#pragma once
#include <atomic>
#include <cstdint>

#include "shim/mutex.h"

namespace xylem::shim {

class Notifier {
  public:
    /// Takes charge of a new descriptor and arms it for `interests` (abi::kWant*).
    void open(int fd, uint8_t interests);

    /// Something was taken that the engine may have signalled.
    void note_taken() {
        if (state_.load(std::memory_order_relaxed) == kArmed) state_.store(kStale, std::memory_order_relaxed);
    }
    bool is_armed() const { return state_.load(std::memory_order_relaxed) == kArmed; }

    /// Nothing is there to take: leaves the descriptor drained and armed. False: the daemon hung up.
    bool settle();
    /// What the application waits for on its own changed. False: the daemon hung up.
    bool set_interests(uint8_t interests);

    /// The same, and what the descriptor shows was taken.
    bool renew_interests(uint8_t interests);

    /// A thread is about to sleep for these as well: arms them. False: the daemon hung up.
    bool begin_wait(uint8_t interests);
    /// The same thread, woken and not content.
    bool rearm();
    bool end_wait(uint8_t interests);

  private:
    enum State : uint8_t {
        kArmed,  // armed, and no answer is owed
        kStale,  // armed once; the answer may be there, or come, though what it told of was taken
        kDoubt,  // armed anew before the old answer came
    };

    uint8_t wanted() const;
    bool drain(bool& had_byte);
    bool arm();
    bool drain_and_arm();

    Mutex mutex_;
    std::atomic<uint8_t> state_{kStale};
    int fd_ = -1;
    uint8_t interests_ = 0;
    uint8_t armed_ = 0;
    uint32_t n_quiet_ = 0;
    uint16_t n_waiting_[8] = {};
};

}  // namespace xylem::shim
