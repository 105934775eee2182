// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cerrno>

#include "control/netlink/destination.h"
#include "dataplane/base/address_text.h"

namespace xylem::netlink {
namespace {

constexpr MacAddress kOurMac{{2, 0, 0, 0, 0, 1}}, kPeerMac{{2, 0, 0, 0, 0, 2}}, kOtherMac{{2, 0, 0, 0, 0, 3}};
constexpr Timing kTiming{.first_retry_ms = 1000, .max_retry_ms = 3000, .confirm_ms = 5000};

IpAddress ip(const char* text) { return *parse_ip(text); }

Route direct_route() { return {RouteKind::kUnicast, 7, ip("10.0.0.1"), ip("10.0.0.2"), 0}; }

Link running_link() {
    return {.ifindex = 7,
            .name = "eth0",
            .mac = kOurMac,
            .mtu_bytes = 1500,
            .is_up = true,
            .is_running = true,
            .has_neighbours = true};
}

/// A destination on the link, nothing known about its neighbour.
class DestinationTest : public testing::Test {
  protected:
    DestinationTest() {
        const Route route = direct_route();
        const Link link = running_link();
        destination_.set_route(&route, 0);
        destination_.set_link(&link);
    }
    Destination destination_{ip("10.0.0.2"), 0, kTiming};
};

TEST_F(DestinationTest, AnUnresolvedNeighbourIsAskedForAtOnceAndIsNoError) {
    EXPECT_FALSE(destination_.next_hop().is_resolved);
    EXPECT_EQ(destination_.next_hop().error, 0);
    EXPECT_EQ(destination_.deadline_ms(), 0u);
    EXPECT_TRUE(destination_.take_probe(100));
    EXPECT_FALSE(destination_.take_probe(100));
}

TEST_F(DestinationTest, AResolvedNeighbourGivesTheWholeNextHop) {
    destination_.set_neighbour(NeighbourState::kConfirmed, kPeerMac);
    const NextHop hop = destination_.next_hop();
    EXPECT_TRUE(hop.is_resolved);
    EXPECT_FALSE(hop.is_local);
    EXPECT_EQ(hop.ifindex, 7);
    EXPECT_EQ(hop.source, ip("10.0.0.1"));
    EXPECT_EQ(hop.gateway_or_dest, ip("10.0.0.2"));
    EXPECT_EQ(hop.source_mac, kOurMac);
    EXPECT_EQ(hop.dest_mac, kPeerMac);
    EXPECT_EQ(hop.mtu_bytes, 1500u);
    EXPECT_EQ(destination_.deadline_ms(), std::nullopt);
    EXPECT_FALSE(destination_.take_probe(1));
}

TEST_F(DestinationTest, AFailedNeighbourIsAskedForAgainWithBackOff) {
    std::vector<uint64_t> probed_at_ms;
    for (uint64_t now_ms = 0; now_ms <= 12000; now_ms += 500) {
        if (destination_.take_probe(now_ms)) probed_at_ms.push_back(now_ms);
        destination_.set_neighbour(NeighbourState::kFailed, {});
    }
    EXPECT_EQ(probed_at_ms, (std::vector<uint64_t>{0, 1000, 3000, 6000, 9000, 12000}));
}

TEST_F(DestinationTest, WhileTheKernelIsAskingNobodyElseDoes) {
    destination_.set_neighbour(NeighbourState::kIncomplete, {});
    EXPECT_FALSE(destination_.take_probe(1000000));
    EXPECT_FALSE(destination_.next_hop().is_resolved);
}

TEST_F(DestinationTest, AStaleNeighbourIsUsedAndConfirmedNowAndThen) {
    destination_.set_neighbour(NeighbourState::kStale, kPeerMac);
    EXPECT_TRUE(destination_.next_hop().is_resolved);
    EXPECT_TRUE(destination_.take_probe(100));
    EXPECT_FALSE(destination_.take_probe(5099));
    EXPECT_EQ(destination_.deadline_ms(), 5100u);
    EXPECT_TRUE(destination_.take_probe(5100));
}

TEST_F(DestinationTest, ANeighbourThatFailsAfterItWasUsableIsAskedForAtOnce) {
    destination_.take_probe(0);
    destination_.set_neighbour(NeighbourState::kStale, kPeerMac);
    destination_.take_probe(100);
    destination_.set_neighbour(NeighbourState::kFailed, kPeerMac);
    EXPECT_FALSE(destination_.next_hop().is_resolved);
    EXPECT_TRUE(destination_.take_probe(101));
}

TEST_F(DestinationTest, AChangedMacIsFollowed) {
    destination_.set_neighbour(NeighbourState::kConfirmed, kPeerMac);
    destination_.set_neighbour(NeighbourState::kStale, kOtherMac);
    EXPECT_EQ(destination_.next_hop().dest_mac, kOtherMac);
}

TEST_F(DestinationTest, AFixedNeighbourIsNeverAskedAbout) {
    destination_.set_neighbour(NeighbourState::kFixed, kPeerMac);
    EXPECT_TRUE(destination_.next_hop().is_resolved);
    EXPECT_FALSE(destination_.is_doubtful());
    EXPECT_FALSE(destination_.take_probe(1000000));
}

TEST_F(DestinationTest, WithoutACarrierNothingIsSentAndNothingIsAsked) {
    Link link = running_link();
    destination_.set_neighbour(NeighbourState::kConfirmed, kPeerMac);
    link.is_running = false;
    destination_.set_link(&link);
    EXPECT_EQ(destination_.next_hop().error, ENETDOWN);
    EXPECT_FALSE(destination_.next_hop().is_resolved);
    EXPECT_FALSE(destination_.take_probe(1000000));

    link.is_running = true;
    destination_.set_link(&link);
    EXPECT_TRUE(destination_.next_hop().is_resolved);
}

TEST_F(DestinationTest, ALinkThatComesBackEndsTheBackOff) {
    Link link = running_link();
    destination_.take_probe(0);
    destination_.set_neighbour(NeighbourState::kFailed, {});
    destination_.take_probe(1000);
    link.is_running = false;
    destination_.set_link(&link);
    link.is_running = true;
    destination_.set_link(&link);
    EXPECT_TRUE(destination_.take_probe(1001));
}

TEST_F(DestinationTest, ALinkThatIsGoneIsAnError) {
    destination_.set_link(nullptr);
    EXPECT_EQ(destination_.next_hop().error, ENETDOWN);
}

TEST_F(DestinationTest, NoRouteIsTheKernelsError) {
    destination_.set_neighbour(NeighbourState::kConfirmed, kPeerMac);
    destination_.set_route(nullptr, ENETUNREACH);
    EXPECT_EQ(destination_.next_hop().error, ENETUNREACH);
    EXPECT_FALSE(destination_.next_hop().is_resolved);
    EXPECT_EQ(destination_.deadline_ms(), std::nullopt);
}

TEST_F(DestinationTest, ARouteOverAnotherGatewayForgetsTheOldNeighbour) {
    destination_.set_neighbour(NeighbourState::kConfirmed, kPeerMac);
    Route other = direct_route();
    other.hop = ip("10.0.0.254");
    destination_.set_route(&other, 0);
    EXPECT_FALSE(destination_.next_hop().is_resolved);
    EXPECT_TRUE(destination_.take_probe(1));
}

TEST_F(DestinationTest, ARouteThatOnlyChangesItsSourceKeepsTheNeighbour) {
    destination_.set_neighbour(NeighbourState::kConfirmed, kPeerMac);
    Route other = direct_route();
    other.source = ip("10.0.0.9");
    destination_.set_route(&other, 0);
    EXPECT_TRUE(destination_.next_hop().is_resolved);
    EXPECT_EQ(destination_.next_hop().source, ip("10.0.0.9"));
}

TEST_F(DestinationTest, AddressesOfThisHostNeedNoNeighbour) {
    const Route local{RouteKind::kLocal, 1, ip("10.0.0.1"), ip("10.0.0.1"), 0};
    Link lo = running_link();
    lo.is_loopback = true;
    lo.has_neighbours = false;
    destination_.set_route(&local, 0);
    destination_.set_link(&lo);
    EXPECT_TRUE(destination_.next_hop().is_local);
    EXPECT_TRUE(destination_.next_hop().is_resolved);
    EXPECT_EQ(destination_.deadline_ms(), std::nullopt);
}

TEST_F(DestinationTest, ARouteWithoutSourceAddressIsAnError) {
    Route bare = direct_route();
    bare.source = {};
    destination_.set_route(&bare, 0);
    destination_.set_neighbour(NeighbourState::kConfirmed, kPeerMac);
    EXPECT_EQ(destination_.next_hop().error, EADDRNOTAVAIL);
    EXPECT_FALSE(destination_.next_hop().is_resolved);
}

TEST_F(DestinationTest, TheSmallerOfPathAndLinkMtuCounts) {
    Route narrow = direct_route();
    narrow.mtu_bytes = 1400;
    destination_.set_route(&narrow, 0);
    EXPECT_EQ(destination_.next_hop().mtu_bytes, 1400u);
    narrow.mtu_bytes = 9000;
    destination_.set_route(&narrow, 0);
    EXPECT_EQ(destination_.next_hop().mtu_bytes, 1500u);
}

TEST_F(DestinationTest, BroadcastIsRefused) {
    Route broadcast = direct_route();
    broadcast.kind = RouteKind::kBroadcast;
    destination_.set_route(&broadcast, 0);
    EXPECT_EQ(destination_.next_hop().error, EACCES);
}

TEST(MulticastDestination, ItsMacFollowsFromTheGroup) {
    Destination destination(ip("239.129.2.3"), 0, kTiming);
    const Route route{RouteKind::kMulticast, 7, ip("10.0.0.1"), ip("239.129.2.3"), 0};
    const Link link = running_link();
    destination.set_route(&route, 0);
    destination.set_link(&link);
    EXPECT_TRUE(destination.next_hop().is_resolved);
    EXPECT_EQ(to_string(destination.next_hop().dest_mac), "01:00:5e:01:02:03");
    EXPECT_EQ(to_string(multicast_mac(ip("ff02::1:ff00:2"))), "33:33:ff:00:00:02");
}

}  // namespace
}  // namespace xylem::netlink
