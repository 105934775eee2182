// SPDX-License-Identifier: Apache-2.0
#include "shim/options.h"

#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "shim/session.h"
#include "shim/socket.h"
#include "shim/transfer.h"
#include "shim/wire_types.h"

namespace xylem::shim {

namespace {

template <class T>
int read_value(const void* value, socklen_t length, T& out) {
    if (value == nullptr) return EFAULT;
    if (length < static_cast<socklen_t>(sizeof out)) return EINVAL;
    memcpy(&out, value, sizeof out);
    return 0;
}

template <class T>
int write_value(const T& from, void* value, socklen_t* length) {
    const auto n = std::min<socklen_t>(*length, sizeof from);
    memcpy(value, &from, n);
    *length = n;
    return 0;
}

int set_timeout(const void* value, socklen_t length, std::atomic<int64_t>& timeout_ns) {
    timeval time;
    if (const int error = read_value(value, length, time)) return error;
    if (time.tv_usec < 0 || time.tv_usec >= 1'000'000 || time.tv_sec < 0) return EDOM;
    const int64_t ns = std::min<int64_t>(time.tv_sec, 1 << 30) * 1'000'000'000 + time.tv_usec * 1000;
    timeout_ns = ns == 0 ? -1 : ns;
    return 0;
}

timeval as_time(int64_t ns) {
    if (ns < 0) return {};
    return {ns / 1'000'000'000, ns % 1'000'000'000 / 1000};
}

int set_linger(Socket& s, const void* value, socklen_t length) {
    struct linger linger;
    if (const int error = read_value(value, length, linger)) return error;
    s.linger_s = linger.l_onoff != 0 ? std::max(linger.l_linger, 0) : -1;
    return 0;
}

int take_pending_error(Socket& s) {
    const int error = s.pending_error.exchange(0);
    const int end = end_of(s);
    return error != 0 ? error : end > 0 ? end : 0;
}

// -1: not one of ours.
int get_own_option(Socket& s, int name, void* value, socklen_t* length) {
    const int linger_s = s.linger_s;
    switch (name) {
        case SO_ERROR:
            return write_value(take_pending_error(s), value, length);
        case SO_TYPE:
            return write_value(s.type, value, length);
        case SO_DOMAIN:
            return write_value(s.family, value, length);
        case SO_PROTOCOL:
            return write_value(s.protocol, value, length);
        case SO_ACCEPTCONN:
            return write_value(static_cast<int>(phase_of(s) == abi::Phase::kListening), value, length);
        case SO_LINGER:
            return write_value(linger{linger_s >= 0 ? 1 : 0, std::max(linger_s, 0)}, value, length);
        case SO_RCVTIMEO:
            return write_value(as_time(s.receive_timeout_ns), value, length);
        case SO_SNDTIMEO:
            return write_value(as_time(s.send_timeout_ns), value, length);
        default:
            return -1;
    }
}

int set_blocking(Socket& s, const IoctlBuffers& b) {
    if (b.in == nullptr || b.in_bytes < sizeof(int)) return EFAULT;
    int value;
    memcpy(&value, b.in, sizeof value);
    if (value == 0 && s.events.mask.load(std::memory_order_relaxed) != 0) return EINVAL;  // W-141
    s.is_nonblocking = value != 0;
    return 0;
}

int int_at(const void* buffer) {
    int value;
    memcpy(&value, buffer, sizeof value);
    return value;
}

int give(const void* from, size_t bytes, const IoctlBuffers& b) {
    if (b.returned != nullptr) *b.returned = bytes;
    if (b.out == nullptr || b.out_bytes < bytes) return EFAULT;
    memcpy(b.out, from, bytes);
    return 0;
}

int give_next_bytes(Socket& s, const IoctlBuffers& b) {
    int bytes = 0;
    if (const int error = next_bytes(s, bytes)) return error;
    return give(&bytes, sizeof bytes, b);
}

int give_qos(Socket& s, const IoctlBuffers& b) {
    abi::QosBody body{};
    const bool must_renew = reenable(s, XY_FD_QOS);
    if (const int error = s.attachment->get(abi::Op::kGetQos, s.id, body)) return error;
    if (must_renew) refresh_interests(s);
    xy_qos qos;
    qos_to(body.qos, qos);
    return give(&qos, sizeof qos, b);
}

int take_qos(Socket& s, const IoctlBuffers& b) {
    if (b.in == nullptr || b.in_bytes < sizeof(xy_qos)) return EFAULT;
    xy_qos qos;
    memcpy(&qos, b.in, sizeof qos);
    abi::QosBody body{};
    qos_from(&qos, body.qos);
    return s.attachment->tell(abi::Op::kSetQos, s.id, body);
}

// Before and after the join (W-294); an output buffer is not looked at (W-295). A rooted session has only a scope, its
// root's (W-296).
int take_multicast_setting(Socket& s, unsigned code, const IoctlBuffers& b) {
    if (b.in == nullptr || b.in_bytes != sizeof(int)) return EFAULT;
    if (!is_group(s) && s.protocol != XY_PROTO_TREE) return EOPNOTSUPP;
    const int value = int_at(b.in);
    if (code == XY_SIO_MULTIPOINT_LOOPBACK) {
        if (!is_group(s)) return EINVAL;
        s.group_filter.takes_local = value != 0;
        return 0;
    }
    if (value < 0 || value > 255) return EINVAL;
    abi::OptionBody body{XY_SOL, abi::kOptionScope, sizeof(int32_t), 0, {}};
    memcpy(body.value, &value, sizeof(int32_t));
    return s.attachment->tell(abi::Op::kSetOption, s.id, body);
}

// What the daemon has taken, the filter has too.
int add_source(Socket& s, const void* value, socklen_t length) {
    if (length < static_cast<socklen_t>(sizeof(sockaddr_in))) return EINVAL;
    abi::OptionBody body{XY_SOL, XY_OPT_SOURCE, sizeof(sockaddr_storage), 0, {}};
    memcpy(body.value, value, std::min<size_t>(length, sizeof(sockaddr_storage)));
    if (const int error = s.attachment->tell(abi::Op::kSetOption, s.id, body)) return error;
    if (s.family == AF_INET)
        s.group_filter.add_source(body.value + offsetof(sockaddr_in, sin_addr), sizeof(in_addr));
    else
        s.group_filter.add_source(body.value + offsetof(sockaddr_in6, sin6_addr), sizeof(in6_addr));
    return 0;
}

// What a MESH member sends comes back to it (W-290).
int take_loopback(Socket& s, const IoctlBuffers& b) {
    if (b.in == nullptr || b.in_bytes < sizeof(int)) return EFAULT;
    const int32_t value = int_at(b.in);
    abi::OptionBody body{XY_SOL, abi::kOptionLoopback, sizeof value, 0, {}};
    memcpy(body.value, &value, sizeof value);
    // Nothing is sent or taken meanwhile: what was sent before comes back, what is sent afterwards does not.
    Lock sending(s.send_mutex);
    Lock receiving(s.receive_mutex);
    const int error = s.attachment->tell(abi::Op::kSetOption, s.id, body);
    if (error == 0 && value == 0) s.receiver.end_own(s.sender.committed());
    return error;
}

}  // namespace

int set_option(Socket& s, int level, int name, const void* value, socklen_t length) {
    if (level != SOL_SOCKET && level != XY_SOL) return result_of(ENOPROTOOPT);
    if (value == nullptr) return result_of(EFAULT);
    if (level == SOL_SOCKET) {
        if (name == SO_LINGER) return result_of(set_linger(s, value, length));
        if (name == SO_RCVTIMEO) return result_of(set_timeout(value, length, s.receive_timeout_ns));
        if (name == SO_SNDTIMEO) return result_of(set_timeout(value, length, s.send_timeout_ns));
    }
    if (level == XY_SOL && name == XY_OPT_SOURCE && is_group(s)) return result_of(add_source(s, value, length));
    if (level == XY_SOL && name == XY_OPT_RM_MESSAGE_BOUNDARY) {
        uint32_t bytes;
        if (length != sizeof bytes) return result_of(EINVAL);
        memcpy(&bytes, value, sizeof bytes);
        return result_of(set_message_boundary(s, bytes));
    }
    abi::OptionBody body{level, name, static_cast<uint32_t>(length), 0, {}};
    if (length > sizeof body.value) return result_of(EINVAL);
    memcpy(body.value, value, length);
    return result_of(s.attachment->tell(abi::Op::kSetOption, s.id, body));
}

int get_option(Socket& s, int level, int name, void* value, socklen_t* length) {
    if (level != SOL_SOCKET && level != XY_SOL) return result_of(ENOPROTOOPT);
    if (value == nullptr || length == nullptr) return result_of(EFAULT);
    if (level == SOL_SOCKET && get_own_option(s, name, value, length) == 0) return 0;
    abi::OptionBody body{level, name, std::min<uint32_t>(*length, sizeof body.value), 0, {}};
    abi::OptionBody reply{};
    if (const int error = s.attachment->ask(abi::Op::kGetOption, s.id, body, reply)) return result_of(error);
    const auto n = std::min<socklen_t>(std::min<uint32_t>(reply.bytes, sizeof reply.value), *length);
    memcpy(value, reply.value, n);
    *length = n;
    return 0;
}

int control(Socket& s, unsigned code, const IoctlBuffers& b) {
    if (b.returned != nullptr) *b.returned = 0;
    switch (code) {
        case XY_FIONBIO:
            return result_of(set_blocking(s, b));
        case XY_FIONREAD:
            return result_of(give_next_bytes(s, b));
        case XY_SIO_GET_QOS:
            return result_of(give_qos(s, b));
        case XY_SIO_SET_QOS:
            return result_of(take_qos(s, b));
        case XY_SIO_MULTIPOINT_LOOPBACK:
            if (s.protocol == XY_PROTO_MESH) return result_of(take_loopback(s, b));
            [[fallthrough]];
        case XY_SIO_MULTICAST_SCOPE:
            return result_of(take_multicast_setting(s, code, b));
        default:
            return result_of(EOPNOTSUPP);
    }
}

}  // namespace xylem::shim
