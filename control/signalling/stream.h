// SPDX-License-Identifier: Apache-2.0
// The byte stream under a connection. All that signalling knows of TCP is here, so encryption replaces this class
// alone. Invariant: no member throws; after close() handlers end with an error.
#pragma once
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "dataplane/base/address.h"

namespace xylem::signalling {

asio::ip::address to_asio(const IpAddress& ip);
IpAddress from_asio(const asio::ip::address& address);
inline asio::ip::tcp::endpoint to_asio(const Endpoint& endpoint) { return {to_asio(endpoint.ip), endpoint.port}; }

class Stream {
  public:
    explicit Stream(asio::io_context& context) : socket_(context) {}
    explicit Stream(asio::ip::tcp::socket accepted);

    /// `source` unset: any address of this host.
    template <class Handler>
    void async_connect(const Endpoint& target, const IpAddress& source, Handler handler) {
        asio::error_code failure = open(target, source);
        if (failure) return asio::post(socket_.get_executor(), [failure, handler]() mutable { handler(failure); });
        socket_.async_connect(to_asio(target), std::move(handler));
    }
    template <class Handler>
    void async_read_some(std::span<uint8_t> room, Handler handler) {
        socket_.async_read_some(asio::buffer(room.data(), room.size()), std::move(handler));
    }
    template <class Handler>
    void async_write_some(std::string_view bytes, Handler handler) {
        socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()), std::move(handler));
    }
    /// Says that nothing more will be written; what was written still arrives.
    void end_writing();
    void close();
    /// Whether something has arrived that was not read.
    bool has_unread() const;
    /// Unset when not connected.
    IpAddress remote_ip() const;
    IpAddress local_ip() const;

  private:
    asio::error_code open(const Endpoint& target, const IpAddress& source);

    asio::ip::tcp::socket socket_;
};

/// Close-on-exec, which Asio does not set.
void keep_from_children(int fd);

}  // namespace xylem::signalling
