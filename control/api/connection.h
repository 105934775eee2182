// SPDX-License-Identifier: Apache-2.0
// One attached application: its socket and its process. Requests are handled in order and drained before a hang-up
// counts. Replies never wait: one that does not fit ends the connection.
#pragma once
#include <array>
#include <asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "control/api/server.h"
#include "control/session/reply.h"

namespace xylem::api {

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    struct Owner {
        session::Sessions& sessions;
        ServerConfig config;
        ServerCounters counters;
        std::function<void(Connection*)> ended;
        std::function<size_t(uint32_t uid)> n_sockets_of;
    };

    Connection(asio::io_context& context, session::OwnedFd socket, std::shared_ptr<Owner> owner);
    /// Finds out whose it is; first of all.
    Result<void> identify();
    /// Begins to read. Error: the process at the other end cannot be watched.
    Result<void> start();
    uint32_t uid() const { return uid_; }
    size_t n_sockets() const { return app_ ? app_->sockets.size() : 0; }
    /// Drops the application as it stands.
    void end();

  private:
    enum class Read { kNothing, kMessage, kHangUp };

    void wait_for_request();
    void wait_for_death();
    void drain(bool is_dead);
    Read read_one();
    bool handle(std::span<const std::byte> message);
    bool attach(const abi::RequestHeader& header);
    bool is_beyond_limit(const abi::RequestHeader& header) const;
    void reply(uint64_t sequence, const session::Reply& reply);

    std::shared_ptr<Owner> owner_;
    int fd_;
    uint32_t uid_ = 0;
    int pid_ = 0;
    asio::posix::stream_descriptor socket_;
    asio::posix::stream_descriptor process_;
    session::AppRef app_;
    bool has_ended_ = false;
    std::array<std::byte, abi::kMaxCommandBytes + 1> buffer_;
    size_t n_read_ = 0;
};

}  // namespace xylem::api
