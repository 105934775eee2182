// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/kernel_socket.h"

#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace xylem::netlink {
namespace {

constexpr size_t kReadBytes = 64 * 1024;        // more than the kernel puts into one datagram (32 KiB)
constexpr int kEventBufferBytes = 1024 * 1024;  // some thousand announcements
constexpr time_t kAnswerSeconds = 5;            // the kernel answers within the call; this is against waiting for ever

Error failure(int code, const char* what) {
    return {code, std::string("netlink: ") + what + ": " + std::strerror(code)};
}

enum class Answer { kMore, kComplete };

/// One datagram of an answer. `error` is set to the kernel's errno.
Answer take_answer(const nlmsghdr* message, int length, uint32_t sequence, bool is_dump, const OnMessage& on_message,
                   int& error) {
    Answer answer = Answer::kMore;
    for (; NLMSG_OK(message, static_cast<unsigned>(length)); message = NLMSG_NEXT(message, length)) {
        if (message->nlmsg_seq != sequence) continue;  // rest of an answer that was given up
        if (message->nlmsg_type == NLMSG_DONE) return Answer::kComplete;
        if (message->nlmsg_type == NLMSG_ERROR) {
            if (message->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) continue;
            error = -static_cast<const nlmsgerr*>(NLMSG_DATA(message))->error;
            return Answer::kComplete;
        }
        on_message(*message);
        if (!is_dump) answer = Answer::kComplete;
    }
    return answer;
}

/// One datagram into `buffer`: its length, 0 when it was not the kernel's, or -errno.
ssize_t receive(int fd, std::vector<char>& buffer, int flags) {
    buffer.resize(kReadBytes);
    sockaddr_nl from{};
    socklen_t from_size = sizeof from;
    ssize_t n;
    do {
        n = recvfrom(fd, buffer.data(), buffer.size(), flags, reinterpret_cast<sockaddr*>(&from), &from_size);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    return from.nl_pid == 0 ? n : 0;
}

}  // namespace

Result<QuerySocket> QuerySocket::open() {
    QuerySocket out;
    out.socket_.reset(nl_socket_alloc());
    if (!out.socket_) return failure(ENOMEM, "cannot open a socket");
    nl_socket_disable_auto_ack(out.socket_.get());
    if (const int failed = nl_connect(out.socket_.get(), NETLINK_ROUTE); failed < 0)
        return Error{EPROTONOSUPPORT, std::string("netlink: cannot connect to the kernel: ") + nl_geterror(failed)};
    const timeval limit{kAnswerSeconds, 0};
    setsockopt(nl_socket_get_fd(out.socket_.get()), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return out;
}

Result<void> QuerySocket::ask(Message message, const OnMessage& on_message) {
    if (!message) return failure(ENOMEM, "cannot make a request");
    if (nl_send_auto(socket_.get(), message.get()) < 0)
        return failure(errno != 0 ? errno : EIO, "cannot ask the kernel");
    const nlmsghdr* request = nlmsg_hdr(message.get());
    const bool is_dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    std::vector<char> buffer;
    int error = 0;
    for (Answer answer = Answer::kMore; answer == Answer::kMore;) {
        const ssize_t n = receive(nl_socket_get_fd(socket_.get()), buffer, 0);
        if (n < 0) return failure(static_cast<int>(-n), "the kernel does not answer");
        answer = take_answer(reinterpret_cast<const nlmsghdr*>(buffer.data()), static_cast<int>(n), request->nlmsg_seq,
                             is_dump, on_message, error);
    }
    if (error != 0) return failure(error, "refused");
    return {};
}

Result<EventSocket> EventSocket::open() {
    EventSocket out;
    out.socket_.reset(nl_socket_alloc());
    if (!out.socket_) return failure(ENOMEM, "cannot open a socket");
    nl_sock* socket = out.socket_.get();
    if (const int failed = nl_connect(socket, NETLINK_ROUTE); failed < 0)
        return Error{EPROTONOSUPPORT, std::string("netlink: cannot connect to the kernel: ") + nl_geterror(failed)};
    nl_socket_set_buffer_size(socket, kEventBufferBytes, 0);  // smaller is slower after an overrun, not wrong
    const int failed =
        nl_socket_add_memberships(socket, RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                  RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, 0);
    if (failed < 0) return Error{EIO, std::string("netlink: cannot hear the kernel's changes: ") + nl_geterror(failed)};
    nl_socket_set_nonblocking(socket);
    return out;
}

bool EventSocket::read(const OnMessage& on_message) {
    bool is_complete = true;
    std::vector<char> buffer;
    while (true) {
        const ssize_t n = receive(fd(), buffer, MSG_DONTWAIT);
        if (n == -EAGAIN) return is_complete;
        if (n < 0) {
            is_complete = false;
            if (n != -ENOBUFS) return false;
            continue;
        }
        auto length = static_cast<int>(n);
        const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
        for (; NLMSG_OK(message, static_cast<unsigned>(length)); message = NLMSG_NEXT(message, length))
            on_message(*message);
    }
}

}  // namespace xylem::netlink
