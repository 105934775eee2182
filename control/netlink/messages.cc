// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/messages.h"

#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace xylem::netlink {
namespace {

/// The attributes of a message by type; each is checked for its length when it is read.
class AttributeTable {
  public:
    std::optional<uint32_t> number(size_t type) const {
        if (!has(type, sizeof(uint32_t))) return std::nullopt;
        return nla_get_u32(table_[type]);
    }
    std::string text(size_t type) const {
        if (table_[type] == nullptr) return {};
        const auto* chars = static_cast<const char*>(nla_data(table_[type]));
        return std::string(chars, strnlen(chars, static_cast<size_t>(nla_len(table_[type]))));
    }
    std::optional<IpAddress> ip(size_t type, uint8_t family) const {
        const size_t size = family == IpAddress::kV4 ? 4 : 16;
        if (!has(type, size)) return std::nullopt;
        IpAddress out;
        out.family = family;
        std::memcpy(out.bytes.data(), nla_data(table_[type]), size);
        return out;
    }
    std::optional<MacAddress> mac(size_t type) const {
        MacAddress out;
        if (!has(type, out.bytes.size())) return std::nullopt;
        std::memcpy(out.bytes.data(), nla_data(table_[type]), out.bytes.size());
        return out;
    }
    nlattr* raw(size_t type) const { return table_[type]; }

  protected:
    static constexpr size_t kSize = 96;  // more than any of our messages has types
    std::array<nlattr*, kSize> table_{};

  private:
    bool has(size_t type, size_t size) const {
        return table_[type] != nullptr && nla_len(table_[type]) == static_cast<int>(size);
    }
};

/// The same with the message's fixed header in front.
template <class Header, size_t kMaxType>
class Attributes : public AttributeTable {
  public:
    explicit Attributes(const nlmsghdr& message) {
        static_assert(kMaxType < kSize);
        auto* raw = const_cast<nlmsghdr*>(&message);  // libnl's parser takes it writable, and only reads
        if (!nlmsg_valid_hdr(raw, sizeof(Header))) return;
        is_valid_ = nlmsg_parse(raw, sizeof(Header), table_.data(), kMaxType, nullptr) >= 0;
        if (is_valid_) std::memcpy(&header_, nlmsg_data(raw), sizeof header_);
    }
    bool is_valid() const { return is_valid_; }
    const Header& header() const { return header_; }

  private:
    Header header_{};
    bool is_valid_ = false;
};

bool is_ip_family(uint8_t family) { return family == AF_INET || family == AF_INET6; }

NeighbourState state_of(uint16_t nud) {
    if (nud & (NUD_PERMANENT | NUD_NOARP)) return NeighbourState::kFixed;
    if (nud & NUD_REACHABLE) return NeighbourState::kConfirmed;
    if (nud & NUD_STALE) return NeighbourState::kStale;
    if (nud & (NUD_DELAY | NUD_PROBE)) return NeighbourState::kChecking;
    if (nud & NUD_INCOMPLETE) return NeighbourState::kIncomplete;
    if (nud & NUD_FAILED) return NeighbourState::kFailed;
    return NeighbourState::kAbsent;
}

RouteKind kind_of(uint8_t type) {
    switch (type) {
        case RTN_LOCAL:
        case RTN_ANYCAST:
            return RouteKind::kLocal;
        case RTN_MULTICAST:
            return RouteKind::kMulticast;
        case RTN_BROADCAST:
            return RouteKind::kBroadcast;
        default:
            return RouteKind::kUnicast;
    }
}

unsigned path_mtu_bytes(nlattr* metrics) {
    std::array<nlattr*, RTAX_MAX + 1> table{};
    if (metrics == nullptr || nla_parse_nested(table.data(), RTAX_MAX, metrics, nullptr) < 0) return 0;
    const nlattr* mtu = table[RTAX_MTU];
    return mtu != nullptr && nla_len(mtu) == sizeof(uint32_t) ? nla_get_u32(mtu) : 0;
}

/// RTA_VIA: an IPv4 route whose gateway has an IPv6 address (RFC 5549).
std::optional<IpAddress> via_of(nlattr* via) {
    constexpr int kFamilyBytes = sizeof(uint16_t);
    if (via == nullptr || nla_len(via) != kFamilyBytes + 16) return std::nullopt;
    uint16_t family;
    std::memcpy(&family, nla_data(via), sizeof family);
    if (family != AF_INET6) return std::nullopt;
    return IpAddress::v6(static_cast<const uint8_t*>(nla_data(via)) + kFamilyBytes);
}

int ip_size(const IpAddress& ip) { return ip.is_v4() ? 4 : 16; }

template <class Header>
Message make(uint16_t type, uint16_t flags, const Header& header) {
    Message message(nlmsg_alloc());
    if (!message) return nullptr;
    nlmsghdr* put = nlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, NLM_F_REQUEST | flags);
    Header copy = header;
    if (put == nullptr || nlmsg_append(message.get(), &copy, sizeof copy, NLMSG_ALIGNTO) < 0) return nullptr;
    return message;
}

Message neighbour_message(uint16_t type, uint16_t flags, ndmsg header, int ifindex, const IpAddress& ip) {
    header.ndm_family = ip.family;
    header.ndm_ifindex = ifindex;
    Message message = make(type, flags, header);
    if (!message || nla_put(message.get(), NDA_DST, ip_size(ip), ip.bytes.data()) < 0) return nullptr;
    return message;
}

}  // namespace

std::optional<Link> parse_link(const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) return std::nullopt;
    const Attributes<ifinfomsg, IFLA_MAX> attributes(message);
    // Bridges announce their ports a second time under their own family.
    if (!attributes.is_valid() || attributes.header().ifi_family != AF_UNSPEC) return std::nullopt;
    Link link;
    const unsigned flags = attributes.header().ifi_flags;
    link.ifindex = attributes.header().ifi_index;
    link.name = attributes.text(IFLA_IFNAME);
    link.mac = attributes.mac(IFLA_ADDRESS).value_or(MacAddress{});
    link.mtu_bytes = attributes.number(IFLA_MTU).value_or(0);
    link.is_up = flags & IFF_UP;
    link.is_running = link.is_up && (flags & IFF_RUNNING);
    link.is_loopback = flags & IFF_LOOPBACK;
    link.has_neighbours = !(flags & (IFF_LOOPBACK | IFF_NOARP));
    return link;
}

std::optional<LocalAddress> parse_address(const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWADDR && message.nlmsg_type != RTM_DELADDR) return std::nullopt;
    const Attributes<ifaddrmsg, IFA_MAX> attributes(message);
    if (!attributes.is_valid() || !is_ip_family(attributes.header().ifa_family)) return std::nullopt;
    const uint8_t family = attributes.header().ifa_family;
    // On a point-to-point link IFA_ADDRESS is the other end.
    auto ip = attributes.ip(IFA_LOCAL, family);
    if (!ip) ip = attributes.ip(IFA_ADDRESS, family);
    if (!ip) return std::nullopt;
    return LocalAddress{static_cast<int>(attributes.header().ifa_index), *ip};
}

std::optional<Neighbour> parse_neighbour(const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) return std::nullopt;
    const Attributes<ndmsg, NDA_MAX> attributes(message);
    if (!attributes.is_valid() || !is_ip_family(attributes.header().ndm_family)) return std::nullopt;
    const auto ip = attributes.ip(NDA_DST, attributes.header().ndm_family);
    if (!ip || (attributes.header().ndm_flags & NTF_PROXY)) return std::nullopt;
    Neighbour neighbour{attributes.header().ndm_ifindex, *ip, {}, state_of(attributes.header().ndm_state)};
    if (message.nlmsg_type == RTM_DELNEIGH) neighbour.state = NeighbourState::kAbsent;
    const auto mac = attributes.mac(NDA_LLADDR);
    if (mac) neighbour.mac = *mac;
    if (!mac && is_usable(neighbour.state)) neighbour.state = NeighbourState::kAbsent;
    return neighbour;
}

std::optional<Route> parse_route(const nlmsghdr& message, const IpAddress& dest) {
    if (message.nlmsg_type != RTM_NEWROUTE) return std::nullopt;
    const Attributes<rtmsg, RTA_MAX> attributes(message);
    if (!attributes.is_valid() || attributes.header().rtm_family != dest.family) return std::nullopt;
    Route route;
    route.kind = kind_of(attributes.header().rtm_type);
    route.ifindex = static_cast<int>(attributes.number(RTA_OIF).value_or(0));
    route.source = attributes.ip(RTA_PREFSRC, dest.family).value_or(IpAddress{});
    route.hop = attributes.ip(RTA_GATEWAY, dest.family).value_or(via_of(attributes.raw(RTA_VIA)).value_or(dest));
    if (dest.is_multicast()) route.kind = RouteKind::kMulticast;  // IPv6 calls it unicast
    if (route.kind == RouteKind::kLocal && !route.source.is_set()) route.source = dest;
    route.mtu_bytes = path_mtu_bytes(attributes.raw(RTA_METRICS));
    return route;
}

Message route_request(const IpAddress& dest, int via_ifindex) {
    rtmsg header{};
    header.rtm_family = dest.family;
    header.rtm_dst_len = static_cast<uint8_t>(8 * ip_size(dest));
    Message message = make(RTM_GETROUTE, 0, header);
    if (!message || nla_put(message.get(), RTA_DST, ip_size(dest), dest.bytes.data()) < 0) return nullptr;
    if (via_ifindex != 0 && nla_put_u32(message.get(), RTA_OIF, static_cast<uint32_t>(via_ifindex)) < 0) return nullptr;
    return message;
}

Message dump_request(uint16_t type) {
    if (type == RTM_GETLINK) return make(type, NLM_F_DUMP, ifinfomsg{});
    return make(type, NLM_F_DUMP, ifaddrmsg{});
}

Message neighbour_request(int ifindex, const IpAddress& ip) {
    return neighbour_message(RTM_GETNEIGH, 0, {}, ifindex, ip);
}

Message neighbour_use(int ifindex, const IpAddress& ip) {
    ndmsg header{};
    header.ndm_flags = NTF_USE;
    return neighbour_message(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE, header, ifindex, ip);
}

Message neighbour_recheck(int ifindex, const IpAddress& ip) {
    ndmsg header{};
    header.ndm_state = NUD_PROBE;
    return neighbour_message(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE, header, ifindex, ip);
}

}  // namespace xylem::netlink
