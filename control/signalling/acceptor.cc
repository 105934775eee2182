// SPDX-License-Identifier: Apache-2.0
#include "control/signalling/acceptor.h"

#include <asio/ip/v6_only.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "control/signalling/stream.h"
#include "dataplane/base/address_text.h"

namespace xylem::signalling {
namespace {

constexpr std::chrono::milliseconds kRetry{100};

Error listen_error(int code, const Endpoint& address) {
    std::string port = "signalling port " + std::to_string(address.port);
    if (code == EADDRINUSE) return {code, port + " is already in use: choose another with --signal-port"};
    if (code == EACCES) return {code, port + " needs privileges: choose one above 1023 with --signal-port"};
    if (code == EADDRNOTAVAIL)
        return {code, "signalling address " + to_string(address.ip) + " is not an address of this host"};
    return {code, port + ": cannot listen at " + to_string(address) + ": " + std::strerror(code)};
}

}  // namespace

Result<void> Acceptor::open(const Endpoint& address) {
    asio::error_code failure;
    asio::ip::tcp::endpoint here = to_asio(address);
    acceptor_.open(here.protocol(), failure);
    if (!failure) {
        keep_from_children(acceptor_.native_handle());
        acceptor_.set_option(asio::socket_base::reuse_address(true), failure);
    }
    if (!failure && address.ip.is_v6()) acceptor_.set_option(asio::ip::v6_only(true), failure);
    if (!failure) acceptor_.bind(here, failure);
    if (!failure) acceptor_.listen(asio::socket_base::max_listen_connections, failure);
    if (!failure) return {};
    close();
    return listen_error(failure.value(), address);
}

void Acceptor::start(Handlers handlers) {
    handlers_ = std::move(handlers);
    accept();
}

void Acceptor::close() {
    asio::error_code ignored;
    retry_.cancel();
    acceptor_.close(ignored);
}

void Acceptor::accept() {
    acceptor_.async_accept([self = shared_from_this()](asio::error_code failure, asio::ip::tcp::socket socket) {
        self->accepted(failure, std::move(socket));
    });
}

void Acceptor::accepted(asio::error_code failure, asio::ip::tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    // A connection that was gone before it was accepted says nothing about the listening socket.
    if (failure && failure != asio::error::connection_aborted) return pause(failure.value());
    if (!failure) {
        is_paused_ = false;
        handlers_.accepted(std::move(socket));
    }
    if (acceptor_.is_open()) accept();
}

void Acceptor::pause(int code) {
    if (!is_paused_) handlers_.paused(code);
    is_paused_ = true;
    retry_.expires_after(kRetry);
    retry_.async_wait([self = shared_from_this()](asio::error_code failure) {
        if (!failure && self->acceptor_.is_open()) self->accept();
    });
}

}  // namespace xylem::signalling
