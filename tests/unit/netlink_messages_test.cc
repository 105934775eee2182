// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/messages.h"

#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <sys/socket.h>

#include <cstring>

#include "dataplane/base/address_text.h"

namespace xylem::netlink {
namespace {

constexpr MacAddress kMac{{2, 0, 0, 0, 0, 1}};

IpAddress ip(const char* text) { return *parse_ip(text); }

template <class Header>
Message start(uint16_t type, Header header) {
    Message message(nlmsg_alloc());
    nlmsg_put(message.get(), 0, 0, type, 0, 0);
    nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO);
    return message;
}

void put_ip(const Message& message, int type, const char* text) {
    const IpAddress address = ip(text);
    nla_put(message.get(), type, address.is_v4() ? 4 : 16, address.bytes.data());
}

const nlmsghdr& header_of(const Message& message) { return *nlmsg_hdr(message.get()); }

Message link_message(unsigned flags) {
    ifinfomsg header{};
    header.ifi_index = 7;
    header.ifi_flags = flags;
    Message message = start(RTM_NEWLINK, header);
    nla_put_string(message.get(), IFLA_IFNAME, "eth0");
    nla_put(message.get(), IFLA_ADDRESS, 6, kMac.bytes.data());
    nla_put_u32(message.get(), IFLA_MTU, 9000);
    return message;
}

Message neighbour_of(uint16_t state, bool has_mac = true) {
    ndmsg header{};
    header.ndm_family = AF_INET;
    header.ndm_ifindex = 7;
    header.ndm_state = state;
    Message message = start(RTM_NEWNEIGH, header);
    put_ip(message, NDA_DST, "10.0.0.2");
    if (has_mac) nla_put(message.get(), NDA_LLADDR, 6, kMac.bytes.data());
    return message;
}

TEST(NetlinkMessages, ALinkIsReadWhole) {
    const auto link = parse_link(header_of(link_message(IFF_UP | IFF_RUNNING)));
    ASSERT_TRUE(link);
    EXPECT_EQ(link->ifindex, 7);
    EXPECT_EQ(link->name, "eth0");
    EXPECT_EQ(link->mac, kMac);
    EXPECT_EQ(link->mtu_bytes, 9000u);
    EXPECT_TRUE(link->is_running);
    EXPECT_TRUE(link->has_neighbours);
    EXPECT_FALSE(parse_link(header_of(link_message(IFF_UP)))->is_running);
    EXPECT_FALSE(parse_link(header_of(link_message(IFF_UP | IFF_NOARP)))->has_neighbours);
    EXPECT_TRUE(parse_link(header_of(link_message(IFF_LOOPBACK)))->is_loopback);
}

TEST(NetlinkMessages, ABridgesSecondAnnouncementOfAPortIsIgnored) {
    ifinfomsg header{};
    header.ifi_family = AF_BRIDGE;
    EXPECT_FALSE(parse_link(header_of(start(RTM_DELLINK, header))));
}

TEST(NetlinkMessages, TheLocalEndOfAPointToPointAddressIsOurs) {
    ifaddrmsg header{};
    header.ifa_family = AF_INET;
    header.ifa_index = 7;
    const Message message = start(RTM_NEWADDR, header);
    put_ip(message, IFA_ADDRESS, "10.0.0.2");
    EXPECT_EQ(parse_address(header_of(message))->ip, ip("10.0.0.2"));
    put_ip(message, IFA_LOCAL, "10.0.0.1");
    EXPECT_EQ(parse_address(header_of(message))->ip, ip("10.0.0.1"));
}

TEST(NetlinkMessages, NeighbourStatesAreTold) {
    const std::pair<uint16_t, NeighbourState> states[] = {
        {NUD_NONE, NeighbourState::kAbsent},         {NUD_INCOMPLETE, NeighbourState::kIncomplete},
        {NUD_REACHABLE, NeighbourState::kConfirmed}, {NUD_STALE, NeighbourState::kStale},
        {NUD_DELAY, NeighbourState::kChecking},      {NUD_PROBE, NeighbourState::kChecking},
        {NUD_FAILED, NeighbourState::kFailed},       {NUD_PERMANENT, NeighbourState::kFixed},
        {NUD_NOARP, NeighbourState::kFixed}};
    for (const auto& [nud, state] : states)
        EXPECT_EQ(parse_neighbour(header_of(neighbour_of(nud)))->state, state) << nud;
    EXPECT_EQ(parse_neighbour(header_of(neighbour_of(NUD_REACHABLE)))->mac, kMac);
}

TEST(NetlinkMessages, AUsableNeighbourWithoutMacIsNone) {
    EXPECT_EQ(parse_neighbour(header_of(neighbour_of(NUD_REACHABLE, false)))->state, NeighbourState::kAbsent);
}

TEST(NetlinkMessages, ADeletedNeighbourIsAbsent) {
    const Message message = neighbour_of(NUD_REACHABLE);
    nlmsg_hdr(message.get())->nlmsg_type = RTM_DELNEIGH;
    EXPECT_EQ(parse_neighbour(header_of(message))->state, NeighbourState::kAbsent);
}

TEST(NetlinkMessages, ARouteOverAGatewayCarriesPathMtuAndSource) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_type = RTN_UNICAST;
    const Message message = start(RTM_NEWROUTE, header);
    nla_put_u32(message.get(), RTA_OIF, 7);
    put_ip(message, RTA_PREFSRC, "10.0.0.1");
    EXPECT_EQ(parse_route(header_of(message), ip("10.9.0.1"))->hop, ip("10.9.0.1"));
    put_ip(message, RTA_GATEWAY, "10.0.0.254");
    nlattr* metrics = nla_nest_start(message.get(), RTA_METRICS);
    nla_put_u32(message.get(), RTAX_MTU, 1400);
    nla_nest_end(message.get(), metrics);

    const auto route = parse_route(header_of(message), ip("10.9.0.1"));
    ASSERT_TRUE(route);
    EXPECT_EQ(route->kind, RouteKind::kUnicast);
    EXPECT_EQ(route->ifindex, 7);
    EXPECT_EQ(route->source, ip("10.0.0.1"));
    EXPECT_EQ(route->hop, ip("10.0.0.254"));
    EXPECT_EQ(route->mtu_bytes, 1400u);
}

TEST(NetlinkMessages, AnIpv4RouteMayHaveAnIpv6Gateway) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    const Message message = start(RTM_NEWROUTE, header);
    struct {
        uint16_t family;
        uint8_t bytes[16];
    } via{AF_INET6, {}};
    std::memcpy(via.bytes, ip("fe80::2").bytes.data(), 16);
    nla_put(message.get(), RTA_VIA, sizeof via, &via);
    EXPECT_EQ(parse_route(header_of(message), ip("10.9.0.1"))->hop, ip("fe80::2"));
}

TEST(NetlinkMessages, AnotherFamilysRouteIsNoAnswer) {
    rtmsg header{};
    header.rtm_family = AF_INET6;
    EXPECT_FALSE(parse_route(header_of(start(RTM_NEWROUTE, header)), ip("10.9.0.1")));
}

TEST(NetlinkMessages, MessagesCutShortAreRefused) {
    const Message messages[] = {link_message(IFF_UP), neighbour_of(NUD_REACHABLE)};
    for (const Message& message : messages) {
        nlmsghdr* header = nlmsg_hdr(message.get());
        for (const uint32_t length : {0u, 4u, 16u, 20u}) {
            header->nlmsg_len = length;
            EXPECT_FALSE(parse_link(*header)) << length;
            EXPECT_FALSE(parse_neighbour(*header)) << length;
        }
    }
}

TEST(NetlinkMessages, AttributesOfTheWrongLengthAreNotRead) {
    ndmsg header{};
    header.ndm_family = AF_INET6;
    header.ndm_state = NUD_REACHABLE;
    const Message message = start(RTM_NEWNEIGH, header);
    put_ip(message, NDA_DST, "10.0.0.2");
    EXPECT_FALSE(parse_neighbour(header_of(message)));
}

TEST(NetlinkMessages, RequestsNameTheirDestination) {
    const Message request = route_request(ip("fe80::2"), 7);
    const nlmsghdr& header = header_of(request);
    EXPECT_EQ(header.nlmsg_type, RTM_GETROUTE);
    const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(&header));
    EXPECT_EQ(route->rtm_family, AF_INET6);
    EXPECT_EQ(route->rtm_dst_len, 128);
    EXPECT_NE(nlmsg_find_attr(nlmsg_hdr(request.get()), sizeof(rtmsg), RTA_OIF), nullptr);
    const auto used = parse_neighbour(header_of(neighbour_use(7, ip("10.0.0.2"))));
    EXPECT_EQ(used->ip, ip("10.0.0.2"));
    EXPECT_EQ(used->ifindex, 7);
}

}  // namespace
}  // namespace xylem::netlink
