// SPDX-License-Identifier: Apache-2.0
#include "control/api/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>

#include "control/api/connection.h"

namespace xylem::api {

using session::OwnedFd;

namespace {

constexpr size_t kMaxConnections = 4096;
constexpr std::chrono::milliseconds kRetry{100};  // when descriptors or memory ran out

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return Error{ENAMETOOLONG, path + ": a socket path has 1 to 107 bytes: choose a shorter one with --socket"};
    path.copy(address.sun_path, path.size());
    return address;
}

/// A file is removed only if it is a socket that nobody listens on.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat found;
    if (::lstat(path.c_str(), &found) != 0) return {};
    if (!S_ISSOCK(found.st_mode)) return Error{EADDRINUSE, path + " is there and is no socket: remove it"};
    const OwnedFd probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (probe.get() < 0) return Error{errno, "no socket can be made"};
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN)
        return Error{EADDRINUSE, "another xylemd serves " + path + ": stop it, or choose another path with --socket"};
    if (errno != ECONNREFUSED) return Error{errno, path + " cannot be asked whether somebody listens: remove it"};
    if (::unlink(path.c_str()) != 0) return Error{errno, path + " is stale and cannot be removed: remove it"};
    return {};
}

Result<OwnedFd> listen_at(const std::string& path) {
    Result<sockaddr_un> address = address_of(path);
    if (!address) return address.error();
    if (Result<void> removed = remove_stale(path, *address); !removed) return removed.error();
    OwnedFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) return Error{errno, "no socket can be made"};
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0)
        return Error{errno, path + ": " + std::strerror(errno) + ": choose another path with --socket"};
    // Every local user may attach to the daemon of the system (allow_uids narrows it); a user's own is his.
    if (::chmod(path.c_str(), ::geteuid() == 0 ? 0666 : 0600) != 0 || ::listen(fd.get(), 128) != 0) {
        const int code = errno;
        ::unlink(path.c_str());
        return Error{code, path + ": " + std::strerror(code)};
    }
    return fd;
}

}  // namespace

class Server::Listener : public std::enable_shared_from_this<Listener> {
  public:
    Listener(asio::io_context& context, session::Sessions& sessions, const ServerConfig& config)
        : context_(context),
          socket_(context),
          owner_(std::make_shared<Connection::Owner>(Connection::Owner{sessions, config, {}, nullptr, nullptr})),
          retry_(context) {}

    Result<void> start(OwnedFd fd) {
        asio::error_code failed;
        socket_.assign(::dup(fd.get()), failed);
        if (failed) return Error{failed.value(), "the socket cannot be watched"};
        struct stat made;
        if (::lstat(owner_->config.path.c_str(), &made) == 0) inode_ = made.st_ino;
        owner_->ended = [this](Connection* connection) { connections_.erase(connection); };
        owner_->n_sockets_of = [this](uint32_t uid) { return n_sockets_of(uid); };
        wait();
        return {};
    }

    void stop_accepting() {
        if (!socket_.is_open()) return;
        asio::error_code ignored;
        socket_.close(ignored);
        retry_.cancel();
        struct stat found;  // only the file that we made
        if (::lstat(owner_->config.path.c_str(), &found) == 0 && found.st_ino == inode_)
            ::unlink(owner_->config.path.c_str());
    }

    void stop() {
        stop_accepting();
        while (!connections_.empty()) {
            const std::shared_ptr<Connection> last = connections_.begin()->second;
            last->end();
        }
        owner_->ended = nullptr;
        owner_->n_sockets_of = nullptr;
    }

    const ServerCounters& counters() const { return owner_->counters; }
    size_t n_connections() const { return connections_.size(); }

  private:
    void wait() {
        socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                           [weak = weak_from_this()](const asio::error_code& failed) {
                               const std::shared_ptr<Listener> self = weak.lock();
                               if (failed || !self || !self->socket_.is_open()) return;
                               if (const int code = self->accept_one(); code != 0) return self->pause(code);
                               self->is_paused_ = false;
                               self->wait();
                           });
    }

    /// Who waits stays in the queue of the kernel meanwhile.
    void pause(int code) {
        if (!is_paused_ && owner_->config.notice)
            owner_->config.notice(std::string("accepting applications pauses: ") + std::strerror(code));
        owner_->counters.n_pauses += is_paused_ ? 0 : 1;
        is_paused_ = true;
        retry_.expires_after(kRetry);
        retry_.async_wait([weak = weak_from_this()](const asio::error_code& failed) {
            const std::shared_ptr<Listener> self = weak.lock();
            if (!failed && self && self->socket_.is_open()) self->wait();
        });
    }

    /// 0, or why nothing can be accepted now.
    int accept_one() {
        OwnedFd fd(::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
        if (fd.get() < 0) return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : errno;
        auto connection = std::make_shared<Connection>(context_, std::move(fd), owner_);
        if (!connection->identify() || !has_room(connection->uid()) || !connection->start()) {
            ++owner_->counters.n_refused;
            return 0;
        }
        connections_[connection.get()] = connection;
        return 0;
    }

    bool has_room(uint32_t uid) const {
        const auto is_theirs = [&](const auto& entry) { return entry.second->uid() == uid; };
        const auto n_theirs = std::count_if(connections_.begin(), connections_.end(), is_theirs);
        return connections_.size() < kMaxConnections &&
               (uid == owner_->config.owner_uid ||
                static_cast<size_t>(n_theirs) < owner_->config.max_connections_per_uid);
    }

    size_t n_sockets_of(uint32_t uid) const {
        size_t n = 0;
        for (const auto& [key, connection] : connections_)
            if (connection->uid() == uid) n += connection->n_sockets();
        return n;
    }

    asio::io_context& context_;
    asio::posix::stream_descriptor socket_;
    std::shared_ptr<Connection::Owner> owner_;
    std::map<Connection*, std::shared_ptr<Connection>> connections_;
    asio::steady_timer retry_;
    bool is_paused_ = false;
    ino_t inode_ = 0;
};

Server::Server(std::shared_ptr<Listener> listener) : listener_(std::move(listener)) {}
Server::~Server() { listener_->stop(); }
void Server::stop_accepting() { listener_->stop_accepting(); }
const ServerCounters& Server::counters() const { return listener_->counters(); }
size_t Server::n_connections() const { return listener_->n_connections(); }

Result<std::unique_ptr<Server>> Server::open(asio::io_context& context, session::Sessions& sessions,
                                             const ServerConfig& config) {
    Result<OwnedFd> fd = listen_at(config.path);
    if (!fd) return fd.error();
    auto listener = std::make_shared<Listener>(context, sessions, config);
    if (Result<void> started = listener->start(std::move(*fd)); !started) return started.error();
    return std::unique_ptr<Server>(new Server(std::move(listener)));
}

}  // namespace xylem::api
