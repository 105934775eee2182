// SPDX-License-Identifier: Apache-2.0
// The C border: pointers are checked, descriptors become sockets, and nothing else.
#pragma GCC visibility push(default)
#include <xylem/xylem.h>
#pragma GCC visibility pop

#include <cerrno>
#include <climits>

#include "shim/events.h"
#include "shim/options.h"
#include "shim/poll.h"
#include "shim/session.h"
#include "shim/socket.h"
#include "shim/statistics.h"
#include "shim/transfer.h"

using namespace xylem::shim;

namespace {

bool is_bad(const void* buffer, size_t bytes) { return buffer == nullptr && bytes != 0; }

constexpr size_t kMaxParts = 1024;

int check_message(const msghdr* m) {
    if (m == nullptr || is_bad(m->msg_iov, m->msg_iovlen)) return EFAULT;
    if (m->msg_iovlen > kMaxParts) return EMSGSIZE;
    size_t all = 0;
    for (size_t i = 0; i < m->msg_iovlen; ++i) {
        if (is_bad(m->msg_iov[i].iov_base, m->msg_iov[i].iov_len)) return EFAULT;
        if (__builtin_add_overflow(all, m->msg_iov[i].iov_len, &all) || all > SSIZE_MAX) return EMSGSIZE;
    }
    return 0;
}

ssize_t send_bytes(int s, const void* buf, size_t len, int flags, const sockaddr* to, socklen_t tolen) {
    if (is_bad(buf, len)) return result_of(EFAULT);
    const iovec part{const_cast<void*>(buf), len};
    return send_message(s, &part, 1, flags, to, tolen);
}

}  // namespace

extern "C" {

int xy_attach(const char* path) { return result_of(attach_to(path)); }

int xy_detach(void) {
    close_all_sockets();
    forget_attachment();
    return 0;
}

int xy_socket(int family, int type, int protocol, unsigned flags) { return make_socket(family, type, protocol, flags); }

int xy_bind(int s, const sockaddr* addr, socklen_t addrlen) {
    Use use(s);
    return use ? bind_socket(*use, addr, addrlen) : -1;
}

int xy_listen(int s, int backlog) {
    Use use(s);
    return use ? listen_on(*use, backlog) : -1;
}

int xy_join_leaf(int s, const sockaddr* name, socklen_t namelen, const xy_data* caller_data, xy_data* callee_data,
                 const xy_qos* sqos, const xy_qos*, unsigned flags) {
    return join_leaf(s, {name, namelen, caller_data, callee_data, sqos, flags});
}

int xy_accept(int s, sockaddr* addr, socklen_t* addrlen, xy_condition_fn* condition, void* arg) {
    return accept_leaf(s, addr, addrlen, condition, arg);
}

int xy_connect(int s, const sockaddr* name, socklen_t namelen) {
    {
        Use use(s);
        if (!use) return -1;
        if (is_root(*use)) return result_of(EOPNOTSUPP);
    }
    return join_leaf(s, {name, namelen, nullptr, nullptr, nullptr, XY_BOTH}) < 0 ? -1 : 0;
}

ssize_t xy_send(int s, const void* buf, size_t len, int flags) { return send_bytes(s, buf, len, flags, nullptr, 0); }

// A rooted session is connected: its address is ignored.
ssize_t xy_sendto(int s, const void* buf, size_t len, int flags, const sockaddr* to, socklen_t tolen) {
    return send_bytes(s, buf, len, flags, to, tolen);
}

ssize_t xy_sendmsg(int s, const msghdr* msg, int flags) {
    if (const int error = check_message(msg)) return result_of(error);
    return send_message(s, msg->msg_iov, msg->msg_iovlen, flags, static_cast<const sockaddr*>(msg->msg_name),
                        msg->msg_namelen);
}

ssize_t xy_recv(int s, void* buf, size_t len, int flags) { return xy_recvfrom(s, buf, len, flags, nullptr, nullptr); }

ssize_t xy_recvfrom(int s, void* buf, size_t len, int flags, sockaddr* from, socklen_t* fromlen) {
    if (is_bad(buf, len) || (from != nullptr && fromlen == nullptr)) return result_of(EFAULT);
    const iovec part{buf, len};
    ReceiveResult result;
    result.from = from, result.from_length = fromlen;
    return receive_message(s, &part, 1, flags, result);
}

ssize_t xy_recvmsg(int s, msghdr* msg, int flags) {
    if (const int error = check_message(msg)) return result_of(error);
    ReceiveResult result;
    result.from = static_cast<sockaddr*>(msg->msg_name);
    result.from_length = &msg->msg_namelen;
    const ssize_t n = receive_message(s, msg->msg_iov, msg->msg_iovlen, flags, result);
    msg->msg_controllen = 0;
    msg->msg_flags =
        ((result.flags & XY_MSG_TRUNC) != 0 ? MSG_TRUNC : 0) | ((result.flags & XY_MSG_END) != 0 ? MSG_EOR : 0);
    return n;
}

int xy_send_batch(int s, xy_msg* msgs, unsigned count, int flags) {
    if (is_bad(msgs, count)) return result_of(EFAULT);
    return send_batch(s, msgs, count, flags);
}

int xy_recv_batch(int s, xy_msg* msgs, unsigned count, int flags) {
    if (is_bad(msgs, count)) return result_of(EFAULT);
    return receive_batch(s, msgs, count, flags);
}

int xy_reserve(int s, size_t len, xy_span* out) {
    return out != nullptr ? reserve_span(s, len, *out) : result_of(EFAULT);
}

int xy_commit(int s, const xy_span* span, size_t len) {
    return span != nullptr ? commit_span(s, *span, len) : result_of(EFAULT);
}

int xy_borrow(int s, xy_span* out) { return out != nullptr ? borrow_span(s, *out) : result_of(EFAULT); }

int xy_release(int s, const xy_span* span) { return span != nullptr ? release_span(s, *span) : result_of(EFAULT); }

int xy_shutdown(int s, int how) {
    Use use(s);
    return use ? shut_down(*use, how) : -1;
}

int xy_send_disconnect(int s, const xy_data* data) {
    Use use(s);
    return use ? send_disconnect(*use, data) : -1;
}

int xy_recv_disconnect(int s, xy_data* data) {
    Use use(s);
    return use ? receive_disconnect(*use, data) : -1;
}

int xy_close(int s) { return result_of(close_socket(s)); }

int xy_ioctl(int s, unsigned code, const void* in, size_t in_len, void* out, size_t out_len, size_t* returned) {
    Use use(s);
    return use ? control(*use, code, {in, in_len, out, out_len, returned}) : -1;
}

int xy_setsockopt(int s, int level, int name, const void* value, socklen_t len) {
    Use use(s);
    return use ? set_option(*use, level, name, value, len) : -1;
}

int xy_getsockopt(int s, int level, int name, void* value, socklen_t* len) {
    Use use(s);
    return use ? get_option(*use, level, name, value, len) : -1;
}

int xy_getsockname(int s, sockaddr* addr, socklen_t* addrlen) {
    Use use(s);
    return use ? name_of(*use, false, addr, addrlen) : -1;
}

int xy_getpeername(int s, sockaddr* addr, socklen_t* addrlen) {
    Use use(s);
    return use ? name_of(*use, true, addr, addrlen) : -1;
}

int xy_event_select(int s, int event_fd, unsigned mask) {
    Use use(s);
    return use ? result_of(select_events(*use, event_fd, mask)) : -1;
}

int xy_enum_events(int s, int event_fd, xy_events* out) {
    Use use(s);
    if (!use) return -1;
    return out != nullptr ? result_of(take_events(*use, event_fd, *out)) : result_of(EFAULT);
}

int xy_poll(pollfd* fds, nfds_t count, int timeout_ms) { return poll_descriptors(fds, count, timeout_ms); }

int xy_cancel(pthread_t thread) { return result_of(cancel(thread)); }

int xy_enum_protocols(xy_protocol* out, unsigned count) {
    if (is_bad(out, count)) return result_of(EFAULT);
    return list_protocols(out, count);
}

int xy_stats(int s, struct xy_stats* out) {
    Use use(s);
    if (!use) return -1;
    return out != nullptr ? socket_statistics(*use, *out) : result_of(EFAULT);
}

int xy_leaf_stats(int s, struct xy_leaf_stats* out, unsigned count) {
    Use use(s);
    if (!use) return -1;
    return is_bad(out, count) ? result_of(EFAULT) : leaf_statistics(*use, out, count);
}

int xy_status(char* json, size_t len) { return is_bad(json, len) ? result_of(EFAULT) : daemon_status(json, len); }

const char* xy_version(void) { return XYLEM_VERSION; }

}  // extern "C"
