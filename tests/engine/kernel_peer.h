// SPDX-License-Identifier: Apache-2.0
// The other end of a wire: a network namespace of its own whose kernel sends and receives, at the interface "there".
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

namespace xylem::test {

class Peer {
  public:
    Peer() {
        std::thread([this] {
            EXPECT_EQ(unshare(CLONE_NEWNET), 0);
            fd_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        }).join();
    }
    ~Peer() { close(fd_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    std::string path() const { return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_); }
    /// Runs `work` there.
    void enter(const std::function<void()>& work) const {
        std::thread([&] {
            ASSERT_EQ(setns(fd_, CLONE_NEWNET), 0);
            work();
        }).join();
    }
    void run(const std::string& command) const {
        enter([&] { EXPECT_EQ(system(command.c_str()), 0) << command; });
    }
    /// IPv6 begins there some time after the link came up.
    void wait_until_ready() const {
        const std::string command = "ip -6 route show table all dev there | grep -q multicast";
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        int status = 1;
        while (status != 0 && std::chrono::steady_clock::now() < end)
            enter([&] { status = system(command.c_str()); });
        EXPECT_EQ(status, 0);
    }

  private:
    int fd_ = -1;
};

inline sockaddr_storage address_of(const char* ip, uint16_t port, socklen_t* length) {
    sockaddr_storage storage{};
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        *length = sizeof v4;
    } else {
        EXPECT_EQ(inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        *length = sizeof v6;
    }
    return storage;
}

/// A UDP socket of the other end's kernel, a member of the group.
class KernelSocket {
  public:
    KernelSocket(const Peer& peer, const char* group, uint16_t port) {
        peer.enter([&] { open(group, port); });
    }
    ~KernelSocket() { close(fd_); }
    KernelSocket(const KernelSocket&) = delete;
    KernelSocket& operator=(const KernelSocket&) = delete;

    void send(const char* group, uint16_t port, const std::string& payload) const {
        socklen_t length;
        const sockaddr_storage to = address_of(group, port, &length);
        EXPECT_EQ(sendto(fd_, payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to), length),
                  static_cast<ssize_t>(payload.size()));
    }
    /// False: nothing came in time.
    bool receive(std::string* payload, sockaddr_storage* from, int* ttl) const {
        char bytes[2048], control[256];
        iovec piece{bytes, sizeof bytes};
        msghdr message{};
        message.msg_name = from;
        message.msg_namelen = sizeof *from;
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        pollfd at{fd_, POLLIN, 0};
        if (poll(&at, 1, 20'000) != 1) return false;
        const ssize_t n = recvmsg(fd_, &message, 0);
        if (n < 0) return false;
        payload->assign(bytes, static_cast<size_t>(n));
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header))
            if (header->cmsg_type == IP_TTL || header->cmsg_type == IPV6_HOPLIMIT)
                std::memcpy(ttl, CMSG_DATA(header), sizeof *ttl);
        return true;
    }

  private:
    void open(const char* group, uint16_t port) {
        const bool is_v6 = std::strchr(group, ':') != nullptr;
        const int one = 1, interface = static_cast<int>(if_nametoindex("there"));
        socklen_t length;
        const sockaddr_storage any = address_of(is_v6 ? "::" : "0.0.0.0", port, &length);
        fd_ = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ASSERT_GE(fd_, 0);
        const int room = 16 << 20;
        setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        ASSERT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&any), length), 0);
        if (is_v6) {
            ipv6_mreq request{};
            inet_pton(AF_INET6, group, &request.ipv6mr_multiaddr);
            request.ipv6mr_interface = static_cast<unsigned>(interface);
            EXPECT_EQ(setsockopt(fd_, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request), 0);
            EXPECT_EQ(setsockopt(fd_, IPPROTO_IPV6, IPV6_MULTICAST_IF, &interface, sizeof interface), 0);
            EXPECT_EQ(setsockopt(fd_, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one, sizeof one), 0);
        } else {
            ip_mreqn request{};
            inet_pton(AF_INET, group, &request.imr_multiaddr);
            request.imr_ifindex = interface;
            EXPECT_EQ(setsockopt(fd_, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request), 0);
            EXPECT_EQ(setsockopt(fd_, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request), 0);
            EXPECT_EQ(setsockopt(fd_, IPPROTO_IP, IP_RECVTTL, &one, sizeof one), 0);
        }
    }
    int fd_ = -1;
};

}  // namespace xylem::test
