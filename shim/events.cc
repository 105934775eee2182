// SPDX-License-Identifier: Apache-2.0
#include "shim/events.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "shim/session.h"
#include "shim/socket.h"

namespace xylem::shim {

namespace {

bool is_connected(const Socket& s) { return s.engine->leaves.load(std::memory_order_acquire) != 0; }

bool was_session(const Socket& s) {
    const abi::Phase phase = phase_of(s);
    return phase == abi::Phase::kJoined || phase == abi::Phase::kEnded || phase == abi::Phase::kListening ||
           s.engine->has_ended.load(std::memory_order_acquire) != 0;
}

bool may_read(const Socket& s) {
    return !s.is_branch && (s.shut.load(std::memory_order_relaxed) & kShutRead) == 0 &&
           s.engine->direction.load(std::memory_order_relaxed) != XY_SENDER_ONLY;
}

bool may_write(const Socket& s) {
    return !s.is_branch && (s.shut.load(std::memory_order_relaxed) & kShutWrite) == 0 &&
           s.engine->direction.load(std::memory_order_relaxed) != XY_RECEIVER_ONLY;
}

bool has_data(Socket& s) {
    Lock lock(s.receive_mutex);
    s.receiver.prepare(s);
    if (s.receiver.has_message(s)) return true;
    s.receiver.note_empty(s);  // part of a message: the descriptor stays quiet until there is more
    return false;
}

bool has_closed(Socket& s, int& error) {
    const int end = end_of(s);
    if (end < 0 || (end != ENETDOWN && !was_session(s))) return false;
    if (end == 0 && may_read(s)) {  // gracefully: after all was read (W-165)
        Lock lock(s.receive_mutex);
        s.receiver.prepare(s);
        if (!s.receiver.is_at_end(s)) return false;
    }
    error = end;
    return true;
}

// Gracefully over, with whole messages still to be read: FD_CLOSE is not due, and the next receive looks again.
bool must_read_first(Socket& s) {
    if (end_of(s) != 0 || !may_read(s)) return false;
    Lock lock(s.receive_mutex);
    s.receiver.prepare(s);
    return s.receiver.is_at_end_shared() && !s.receiver.is_at_end(s);
}

bool holds(Socket& s, unsigned bit, int& error) {
    error = 0;
    switch (bit) {
        case XY_FD_READ_BIT:
            return may_read(s) && has_data(s);
        case XY_FD_WRITE_BIT:
            return may_write(s) && is_connected(s) && end_of(s) < 0 && has_room_to_send(s);
        case XY_FD_ACCEPT_BIT:
            return s.engine->backlog.load(std::memory_order_acquire) != 0;
        case XY_FD_CONNECT_BIT:
            return !s.is_branch && take_join_outcome(s, error);
        case XY_FD_CLOSE_BIT:
            return has_closed(s, error);
        case XY_FD_QOS_BIT: {
            const uint32_t changes = s.engine->qos_changes.load(std::memory_order_acquire);
            if (changes == s.events.qos_seen) return false;
            s.events.qos_seen = changes;
            s.app->qos_seen.store(changes, std::memory_order_release);
            error = s.engine->qos_code.load(std::memory_order_relaxed);
            return true;
        }
        default:
            return false;
    }
}

// What the descriptor is armed for. An interest that would hold for ever without giving an event is left out.
uint8_t interests_of(Socket& s) {
    const uint32_t mask = s.events.mask.load(std::memory_order_relaxed);
    if (mask == 0) return abi::kWantRead | abi::kWantAccept;
    const uint32_t enabled = s.events.enabled;
    uint8_t interests = 0;
    const bool is_open = end_of(s) < 0;
    if ((enabled & XY_FD_READ) != 0 && may_read(s) && (is_open || s.receiver.may_have_something(s)))
        interests |= abi::kWantRead;
    if ((enabled & XY_FD_ACCEPT) != 0) interests |= abi::kWantAccept;
    const bool has_outcome =
        !s.is_branch && s.engine->connect_done.load(std::memory_order_acquire) != s.events.connects_seen;
    if ((enabled & XY_FD_CONNECT) != 0 && has_outcome) interests |= abi::kWantConnect;
    if ((enabled & (XY_FD_CONNECT | XY_FD_WRITE)) != 0 && is_join_under_way(s)) interests |= abi::kWantConnect;
    if ((enabled & XY_FD_CLOSE) != 0 && !must_read_first(s)) interests |= abi::kWantClose;
    if ((enabled & XY_FD_WRITE) != 0 && may_write(s) && is_open && is_connected(s)) interests |= abi::kWantWrite;
    if ((enabled & XY_FD_QOS) != 0) interests |= abi::kWantQos;
    return interests;
}

bool is_eventfd(int fd) {
    constexpr char kName[] = "anon_inode:[eventfd]";
    char path[32], name[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(path, name, sizeof name);
    if (n < 0) return fcntl(fd, F_GETFD) >= 0;  // without /proc any open descriptor has to do
    return n == sizeof kName - 1 && memcmp(name, kName, sizeof kName - 1) == 0;
}

// Sets an eventfd back to 0, and never waits: sockets that share one may be enumerated by several threads.
int reset_eventfd(int fd) {
    uint64_t count;
    const iovec part{&count, sizeof count};
    return preadv2(fd, &part, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN ? 0 : EINVAL;
}

}  // namespace

uint32_t record_events(Socket& s) {
    Events& e = s.events;
    for (unsigned bit = 0; bit <= XY_FD_QOS_BIT; ++bit) {
        int error = 0;
        if ((e.enabled >> bit & 1) == 0 || !holds(s, bit, error)) continue;
        e.enabled &= ~(1U << bit);
        e.recorded |= 1U << bit;
        e.error[bit] = error;
    }
    return e.recorded;
}

void renew_interests_locked(Socket& s) {
    if (!s.notifier.renew_interests(interests_of(s)) && end_of(s) != ENETDOWN) hung_up(s);
}

void renew_interests(Socket& s) {
    Lock lock(s.events.mutex);
    renew_interests_locked(s);
}

void refresh_interests(Socket& s) {
    Lock lock(s.events.mutex);
    if (!s.notifier.set_interests(interests_of(s))) hung_up(s);
}

bool reenable(Socket& s, uint32_t events) {
    if (s.events.mask.load(std::memory_order_relaxed) == 0) return false;
    Lock lock(s.events.mutex);
    const uint32_t wanted = s.events.mask.load(std::memory_order_relaxed) & events & ~s.events.enabled;
    s.events.enabled |= wanted;
    return wanted != 0;
}

int select_events(Socket& s, int event_fd, uint32_t mask) {
    constexpr uint32_t kAll = (1U << (XY_FD_QOS_BIT + 1)) - 1;
    if ((mask & ~kAll) != 0) return EINVAL;
    if (mask != 0 && event_fd != -1 && !is_eventfd(event_fd)) return EINVAL;  // mask 0: ignored (W-143)
    unwatch_events(s);
    Lock lock(s.events.mutex);
    s.is_nonblocking = true;  // whatever the mask (W-141)
    s.events.mask = mask;
    s.events.event_fd = mask != 0 ? event_fd : -1;
    s.events.enabled = mask;
    s.events.recorded = 0;
    if (end_of(s) == ENETDOWN && mask != 0 && event_fd < 0) return 0;  // hang-up: readable as it is
    if (!s.notifier.set_interests(interests_of(s))) hung_up(s);
    return s.events.event_fd >= 0 ? watch_events(s) : 0;
}

int take_events(Socket& s, int event_fd, xy_events& out) {
    Lock lock(s.events.mutex);
    record_events(s);
    if (event_fd != -1)
        if (const int error = reset_eventfd(event_fd)) return error;
    const bool was_open = end_of(s) < 0;
    renew_interests_locked(s);
    if (was_open && end_of(s) >= 0) record_events(s);  // the descriptor told it just now: the daemon hung up
    out.events = s.events.recorded;
    for (unsigned bit = 0; bit < XY_FD_MAX_EVENTS; ++bit)
        if ((out.events >> bit & 1) != 0) out.error[bit] = s.events.error[bit];
    s.events.recorded = 0;
    return 0;
}

void inherit_events(Socket& s, Socket& from) {
    uint32_t mask;
    int event_fd;
    {
        Lock lock(from.events.mutex);
        mask = from.events.mask.load(std::memory_order_relaxed);
        event_fd = from.events.event_fd;
    }
    if (mask != 0) select_events(s, event_fd, mask);
}

}  // namespace xylem::shim
