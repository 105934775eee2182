// SPDX-License-Identifier: Apache-2.0
#include "shim/wire_types.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xylem::shim {

namespace {
const sockaddr_in& in4(const abi::AddressBody& a) { return reinterpret_cast<const sockaddr_in&>(a.address); }
const sockaddr_in6& in6(const abi::AddressBody& a) { return reinterpret_cast<const sockaddr_in6&>(a.address); }
}  // namespace

int address_from(const sockaddr* address, socklen_t length, int family, abi::AddressBody& out) {
    const socklen_t needed = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    if (address == nullptr || length < static_cast<socklen_t>(sizeof(sa_family_t))) return EFAULT;
    sa_family_t named;
    memcpy(&named, address, sizeof named);
    if (named != family && length >= static_cast<socklen_t>(sizeof(sockaddr_in))) return EAFNOSUPPORT;
    if (length < needed) return EFAULT;
    out = {};
    memcpy(&out.address, address, needed);
    out.length = needed;
    return 0;
}

int address_to(const abi::AddressBody& from, sockaddr* address, socklen_t* length) {
    if (address == nullptr) return 0;
    if (length == nullptr) return EFAULT;
    const auto whole = std::min<socklen_t>(from.length, sizeof from.address);
    memcpy(address, &from.address, std::min(*length, whole));
    *length = whole;
    return 0;
}

bool is_any_address(const abi::AddressBody& a) {
    if (a.address.ss_family == AF_INET) return in4(a).sin_addr.s_addr == INADDR_ANY;
    return memcmp(&in6(a).sin6_addr, &in6addr_any, sizeof in6addr_any) == 0;
}

bool is_multicast_address(const abi::AddressBody& a) {
    if (a.address.ss_family == AF_INET) return IN_MULTICAST(ntohl(in4(a).sin_addr.s_addr));
    return IN6_IS_ADDR_MULTICAST(&in6(a).sin6_addr);
}

void sender_to(const abi::GroupReceived& from, abi::AddressBody& out) {
    if (from.family == AF_INET) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(from.port);
        memcpy(&in.sin_addr, from.address, sizeof in.sin_addr);
        memcpy(&out.address, &in, sizeof in);
        out.length = sizeof in;
    } else {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(from.port);
        memcpy(&in.sin6_addr, from.address, sizeof in.sin6_addr);
        in.sin6_scope_id = from.ifindex;
        memcpy(&out.address, &in, sizeof in);
        out.length = sizeof in;
    }
}

uint16_t port_of(const abi::AddressBody& a) {
    return ntohs(a.address.ss_family == AF_INET ? in4(a).sin_port : in6(a).sin6_port);
}

void qos_from(const xy_qos* qos, abi::Qos& out) {
    out = {};
    if (qos == nullptr) return;
    out.is_present = 1;
    out.sending = qos->sending;
    out.receiving = qos->receiving;
}

void qos_to(const abi::Qos& from, xy_qos& out) {
    out = {};
    out.sending = from.sending;
    out.receiving = from.receiving;
}

}  // namespace xylem::shim
