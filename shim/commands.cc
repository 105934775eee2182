// SPDX-License-Identifier: Apache-2.0
// Commands: any number of threads wait for their replies at the same time, in whatever order these come (an accept is
// answered when the leaf is live). One of the waiting threads reads the connection for all; when it has its own reply,
// it wakes another that goes on.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "shim/attachment.h"
#include "shim/socket.h"
#include "shim/wait.h"

namespace xylem::shim {

namespace {

constexpr int kQuickMs = 50;  // most replies: not worth an entry among the sleepers
constexpr int kLongestSleepMs = 1000;

int64_t now_ms() { return now_ns() / 1'000'000; }

void collect_fds(msghdr& message, ReplyFds& fds) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; ++i) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            fds.add(fd);
        }
    }
}

// Not what ends or decides something: the caller would not know. And a log that was made and not mapped could not be
// made again.
bool may_give_up(abi::Op op) {
    return op != abi::Op::kMakeLog && op != abi::Op::kLogMapped && op != abi::Op::kJoinResult &&
           op != abi::Op::kCancelJoin && op != abi::Op::kClose;
}

abi::RequestHeader header_of(abi::Op op, uint32_t socket, uint64_t sequence, uint32_t body_bytes) {
    return {.magic = abi::kCommandMagic,
            .op = static_cast<uint16_t>(op),
            .version = abi::kAbiVersion,
            .sequence = sequence,
            .socket = socket,
            .body_bytes = body_bytes};
}

}  // namespace

struct Attachment::Waiter {
    abi::Op op;
    uint32_t socket;
    void* reply;
    uint32_t reply_bytes;
    ReplyFds* fds;
    uint32_t* value;
    uint64_t sequence = 0;
    Sleeper* sleeper = nullptr;
    int result = 0;
    bool is_done = false;
    Waiter* next = nullptr;
};

struct Attachment::Reply {
    alignas(8) char bytes[abi::kMaxCommandBytes];
    abi::ReplyHeader header;
    ReplyFds fds;
    bool is_cut = false;  // descriptors were lost: this process has too many
    const char* body() const { return bytes + sizeof header; }
};

int Attachment::call(abi::Op op, uint32_t socket, const void* body, uint32_t body_bytes, void* reply,
                     uint32_t reply_bytes, ReplyFds* fds, uint32_t* value, const Socket* of) {
    ReplyFds unwanted;
    Waiter w{op, socket, reply, reply_bytes, fds != nullptr ? fds : &unwanted, value};
    int error;
    {
        Lock lock(mutex_);
        error = submit(w, body, body_bytes);
        if (error == 0) error = await(w, of);
    }
    if (w.sleeper != nullptr) end_sleep(w.sleeper);
    return error;
}

// ---- asking; all with the mutex held ----

bool Attachment::try_send(const abi::RequestHeader& header, const void* body, uint32_t body_bytes) {
    iovec parts[2] = {{const_cast<abi::RequestHeader*>(&header), sizeof header}, {const_cast<void*>(body), body_bytes}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = body_bytes != 0 ? 2 : 1;
    ssize_t sent;
    do
        sent = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent == static_cast<ssize_t>(sizeof header + body_bytes)) return true;
    if (sent >= 0 || errno != EAGAIN) die();
    return false;
}

int Attachment::submit(Waiter& w, const void* body, uint32_t body_bytes) {
    w.sequence = ++sequence_;
    const abi::RequestHeader header = header_of(w.op, w.socket, w.sequence, body_bytes);
    const int64_t until_ms = now_ms() + answer_ms_;
    while (!is_dead() && !try_send(header, body, body_bytes)) {
        if (now_ms() >= until_ms) die();
        if (is_dead()) break;
        mutex_.unlock();
        pollfd p{fd_, POLLOUT, 0};  // the daemon has not read hundreds of requests
        poll(&p, 1, kQuickMs);
        mutex_.lock();
    }
    return is_dead() ? ENETDOWN : 0;
}

// ---- waiting ----

int Attachment::await(Waiter& w, const Socket* of) {
    w.next = waiters_;
    waiters_ = &w;
    int error = 0;
    for (int64_t until_ms = now_ms() + answer_ms_; !w.is_done && !is_dead() && error == 0;) {
        const int64_t left_ms = until_ms - now_ms();
        if (of != nullptr && of->is_closing.load(std::memory_order_acquire)) {
            error = ENOTSOCK;
        } else if (left_ms > 0) {
            if (sleep_once(w, of, left_ms) && may_give_up(w.op)) error = EINTR;
        } else if (w.op == abi::Op::kAcceptDecide && is_alive(w.socket)) {
            until_ms = now_ms() + answer_ms_;  // the leaf's host has not answered: that may take a join's time
        } else if (!w.is_done) {
            die();
        }
    }
    Waiter** at = &waiters_;
    while (*at != &w)
        at = &(*at)->next;
    *at = w.next;
    if (!w.is_done && error != 0) abandon_request({w.sequence, w.op, w.socket});
    hand_over_reading();
    return w.is_done ? w.result : is_dead() ? ENETDOWN : error;
}

// True: xy_cancel.
bool Attachment::sleep_once(Waiter& w, const Socket* of, int64_t left_ms) {
    const bool reads = !has_reader_;
    if (reads) has_reader_ = true;
    mutex_.unlock();
    if (!reads && w.sleeper == nullptr) {
        Sleeper* sleeper = begin_nested_sleep(of);
        mutex_.lock();
        w.sleeper = sleeper;
        const bool must_look = w.is_done || !has_reader_;
        mutex_.unlock();
        if (must_look) return mutex_.lock(), false;
    }
    const int longest_ms = w.sleeper != nullptr ? kLongestSleepMs : reads ? kQuickMs : 1;
    pollfd fds[2] = {{reads ? fd_ : -1, POLLIN, 0}, {w.sleeper != nullptr ? w.sleeper->fd : -1, POLLIN, 0}};
    const int n = poll(fds, 2, static_cast<int>(std::min<int64_t>(left_ms, longest_ms)));
    const bool is_cancelled = fds[1].revents != 0 && take_poke(w.sleeper);
    Sleeper* sleeper = w.sleeper == nullptr && reads && n == 0 ? begin_nested_sleep(of) : w.sleeper;
    mutex_.lock();
    w.sleeper = sleeper;
    if (reads) {
        has_reader_ = false;
        if (n > 0 && fds[0].revents != 0) take_reply();
    }
    return is_cancelled;
}

// Whether the daemon answers at all.
bool Attachment::is_alive(uint32_t socket) {
    abi::AddressBody name;
    const abi::NameBody body{0, 0};
    mutex_.unlock();
    call(abi::Op::kName, socket, &body, sizeof body, &name, sizeof name);
    mutex_.lock();
    return !is_dead();
}

void Attachment::hand_over_reading() {
    if (has_reader_) return;
    for (Waiter* w = waiters_; w != nullptr; w = w->next) {
        if (w->sleeper == nullptr) continue;
        poke(*w->sleeper);
        return;
    }
}

void Attachment::die() {
    is_dead_.store(true, std::memory_order_release);
    if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
    for (Waiter* w = waiters_; w != nullptr; w = w->next)
        if (w->sleeper != nullptr) poke(*w->sleeper);
}

// ---- replies ----

void Attachment::take_reply() {
    Reply reply;
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
    iovec part{reply.bytes, sizeof reply.bytes};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(fd_, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) collect_fds(message, reply.fds);
    if (n < static_cast<ssize_t>(sizeof reply.header)) return die();
    memcpy(&reply.header, reply.bytes, sizeof reply.header);
    reply.is_cut = (message.msg_flags & MSG_CTRUNC) != 0;
    const abi::ReplyHeader& h = reply.header;
    if (h.magic != abi::kCommandMagic || h.error < 0) return die();
    if (h.error == 0 && h.body_bytes != static_cast<size_t>(n) - sizeof h) return die();
    for (Waiter* w = waiters_; w != nullptr; w = w->next)
        if (w->sequence == h.sequence && !w->is_done) return hand_over(*w, reply);
    for (unsigned i = 0; i < n_abandoned_; ++i) {
        if (abandoned_[i].sequence != h.sequence) continue;
        const Abandoned request = abandoned_[i];
        abandoned_[i] = abandoned_[--n_abandoned_];
        return undo(request, reply);
    }
    die();  // nobody asked for that
}

void Attachment::hand_over(Waiter& w, Reply& reply) {
    const abi::ReplyHeader& h = reply.header;
    if (h.error == 0 && h.body_bytes != w.reply_bytes) return die();
    w.is_done = true;
    w.result = h.error != 0 ? h.error : reply.is_cut ? EMFILE : 0;
    if (h.error == 0) {
        if (w.reply_bytes != 0) memcpy(w.reply, reply.body(), w.reply_bytes);
        if (w.value != nullptr) *w.value = h.value;
        w.fds->take_all(reply.fds);
    }
    if (w.sleeper != nullptr) poke(*w.sleeper);
}

// ---- requests that were given up ----

void Attachment::abandon_request(const Abandoned& request) {
    if (n_abandoned_ == kMaxAbandoned) return die();
    abandoned_[n_abandoned_++] = request;
    if (request.op == abi::Op::kJoin) tell_later(abi::Op::kCancelJoin, request.socket, nullptr, 0);
}

void Attachment::undo(const Abandoned& request, Reply& reply) {
    if (reply.header.error != 0) return;
    if (request.op == abi::Op::kAcceptTake && reply.header.body_bytes == sizeof(abi::AcceptTakeReply)) {
        abi::AcceptTakeReply taken;
        memcpy(&taken, reply.body(), sizeof taken);
        abi::AcceptDecideBody back{};
        back.request = taken.request;
        back.decision = XY_DEFER;  // to the head of the queue again
        return tell_later(abi::Op::kAcceptDecide, request.socket, &back, sizeof back);
    }
    if (reply.fds.peek(0) < 0 || reply.header.body_bytes != sizeof(abi::SocketReply)) return;
    abi::SocketReply made;
    memcpy(&made, reply.body(), sizeof made);
    const abi::CloseBody body{};
    tell_later(abi::Op::kClose, made.socket, &body, sizeof body);
}

// Nobody waits for the reply.
void Attachment::tell_later(abi::Op op, uint32_t socket, const void* body, uint32_t body_bytes) {
    const uint64_t sequence = ++sequence_;
    if (n_abandoned_ == kMaxAbandoned || !try_send(header_of(op, socket, sequence, body_bytes), body, body_bytes))
        return die();
    abandoned_[n_abandoned_++] = {sequence, abi::Op::kName, socket};
}

}  // namespace xylem::shim
