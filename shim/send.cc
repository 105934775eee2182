// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "shim/session.h"
#include "shim/socket.h"
#include "shim/transfer.h"

namespace xylem::shim {

namespace {

constexpr int kSendFlags = XY_MSG_DONTWAIT | MSG_NOSIGNAL;
constexpr uint32_t kLookEverySends = 8;

// The send mutex, unless a send holds it that waits for room in the middle of its message.
bool lock_unless_blocked(Socket& s) {
    while (!s.send_mutex.try_lock())
        if (s.is_send_blocked.load(std::memory_order_relaxed)) return false;
    return true;
}

/// The send mutex of an open socket.
class Sending {
  public:
    explicit Sending(int fd, bool may_wait) : socket_(find_socket(fd)) {
        if (socket_ != nullptr) lock(fd, may_wait);
        if (socket_ == nullptr && error_ == 0) error_ = ENOTSOCK;
    }
    ~Sending() {
        if (socket_ != nullptr) socket_->send_mutex.unlock();
    }
    Sending(const Sending&) = delete;
    Sending& operator=(const Sending&) = delete;
    Socket* socket() const { return socket_; }
    int error() const { return error_; }

  private:
    void lock(int fd, bool may_wait) {
        Socket& s = *socket_;
        if (may_wait && !s.is_nonblocking.load(std::memory_order_relaxed)) {
            s.send_mutex.lock();
        } else if (!lock_unless_blocked(s)) {
            socket_ = nullptr;
            error_ = EAGAIN;
            return;
        }
        if (!s.is_closing.load(std::memory_order_relaxed) && s.descriptor.load(std::memory_order_relaxed) == fd) return;
        s.send_mutex.unlock();
        socket_ = nullptr;
    }

    Socket* socket_;
    int error_ = 0;
};

bool waits(const Socket& s, int flags) {
    return (flags & XY_MSG_DONTWAIT) == 0 && !s.is_nonblocking.load(std::memory_order_relaxed);
}

// Makes what was written known to the worker.
void publish_writes(Socket& s) {
    s.sender.commit();
    std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: the worker's, between is_watched and its last look
    if (s.engine->is_watched.load(std::memory_order_relaxed) == 0) s.attachment->ring(s.id);
}

// A nonblocking send found no room: FD_WRITE is due when there is (W-150).
int no_room(Socket& s) {
    if (s.attachment->look_for_death_sometimes()) return ENETDOWN;
    if (s.events.mask.load(std::memory_order_relaxed) == 0) return EAGAIN;
    Keep keep(s);
    if (!keep) return ENOTSOCK;
    s.send_mutex.unlock();  // events come before it
    if (reenable(s, XY_FD_WRITE)) refresh_interests(s);
    s.send_mutex.lock();
    return EAGAIN;
}

bool can_go_on(Socket& s, uint64_t bytes) { return send_refusal(s) != 0 || s.sender.has_room_for_a_record(bytes); }

// Waits for room for a record with the mutex held: nobody else may send in the middle of our message.
int wait_for_room(Socket& s, Wait& wait, size_t bytes) {
    s.is_send_blocked = true;
    int error = wait.until(can_go_on, bytes, nullptr);
    s.is_send_blocked = false;
    if (error == 0) error = send_refusal(s);
    return error;
}

// A message's way: of a session's, nothing needs to be known.
struct Way {
    const sockaddr* to = nullptr;
    socklen_t to_length = 0;
    Destination destination{};
};

int before_send(Socket& s, Way& way, int flags) {
    const bool has_address = is_group(s) && way.to != nullptr;
    if (const int error = send_refusal(s, has_address)) return error;
    if (s.has_reservation.load(std::memory_order_relaxed)) return EALREADY;
    if (is_group(s))
        if (const int error = s.destinations.find(s, way.to, way.to_length, waits(s, flags), way.destination))
            return error;
    if (!s.sender.is_open())
        if (const int error = prepare_log(s)) return error;
    if (++s.n_sends % kLookEverySends == 0 && s.attachment->look_for_death_sometimes()) return ENETDOWN;
    return 0;
}

// The same for a record that is written whole.
int wait_for_reservation(Socket& s, Wait& wait, uint32_t bytes) {
    const auto has_room = [](Socket& socket, uint64_t n) {
        return send_refusal(socket) != 0 || socket.sender.reserve(static_cast<uint32_t>(n)) != nullptr;
    };
    s.is_send_blocked = true;
    const int error = wait.until(has_room, bytes, nullptr);
    s.is_send_blocked = false;
    return error != 0 ? error : send_refusal(s);
}

// Message by message with room running short: written record by record, waiting in between.
int write_slowly(Socket& s, Scatter& from, Piece piece) {
    Wait wait(s, abi::kWantWrite, s.send_timeout_ns);
    const size_t all = from.left();
    for (;;) {
        const size_t before = from.left();
        const bool is_done = s.sender.write_some(from, piece);
        if (from.left() != before) piece.begins = false;
        if (s.sender.has_unpublished()) publish_writes(s);
        if (is_done) return 0;
        if (const int error = wait_for_room(s, wait, from.left())) {
            if (from.left() != all) s.boundary.break_off();
            return error;
        }
    }
}

// One datagram: one record, or nothing.
int write_datagram(Socket& s, Scatter& from, int flags, const Destination& to) {
    constexpr uint32_t kPrefixBytes = sizeof(abi::GroupSend);
    if (from.left() > to.max_bytes || from.left() + kPrefixBytes > s.sender.max_record_bytes()) return EMSGSIZE;
    const abi::GroupSend prefix{to.index, 0};
    if (s.sender.write_whole(&prefix, kPrefixBytes, from)) return 0;
    if (!waits(s, flags)) return no_room(s);
    Wait wait(s, abi::kWantWrite, s.send_timeout_ns);
    if (const int error = wait_for_reservation(s, wait, kPrefixBytes + static_cast<uint32_t>(from.left())))
        return error;
    return s.sender.write_whole(&prefix, kPrefixBytes, from) ? 0 : EAGAIN;
}

// One message, or bytes of a stream, written and not published yet unless it had to wait. 0 or errno.
int write_one(Socket& s, Scatter& from, int flags, const Way& way) {
    if (is_group(s)) return write_datagram(s, from, flags, way.destination);
    const size_t bytes = from.left();
    if ((s.is_stream || s.boundary.left() != 0) && bytes == 0) return 0;
    const size_t whole = std::max<size_t>(bytes, s.boundary.left());
    if (!s.is_stream && whole > s.sender.max_message_bytes()) return EMSGSIZE;
    if (s.boundary.left() != 0 && bytes > s.boundary.left()) return EMSGSIZE;
    const Piece piece = s.boundary.next(bytes);
    if (s.sender.write(from, piece)) return s.boundary.pass(bytes), 0;
    if (waits(s, flags)) {
        const int error = write_slowly(s, from, piece);
        if (error == 0) s.boundary.pass(bytes);
        return error;
    }
    if (!s.is_stream) return no_room(s);
    s.sender.write_some(from, piece);
    return from.left() != bytes ? 0 : no_room(s);
}

}  // namespace

int send_refusal(const Socket& s, bool has_address) {
    if ((s.shut.load(std::memory_order_relaxed) & kShutWrite) != 0) return ESHUTDOWN;
    if (s.is_branch) return phase_of(s) == abi::Phase::kJoined && end_of(s) < 0 ? EOPNOTSUPP : ENOTCONN;
    const abi::EngineSocket& e = *s.engine;
    if (const int error = s.local_error.load(std::memory_order_relaxed)) return error;
    if (s.attachment->is_dead()) return ENETDOWN;
    if (const int error = e.send_error.load(std::memory_order_relaxed)) return error > 0 ? error : ECONNABORTED;
    if (e.has_ended.load(std::memory_order_acquire) != 0) {
        const int error = e.close_error.load(std::memory_order_relaxed);
        return error > 0 ? error : ESHUTDOWN;
    }
    if (!has_address && e.leaves.load(std::memory_order_relaxed) == 0) return ENOTCONN;
    return e.direction.load(std::memory_order_relaxed) == XY_RECEIVER_ONLY ? EOPNOTSUPP : 0;
}

bool has_room_to_send(Socket& s) {
    if (!lock_unless_blocked(s)) return false;
    const bool has_room = !s.sender.is_open() || s.sender.has_quarter_free();
    s.send_mutex.unlock();
    return has_room;
}

int set_message_boundary(Socket& s, uint32_t bytes) {
    if (s.is_branch) return EINVAL;
    if (s.is_stream || is_group(s)) return ENOPROTOOPT;
    if (!lock_unless_blocked(s)) return EALREADY;
    const bool is_between = !s.boundary.has_begun();
    const bool fits = !s.sender.is_open() || bytes <= s.sender.max_message_bytes();
    if (is_between && fits) s.boundary.set(bytes);
    s.send_mutex.unlock();
    return !is_between ? EALREADY : fits ? 0 : EMSGSIZE;
}

int prepare_log(Socket& s) {
    if (s.sender.is_open()) return 0;
    abi::LogReply reply{};
    ReplyFds fds;
    if (const int error = s.attachment->get(abi::Op::kMakeLog, s.id, reply, &fds)) return error;
    const abi::Geometry geometry{reply.cell_bytes, reply.cells_log2};
    if (!geometry.is_valid()) return EPROTO;
    Mapping log;
    if (const int error = log.map(fds.peek(0), abi::log_total_bytes(geometry), true)) return error;
    if (!s.sender.open(static_cast<Mapping&&>(log), reply, s.engine->limit, s.is_stream)) {
        log.release();
        return EPROTO;
    }
    const int error = s.attachment->call(abi::Op::kLogMapped, s.id, nullptr, 0, nullptr, 0);
    if (error != 0) s.sender.close();
    return error;
}

ssize_t send_message(int fd, const iovec* parts, size_t n_parts, int flags, const sockaddr* to, socklen_t to_length) {
    if ((flags & ~kSendFlags) != 0) return result_of(EOPNOTSUPP);
    Sending sending(fd, (flags & XY_MSG_DONTWAIT) == 0);
    if (sending.error() != 0) return result_of(sending.error());
    Socket& s = *sending.socket();
    Way way{to, to_length};
    if (const int error = before_send(s, way, flags)) return result_of(error);
    Scatter from(parts, n_parts);
    const size_t all = from.left();
    const int error = write_one(s, from, flags, way);
    const size_t sent = all - from.left();
    if (error != 0 && (!s.is_stream || sent == 0)) return result_of(error);
    if (s.sender.has_unpublished()) publish_writes(s);
    note_sent(s, s.boundary.has_begun() ? 0 : 1);
    return static_cast<ssize_t>(sent);
}

int send_batch(int fd, xy_msg* messages, unsigned count, int flags) {
    if ((flags & ~kSendFlags) != 0) return result_of(EOPNOTSUPP);
    if (count == 0) return 0;
    if (messages->size < sizeof(xy_msg)) return result_of(EINVAL);
    Sending sending(fd, (flags & XY_MSG_DONTWAIT) == 0);
    if (sending.error() != 0) return result_of(sending.error());
    Socket& s = *sending.socket();
    Way way;
    if (const int error = before_send(s, way, flags)) return result_of(error);
    const size_t stride = messages->size;
    unsigned n_sent = 0, n_messages = 0;
    int error = 0;
    for (bool has_room = true; n_sent != count && has_room; ++n_sent) {
        auto& m = *reinterpret_cast<xy_msg*>(reinterpret_cast<char*>(messages) + n_sent * stride);
        const iovec part{m.buf, m.len};
        Scatter from(&part, 1);
        error = m.buf == nullptr && m.len != 0 ? EFAULT : write_one(s, from, flags, way);
        m.received = m.len - from.left();
        if (error != 0 && (!s.is_stream || m.received == 0)) break;
        if (!s.boundary.has_begun()) ++n_messages;
        has_room = from.left() == 0;
    }
    if (s.sender.has_unpublished()) publish_writes(s);
    note_sent(s, n_messages);
    return n_sent != 0 ? static_cast<int>(n_sent) : result_of(error);
}

int reserve_span(int fd, size_t bytes, xy_span& out) {
    Sending sending(fd, true);
    if (sending.error() != 0) return result_of(sending.error());
    Socket& s = *sending.socket();
    Way way;
    if (const int error = before_send(s, way, 0)) return result_of(error);
    if (s.boundary.left() != 0) return result_of(EALREADY);
    const uint32_t prefix_bytes = is_group(s) ? sizeof(abi::GroupSend) : 0;
    if (bytes + prefix_bytes > s.sender.max_record_bytes() || (is_group(s) && bytes > way.destination.max_bytes))
        return result_of(EMSGSIZE);
    const auto length = static_cast<uint32_t>(bytes) + prefix_bytes;
    char* room = s.sender.reserve(length);
    if (room == nullptr && !waits(s, 0)) return result_of(no_room(s));
    if (room == nullptr) {
        Wait wait(s, abi::kWantWrite, s.send_timeout_ns);
        if (const int error = wait_for_reservation(s, wait, length)) return result_of(error);
        room = s.sender.reserve(length);
    }
    s.has_reservation = true;
    s.reserved_bytes = static_cast<uint32_t>(bytes);
    const abi::GroupSend prefix{way.destination.index, 0};
    if (prefix_bytes != 0) memcpy(room, &prefix, prefix_bytes);
    out = {};
    out.data = room + prefix_bytes;
    out.len = bytes;
    out.cookie = ++s.reservation;
    out.flags = XY_MSG_BEGIN | XY_MSG_END;
    return 0;
}

int commit_span(int fd, const xy_span& span, size_t bytes) {
    Sending sending(fd, true);
    if (sending.error() != 0) return result_of(sending.error());
    Socket& s = *sending.socket();
    if (!s.has_reservation || span.cookie != s.reservation || bytes > s.reserved_bytes) return result_of(EINVAL);
    s.has_reservation = false;
    if (bytes == 0) return 0;
    if (const int error = send_refusal(s)) return result_of(error);
    s.sender.commit_reserved(static_cast<uint32_t>(bytes + (is_group(s) ? sizeof(abi::GroupSend) : 0)));
    publish_writes(s);
    note_sent(s, 1);
    return 0;
}

}  // namespace xylem::shim
