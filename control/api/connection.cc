// SPDX-License-Identifier: Apache-2.0
#include "control/api/connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "control/api/dispatch.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace xylem::api {

using session::Reply;

namespace {

constexpr int kRequestsAtOnce = 32;  // then other connections get their turn
constexpr size_t kMaxReplyFds = 8;

/// The process at the other end: from the socket where the kernel can, else by its number.
int pidfd_of(int socket, int pid) {
    int fd = -1;
    socklen_t length = sizeof fd;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0) return fd;
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

}  // namespace

Connection::Connection(asio::io_context& context, session::OwnedFd socket, std::shared_ptr<Owner> owner)
    : owner_(std::move(owner)), fd_(::dup(socket.get())), socket_(context), process_(context) {
    ::fcntl(fd_, F_SETFD, FD_CLOEXEC);
}

Result<void> Connection::identify() {
    ucred peer{};
    socklen_t length = sizeof peer;
    asio::error_code failed;
    socket_.assign(fd_, failed);
    if (failed) return Error{failed.value(), "the application's socket cannot be watched"};
    if (::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return Error{errno, "the application's identity cannot be read"};
    uid_ = peer.uid;
    pid_ = peer.pid;
    return {};
}

Result<void> Connection::start() {
    asio::error_code failed;
    const int process = pidfd_of(fd_, pid_);
    if (process < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return Error{errno, "the application's process cannot be watched"};  // else its hang-up tells
    if (process >= 0) process_.assign(process, failed);
    wait_for_request();
    if (process_.is_open()) wait_for_death();
    return {};
}

void Connection::wait_for_request() {
    socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const asio::error_code& failed) {
                           if (!failed) self->drain(false);
                       });
}

void Connection::wait_for_death() {
    process_.async_wait(asio::posix::stream_descriptor::wait_read,
                        [self = shared_from_this()](const asio::error_code& failed) {
                            if (!failed) self->drain(true);
                        });
}

/// Handles what is there. Of a dead process everything counts that it had sent: a close among it is a close.
void Connection::drain(bool is_dead) {
    for (int n = 0; !has_ended_ && (is_dead || n < kRequestsAtOnce); ++n) {
        const Read read = read_one();
        if (read == Read::kHangUp || (read == Read::kNothing && is_dead)) return end();
        if (read == Read::kNothing) break;
        if (handle({buffer_.data(), n_read_})) continue;
        ++owner_->counters.n_malformed;
        return end();
    }
    if (!has_ended_) wait_for_request();
}

Connection::Read Connection::read_one() {
    const ssize_t n = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? Read::kNothing : Read::kHangUp;
    if (n == 0) return Read::kHangUp;
    n_read_ = static_cast<size_t>(n);
    return Read::kMessage;
}

bool Connection::handle(std::span<const std::byte> message) {
    const std::optional<abi::RequestHeader> header = header_of(message);
    if (!header) return false;
    if (!app_)
        return header->op == static_cast<uint16_t>(abi::Op::kAttach) && header->body_bytes == 0 && attach(*header);
    if (is_beyond_limit(*header)) return reply(header->sequence, Reply(EMFILE)), true;
    const session::Respond respond = [weak = weak_from_this(), sequence = header->sequence](Reply answer) {
        if (const std::shared_ptr<Connection> self = weak.lock()) self->reply(sequence, answer);
    };
    return dispatch(owner_->sessions, *app_, message, respond);
}

bool Connection::attach(const abi::RequestHeader& header) {
    const std::vector<uint32_t>& allowed = owner_->config.allow_uids;
    if (!allowed.empty() && uid_ != 0 && std::find(allowed.begin(), allowed.end(), uid_) == allowed.end()) {
        ++owner_->counters.n_refused;
        reply(header.sequence, Reply(EACCES));
        return end(), true;
    }
    Result<session::AppRef> app = owner_->sessions.add_app(uid_, pid_);
    if (!app) {
        ++owner_->counters.n_refused;
        reply(header.sequence, Reply(app.error().code));
        return end(), true;
    }
    app_ = *app;
    ++owner_->counters.n_attached;
    abi::AttachReply answer{.app_bytes = sizeof(abi::AppSegment),
                            .engine_bytes = sizeof(abi::EngineSegment),
                            .abi_version = abi::kAbiVersion,
                            .is_root_daemon = ::geteuid() == 0 ? 1U : 0U,
                            .daemon_version = {}};
    owner_->config.version.copy(answer.daemon_version, sizeof answer.daemon_version - 1);
    Reply with_memory = Reply::of(answer);
    const engine::AppMemory& memory = app_->memory->memory();
    with_memory.borrowed = {memory.app_fd, memory.engine_fd, memory.kick_fd};
    reply(header.sequence, with_memory);
    return true;
}

/// Whether it would make another socket though the user's applications have as many as they may. A request that is to
/// be accepted stays in the backlog; what was taken out of it already is let through.
bool Connection::is_beyond_limit(const abi::RequestHeader& header) const {
    const auto op = static_cast<abi::Op>(header.op);
    bool makes_socket = op == abi::Op::kSocket || op == abi::Op::kAcceptTake;
    if (op == abi::Op::kJoin) {  // a root that invites gets a descriptor for the leaf
        const auto socket = app_->sockets.find(header.socket);
        makes_socket = socket != app_->sockets.end() && socket->second->role == session::Role::kRoot;
    }
    return makes_socket && uid_ != owner_->config.owner_uid && owner_->n_sockets_of &&
           owner_->n_sockets_of(uid_) >= owner_->config.max_sockets_per_uid;
}

void Connection::reply(uint64_t sequence, const Reply& answer) {
    if (has_ended_) return;
    const bool is_good = answer.error == 0;
    abi::ReplyHeader header{.magic = abi::kCommandMagic,
                            .error = answer.error,
                            .sequence = sequence,
                            .value = is_good ? answer.value : 0,
                            .body_bytes = is_good ? static_cast<uint32_t>(answer.body.size()) : 0};
    iovec parts[2] = {{&header, sizeof header}, {const_cast<std::byte*>(answer.body.data()), header.body_bytes}};
    int fds[kMaxReplyFds];
    size_t n_fds = 0;
    if (is_good) {
        for (int fd : answer.borrowed)
            if (n_fds < kMaxReplyFds) fds[n_fds++] = fd;
        for (const session::OwnedFd& fd : answer.owned)
            if (n_fds < kMaxReplyFds) fds[n_fds++] = fd.get();
    }
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    if (n_fds != 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        std::memcpy(CMSG_DATA(rights), fds, n_fds * sizeof(int));
    }
    if (::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return;
    // A dead process reads nothing either: what it sent before still counts, and drain() ends it.
    if (errno == EPIPE || errno == ECONNRESET) return;
    ++owner_->counters.n_deaf;
    asio::post(socket_.get_executor(), [weak = weak_from_this()] {
        if (const std::shared_ptr<Connection> self = weak.lock()) self->end();
    });
}

void Connection::end() {
    if (has_ended_) return;
    has_ended_ = true;
    const std::shared_ptr<Connection> self = shared_from_this();
    if (app_) owner_->sessions.app_gone(app_);
    asio::error_code ignored;
    socket_.close(ignored);
    process_.close(ignored);
    if (owner_->ended) owner_->ended(this);
}

}  // namespace xylem::api
