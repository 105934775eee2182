// SPDX-License-Identifier: Apache-2.0
#include "shim/poll.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "shim/session.h"
#include "shim/socket.h"
#include "shim/transfer.h"

namespace xylem::shim {

namespace {

constexpr nfds_t kOnStack = 64;
constexpr int64_t kLongestMs = 1000;

bool is_readable(Socket& s) {
    if (s.engine->backlog.load(std::memory_order_acquire) != 0) return true;
    const abi::Phase phase = phase_of(s);
    if (s.is_branch) return end_of(s) >= 0;
    const bool may_receive =
        has_inbox(s) || phase == abi::Phase::kJoined || phase == abi::Phase::kEnded || end_of(s) > 0;
    if (!may_receive) return false;
    Lock lock(s.receive_mutex);
    s.receiver.prepare(s);
    if (s.receiver.has_message(s)) return true;
    const int end = end_of(s);
    return end > 0 || (end == 0 && s.receiver.is_at_end(s));
}

bool is_writable(Socket& s) {
    const int refusal = send_refusal(s);
    if (refusal == ENOTCONN) return false;
    if (refusal != 0) return true;  // it would fail at once
    return has_room_to_send(s);
}

short readiness(int fd, short wanted) {
    Use s(fd);
    if (!s) return POLLNVAL;
    short ready = 0;
    if ((wanted & (POLLIN | POLLRDNORM)) != 0 && is_readable(*s)) ready |= wanted & (POLLIN | POLLRDNORM);
    if ((wanted & (POLLOUT | POLLWRNORM)) != 0 && is_writable(*s)) ready |= wanted & (POLLOUT | POLLWRNORM);
    if (end_of(*s) == ENETDOWN) ready |= POLLHUP;
    return ready;
}

uint8_t interests_for(short wanted) {
    uint8_t interests = 0;
    if ((wanted & (POLLIN | POLLRDNORM)) != 0) interests |= abi::kWantRead | abi::kWantAccept;
    if ((wanted & (POLLOUT | POLLWRNORM)) != 0) interests |= abi::kWantWrite;
    return interests;
}

// What is waited for on the sockets, for the length of one sleep.
void arm(const pollfd* fds, nfds_t count, bool begins) {
    for (nfds_t i = 0; i < count; ++i) {
        Use s(fds[i].fd);
        if (!s) continue;
        const uint8_t interests = interests_for(fds[i].events);
        if (begins && (interests & abi::kWantRead) != 0) {
            Lock lock(s->receive_mutex);
            s->receiver.note_empty(*s);
        }
        const bool is_there = begins ? s->notifier.begin_wait(interests) : s->notifier.end_wait(interests);
        if (!is_there) hung_up(*s);
    }
}

// Looks at our sockets; `theirs` gets the others, and ours as they are to be slept on.
int look(pollfd* fds, nfds_t count, pollfd* theirs) {
    int n = 0;
    for (nfds_t i = 0; i < count; ++i) {
        fds[i].revents = 0;
        theirs[i] = {fds[i].fd, fds[i].events, 0};
        if (find_socket(fds[i].fd) == nullptr) continue;
        fds[i].revents = readiness(fds[i].fd, fds[i].events);
        theirs[i].events = POLLIN;
        n += fds[i].revents != 0;
    }
    return n;
}

int merge(pollfd* fds, nfds_t count, const pollfd* theirs) {
    int n = 0;
    for (nfds_t i = 0; i < count; ++i) {
        if (find_socket(fds[i].fd) == nullptr) fds[i].revents = theirs[i].revents;
        n += fds[i].revents != 0;
    }
    return n;
}

int poll_with(pollfd* fds, nfds_t count, int timeout_ms, pollfd* theirs) {
    const int64_t deadline_ns = timeout_ms < 0 ? INT64_MAX : now_ns() + timeout_ms * 1'000'000LL;
    for (;;) {
        if (look(fds, count, theirs) != 0) {
            poll(theirs, count, 0);
            return merge(fds, count, theirs);
        }
        const int64_t left_ms = timeout_ms < 0 ? kLongestMs : (deadline_ns - now_ns() + 999'999) / 1'000'000;
        Sleeper* sleeper = begin_sleep(nullptr);
        if (sleeper == nullptr) return -1;
        arm(fds, count, true);
        theirs[count] = {sleeper->fd, POLLIN, 0};
        const int wait_ms = static_cast<int>(std::clamp<int64_t>(left_ms, 0, kLongestMs));
        int n = look(fds, count, theirs) != 0 ? 0 : poll(theirs, count + 1, wait_ms);
        const int error = errno;
        const bool is_cancelled = n > 0 && theirs[count].revents != 0 && take_poke(sleeper);
        arm(fds, count, false);
        end_sleep(sleeper);
        if (n < 0 && error != EINTR) return result_of(error);
        if (n > 0) n = merge(fds, count, theirs);
        if (n > 0) return n;
        if (is_cancelled) return result_of(EINTR);
        if (timeout_ms >= 0 && now_ns() >= deadline_ns && look(fds, count, theirs) == 0) return 0;
    }
}

}  // namespace

int poll_descriptors(pollfd* fds, nfds_t count, int timeout_ms) {
    if (fds == nullptr && count != 0) return result_of(EFAULT);
    if (count < kOnStack) {
        pollfd theirs[kOnStack];
        return poll_with(fds, count, timeout_ms, theirs);
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && count > limit.rlim_cur) return result_of(EINVAL);  // as poll(2)
    auto* theirs = static_cast<pollfd*>(calloc(count + 1, sizeof(pollfd)));
    if (theirs == nullptr) return result_of(ENOMEM);
    const int n = poll_with(fds, count, timeout_ms, theirs);
    const int error = errno;
    free(theirs);
    errno = error;
    return n;
}

}  // namespace xylem::shim
