// SPDX-License-Identifier: Apache-2.0
// Hosts on loopback addresses, each with its own event loop, turned by hand in one thread; and hostile ones on raw
// sockets.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/signalling/codec.h"
#include "control/signalling/peers.h"
#include "control/signalling/rules.h"

namespace xylem::signalling {

inline constexpr uint16_t kTestPort = 17470;

// Loopback addresses of this process alone, so that tests run beside each other: 127.a.b.n.
inline IpAddress test_address(unsigned n) {
    uint32_t pid = static_cast<uint32_t>(getpid());
    IpAddress ip = IpAddress::v4(htonl(0x7f000000u | (1 + pid % 250) << 16 | (pid / 250 % 250) << 8 | n));
    return ip;
}

inline Config test_config(unsigned n) {
    Config config;
    config.signal_port = kTestPort;
    config.data_port = static_cast<uint16_t>(20000 + n);
    config.heartbeat_interval_ms = 60000;
    config.listen_addresses = {test_address(n)};
    return config;
}

inline proto::Envelope numbered(uint64_t number) {
    proto::Envelope envelope;
    envelope.mutable_leave()->set_join(number);
    return envelope;
}

struct TestHost : Listener {
    struct Loss {
        PeerId peer;
        int code;
    };
    explicit TestHost(Config config) : peers(context, std::move(config), *this) {}
    explicit TestHost(unsigned n) : TestHost(test_config(n)) { EXPECT_TRUE(peers.listen()); }

    void on_message(PeerId peer, const proto::Envelope& envelope) override {
        received[peer].push_back(envelope.leave().join());
        n_received++;
        if (on_received) on_received(peer, envelope);
    }
    void on_peer_up(PeerId peer) override { ups.push_back(peer); }
    void on_peer_lost(PeerId peer, int code) override { losses.push_back({peer, code}); }
    void on_notice(std::string_view sentence) override { notices.emplace_back(sentence); }

    // The answer of a dial, once it is there.
    std::shared_ptr<std::optional<Result<PeerId>>> dial(const IpAddress& address) {
        auto answer = std::make_shared<std::optional<Result<PeerId>>>();
        peers.dial(address, [answer](Result<PeerId> result) { *answer = std::move(result); });
        return answer;
    }
    bool lost(int code) const { return !losses.empty() && losses.back().code == code; }

    asio::io_context context;
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
    Peers peers;
    std::vector<PeerId> ups;
    std::vector<Loss> losses;
    std::map<PeerId, std::vector<uint64_t>> received;
    size_t n_received = 0;
    std::function<void(PeerId, const proto::Envelope&)> on_received;
    std::vector<std::string> notices;
};

// Turns the loops of `hosts` until `condition` holds; false after the deadline.
inline bool turn_until(std::vector<TestHost*> hosts, const std::function<bool()>& condition) {
    auto deadline = Clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (Clock::now() > deadline) return false;
        size_t n_done = 0;
        for (TestHost* host : hosts)
            n_done += host->context.poll();
        if (n_done == 0) hosts.front()->context.run_one_for(std::chrono::milliseconds(1));
    }
    return true;
}

// A peer, or what pretends to be one, on a raw socket.
class RawPeer {
  public:
    RawPeer(unsigned from, unsigned to) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in source = socket_address(from, 0), target = socket_address(to, kTestPort);
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&source), sizeof source), 0);
        EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&target), sizeof target), 0) << strerror(errno);
        fcntl(fd_, F_SETFL, O_NONBLOCK);
    }
    explicit RawPeer(int fd) : fd_(fd) { fcntl(fd_, F_SETFL, O_NONBLOCK); }
    RawPeer(RawPeer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    ~RawPeer() { close(); }

    void close() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    void break_off() {  // RST
        linger now{.l_onoff = 1, .l_linger = 0};
        setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close();
    }
    // False: the other side has ended the connection. What does not fit now is not sent.
    bool write(std::string_view bytes) {
        return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
    }
    bool write(const proto::Envelope& envelope) {
        std::string out;
        append_frame(envelope, out);
        return write(out);
    }
    // Reads what is there. Then: `received`, and whether the other side has ended the connection.
    bool has_ended() {
        uint8_t chunk[4096];
        ssize_t n;
        while ((n = recv(fd_, chunk, sizeof chunk, 0)) > 0) {
            reader_.feed({chunk, static_cast<size_t>(n)});
            proto::Envelope envelope;
            while (reader_.next(envelope) == FrameStatus::complete)
                received.push_back(envelope);
        }
        return n == 0 || errno != EAGAIN;
    }
    bool has_received(size_t n) {
        (void)has_ended();
        return received.size() >= n;
    }

    static sockaddr_in socket_address(unsigned n, uint16_t port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = test_address(n).v4_be();
        return address;
    }
    static proto::Envelope hello(const InstanceId& instance, uint16_t signal_port = kTestPort) {
        proto::Envelope envelope;
        proto::Hello& hello = *envelope.mutable_hello();
        hello.set_version(kSignallingVersion);
        hello.set_instance(instance.data(), instance.size());
        hello.set_signal_port(signal_port);
        hello.set_heartbeat_interval_ms(60000);
        return envelope;
    }
    static proto::Envelope heartbeat() {
        proto::Envelope envelope;
        envelope.mutable_heartbeat();
        return envelope;
    }

    std::vector<proto::Envelope> received;

  private:
    int fd_;
    FrameReader reader_;
};

// Ids on either side of every random one.
inline InstanceId lowest_instance(uint8_t last) {
    InstanceId instance{};
    instance.back() = last;
    return instance;
}
inline InstanceId highest_instance(uint8_t last) {
    InstanceId instance;
    instance.fill(0xff);
    instance.back() = last;
    return instance;
}

// A listening raw socket at test_address(n).
class RawListener {
  public:
    explicit RawListener(unsigned n, int backlog = 16) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        int one = 1;
        setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        sockaddr_in here = RawPeer::socket_address(n, kTestPort);
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&here), sizeof here), 0) << strerror(errno);
        EXPECT_EQ(listen(fd_, backlog), 0);
        fcntl(fd_, F_SETFL, O_NONBLOCK);
    }
    ~RawListener() { ::close(fd_); }
    // -1: nobody has connected.
    int accept() { return ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC); }

  private:
    int fd_;
};

}  // namespace xylem::signalling
