// SPDX-License-Identifier: Apache-2.0
// A fake daemon and this process as its application.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <xylem/xylem.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/shm/fake_daemon.h"

namespace xylem::test {

inline sockaddr_in address_of(uint16_t port, const char* host = "127.0.0.1") {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

inline const sockaddr* as_sockaddr(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

/// Waits for `condition` with a deadline of ten seconds.
template <class Condition>
bool eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::yield();
    }
    return true;
}

inline bool is_readable(int fd, int timeout_ms) {
    pollfd p{fd, POLLIN, 0};
    return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN) != 0;
}

class ShimTest : public testing::Test {
  protected:
    static constexpr uint16_t kRootPort = 5000;

    void SetUp() override { attach(); }
    void TearDown() override { xy_detach(); }

    void attach() { ASSERT_EQ(xy_attach(daemon.path().c_str()), 0) << strerror(errno); }

    int make_root(int type) {
        const int root = xy_socket(AF_INET, type, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT);
        EXPECT_GE(root, 0) << strerror(errno);
        const sockaddr_in name = address_of(kRootPort);
        EXPECT_EQ(xy_bind(root, as_sockaddr(name), sizeof name), 0) << strerror(errno);
        EXPECT_EQ(xy_listen(root, 5), 0) << strerror(errno);
        return root;
    }

    static int make_leaf(int type) {
        const int leaf = xy_socket(AF_INET, type | SOCK_NONBLOCK, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
        EXPECT_GE(leaf, 0) << strerror(errno);
        return leaf;
    }

    /// Asks and admits; returns the root's descriptor of the leaf.
    int join(int root, int leaf, unsigned flags = XY_BOTH) {
        const sockaddr_in name = address_of(kRootPort);
        EXPECT_EQ(xy_join_leaf(leaf, as_sockaddr(name), sizeof name, nullptr, nullptr, nullptr, nullptr, flags), leaf)
            << strerror(errno);
        const int branch = xy_accept(root, nullptr, nullptr, nullptr, nullptr);
        EXPECT_GE(branch, 0) << strerror(errno);
        return branch;
    }

    struct Pair {
        int root, leaf, branch;
    };
    Pair make_pair(int type, bool is_blocking = false) {
        Pair p{};
        p.root = make_root(type);
        p.leaf = make_leaf(type);
        p.branch = join(p.root, p.leaf);
        if (is_blocking) set_blocking(p.leaf, true);
        return p;
    }

    static void set_blocking(int s, bool is_blocking) {
        const int value = is_blocking ? 0 : 1;
        EXPECT_EQ(xy_ioctl(s, XY_FIONBIO, &value, sizeof value, nullptr, 0, nullptr), 0);
    }

    static ssize_t send_text(int s, const std::string& text, int flags = 0) {
        return xy_send(s, text.data(), text.size(), flags);
    }

    static std::string receive_text(int s, int flags = 0) {
        std::vector<char> buffer(1 << 16);
        const ssize_t n = xy_recv(s, buffer.data(), buffer.size(), flags);
        return n < 0 ? std::string("errno ") + strerrorname_np(errno) : std::string(buffer.data(), n);
    }

    /// Nonblocking sockets: what comes, once something comes.
    static std::string await_text(int s, int flags = 0) {
        std::string text;
        do {
            EXPECT_TRUE(is_readable(s, 10000));
            text = receive_text(s, flags);
        } while (text == "errno EAGAIN" && !HasFailure());
        return text;
    }

    static xy_events take_events(int s, int event_fd = -1) {
        xy_events events{};
        EXPECT_EQ(xy_enum_events(s, event_fd, &events), 0) << strerror(errno);
        return events;
    }

    FakeDaemon daemon;
};

}  // namespace xylem::test
