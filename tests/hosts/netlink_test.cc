// SPDX-License-Identifier: Apache-2.0
// The resolver against a real kernel: two network namespaces joined by a veth pair. The test process lives in the
// first.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "control/netlink/port_reservation.h"
#include "control/netlink/resolver.h"
#include "dataplane/base/address_text.h"

namespace xylem::netlink {
namespace {

constexpr int kSkipped = 77;
constexpr auto kDeadline = std::chrono::seconds(20);
constexpr Timing kQuick{
    .first_retry_ms = 50, .max_retry_ms = 200, .confirm_ms = 200, .refresh_ms = 500, .settle_ms = 5};

uint64_t now_ms() {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
}

void run(const std::string& command) { ASSERT_EQ(std::system((command + " >/dev/null 2>&1").c_str()), 0) << command; }

void write_sysctl(const std::string& path, int value) {
    std::ofstream file("/proc/sys/net/" + path);
    file << value << std::flush;
    ASSERT_TRUE(file) << path;
}

/// The same checks for both families.
struct Family {
    const char* name;
    const char *ours, *peer, *nobody, *behind_gateway, *nowhere;
};
constexpr Family kV4{"ipv4", "10.77.0.1", "10.77.0.2", "10.77.0.99", "10.88.0.5", "172.31.0.1"};
constexpr Family kV6{"ipv6", "fd77::1", "fd77::2", "fd77::99", "fd88::5", "fd99::1"};

IpAddress ip(const char* text) { return *parse_ip(text); }

class TwoHosts : public testing::TestWithParam<Family> {
  protected:
    void SetUp() override {
        old_namespace_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        const std::string id = std::to_string(getpid());
        a_ = "xynetlink-a" + id;
        b_ = "xynetlink-b" + id;
        run("ip netns add " + a_);
        run("ip netns add " + b_);
        run("ip -n " + a_ + " link add va type veth peer name vb netns " + b_);
        run("ip -n " + a_ + " link set lo up");
        for (const auto& [ns, link, host] : {std::tuple{a_, "va", "1"}, std::tuple{b_, "vb", "2"}}) {
            run("ip -n " + ns + " addr add 10.77.0." + host + "/24 dev " + link);
            run("ip -n " + ns + " addr add fd77::" + host + "/64 dev " + link + " nodad");
            run("ip -n " + ns + " link set " + link + " up");
        }
        run("ip -n " + a_ + " route add 10.88.0.0/16 via 10.77.0.2 mtu 1400");
        run("ip -n " + a_ + " -6 route add fd88::/64 via fd77::2 mtu 1400");
        enter(a_);
        if (HasFatalFailure()) return;
        hurry();
        open_resolver();
    }
    void TearDown() override {
        resolver_.reset();
        (void)!setns(old_namespace_, CLONE_NEWNET);
        close(old_namespace_);
        for (const std::string& ns : {a_, b_})
            run("ip netns del " + ns);
    }

    void enter(const std::string& ns) {
        const int fd = open(("/run/netns/" + ns).c_str(), O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(setns(fd, CLONE_NEWNET), 0) << ns;
        close(fd);
    }
    /// Shortens the kernel's neighbour timers, so that failures take tenths of seconds.
    void hurry() {
        for (const std::string family : {"ipv4", "ipv6"}) {
            write_sysctl(family + "/neigh/va/retrans_time_ms", 50);
            write_sysctl(family + "/neigh/va/delay_first_probe_time", 1);
        }
    }
    void open_resolver() {
        Result<std::unique_ptr<Resolver>> opened = Resolver::open(kQuick);
        ASSERT_TRUE(opened) << opened.error().what;
        resolver_ = std::move(*opened);
    }

    /// Runs the resolver's loop until `condition` holds; false: not within the deadline.
    template <class Condition>
    bool until(Condition condition) {
        const auto end = std::chrono::steady_clock::now() + kDeadline;
        while (!condition()) {
            if (std::chrono::steady_clock::now() > end) return false;
            const uint64_t next = resolver_->next_timer_ms().value_or(now_ms() + 100);
            const uint64_t now = now_ms();
            pollfd poll_fd{resolver_->fd(), POLLIN, 0};
            poll(&poll_fd, 1, next > now ? static_cast<int>(std::min<uint64_t>(next - now, 100)) : 0);
            if (poll_fd.revents != 0) resolver_->on_readable(now_ms());
            resolver_->on_timer(now_ms());
        }
        return true;
    }
    WatchId watch(const char* dest) {
        return resolver_->watch(
            ip(dest),
            [this](const NextHop& hop) {
                last_ = hop;
                ++n_calls_;
            },
            now_ms());
    }
    bool resolves(WatchId id) {
        return until([&] { return resolver_->next_hop(id).is_resolved; });
    }
    /// Something that the peer's kernel sends to us.
    void peer_speaks() { run("ip netns exec " + b_ + " bash -c 'echo > /dev/udp/" + GetParam().ours + "/9'"); }

    std::string a_, b_;
    int old_namespace_ = -1;
    std::unique_ptr<Resolver> resolver_;
    NextHop last_;
    int n_calls_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Netlink, TwoHosts, testing::Values(kV4, kV6),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(TwoHosts, ADirectRouteNamesTheLinkAndOurAddress) {
    const Result<Route> route = resolver_->lookup(ip(GetParam().peer));
    ASSERT_TRUE(route) << route.error().what;
    EXPECT_EQ(route->kind, RouteKind::kUnicast);
    EXPECT_EQ(route->ifindex, resolver_->link("va")->ifindex);
    EXPECT_EQ(route->source, ip(GetParam().ours));
    EXPECT_EQ(route->hop, ip(GetParam().peer));
}

TEST_P(TwoHosts, ARouteOverAGatewayResolvesTheGateway) {
    const WatchId id = watch(GetParam().behind_gateway);
    ASSERT_TRUE(resolves(id));
    EXPECT_EQ(resolver_->next_hop(id).gateway_or_dest, ip(GetParam().peer));
    EXPECT_EQ(resolver_->next_hop(id).mtu_bytes, 1400u);
}

TEST_P(TwoHosts, NoRouteIsEnetunreach) {
    const Result<Route> route = resolver_->lookup(ip(GetParam().nowhere));
    ASSERT_FALSE(route);
    EXPECT_EQ(route.error().code, ENETUNREACH);
    EXPECT_NE(route.error().what.find(GetParam().nowhere), std::string::npos);
    EXPECT_EQ(resolver_->next_hop(watch(GetParam().nowhere)).error, ENETUNREACH);
}

TEST_P(TwoHosts, OurOwnAddressIsLocal) {
    const NextHop hop = resolver_->next_hop(watch(GetParam().ours));
    EXPECT_TRUE(hop.is_local);
    EXPECT_TRUE(hop.is_resolved);
    EXPECT_TRUE(resolver_->is_ours(ip(GetParam().ours)));
    EXPECT_FALSE(resolver_->is_ours(ip(GetParam().peer)));
    EXPECT_TRUE(resolver_->is_ours(ip("127.9.9.9")));
    EXPECT_TRUE(resolver_->is_ours(ip("::1")));
}

TEST_P(TwoHosts, AnUnresolvedNeighbourIsResolved) {
    const WatchId id = watch(GetParam().peer);
    EXPECT_FALSE(resolver_->next_hop(id).is_resolved);
    ASSERT_TRUE(until([&] { return last_.is_resolved; }));
    EXPECT_EQ(last_, resolver_->next_hop(id));
    EXPECT_EQ(last_.source_mac, resolver_->link("va")->mac);
    EXPECT_NE(last_.dest_mac, MacAddress{});
    EXPECT_EQ(last_.mtu_bytes, 1500u);
}

TEST_P(TwoHosts, ANeighbourThatComesLateIsResolvedWhenItComes) {
    const WatchId id = watch(GetParam().nobody);
    const uint64_t start_ms = now_ms();
    until([&] { return now_ms() > start_ms + 600; });  // long enough to have failed and been retried
    EXPECT_FALSE(resolver_->next_hop(id).is_resolved);
    run("ip -n " + b_ + " addr add " + GetParam().nobody + (ip(GetParam().nobody).is_v4() ? "/24" : "/64") +
        " dev vb " + (ip(GetParam().nobody).is_v4() ? "" : "nodad"));
    EXPECT_TRUE(resolves(id));
}

TEST_P(TwoHosts, AChangedMacIsFollowedWhenThePeerSpeaks) {
    const WatchId id = watch(GetParam().peer);
    ASSERT_TRUE(resolves(id));
    run("ip -n " + b_ + " link set vb address 02:77:00:00:00:99");
    peer_speaks();
    EXPECT_TRUE(until([&] { return to_string(last_.dest_mac) == "02:77:00:00:00:99"; }));
}

TEST_P(TwoHosts, ASilentlyChangedMacIsFoundOnSuspicion) {
    const WatchId id = watch(GetParam().peer);
    ASSERT_TRUE(resolves(id));
    run("ip -n " + b_ + " link set vb address 02:77:00:00:00:98");
    resolver_->suspect(id);
    EXPECT_TRUE(until([&] { return to_string(last_.dest_mac) == "02:77:00:00:00:98"; }));
}

TEST_P(TwoHosts, ASilentlyChangedMacIsFoundByConfirmation) {
    write_sysctl(std::string(GetParam().name) + "/neigh/va/base_reachable_time_ms", 200);
    const WatchId id = watch(GetParam().peer);
    ASSERT_TRUE(resolves(id));
    run("ip -n " + b_ + " link set vb address 02:77:00:00:00:97");
    EXPECT_TRUE(until([&] { return to_string(last_.dest_mac) == "02:77:00:00:00:97"; }));
}

TEST_P(TwoHosts, SuspicionDoesNotDisturbAHealthyNeighbour) {
    const WatchId id = watch(GetParam().peer);
    ASSERT_TRUE(resolves(id));
    const int n_calls = n_calls_;
    resolver_->suspect(id);
    const uint64_t start_ms = now_ms();
    until([&] { return now_ms() > start_ms + 500; });
    EXPECT_EQ(n_calls_, n_calls);
}

TEST_P(TwoHosts, ALinkThatGoesDownAndUpIsReported) {
    bool is_running = true;
    int n_link_calls = 0;
    resolver_->set_on_link([&](const Link& link, bool) {
        if (link.name != "va") return;
        is_running = link.is_running;
        ++n_link_calls;
    });
    const WatchId id = watch(GetParam().peer);
    ASSERT_TRUE(resolves(id));

    run("ip -n " + b_ + " link set vb down");  // our carrier goes
    ASSERT_TRUE(until([&] { return !is_running; }));
    EXPECT_FALSE(last_.is_resolved);
    EXPECT_EQ(last_.error, ENETDOWN);

    run("ip -n " + b_ + " link set vb up");
    if (ip(GetParam().peer).is_v6()) run("ip -n " + b_ + " addr replace fd77::2/64 dev vb nodad");
    ASSERT_TRUE(until([&] { return last_.is_resolved; }));
    EXPECT_TRUE(is_running);
    EXPECT_GE(n_link_calls, 2);
}

TEST_P(TwoHosts, ALinkThatIsRemovedIsReported) {
    bool is_gone = false;
    resolver_->set_on_link([&](const Link& link, bool gone) { is_gone = is_gone || (gone && link.name == "va"); });
    const WatchId id = watch(GetParam().peer);
    ASSERT_TRUE(resolves(id));
    run("ip -n " + a_ + " link del va");
    ASSERT_TRUE(until([&] { return is_gone && last_.error == ENETUNREACH; }));
    EXPECT_EQ(resolver_->link("va"), nullptr);
}

TEST_P(TwoHosts, AChangedMtuIsReported) {
    ASSERT_TRUE(resolves(watch(GetParam().peer)));
    run("ip -n " + a_ + " link set va mtu 1480");
    EXPECT_TRUE(until([&] { return last_.mtu_bytes == 1480; }));
}

TEST_P(TwoHosts, AnAddressThatIsRemovedIsNoLongerOurs) {
    int n_address_calls = 0;
    resolver_->set_on_addresses([&] { ++n_address_calls; });
    ASSERT_TRUE(resolves(watch(GetParam().peer)));
    run("ip -n " + a_ + " addr flush dev va");
    ASSERT_TRUE(until([&] { return last_.error == ENETUNREACH; }));
    EXPECT_GT(n_address_calls, 0);
    EXPECT_FALSE(resolver_->is_ours(ip(GetParam().ours)));
}

TEST_P(TwoHosts, AChangedRouteIsFollowed) {
    const WatchId id = watch(GetParam().nowhere);
    const bool is_v4 = ip(GetParam().nowhere).is_v4();
    run("ip -n " + a_ + (is_v4 ? "" : " -6") + " route add " + GetParam().nowhere + " via " + GetParam().peer);
    ASSERT_TRUE(resolves(id));
    run("ip -n " + a_ + (is_v4 ? "" : " -6") + " route del " + GetParam().nowhere);
    EXPECT_TRUE(until([&] { return last_.error == ENETUNREACH; }));
}

TEST_P(TwoHosts, AWatchThatEndsHearsNoMore) {
    const WatchId first = watch(GetParam().peer), second = watch(GetParam().peer);
    ASSERT_TRUE(resolves(first));
    EXPECT_EQ(n_calls_, 2);
    resolver_->unwatch(second);
    resolver_->unwatch(second);
    run("ip -n " + a_ + " link set va mtu 1480");
    EXPECT_TRUE(until([&] { return last_.mtu_bytes == 1480; }));
    EXPECT_EQ(n_calls_, 3);
    resolver_->unwatch(first);
    EXPECT_EQ(resolver_->next_timer_ms(), std::nullopt);
}

TEST_P(TwoHosts, ACallbackMayUnwatch) {
    WatchId id = 0;
    bool was_called = false;
    id = resolver_->watch(
        ip(GetParam().peer),
        [&](const NextHop&) {
            was_called = true;
            resolver_->unwatch(id);
        },
        now_ms());
    EXPECT_TRUE(until([&] { return was_called; }));
    EXPECT_EQ(resolver_->next_hop(id).error, EBADF);
}

TEST_P(TwoHosts, LostAnnouncementsAreMadeGood) {
    ASSERT_TRUE(resolves(watch(GetParam().peer)));
    const int bytes = 1;  // the kernel's least: a few announcements
    setsockopt(resolver_->fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    for (int i = 0; i < 40; ++i)
        run("ip -n " + a_ + " link set va mtu " + std::to_string(1440 + i));
    EXPECT_TRUE(until([&] { return last_.mtu_bytes == 1479 && resolver_->link("va")->mtu_bytes == 1479; }));
}

TEST_P(TwoHosts, WithoutPrivilegeANeighbourIsResolvedToo) {
    const pid_t child = fork();
    if (child == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
        open_resolver();
        _exit(resolves(watch(GetParam().peer)) ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
}

TEST_P(TwoHosts, AReservedDataPortIsSilentAndTaken) {
    const Result<PortReservation> reserved = PortReservation::open(7471);
    ASSERT_TRUE(reserved) << reserved.error().what;
    const Result<PortReservation> again = PortReservation::open(7471);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, EADDRINUSE);
    EXPECT_EQ(again.error().what,
              "data port 7471 is already in use by another program: choose another with --data-port");

    const int family = ip(GetParam().ours).family;
    const auto answer_to_a_datagram_at = [&](uint16_t port) {
        sockaddr_storage to{};
        to.ss_family = static_cast<sa_family_t>(family);
        if (family == AF_INET)
            inet_pton(AF_INET, GetParam().ours, &reinterpret_cast<sockaddr_in&>(to).sin_addr);
        else
            inet_pton(AF_INET6, GetParam().ours, &reinterpret_cast<sockaddr_in6&>(to).sin6_addr);
        reinterpret_cast<sockaddr_in&>(to).sin_port = htons(port);
        const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
        EXPECT_EQ(send(fd, "x", 1, 0), 1);
        char byte;
        const int code = recv(fd, &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
        close(fd);
        return code;
    };
    EXPECT_EQ(answer_to_a_datagram_at(7471), EAGAIN);
    EXPECT_EQ(answer_to_a_datagram_at(7472), ECONNREFUSED);  // so the test can tell
}

}  // namespace
}  // namespace xylem::netlink

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (geteuid() != 0 || std::system("ip netns list >/dev/null 2>&1") != 0) {
        std::puts("skipped: needs root and iproute2 for network namespaces");
        return xylem::netlink::kSkipped;
    }
    return RUN_ALL_TESTS();
}
