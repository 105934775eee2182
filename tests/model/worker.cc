// SPDX-License-Identifier: Apache-2.0
// A worker: carries out the calls that a world asks for, in a process (and a thread) of its own.
#include <dirent.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/model/rpc.h"

namespace xylem::model {

namespace {

using Clock = std::chrono::steady_clock;

/// Where a join puts the callee data: must stay until the outcome was reported.
struct Callee {
    std::vector<char> bytes;
    xy_data data{};
};

/// What the condition function was shown, and what it answers.
struct Decision {
    int answer;
    const std::string& callee;
    Reply& reply;
};

int decide(const xy_request* request, xy_data* callee, void* argument) {
    auto& d = *static_cast<Decision*>(argument);
    ++d.reply.values[0];
    d.reply.values[1] = request->flags;
    d.reply.values[2] = request->caller_data.buf != nullptr;
    d.reply.values[3] = static_cast<int64_t>(callee->len);
    std::memcpy(&d.reply.address, request->caller, request->caller_len);
    d.reply.address_bytes = request->caller_len;
    if (request->caller_data.buf != nullptr)
        d.reply.data.assign(static_cast<const char*>(request->caller_data.buf), request->caller_data.len);
    std::memcpy(callee->buf, d.callee.data(), d.callee.size());
    callee->len = d.callee.size();
    return d.answer;
}

int64_t count_descriptors() {
    DIR* folder = opendir("/proc/self/fd");
    int64_t n = 0;
    while (readdir(folder) != nullptr)
        ++n;
    closedir(folder);
    return n;
}

class Worker {
  public:
    explicit Worker(int channel) : channel_(channel), room_(kMaxData) {}
    ~Worker() { close_all(); }

    void run() {
        Request request;
        while (get(channel_, request) && request.call != Call::kEnd) {
            Reply reply = attempt(request);
            if (!put(channel_, reply)) break;
        }
    }

  private:
    Reply attempt(const Request& q) {
        const auto deadline = Clock::now() + std::chrono::milliseconds(q.deadline_ms);
        for (;;) {
            Reply r{};
            errno = 0;
            r.result = carry_out(q, r, deadline);
            r.error = r.result < 0 ? errno : 0;
            if (r.result >= 0 || q.patience == Patience::kNone) return r;
            if (std::find(std::begin(q.passing), std::end(q.passing), r.error) == std::end(q.passing)) return r;
            if (!wait(q, deadline)) {
                r.was_late = 1;
                return r;
            }
        }
    }

    /// False: it is too late.
    static bool wait(const Request& q, Clock::time_point deadline) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return false;
        pollfd p{q.fd, POLLIN, 0};
        if (q.patience == Patience::kDescriptor) return poll(&p, 1, static_cast<int>(left)) == 1;
        if (q.patience == Patience::kXyPoll) return xy_poll(&p, 1, static_cast<int>(left)) == 1;
        nap();
        return true;
    }

    static void nap() {
        const timespec t{0, 100'000};
        nanosleep(&t, nullptr);
    }

    template <class Condition>
    static int64_t await(Clock::time_point deadline, Condition is_met) {
        while (!is_met()) {
            if (Clock::now() >= deadline) return errno = ETIMEDOUT, -1;
            nap();
        }
        return 0;
    }

    int64_t carry_out(const Request& q, Reply& r, Clock::time_point deadline);
    int64_t accept(const Request& q, Reply& r);
    int64_t join(const Request& q);
    int64_t receive(const Request& q, Reply& r);
    int64_t enumerate(const Request& q, Reply& r, Clock::time_point deadline);
    int64_t select(const Request& q);
    int64_t close_one(int fd);
    void close_all();
    int64_t stats(const Request& q, Reply& r);
    static int64_t leaf_stats(const Request& q, Reply& r);
    static int64_t await_send_error(const Request& q, Clock::time_point deadline);
    static int64_t name(const Request& q, Reply& r);
    static int64_t status(Reply& r);

    int channel_;
    std::vector<char> room_;
    std::map<int, std::unique_ptr<Callee>> callees_;
    std::map<int, int> event_fds_;  // by socket
    std::vector<int> made_;         // eventfds: sockets that inherited one may outlive the one that registered it
    std::set<int> open_;
};

const sockaddr* address_of(const RequestHead& q) { return reinterpret_cast<const sockaddr*>(&q.address); }

int64_t Worker::accept(const Request& q, Reply& r) {
    sockaddr_storage from{};
    socklen_t from_bytes = sizeof from;
    auto* address = reinterpret_cast<sockaddr*>(&from);
    if (q.a < 0) {
        const int fd = xy_accept(q.fd, address, &from_bytes, nullptr, nullptr);
        if (fd < 0) return -1;
        r.address = from, r.address_bytes = from_bytes;
        open_.insert(fd);
        return fd;
    }
    Decision decision{q.a, q.data, r};
    const int fd = xy_accept(q.fd, address, &from_bytes, decide, &decision);
    const int error = errno;
    if (r.values[0] != 0) r.values[4] = std::memcmp(&from, &r.address, r.address_bytes) == 0;
    if (fd >= 0) open_.insert(fd);
    errno = error;
    return fd;
}

int64_t Worker::join(const Request& q) {
    const xy_data caller{const_cast<char*>(q.data.data()), q.data.size()};
    std::unique_ptr<Callee> callee;
    if (q.b > 0) {
        callee = std::make_unique<Callee>();
        callee->bytes.assign(static_cast<size_t>(q.b), '?');
        callee->data = {callee->bytes.data(), callee->bytes.size()};
    }
    const int fd = xy_join_leaf(q.fd, address_of(q), q.address_bytes, q.c != 0 ? &caller : nullptr,
                                callee ? &callee->data : nullptr, nullptr, nullptr, static_cast<unsigned>(q.a));
    if (fd < 0) return -1;
    callees_[q.fd] = std::move(callee);
    if (fd != q.fd) open_.insert(fd);
    return fd;
}

int64_t Worker::receive(const Request& q, Reply& r) {
    sockaddr_storage from{};
    socklen_t from_bytes = sizeof from;
    iovec part{room_.data(), std::min<size_t>(q.n, room_.size())};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = from_bytes;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    const ssize_t n = xy_recvmsg(q.fd, &message, q.a);
    if (n < 0) return -1;
    r.values[0] = message.msg_flags;
    r.address = from;
    r.address_bytes = message.msg_namelen;
    r.data.assign(room_.data(), static_cast<size_t>(n));
    return n;
}

int64_t Worker::select(const Request& q) {
    int event_fd = -1;
    if (q.b != 0) event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int result = xy_event_select(q.fd, event_fd, static_cast<unsigned>(q.a));
    const int error = errno;
    if (result == 0) {
        event_fds_.erase(q.fd);
        if (event_fd >= 0 && q.a != 0) event_fds_[q.fd] = event_fd;
    }
    if (event_fd >= 0) made_.push_back(event_fd);
    errno = error;
    return result;
}

// Until all events of `a` were recorded; what was recorded in values[15], the codes in values[bit]. The descriptor (or
// the eventfd) must tell when there is more to take.
int64_t Worker::enumerate(const Request& q, Reply& r, Clock::time_point deadline) {
    const auto own = event_fds_.find(q.b);
    const int event_fd = own != event_fds_.end() ? own->second : -1;
    for (;;) {
        xy_events events{};
        if (xy_enum_events(q.fd, event_fd, &events) != 0) return -1;
        for (unsigned bit = 0; bit < XY_FD_MAX_EVENTS; ++bit)
            if ((events.events >> bit & 1) != 0) r.values[bit] = events.error[bit];
        r.values[14] |= r.values[15] & events.events;  // recorded twice
        r.values[15] |= events.events;
        if ((r.values[15] & q.a) == q.a) return 0;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        // An eventfd serves several sockets: another's call may have reset it.
        pollfd p{event_fd >= 0 ? event_fd : q.fd, POLLIN, 0};
        const auto most = event_fd >= 0 ? std::min<decltype(left)>(left, 2) : left;
        if (left <= 0 || (poll(&p, 1, static_cast<int>(most)) != 1 && event_fd < 0)) {
            r.was_late = 1;
            return 0;
        }
    }
}

int64_t Worker::stats(const Request& q, Reply& r) {
    struct xy_stats stats {};
    stats.size = sizeof stats;
    if (xy_stats(q.fd, &stats) != 0) return -1;
    r.values[0] = stats.leaves;
    r.values[1] = static_cast<int64_t>(stats.sent_messages);
    r.values[2] = static_cast<int64_t>(stats.received_messages);
    r.values[3] = static_cast<int64_t>(stats.received_bytes);
    r.values[4] = static_cast<int64_t>(stats.lost_bytes);
    return 0;
}

// Per row: descriptor, state, reason.
int64_t Worker::leaf_stats(const Request& q, Reply& r) {
    struct xy_leaf_stats rows[5]{};
    rows[0].size = sizeof rows[0];
    const int n = xy_leaf_stats(q.fd, rows, 5);
    for (int i = 0; i < std::min(n, 5); ++i) {
        r.values[3 * i] = rows[i].descriptor;
        r.values[3 * i + 1] = rows[i].state;
        r.values[3 * i + 2] = rows[i].reason;
    }
    return n;
}

int64_t Worker::await_send_error(const Request& q, Clock::time_point deadline) {
    static const char kByte = 0;
    const iovec parts[2] = {{const_cast<char*>(&kByte), 1}, {const_cast<char*>(&kByte), SIZE_MAX / 4}};
    msghdr huge{};
    huge.msg_iov = const_cast<iovec*>(parts);
    huge.msg_iovlen = 2;
    return await(deadline, [&] {
        const ssize_t n = q.b != 0 ? xy_send(q.fd, nullptr, 0, 0) : xy_sendmsg(q.fd, &huge, XY_MSG_DONTWAIT);
        return n < 0 && (errno == ESHUTDOWN || errno == ECONNRESET || errno == ECONNABORTED);
    });
}

int64_t Worker::name(const Request& q, Reply& r) {
    socklen_t bytes = sizeof r.address;
    auto* address = reinterpret_cast<sockaddr*>(&r.address);
    const int result = q.a != 0 ? xy_getpeername(q.fd, address, &bytes) : xy_getsockname(q.fd, address, &bytes);
    r.address_bytes = bytes;
    return result;
}

int64_t Worker::status(Reply& r) {
    r.data.resize(kMaxData * 6);
    const int n = xy_status(r.data.data(), r.data.size());
    r.data.resize(n > 0 ? std::min<size_t>(static_cast<size_t>(n), r.data.size()) : 0);
    return n;
}

int64_t Worker::close_one(int fd) {
    const int result = xy_close(fd);
    const int error = errno;
    callees_.erase(fd);  // not earlier: until then the outcome may still be written
    if (result == 0) {
        event_fds_.erase(fd);
        open_.erase(fd);
    }
    errno = error;
    return result;
}

void Worker::close_all() {
    const std::set<int> all = open_;
    for (const int fd : all)
        close_one(fd);
    for (const int fd : made_)
        close(fd);
    made_.clear();
}

int64_t Worker::carry_out(const Request& q, Reply& r, Clock::time_point deadline) {
    switch (q.call) {
        case Call::kSocket: {
            const int fd = xy_socket(q.a, q.b, q.c, static_cast<unsigned>(q.d));
            if (fd >= 0) open_.insert(fd);
            return fd;
        }
        case Call::kBind:
            return xy_bind(q.fd, address_of(q), q.address_bytes);
        case Call::kListen:
            return xy_listen(q.fd, q.a);
        case Call::kJoin:
            return join(q);
        case Call::kConnect:
            return xy_connect(q.fd, address_of(q), q.address_bytes);
        case Call::kCallee: {
            const auto found = callees_.find(q.fd);
            if (found == callees_.end() || !found->second) return errno = ENOENT, -1;
            const Callee& callee = *found->second;
            r.data.assign(callee.bytes.data(), std::min(callee.data.len, callee.bytes.size()));
            return static_cast<int64_t>(callee.data.len);
        }
        case Call::kAccept:
            return accept(q, r);
        case Call::kSend:
            return xy_send(q.fd, q.data.data(), q.n != 0 ? q.n : q.data.size(), q.a);
        case Call::kReceive:
            return receive(q, r);
        case Call::kShutdown:
            return xy_shutdown(q.fd, q.a);
        case Call::kSendDisconnect: {
            const xy_data data{const_cast<char*>(q.data.data()), q.data.size()};
            return xy_send_disconnect(q.fd, q.a != 0 ? &data : nullptr);
        }
        case Call::kReceiveDisconnect: {
            xy_data data{room_.data(), room_.size()};
            if (xy_recv_disconnect(q.fd, &data) != 0) return -1;
            r.data.assign(room_.data(), data.len);
            return 0;
        }
        case Call::kClose:
            return close_one(q.fd);
        case Call::kSelect:
            return select(q);
        case Call::kEnumerate:
            return enumerate(q, r, deadline);
        case Call::kSetBlocking: {
            const int value = q.a;
            return xy_ioctl(q.fd, XY_FIONBIO, &value, sizeof value, nullptr, 0, nullptr);
        }
        case Call::kNextBytes: {
            int bytes = -1;
            if (xy_ioctl(q.fd, XY_FIONREAD, nullptr, 0, &bytes, sizeof bytes, nullptr) != 0) return -1;
            return bytes;
        }
        case Call::kSetOption:
            return xy_setsockopt(q.fd, q.a, q.b, q.data.data(), static_cast<socklen_t>(q.data.size()));
        case Call::kGetOption: {
            socklen_t bytes = 64;
            const int result = xy_getsockopt(q.fd, q.a, q.b, room_.data(), &bytes);
            if (result == 0) r.data.assign(room_.data(), bytes);
            return result;
        }
        case Call::kName:
            return name(q, r);
        case Call::kPoll: {
            pollfd p{q.fd, static_cast<short>(q.a), 0};
            const int n = xy_poll(&p, 1, 0);
            r.values[0] = p.revents;
            return n;
        }
        case Call::kStats:
            return stats(q, r);
        case Call::kLeafStats:
            return leaf_stats(q, r);
        case Call::kStatus:
            return status(r);
        case Call::kAwaitLeaves:
            return await(deadline, [&] {
                struct xy_stats stats {};
                stats.size = sizeof stats;
                return xy_stats(q.fd, &stats) == 0 && stats.leaves == static_cast<uint32_t>(q.a);
            });
        case Call::kAwaitReadable: {
            pollfd p{q.fd, POLLIN, 0};
            return xy_poll(&p, 1, q.deadline_ms) == 1 && (p.revents & POLLIN) != 0 ? 0 : (errno = ETIMEDOUT, -1);
        }
        case Call::kAwaitSendError:
            return await_send_error(q, deadline);
        case Call::kCountDescriptors:
            return count_descriptors();
        case Call::kCloseAll:
            close_all();
            return 0;
        case Call::kEnd:
            break;
    }
    return errno = EINVAL, -1;
}

}  // namespace

void serve(int channel) {
    Worker(channel).run();
    close(channel);
}

}  // namespace xylem::model
