// SPDX-License-Identifier: Apache-2.0
// One listening socket. Invariant: no failure of accept() ends it; when descriptors or memory run out it pauses and
// tries again.
#pragma once
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace xylem::signalling {

class Acceptor : public std::enable_shared_from_this<Acceptor> {
  public:
    struct Handlers {
        std::function<void(asio::ip::tcp::socket)> accepted;
        std::function<void(int code)> paused;  ///< once per pause, however often it is tried again
    };
    explicit Acceptor(asio::io_context& context) : acceptor_(context), retry_(context) {}

    /// `address` may be a wildcard; an IPv6 one takes IPv6 connections only. Error: errno, with a sentence and its
    /// cure.
    [[nodiscard]] Result<void> open(const Endpoint& address);
    void start(Handlers handlers);
    /// Calls no handler any more.
    void close();

  private:
    void accept();
    void accepted(asio::error_code failure, asio::ip::tcp::socket socket);
    void pause(int code);

    asio::ip::tcp::acceptor acceptor_;
    asio::steady_timer retry_;
    Handlers handlers_;
    bool is_paused_ = false;
};

}  // namespace xylem::signalling
