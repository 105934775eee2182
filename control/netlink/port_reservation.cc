// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/port_reservation.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace xylem::netlink {
namespace {

Error refusal(uint16_t port, int code) {
    const std::string name = "data port " + std::to_string(port);
    if (code == EADDRINUSE)
        return {code, name + " is already in use by another program: choose another with --data-port"};
    if (code == EACCES)
        return {code, name + " is reserved for privileged programs: choose one above 1023 with --data-port"};
    return {code, name + " cannot be reserved: " + std::strerror(code)};
}

/// "Keep 0 bytes of every packet."
int drop_all(int fd) {
    sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{1, &drop};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/// A bound, deaf socket, or -errno. The filter comes first: nothing gets in between.
int reserve(int family, const sockaddr* address, socklen_t size) {
    const int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    const int one = 1;
    const bool is_v6_only = family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0;
    if (is_v6_only && drop_all(fd) == 0 && bind(fd, address, size) == 0) return fd;
    const int code = errno;
    close(fd);
    return -code;
}

}  // namespace

Result<PortReservation> PortReservation::open(uint16_t data_port) {
    PortReservation out;
    sockaddr_in any4{};
    any4.sin_family = AF_INET;
    any4.sin_port = htons(data_port);
    out.fd4_ = reserve(AF_INET, reinterpret_cast<const sockaddr*>(&any4), sizeof any4);
    if (out.fd4_ < 0) return refusal(data_port, -out.fd4_);
    sockaddr_in6 any6{};
    any6.sin6_family = AF_INET6;
    any6.sin6_port = htons(data_port);
    out.fd6_ = reserve(AF_INET6, reinterpret_cast<const sockaddr*>(&any6), sizeof any6);
    const bool has_no_ipv6 = out.fd6_ == -EAFNOSUPPORT || out.fd6_ == -EADDRNOTAVAIL;
    if (out.fd6_ < 0 && !has_no_ipv6) return refusal(data_port, -out.fd6_);
    return out;
}

PortReservation::~PortReservation() {
    if (fd4_ >= 0) close(fd4_);
    if (fd6_ >= 0) close(fd6_);
}

}  // namespace xylem::netlink
