// SPDX-License-Identifier: Apache-2.0
// Memberships and the ways to groups against a real kernel, in a network namespace of this process's own.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "control/netlink/membership.h"
#include "control/netlink/resolver.h"
#include "dataplane/base/address_text.h"

namespace xylem::netlink {
namespace {

void run(const std::string& command) { ASSERT_EQ(std::system((command + " >/dev/null 2>&1").c_str()), 0) << command; }

IpAddress ip(const char* text) { return *parse_ip(text); }

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Family {
    const char* name;
    const char *group, *source, *ours, *level;
};
constexpr Family kV4{"ipv4", "239.7.7.7", "10.77.0.9", "10.77.0.1", "/proc/self/net/igmp"};
constexpr Family kV6{"ipv6", "ff15::707", "fd77::9", "fd77::1", "/proc/self/net/igmp6"};

class Groups : public testing::TestWithParam<Family> {
  protected:
    void SetUp() override {
        ASSERT_EQ(unshare(CLONE_NEWNET), 0);
        run("ip link set lo up");
        run("ip link add va type veth peer name vb");
        run("ip addr add 10.77.0.1/24 dev va");
        run("ip addr add fd77::1/64 dev va nodad");
        run("ip link set vb up");
        run("ip link set va up");
        Result<std::unique_ptr<Resolver>> opened = Resolver::open();
        ASSERT_TRUE(opened) << opened.error().what;
        resolver_ = std::move(*opened);
        ifindex_ = resolver_->link("va")->ifindex;
    }

    /// What `ip maddr` calls the group, when the kernel is a member on `va`.
    static bool is_member() {
        std::string line;
        FILE* pipe = popen("ip maddr show dev va", "r");
        for (int c; (c = fgetc(pipe)) != EOF;)
            line += static_cast<char>(c);
        pclose(pipe);
        return line.find(GetParam().group) != std::string::npos;
    }
    /// Lines of the kernel's list of source filters, without its head.
    static size_t n_filters() {
        const std::string text =
            text_of(GetParam().name == std::string("ipv4") ? "/proc/self/net/mcfilter" : "/proc/self/net/mcfilter6");
        return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) - 1;
    }
    std::vector<IpAddress> sources(unsigned n) const {
        std::vector<IpAddress> all;
        for (unsigned i = 0; i < n; ++i) {
            IpAddress one = ip(GetParam().source);
            one.bytes[one.is_v4() ? 3 : 15] = static_cast<uint8_t>(100 + i);
            all.push_back(one);
        }
        return all;
    }

    std::unique_ptr<Resolver> resolver_;
    Memberships memberships_;
    int ifindex_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Both, Groups, testing::Values(kV4, kV6), [](const auto& info) { return info.param.name; });

TEST_P(Groups, AMembershipLivesAsLongAsSomebodyHoldsIt) {
    EXPECT_FALSE(is_member());
    auto first = memberships_.join(ip(GetParam().group), ifindex_, {});
    ASSERT_TRUE(first) << first.error().what;
    EXPECT_TRUE(is_member());
    auto second = memberships_.join(ip(GetParam().group), ifindex_, {});
    ASSERT_TRUE(second);
    EXPECT_EQ(*first, *second);
    EXPECT_EQ(memberships_.count(), 1U);
    first->reset();
    EXPECT_TRUE(is_member());
    second->reset();
    EXPECT_FALSE(is_member());
    EXPECT_EQ(memberships_.count(), 0U);
    auto again = memberships_.join(ip(GetParam().group), ifindex_, {});
    ASSERT_TRUE(again);
    EXPECT_TRUE(is_member());
}

TEST_P(Groups, MoreSourcesThanOneSocketOfTheKernelsTakes) {
    auto all = sources(32);
    all.push_back(all.front());
    auto held = memberships_.join(ip(GetParam().group), ifindex_, all);
    ASSERT_TRUE(held) << held.error().what;
    EXPECT_TRUE(is_member());
    EXPECT_EQ(n_filters(), 32U);
    // The same set in another order is the same membership.
    const std::vector<IpAddress> turned(all.rbegin(), all.rend());
    auto same = memberships_.join(ip(GetParam().group), ifindex_, turned);
    ASSERT_TRUE(same);
    EXPECT_EQ(*held, *same);
    held->reset();
    same->reset();
    EXPECT_FALSE(is_member());
    EXPECT_EQ(n_filters(), 0U);
}

TEST_P(Groups, WhatCannotBeJoinedSaysWhyAndLeavesNothing) {
    auto no_group = memberships_.join(ip(GetParam().ours), ifindex_, {});
    ASSERT_FALSE(no_group);
    EXPECT_EQ(no_group.error().code, EINVAL);
    auto no_interface = memberships_.join(ip(GetParam().group), 9999, {});
    ASSERT_FALSE(no_interface);
    EXPECT_EQ(no_interface.error().code, ENODEV);
    const IpAddress other = ip(GetParam().name == std::string("ipv4") ? kV6.source : kV4.source);
    auto mixed = memberships_.join(ip(GetParam().group), ifindex_, {sources(1)[0], other});
    ASSERT_FALSE(mixed);
    EXPECT_EQ(mixed.error().code, EINVAL);
    EXPECT_FALSE(is_member());
    EXPECT_EQ(memberships_.count(), 0U);
}

TEST_P(Groups, TheKernelsLimitIsENOBUFS) {
    // A membership takes option memory of its socket: none is left.
    const std::string path = "/proc/sys/net/core/optmem_max";
    const std::string before = text_of(path);
    if (before.empty()) GTEST_SKIP() << "this kernel has one limit for all namespaces";
    std::ofstream(path) << 1 << std::flush;
    const auto refused = memberships_.join(ip(GetParam().group), ifindex_, {});
    std::ofstream(path) << before << std::flush;
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ENOBUFS);
    EXPECT_FALSE(is_member());
}

TEST_P(Groups, ADatagramOfTheGroupIsNotQueuedAtItsSocket) {
    auto held = memberships_.join(ip(GetParam().group), ifindex_, {});
    ASSERT_TRUE(held);
    // Bound to nothing, so no socket of this process is in the kernel's table of UDP ports.
    EXPECT_EQ(text_of("/proc/self/net/udp").find("\n"), text_of("/proc/self/net/udp").rfind("\n"));
    EXPECT_EQ(text_of("/proc/self/net/udp6").find("\n"), text_of("/proc/self/net/udp6").rfind("\n"));
}

TEST_P(Groups, TheWayToAGroupOverAnInterfaceNeedsNoRouteAndNoNeighbour) {
    const IpAddress group = ip(GetParam().group);
    const auto route = resolver_->lookup(group, ifindex_);
    ASSERT_TRUE(route) << route.error().what;
    EXPECT_EQ(route->kind, RouteKind::kMulticast);
    EXPECT_EQ(route->ifindex, ifindex_);
    EXPECT_EQ(to_string(route->source), GetParam().ours);
    const WatchId id = resolver_->watch(
        group, [](const NextHop&) {}, 0, ifindex_);
    const NextHop hop = resolver_->next_hop(id);
    EXPECT_TRUE(hop.is_resolved);
    EXPECT_EQ(hop.dest_mac, multicast_mac(group));
    EXPECT_EQ(hop.source_mac, resolver_->link("va")->mac);
    EXPECT_EQ(hop.mtu_bytes, 1500U);
}

}  // namespace
}  // namespace xylem::netlink

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (geteuid() != 0 || std::system("ip link show >/dev/null 2>&1") != 0) {
        std::puts("skipped: needs root and iproute2 for network namespaces");
        return 77;
    }
    return RUN_ALL_TESTS();
}
