// SPDX-License-Identifier: Apache-2.0
#include "shim/session.h"

#include <cstring>

#include "shim/socket.h"
#include "shim/wire_types.h"

namespace xylem::shim {

int result_of(int error) {
    if (error == 0) return 0;
    errno = error;
    return -1;
}

namespace {

constexpr uint32_t kControlRoles = XY_C_ROOT | XY_C_LEAF;
constexpr uint32_t kDataRoles = XY_D_ROOT | XY_D_LEAF;

// W-009 … W-011: exactly one role per plane, and a root only where that plane is rooted.
bool may_have_roles(int protocol, uint32_t flags) {
    const uint32_t control = flags & kControlRoles, data = flags & kDataRoles;
    if ((flags & ~(kControlRoles | kDataRoles)) != 0) return false;
    if (control == 0 || control == kControlRoles || data == 0 || data == kDataRoles) return false;
    if (control == XY_C_ROOT && protocol == XY_PROTO_GROUP) return false;
    return data != XY_D_ROOT || protocol == XY_PROTO_TREE;
}

int check_kind(int family, int type, int protocol, uint32_t flags) {
    if (family != AF_INET && family != AF_INET6) return EAFNOSUPPORT;
    if (type != SOCK_DGRAM && type != SOCK_RDM && type != SOCK_STREAM) return ESOCKTNOSUPPORT;
    if (protocol < XY_PROTO_TREE || protocol > XY_PROTO_GROUP) return EPROTONOSUPPORT;
    if (protocol == XY_PROTO_GROUP && type != SOCK_DGRAM) return EPROTOTYPE;
    return may_have_roles(protocol, flags) ? 0 : EINVAL;
}

bool is_there(const xy_data* data) { return data != nullptr && data->len != 0; }

}  // namespace

int make_socket(int family, int type_and_flags, int protocol, unsigned flags) {
    const int type = type_and_flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (const int error = check_kind(family, type, protocol, flags)) return result_of(error);
    Attachment* attachment = current_attachment();
    if (attachment == nullptr) return -1;
    abi::SocketReply reply{};
    ReplyFds fds;
    const abi::SocketBody body{family, type, protocol, flags};
    if (const int error = attachment->ask(abi::Op::kSocket, 0, body, reply, &fds)) {
        let_go(attachment);
        return result_of(error);
    }
    Socket* s = adopt(attachment, reply.socket, fds.take(0), nullptr);
    if (s == nullptr) return -1;
    s->family = family, s->type = type, s->protocol = protocol;
    s->is_stream = type == SOCK_STREAM;
    s->roles = flags;
    s->is_nonblocking = (type_and_flags & SOCK_NONBLOCK) != 0;
    const int fd = s->descriptor.load(std::memory_order_relaxed);
    publish(*s);
    return fd;
}

int bind_socket(Socket& s, const sockaddr* address, socklen_t length) {
    abi::AddressBody name, bound;
    if (const int error = address_from(address, length, s.family, name)) return result_of(error);
    if (s.is_branch) return result_of(EINVAL);
    return result_of(s.attachment->ask(abi::Op::kBind, s.id, name, bound));
}

int listen_on(Socket& s, int backlog) {
    if (s.is_branch) return result_of(EINVAL);
    if (s.protocol == XY_PROTO_GROUP) return result_of(EOPNOTSUPP);
    const int error = s.attachment->tell(abi::Op::kListen, s.id, abi::ListenBody{backlog, 0});
    if (error == 0 && has_inbox(s)) {
        Lock lock(s.receive_mutex);
        s.receiver.prepare(s);
    }
    return result_of(error);
}

int name_of(Socket& s, bool is_peer, sockaddr* address, socklen_t* length) {
    if (address == nullptr || length == nullptr) return result_of(EFAULT);
    abi::AddressBody name{};
    const abi::NameBody body{is_peer ? 1U : 0U, 0};
    if (const int error = s.attachment->ask(abi::Op::kName, s.id, body, name)) return result_of(error);
    return result_of(address_to(name, address, length));
}

int shut_down(Socket& s, int how) {
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return result_of(EINVAL);
    {
        Lock lock(s.receive_mutex);
        s.receiver.flush(s);
    }
    if (const int error = s.attachment->tell(abi::Op::kShutdown, s.id, abi::HowBody{how, 0})) return result_of(error);
    const uint32_t bits = how == SHUT_RD ? kShutRead : how == SHUT_WR ? kShutWrite : kShutRead | kShutWrite;
    s.shut.fetch_or(bits, std::memory_order_release);
    wake_sleepers(s);
    return 0;
}

int send_disconnect(Socket& s, const xy_data* data) {
    abi::BlobBody body{};
    if (is_there(data)) {
        if (s.protocol == XY_PROTO_GROUP) return result_of(ENOPROTOOPT);  // groups are connectionless (W-232)
        if (data->buf == nullptr || data->len > sizeof body.blob) return result_of(EFAULT);
        memcpy(body.blob, data->buf, data->len);
        body.bytes = static_cast<uint32_t>(data->len);
    }
    if (const int error = s.attachment->tell(abi::Op::kSendDisconnect, s.id, body)) return result_of(error);
    s.shut.fetch_or(kShutWrite, std::memory_order_release);
    wake_sleepers(s);
    return 0;
}

// Gracefully ended, and the application has not read up to the end: it has not learned of it.
static bool is_end_ahead(Socket& s) {
    const bool may_read = (s.shut.load(std::memory_order_relaxed) & kShutRead) == 0 &&
                          s.engine->direction.load(std::memory_order_relaxed) != XY_SENDER_ONLY;
    if (s.is_branch || !may_read || end_of(s) != 0) return false;
    Lock lock(s.receive_mutex);
    s.receiver.prepare(s);
    return !s.receiver.is_at_end(s);
}

int receive_disconnect(Socket& s, xy_data* data) {
    if (is_end_ahead(s)) return result_of(ENOTCONN);  // W-233
    abi::BlobBody body{};
    if (const int error = s.attachment->get(abi::Op::kRecvDisconnect, s.id, body)) return result_of(error);
    s.shut.fetch_or(kShutRead, std::memory_order_release);
    wake_sleepers(s);
    if (data == nullptr) return 0;
    const size_t bytes = body.bytes <= sizeof body.blob ? body.bytes : sizeof body.blob;
    if (bytes > data->len || (bytes != 0 && data->buf == nullptr)) return result_of(EFAULT);
    if (bytes != 0) memcpy(data->buf, body.blob, bytes);
    data->len = bytes;
    return 0;
}

}  // namespace xylem::shim
