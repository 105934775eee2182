// SPDX-License-Identifier: Apache-2.0
#include "tests/model/rpc.h"

#include <sys/uio.h>

#include <cerrno>
#include <vector>

namespace xylem::model {

Request request_for(Call call, int fd, int a, int b, int c, int d) {
    Request request{};
    request.call = call;
    request.fd = fd;
    request.a = a, request.b = b, request.c = c, request.d = d;
    return request;
}

namespace {

template <class Head>
bool put_parts(int channel, Head head, const std::string& data) {
    head.data_bytes = static_cast<uint32_t>(data.size());
    iovec parts[2] = {{&head, sizeof head}, {const_cast<char*>(data.data()), data.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    ssize_t n;
    do
        n = sendmsg(channel, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == static_cast<ssize_t>(sizeof head + data.size());
}

template <class Head>
bool get_parts(int channel, Head& head, std::string& data) {
    thread_local std::vector<char> room(kMaxData * 8);
    iovec parts[2] = {{&head, sizeof head}, {room.data(), room.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    ssize_t n;
    do
        n = recvmsg(channel, &message, 0);
    while (n < 0 && errno == EINTR);
    if (n < static_cast<ssize_t>(sizeof head)) return false;
    data.assign(room.data(), static_cast<size_t>(n) - sizeof head);
    return true;
}

}  // namespace

bool put(int channel, const Request& request) { return put_parts<RequestHead>(channel, request, request.data); }
bool put(int channel, const Reply& reply) { return put_parts<ReplyHead>(channel, reply, reply.data); }
bool get(int channel, Request& request) { return get_parts<RequestHead>(channel, request, request.data); }
bool get(int channel, Reply& reply) { return get_parts<ReplyHead>(channel, reply, reply.data); }

}  // namespace xylem::model
