// SPDX-License-Identifier: Apache-2.0
// The C++ face of xylem.h, header only: a Socket that closes itself, and errors as std::system_error. Where a call may
// only find that it would block, it gives an empty optional.
#pragma once
#include <xylem/xylem.h>

#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace xylem {

/// `result` of an xy_ call, or std::system_error with errno and the call's name.
template <class Result>
Result check(Result result, const char* call) {
    if (result < 0) throw std::system_error(errno, std::system_category(), call);
    return result;
}

/// Owns a descriptor; move only. All calls throw std::system_error.
class Socket {
  public:
    Socket(int family, int type, int protocol, unsigned flags)
        : descriptor_(check(xy_socket(family, type, protocol, flags), "xy_socket")) {}
    /// Takes a descriptor of xy_socket, xy_accept or xy_join_leaf over.
    explicit Socket(int descriptor) noexcept : descriptor_(descriptor) {}
    Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    Socket& operator=(Socket&& other) noexcept {
        if (this != &other) {
            close();
            descriptor_ = std::exchange(other.descriptor_, -1);
        }
        return *this;
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { close(); }

    int descriptor() const noexcept { return descriptor_; }
    int release() noexcept { return std::exchange(descriptor_, -1); }
    void close() noexcept {
        if (descriptor_ >= 0) xy_close(std::exchange(descriptor_, -1));
    }

    void bind(const sockaddr* address, socklen_t length) { check(xy_bind(descriptor_, address, length), "xy_bind"); }
    void listen(int backlog) { check(xy_listen(descriptor_, backlog), "xy_listen"); }

    /// c_root: invites the leaf at `name`; the leaf's own descriptor.
    Socket invite(const sockaddr* name, socklen_t length, unsigned flags = XY_BOTH) {
        return Socket(
            check(xy_join_leaf(descriptor_, name, length, nullptr, nullptr, nullptr, nullptr, flags), "xy_join_leaf"));
    }
    /// c_leaf: asks the root at `name`.
    void join(const sockaddr* name, socklen_t length, unsigned flags = XY_BOTH) {
        check(xy_join_leaf(descriptor_, name, length, nullptr, nullptr, nullptr, nullptr, flags), "xy_join_leaf");
    }
    /// The next request, or nothing (nonblocking).
    std::optional<Socket> accept(xy_condition_fn* condition = nullptr, void* argument = nullptr) {
        const int leaf = xy_accept(descriptor_, nullptr, nullptr, condition, argument);
        if (leaf < 0 && errno == EAGAIN) return std::nullopt;
        return Socket(check(leaf, "xy_accept"));
    }

    /// Bytes sent, or nothing (nonblocking, no room).
    std::optional<std::size_t> send(std::span<const std::byte> bytes, int flags = 0) {
        return transferred(xy_send(descriptor_, bytes.data(), bytes.size(), flags), "xy_send");
    }
    std::optional<std::size_t> send(std::string_view text, int flags = 0) {
        return send(std::as_bytes(std::span(text)), flags);
    }
    /// Bytes received, or nothing (nonblocking, nothing there). At the end a stream gives 0, messages throw ESHUTDOWN.
    std::optional<std::size_t> receive(std::span<std::byte> room, int flags = 0) {
        return transferred(xy_recv(descriptor_, room.data(), room.size(), flags), "xy_recv");
    }
    void shutdown(int how) { check(xy_shutdown(descriptor_, how), "xy_shutdown"); }

    template <class Value>
    void set_option(int level, int name, const Value& value) {
        check(xy_setsockopt(descriptor_, level, name, &value, sizeof value), "xy_setsockopt");
    }
    template <class Value>
    Value option(int level, int name) const {
        Value value{};
        socklen_t length = sizeof value;
        check(xy_getsockopt(descriptor_, level, name, &value, &length), "xy_getsockopt");
        return value;
    }

  private:
    static std::optional<std::size_t> transferred(ssize_t n, const char* call) {
        if (n < 0 && errno == EAGAIN) return std::nullopt;
        return static_cast<std::size_t>(check(n, call));
    }

    int descriptor_;
};

}  // namespace xylem
