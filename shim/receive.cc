// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "shim/session.h"
#include "shim/socket.h"
#include "shim/transfer.h"
#include "shim/wire_types.h"

namespace xylem::shim {

namespace {

constexpr int kReceiveFlags = XY_MSG_DONTWAIT | XY_MSG_PEEK | XY_MSG_PARTIAL | XY_MSG_TRUNC | MSG_NOSIGNAL;
constexpr uint32_t kLookEveryQuiet = 16;

/// The receive mutex of an open socket, and what a call that finds nothing does about it.
class Receiving {
  public:
    Receiving(int fd, int flags) : socket_(find_socket(fd)) {
        if (socket_ == nullptr) return;
        Socket& s = *socket_;
        s.receive_mutex.lock();
        if (s.is_closing.load(std::memory_order_relaxed) || s.descriptor.load(std::memory_order_relaxed) != fd) {
            s.receive_mutex.unlock();
            socket_ = nullptr;
            return;
        }
        may_wait_ = (flags & XY_MSG_DONTWAIT) == 0 && !s.is_nonblocking.load(std::memory_order_relaxed);
    }
    ~Receiving() {
        if (socket_ == nullptr) return;
        Socket& s = *socket_;
        const uint32_t mask = s.events.mask.load(std::memory_order_relaxed);
        if (mask == 0) {
            s.receive_mutex.unlock();
            return;
        }
        // The last message of a session that is over may have been taken just now.
        const bool may_close = (mask & XY_FD_CLOSE) != 0 && s.engine->has_ended.load(std::memory_order_relaxed) != 0;
        const int error = errno;  // of the call that ends
        Keep keep(s);
        s.receive_mutex.unlock();  // events come before it
        // Only now: what this call has taken is not told again (W-147).
        const bool is_enabled = keep && reenable(s, XY_FD_READ);
        if (keep && is_empty_)
            renew_interests(s);
        else if (keep && (is_enabled || may_close))
            refresh_interests(s);
        errno = error;
    }
    Receiving(const Receiving&) = delete;
    Receiving& operator=(const Receiving&) = delete;

    Socket* socket() const { return socket_; }

    /// Nothing was there. 0: try again; else the error that the call ends with, or -1 for the end of a stream.
    int wait_or_end(Wait& wait, int end);
    /// Something was taken.
    void note_taken(const Wait& wait);

  private:
    int quiet(int error);

    Socket* socket_;
    bool may_wait_ = false;
    bool is_empty_ = false;
    bool had_to_wait_ = false;
};

// Why nothing can come at all; 0: it may.
int receive_refusal(const Socket& s) {
    if ((s.shut.load(std::memory_order_relaxed) & kShutRead) != 0) return ESHUTDOWN;
    const abi::Phase phase = phase_of(s);
    if (s.is_branch) return phase == abi::Phase::kJoined && end_of(s) < 0 ? EOPNOTSUPP : ENOTCONN;
    if (end_of(s) == ENETDOWN) return 0;  // the caller knows, or looks again
    if (phase == abi::Phase::kOpen) return EINVAL;
    const bool is_member = phase == abi::Phase::kJoined || phase == abi::Phase::kEnded;
    if (!is_root(s) && !is_member && end_of(s) < 0) return ENOTCONN;
    return s.engine->direction.load(std::memory_order_relaxed) == XY_SENDER_ONLY ? EOPNOTSUPP : 0;
}

int Receiving::quiet(int error) {
    Socket& s = *socket_;
    is_empty_ = true;
    if (error == EAGAIN && s.events.mask.load(std::memory_order_relaxed) == 0 && !s.notifier.settle()) hung_up(s);
    return error;
}

int Receiving::wait_or_end(Wait& wait, int end) {
    Socket& s = *socket_;
    if (const int error = receive_refusal(s)) return error;
    s.receiver.note_empty(s);
    if (end > 0) return quiet(end);
    if (end == 0 && s.receiver.is_at_end(s)) return quiet(s.is_stream ? -1 : ESHUTDOWN);
    if (!may_wait_) {
        if (++s.n_quiet % kLookEveryQuiet == 0 && s.attachment->look_for_death_sometimes()) return quiet(ENETDOWN);
        return quiet(EAGAIN);
    }
    had_to_wait_ = true;
    s.blocks_in_receive = true;
    return wait.until(would_not_block, 0, &s.receive_mutex);
}

void Receiving::note_taken(const Wait& wait) {
    Socket& s = *socket_;
    s.notifier.note_taken();
    // A socket that is read when poll says so must not stay readable when all is taken. One that is read by waiting
    // calls need not be looked after each time it runs empty.
    if (may_wait_ && (had_to_wait_ || s.blocks_in_receive || wait.has_slept())) return;
    if (s.events.mask.load(std::memory_order_relaxed) != 0 || s.receiver.has_unread(s)) return;
    s.receiver.note_empty(s);
    if (!s.notifier.settle()) hung_up(s);
}

// Looks for something to take until it is there or the call ends. 0, errno, or -1 at the end of a stream.
template <class Take>
int take_or_wait(Receiving& receiving, Take take) {
    Socket& s = *receiving.socket();
    if ((s.shut.load(std::memory_order_relaxed) & kShutRead) != 0) return ESHUTDOWN;
    Wait wait(s, abi::kWantRead, s.receive_timeout_ns);
    for (;;) {
        const int end = end_of(s);  // before looking: what was published before the end is still taken
        if (const int error = s.is_branch ? 0 : s.receiver.prepare(s)) return error;
        const Outcome outcome = take();
        if (outcome == Outcome::kTaken) {
            receiving.note_taken(wait);
            return 0;
        }
        if (outcome == Outcome::kTooLong) return EMSGSIZE;
        if (outcome == Outcome::kBroken && s.local_error.load(std::memory_order_relaxed) == 0)
            s.local_error.store(ECONNABORTED, std::memory_order_release);
        if (outcome == Outcome::kBroken) return s.local_error.load(std::memory_order_relaxed);
        if (const int error = receiving.wait_or_end(wait, end)) return error;
    }
}

void tell_source(const Taken& taken, sockaddr* from, socklen_t* length) {
    if (from != nullptr && length != nullptr && taken.from != nullptr) address_to(*taken.from, from, length);
}

xy_msg& message_at(xy_msg* messages, unsigned i) {
    return *reinterpret_cast<xy_msg*>(reinterpret_cast<char*>(messages) + i * static_cast<size_t>(messages->size));
}

// How many of the messages have a buffer, before the first that lacks it.
unsigned n_with_room(xy_msg* messages, unsigned count) {
    for (unsigned i = 0; i != count; ++i)
        if (const xy_msg& m = message_at(messages, i); m.buf == nullptr && m.len != 0) return i;
    return count;
}

bool is_cut_short(const Socket& s, const Taken& taken, int flags) {
    return !s.is_stream && (taken.received.flags & XY_MSG_TRUNC) != 0 && (flags & XY_MSG_PEEK) == 0;
}

}  // namespace

bool would_not_block(Socket& s, uint64_t) {
    return s.receiver.may_have_something(s) || end_of(s) > 0 || (end_of(s) == 0 && s.receiver.is_at_end_shared()) ||
           (s.shut.load(std::memory_order_relaxed) & kShutRead) != 0;
}

ssize_t receive_message(int fd, const iovec* parts, size_t n_parts, int flags, ReceiveResult& result) {
    if ((flags & ~kReceiveFlags) != 0) return result_of(EOPNOTSUPP);
    Receiving receiving(fd, flags);
    if (receiving.socket() == nullptr) return result_of(ENOTSOCK);
    Socket& s = *receiving.socket();
    Scatter to(parts, n_parts);
    if (s.is_stream && to.left() == 0) return 0;
    Taken taken;
    const int error = take_or_wait(receiving, [&] {
        return s.receiver.receive(s, to, (flags & XY_MSG_PARTIAL) != 0, (flags & XY_MSG_PEEK) != 0, taken);
    });
    if (error != 0) return error < 0 ? 0 : result_of(error);
    tell_source(taken, result.from, result.from_length);
    result.flags = taken.received.flags;
    if (is_cut_short(s, taken, flags)) return result_of(EMSGSIZE);  // best effort: its tail is lost (W-035)
    return static_cast<ssize_t>(taken.received.bytes);
}

int receive_batch(int fd, xy_msg* messages, unsigned count, int flags) {
    if ((flags & ~kReceiveFlags) != 0) return result_of(EOPNOTSUPP);
    if (count == 0) return 0;
    if (messages->size < sizeof(xy_msg)) return result_of(EINVAL);
    count = n_with_room(messages, count);
    if (count == 0) return result_of(EFAULT);
    Receiving receiving(fd, flags);
    if (receiving.socket() == nullptr) return result_of(ENOTSOCK);
    Socket& s = *receiving.socket();
    const bool is_partial = (flags & XY_MSG_PARTIAL) != 0, is_peek = (flags & XY_MSG_PEEK) != 0;
    unsigned n = 0;
    const auto take_next = [&] {
        xy_msg& m = message_at(messages, n);
        const iovec part{m.buf, m.len};
        Scatter to(&part, 1);
        Taken taken;
        const Outcome outcome = s.receiver.receive(s, to, is_partial, is_peek, taken);
        if (outcome != Outcome::kTaken) return outcome;
        m.flags = taken.received.flags;
        m.received = taken.received.bytes;
        m.lost_bytes = taken.received.lost_bytes;
        tell_source(taken, m.from, &m.from_len);
        ++n;
        return outcome;
    };
    const int error = take_or_wait(receiving, [&] {
        Outcome outcome = take_next();
        while (outcome == Outcome::kTaken && n != count && !is_peek && (outcome = take_next()) == Outcome::kTaken) {
        }
        return n != 0 ? Outcome::kTaken : outcome;
    });
    if (error != 0) return error < 0 ? 0 : result_of(error);
    return static_cast<int>(n);
}

int borrow_span(int fd, xy_span& out) {
    Receiving receiving(fd, 0);
    if (receiving.socket() == nullptr) return result_of(ENOTSOCK);
    Socket& s = *receiving.socket();
    Taken taken;
    Borrowed span{};
    bool is_full = false;
    const int error = take_or_wait(receiving, [&] {
        const Outcome outcome = s.receiver.borrow(s, taken, span);
        is_full = outcome == Outcome::kTooLong;
        return outcome;
    });
    if (is_full) return result_of(ENOBUFS);
    if (error != 0) return result_of(error < 0 ? ESHUTDOWN : error);
    out = {};
    out.data = const_cast<char*>(span.payload);
    out.len = span.bytes;
    out.cookie = static_cast<uint64_t>(taken.slot) << 48 | (taken.received.bytes & 0xFFFFFFFFFFFF);
    out.flags = span.flags;
    out.source = taken.leaf_number;
    return 0;
}

int release_span(int fd, const xy_span& span) {
    Receiving receiving(fd, 0);
    if (receiving.socket() == nullptr) return result_of(ENOTSOCK);
    Socket& s = *receiving.socket();
    return result_of(s.receiver.release(s, static_cast<uint32_t>(span.cookie >> 48), span.cookie & 0xFFFFFFFFFFFF));
}

int next_bytes(Socket& s, int& bytes) {
    Lock lock(s.receive_mutex);
    if (s.is_branch) return EOPNOTSUPP;
    if (const int error = s.receiver.prepare(s)) return error;
    bytes = static_cast<int>(std::min<size_t>(s.receiver.next_bytes(s), INT32_MAX));
    return 0;
}

}  // namespace xylem::shim
