// SPDX-License-Identifier: Apache-2.0
// xy_close with SO_LINGER and a time (W-170, W-171). While it waits the descriptor stays in the table, so that
// xy_cancel leaves a socket behind that can be closed again; nothing but xy_close works on it then, since its end has
// begun.
#include "shim/socket.h"

namespace xylem::shim {

namespace {

// Waits until everything that the socket sent was confirmed, or its time is over: then it will be closed abortively.
int wait_for_delivery(Socket& s, int seconds) {
    {
        Lock lock(s.receive_mutex);
        s.receiver.flush(s);
    }
    s.shut.fetch_or(kShutRead | kShutWrite, std::memory_order_release);
    wake_sleepers(s);
    if (tell_close(s, abi::CloseHow::kLinger) != 0) return 0;  // the daemon is gone: nothing to wait for
    Wait wait(s, abi::kWantDelivered, seconds * 1'000'000'000LL);
    const auto is_over = [](Socket& socket, uint64_t) {
        return socket.engine->has_delivered.load(std::memory_order_acquire) != 0 || end_of(socket) == ENETDOWN;
    };
    const int error = wait.until(is_over, 0, nullptr);
    if (error == EAGAIN) s.linger_s = 0;
    return error == EINTR || error == ENOTSOCK ? error : 0;
}

// SO_LINGER with a time (W-170, W-171). 0: it may be closed now.
int linger(int fd) {
    Use s(fd);
    if (!s) return ENOTSOCK;
    const int seconds = s->linger_s.load(std::memory_order_relaxed);
    if (seconds <= 0) return 0;
    if (s->is_nonblocking) return tell_close(*s, abi::CloseHow::kAsk) == EAGAIN ? EAGAIN : 0;
    return wait_for_delivery(*s, seconds);
}

}  // namespace

int close_socket(int fd) {
    const int error = linger(fd);
    return error != 0 ? error : close_socket_now(fd);
}

}  // namespace xylem::shim
