// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/neighbour_probe.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace xylem::netlink {
namespace {

constexpr uint16_t kDiscardPort = 9;

/// An address with its interface, as sendmsg wants them: for IPv4 the interface is ancillary, for IPv6 a scope does.
struct Target {
    Target(int ifindex, const IpAddress& ip) {
        if (ip.is_v4()) {
            v4.sin_family = AF_INET;
            v4.sin_port = htons(kDiscardPort);
            v4.sin_addr.s_addr = ip.v4_be();
            header.msg_name = &v4;
            header.msg_namelen = sizeof v4;
            attach(IPPROTO_IP, IP_PKTINFO, in_pktinfo{ifindex, {}, {}});
        } else {
            v6.sin6_family = AF_INET6;
            v6.sin6_port = htons(kDiscardPort);
            std::memcpy(&v6.sin6_addr, ip.bytes.data(), 16);
            if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) v6.sin6_scope_id = static_cast<uint32_t>(ifindex);
            header.msg_name = &v6;
            header.msg_namelen = sizeof v6;
            attach(IPPROTO_IPV6, IPV6_PKTINFO, in6_pktinfo{{}, static_cast<unsigned>(ifindex)});
        }
    }
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;

    template <class Info>
    void attach(int level, int type, const Info& info) {
        static_assert(CMSG_SPACE(sizeof(Info)) <= sizeof control);
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(sizeof info);
        cmsghdr* ancillary = CMSG_FIRSTHDR(&header);
        ancillary->cmsg_level = level;
        ancillary->cmsg_type = type;
        ancillary->cmsg_len = CMSG_LEN(sizeof info);
        std::memcpy(CMSG_DATA(ancillary), &info, sizeof info);
    }

    msghdr header{};
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    alignas(cmsghdr) char control[64]{};
};

}  // namespace

Result<NeighbourProbe> NeighbourProbe::open() {
    const int fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd4 < 0) return Error{errno, std::string("netlink: cannot open a UDP socket: ") + std::strerror(errno)};
    return NeighbourProbe(fd4, socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

NeighbourProbe::NeighbourProbe(NeighbourProbe&& other) noexcept
    : fd4_(std::exchange(other.fd4_, -1)), fd6_(std::exchange(other.fd6_, -1)), is_privileged_(other.is_privileged_) {}

NeighbourProbe::~NeighbourProbe() {
    if (fd4_ >= 0) close(fd4_);
    if (fd6_ >= 0) close(fd6_);
}

void NeighbourProbe::use(QuerySocket& kernel, int ifindex, const IpAddress& ip) {
    if (is_privileged_) {
        const Result<void> asked = kernel.ask(neighbour_use(ifindex, ip), [](const nlmsghdr&) {});
        if (asked || asked.error().code != EPERM) return;
        is_privileged_ = false;
    }
    send_datagram(ifindex, ip);
}

void NeighbourProbe::recheck(QuerySocket& kernel, int ifindex, const IpAddress& ip) {
    if (is_privileged_) {
        const Result<void> asked = kernel.ask(neighbour_recheck(ifindex, ip), [](const nlmsghdr&) {});
        if (asked || asked.error().code != EPERM) return;
        is_privileged_ = false;
    }
    send_datagram(ifindex, ip);
}

void NeighbourProbe::send_datagram(int ifindex, const IpAddress& ip) {
    const int fd = ip.is_v4() ? fd4_ : fd6_;
    if (fd < 0) return;
    const Target target(ifindex, ip);
    // A full queue or a link that just went: the destination's deadline tries again.
    (void)!sendmsg(fd, &target.header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

uint32_t NeighbourProbe::speed_mbps(const std::string& ifname) const {
    ethtool_cmd command{};
    command.cmd = ETHTOOL_GSET;
    ifreq request{};
    std::strncpy(request.ifr_name, ifname.c_str(), sizeof request.ifr_name - 1);
    request.ifr_data = reinterpret_cast<char*>(&command);
    if (ioctl(fd4_, SIOCETHTOOL, &request) != 0) return 0;
    const uint32_t speed = ethtool_cmd_speed(&command);
    return speed == static_cast<uint32_t>(SPEED_UNKNOWN) || speed == UINT16_MAX ? 0 : speed;
}

}  // namespace xylem::netlink
