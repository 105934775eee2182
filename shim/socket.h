// SPDX-License-Identifier: Apache-2.0
// A Xylem socket of this process. Sockets are never given back to the heap: a thread that looked one up may still lock
// it while another closes it, and then finds that it is closed. Locks, in this order: events, control, send, receive,
// the notifier's own, the attachment's. A call that may take long counts itself in `users`, so that xy_close can wait
// until nobody uses the socket any more.
#pragma once
#include <xylem/abi/segment.h>
#include <xylem/socket.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "shim/attachment.h"
#include "shim/destinations.h"
#include "shim/events.h"
#include "shim/group_filter.h"
#include "shim/notifier.h"
#include "shim/receiver.h"
#include "shim/sender.h"
#include "shim/wait.h"

namespace xylem::shim {

inline constexpr uint32_t kShutRead = 1, kShutWrite = 2;

struct Socket {
    // Who it is: changes only while nobody uses it.
    std::atomic<int> descriptor{-1};
    std::atomic<bool> is_closing{true};
    bool is_branch = false;  // a c_root's descriptor of one leaf: events and close, no data
    bool is_stream = false;
    Attachment* attachment = nullptr;
    const abi::EngineSocket* engine = nullptr;
    abi::AppSocket* app = nullptr;
    uint32_t id = 0;
    int family = 0, type = 0, protocol = 0;
    uint32_t roles = 0;        // XY_C_* | XY_D_*
    uint32_t leaf_number = 0;  // a branch
    Socket* parent = nullptr;  // a branch: the c_root that it belongs to, valid while parent_generation matches
    uint32_t parent_generation = 0;
    Socket* next_free = nullptr;
    Socket* next_made = nullptr;
    std::atomic<uint32_t> generation{0};
    std::atomic<uint32_t> users{0};

    // How it behaves.
    std::atomic<bool> is_nonblocking{false};
    std::atomic<int64_t> receive_timeout_ns{-1}, send_timeout_ns{-1};
    std::atomic<int> linger_s{-1};
    std::atomic<uint32_t> shut{0};      // kShut*
    std::atomic<int> local_error{0};    // the session ended here: ENETDOWN (hang-up), ECONNABORTED (hostile sender)
    std::atomic<int> pending_error{0};  // SO_ERROR
    std::atomic<uint32_t> is_accept_deferred{0};

    // A join in progress (nonblocking).
    Mutex control_mutex;
    std::atomic<bool> is_join_pending{false};
    uint32_t joins_before = 0;       // connect_done when it was started
    xy_data* callee_data = nullptr;  // the application's; filled when the join is decided
    int join_branch = -1;            // c_root: descriptor of the leaf

    // GROUP.
    abi::AddressBody group_name{};  // that was joined
    GroupFilter group_filter;

    Events events;
    Notifier notifier;

    alignas(64) Mutex send_mutex;
    Sender sender;
    Boundary boundary;
    Destinations destinations;
    std::atomic<bool> has_reservation{false};
    uint32_t reserved_bytes = 0;
    uint64_t reservation = 0;  // cookie of the open one
    uint32_t n_sends = 0;
    std::atomic<uint64_t> sent_messages{0};  // read without the mutex; note_sent writes it
    std::atomic<bool> is_send_blocked{false};

    alignas(64) Mutex receive_mutex;
    Receiver receiver;
    uint32_t n_quiet = 0;
    bool blocks_in_receive = false;  // the application waits in xy_recv rather than in poll
};

/// A descriptor, while a call uses its socket. errno is ENOTSOCK when there is none.
class Use {
  public:
    explicit Use(int fd);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    explicit operator bool() const { return socket_ != nullptr; }
    Socket* operator->() const { return socket_; }
    Socket& operator*() const { return *socket_; }

  private:
    Socket* socket_;
};

/// Keeps a socket that was found open (one of its mutexes is held) in use after the mutex is given up.
class Keep {
  public:
    explicit Keep(Socket& s) : socket_(s) {
        socket_.users.fetch_add(1, std::memory_order_seq_cst);
        is_open_ = !socket_.is_closing.load(std::memory_order_seq_cst);
    }
    ~Keep() { socket_.users.fetch_sub(1, std::memory_order_release); }
    Keep(const Keep&) = delete;
    Keep& operator=(const Keep&) = delete;
    explicit operator bool() const { return is_open_; }

  private:
    Socket& socket_;
    bool is_open_;
};

/// From now on a forked child abandons what is its parent's. Comes before the first attachment.
void prepare_for_forks();

/// The socket behind a descriptor, or null. May be closed at any moment.
Socket* find_socket(int fd);

/// Makes a socket of the descriptor and the id that the daemon gave; takes the descriptor and a reference to the
/// attachment over, also when it fails. Null with errno.
Socket* adopt(Attachment* attachment, uint32_t id, int fd, const Socket* like);
/// Puts it under its descriptor, so that calls find it.
void publish(Socket& s);
/// kClose. 0 or errno.
int tell_close(Socket& s, abi::CloseHow how);
/// xy_close. 0 or errno; EAGAIN, EINTR: it lingers, and is still open.
int close_socket(int fd);
/// The same without waiting: what is on its way is delivered in the background.
int close_socket_now(int fd);
void close_all_sockets();
/// The descriptor of a c_root's leaf, or -1 when it is closed.
int branch_descriptor(const Socket& root, uint32_t leaf_number);

/// -1: the session lives; else how it ended: 0 gracefully, or the errno of FD_CLOSE. A slot that is free though we did
/// not close its socket is what a daemon leaves that was stopped.
inline int end_of(const Socket& s) {
    if (const int error = s.local_error.load(std::memory_order_relaxed)) return error;
    if (s.attachment->is_dead()) return ENETDOWN;
    if (s.engine->has_ended.load(std::memory_order_acquire) == 0) {
        const uint32_t phase = s.engine->phase.load(std::memory_order_relaxed);
        return phase == static_cast<uint32_t>(abi::Phase::kFree) ? ENETDOWN : -1;
    }
    const int error = s.engine->close_error.load(std::memory_order_relaxed);
    return error < 0 ? ECONNABORTED : error;
}

/// The descriptor or the connection was closed by the daemon.
inline void hung_up(Socket& s) {
    s.attachment->look_for_death();
    s.local_error.store(ENETDOWN, std::memory_order_release);
}

inline abi::Phase phase_of(const Socket& s) {
    return static_cast<abi::Phase>(s.engine->phase.load(std::memory_order_acquire));
}

inline bool is_group(const Socket& s) { return s.protocol == XY_PROTO_GROUP; }
inline bool is_root(const Socket& s) { return (s.roles & XY_C_ROOT) != 0; }

/// With the send mutex held.
inline void note_sent(Socket& s, unsigned n_messages) {
    s.sent_messages.store(s.sent_messages.load(std::memory_order_relaxed) + n_messages, std::memory_order_relaxed);
}

/// Whether a send would find a quarter of the log free. Never waits behind a send that waits for room: while one does,
/// there is none.
bool has_room_to_send(Socket& s);

inline bool has_inbox(const Socket& s) {
    return !s.is_branch && ((s.roles & XY_D_ROOT) != 0 || s.protocol == XY_PROTO_MESH);
}

}  // namespace xylem::shim
