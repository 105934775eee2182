// SPDX-License-Identifier: Apache-2.0
// The connection to one daemon: commands over its SOCK_SEQPACKET socket (commands.cc), and the two control segments. It
// lives as long as a socket made over it, or as it is the process's current one. A daemon that dies, or answers
// nonsense, makes it dead for good; the next xy_socket makes another.
#pragma once
#include <xylem/abi/command.h>
#include <xylem/abi/segment.h>

#include <atomic>
#include <cstdint>

#include "shim/mapping.h"
#include "shim/mutex.h"

namespace xylem::shim {

struct Socket;

inline constexpr unsigned kMaxReplyFds = 4;
inline constexpr unsigned kMaxAbandoned = 64;

/// Descriptors that came with a reply; those not taken are closed.
class ReplyFds {
  public:
    ~ReplyFds();
    int take(unsigned i);  // -1: there is none
    int peek(unsigned i) const { return i < n_ ? fds_[i] : -1; }
    void add(int fd);
    void take_all(ReplyFds& from);

  private:
    int fds_[kMaxReplyFds] = {-1, -1, -1, -1};
    unsigned n_ = 0;
};

class Attachment {
  public:
    /// Connects and maps the segments; one reference is the caller's. Null with errno: ENETDOWN, EACCES, EPROTO, …
    static Attachment* connect(const char* path);
    void ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
    void unref();
    /// Whether nobody holds a reference but the process's current attachment.
    bool is_unused() const { return refs_.load(std::memory_order_acquire) == 1; }

    /// One request and its reply. 0, the daemon's errno, or ENETDOWN (and dead from then on) when it is gone, does not
    /// answer in time, or the reply is not what was asked for. EINTR: xy_cancel; whatever the request still
    /// makes is undone. ENOTSOCK: `of` was closed meanwhile. Any thread, any number at a time.
    int call(abi::Op op, uint32_t socket, const void* body, uint32_t body_bytes, void* reply, uint32_t reply_bytes,
             ReplyFds* fds = nullptr, uint32_t* value = nullptr, const Socket* of = nullptr);

    template <class Body, class Reply>
    int ask(abi::Op op, uint32_t socket, const Body& body, Reply& reply, ReplyFds* fds = nullptr,
            const Socket* of = nullptr) {
        return call(op, socket, &body, sizeof body, &reply, sizeof reply, fds, nullptr, of);
    }
    template <class Body>
    int tell(abi::Op op, uint32_t socket, const Body& body) {
        return call(op, socket, &body, sizeof body, nullptr, 0);
    }
    template <class Reply>
    int get(abi::Op op, uint32_t socket, Reply& reply, ReplyFds* fds = nullptr) {
        return call(op, socket, nullptr, 0, &reply, sizeof reply, fds);
    }

    bool is_dead() const { return is_dead_.load(std::memory_order_relaxed); }
    /// Looks at the connection (one system call); true when the daemon is gone.
    bool look_for_death();
    /// The same now and then (every 50 ms), for callers that make no other system call.
    bool look_for_death_sometimes();

    abi::AppSegment& app() const { return *app_.as<abi::AppSegment>(); }
    const abi::EngineSegment& engine() const { return *engine_.as<const abi::EngineSegment>(); }

    /// Tells the worker that socket `id` has something for it. The caller's store and a seq_cst fence come before.
    void ring(uint32_t id);

    const char* path() const { return path_; }
    /// In a forked child: closes the descriptors, forgets the memory, frees nothing.
    void abandon();

  private:
    struct Waiter;
    struct Reply;
    /// A request whose caller gave up: what its reply brings is undone.
    struct Abandoned {
        uint64_t sequence;
        abi::Op op;
        uint32_t socket;
    };

    int attach();
    int submit(Waiter& w, const void* body, uint32_t body_bytes);
    bool try_send(const abi::RequestHeader& header, const void* body, uint32_t body_bytes);
    int await(Waiter& w, const Socket* of);
    bool sleep_once(Waiter& w, const Socket* of, int64_t left_ms);
    bool is_alive(uint32_t socket);
    void take_reply();
    void hand_over(Waiter& w, Reply& reply);
    void hand_over_reading();
    void abandon_request(const Abandoned& request);
    void undo(const Abandoned& request, Reply& reply);
    void tell_later(abi::Op op, uint32_t socket, const void* body, uint32_t body_bytes);
    void die();

    Mutex mutex_;  // the following, and writing to the connection; given up while a thread waits
    uint64_t sequence_ = 0;
    Waiter* waiters_ = nullptr;
    bool has_reader_ = false;  // one of them waits for the connection, the others for it
    unsigned n_abandoned_ = 0;
    Abandoned abandoned_[kMaxAbandoned];

    int64_t answer_ms_ = 30'000;  // a daemon that is silent for so long is as good as gone
    int fd_ = -1;
    int kick_fd_ = -1;
    std::atomic<uint32_t> refs_{1};
    std::atomic<bool> is_dead_{false};
    std::atomic<int64_t> looked_ms_{0};
    Mapping app_, engine_;
    char path_[108] = {};
};

/// The process's attachment, made when there is none or it died. A reference is the caller's. Null with errno.
Attachment* current_attachment();
/// Gives such a reference back. With the last one the process detaches, unless xy_attach said otherwise: a process
/// without sockets holds no memory of the daemon's.
void let_go(Attachment* attachment);
/// xy_attach. 0 or errno.
int attach_to(const char* path);
/// Forgets the current attachment; sockets keep theirs.
void forget_attachment();
void abandon_attachment_in_child();

}  // namespace xylem::shim
