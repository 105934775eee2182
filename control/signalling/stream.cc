// SPDX-License-Identifier: Apache-2.0
#include "control/signalling/stream.h"

#include <fcntl.h>

#include <algorithm>

namespace xylem::signalling {

asio::ip::address to_asio(const IpAddress& ip) {
    if (ip.is_v6()) return asio::ip::address_v6(ip.bytes);
    asio::ip::address_v4::bytes_type four;
    std::copy_n(ip.bytes.begin(), four.size(), four.begin());
    return asio::ip::address_v4(four);
}

IpAddress from_asio(const asio::ip::address& address) {
    IpAddress ip;
    if (address.is_v6()) {
        ip.bytes = address.to_v6().to_bytes();
        ip.family = IpAddress::kV6;
    } else {
        auto four = address.to_v4().to_bytes();
        std::copy(four.begin(), four.end(), ip.bytes.begin());
        ip.family = IpAddress::kV4;
    }
    return ip;
}

void keep_from_children(int fd) { fcntl(fd, F_SETFD, FD_CLOEXEC); }

Stream::Stream(asio::ip::tcp::socket accepted) : socket_(std::move(accepted)) {
    asio::error_code ignored;
    keep_from_children(socket_.native_handle());
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

asio::error_code Stream::open(const Endpoint& target, const IpAddress& source) {
    asio::error_code failure;
    asio::ip::tcp::endpoint there = to_asio(target);
    if (!target.ip.is_set()) return asio::error_code(EADDRNOTAVAIL, asio::system_category());
    socket_.open(there.protocol(), failure);
    if (failure) return failure;
    keep_from_children(socket_.native_handle());
    socket_.set_option(asio::ip::tcp::no_delay(true), failure);
    if (!failure && source.is_set()) socket_.bind({to_asio(source), 0}, failure);
    return failure;
}

void Stream::end_writing() {
    asio::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void Stream::close() {
    asio::error_code ignored;
    socket_.close(ignored);
}

bool Stream::has_unread() const {
    asio::error_code failure;
    return socket_.available(failure) > 0 && !failure;
}

IpAddress Stream::remote_ip() const {
    asio::error_code failure;
    auto endpoint = socket_.remote_endpoint(failure);
    return failure ? IpAddress{} : from_asio(endpoint.address());
}

IpAddress Stream::local_ip() const {
    asio::error_code failure;
    auto endpoint = socket_.local_endpoint(failure);
    return failure ? IpAddress{} : from_asio(endpoint.address());
}

}  // namespace xylem::signalling
