// SPDX-License-Identifier: Apache-2.0
// Blocking: a few pauses, yields for some 50 µs, then sleep in poll on the socket's descriptor, armed for what is
// waited for, and on this thread's own eventfd, by which xy_cancel and xy_close end the wait. Signals do not (W-248).
#pragma once
#include <pthread.h>

#include <cstdint>

namespace xylem::shim {

struct Socket;

class Wait {
  public:
    /// `timeout_ns` < 0: for ever. The socket's slot is kept from reuse while this lives.
    Wait(Socket& s, uint8_t interests, int64_t timeout_ns)
        : socket_(s), timeout_ns_(timeout_ns), interests_(interests) {}
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

    /// Returns 0 when `is_ready` says so. Else EAGAIN (time is over), EINTR (xy_cancel), ENOTSOCK (closed), ENETDOWN.
    /// To be called with `lock` held, which is given up meanwhile and held again on return; null: none.
    int until(bool (*is_ready)(Socket&, uint64_t), uint64_t argument, class Mutex* lock);
    bool has_slept() const { return has_begun_; }

  private:
    int spin_then_sleep(bool (*is_ready)(Socket&, uint64_t), uint64_t argument);
    int sleep(bool (*is_ready)(Socket&, uint64_t), uint64_t argument);

    Socket& socket_;
    int64_t timeout_ns_;
    int64_t deadline_ns_ = 0;
    uint8_t interests_;
    bool is_user_ = false, has_begun_ = false;
};

/// Nanoseconds of CLOCK_MONOTONIC.
int64_t now_ns();

/// A thread's entry in the list of those that sleep. One per thread, for ever.
struct Sleeper {
    pthread_t thread;
    int fd;  // eventfd
    const Socket* socket;
    bool is_cancelled, is_listed;
    Sleeper* next;
};

/// The calling thread is in the list from now on; null with errno ENOBUFS or EMFILE.
Sleeper* begin_sleep(const Socket* socket);
void end_sleep(Sleeper*);
/// The same for a sleep that may be inside another: null in that case as well.
Sleeper* begin_nested_sleep(const Socket* socket);
void poke(const Sleeper&);
/// The thread's eventfd is readable: resets it. True: by xy_cancel.
bool take_poke(Sleeper*);

/// Ends the blocking call of `thread`. 0 or EINVAL.
int cancel(pthread_t thread);
/// Wakes all that sleep on the socket.
void wake_sleepers(const Socket& s);
void abandon_sleepers_in_child();

}  // namespace xylem::shim
