// SPDX-License-Identifier: Apache-2.0
#include "control/netlink/membership.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "dataplane/base/address_text.h"

namespace xylem::netlink {
namespace {

sockaddr_storage address_of(const IpAddress& ip) {
    sockaddr_storage out{};
    if (ip.is_v4()) {
        auto& in = reinterpret_cast<sockaddr_in&>(out);
        in.sin_family = AF_INET;
        std::memcpy(&in.sin_addr, ip.bytes.data(), 4);
    } else {
        auto& in = reinterpret_cast<sockaddr_in6&>(out);
        in.sin6_family = AF_INET6;
        std::memcpy(&in.sin6_addr, ip.bytes.data(), 16);
    }
    return out;
}

int level_of(const IpAddress& ip) { return ip.is_v4() ? IPPROTO_IP : IPPROTO_IPV6; }

int join_all(int fd, const MembershipKey& key) {
    group_req request{};
    request.gr_interface = static_cast<uint32_t>(key.ifindex);
    request.gr_group = address_of(key.group);
    return setsockopt(fd, level_of(key.group), MCAST_JOIN_GROUP, &request, sizeof request) == 0 ? 0 : errno;
}

int join_source(int fd, const MembershipKey& key, const IpAddress& source) {
    group_source_req request{};
    request.gsr_interface = static_cast<uint32_t>(key.ifindex);
    request.gsr_group = address_of(key.group);
    request.gsr_source = address_of(source);
    return setsockopt(fd, level_of(key.group), MCAST_JOIN_SOURCE_GROUP, &request, sizeof request) == 0 ? 0 : errno;
}

Error refusal(const MembershipKey& key, int code) {
    std::string what = to_string(key.group) + " cannot be joined: ";
    if (code == ENOBUFS || code == ENOMEM)
        return {ENOBUFS, what + "the kernel's limits on memberships are reached (net.core.optmem_max, igmp_max_msf)"};
    if (code == ENODEV) return {ENODEV, what + "there is no interface " + std::to_string(key.ifindex)};
    return {code, what + std::strerror(code)};
}

}  // namespace

Membership::~Membership() {
    for (const int fd : fds_)
        close(fd);
}

int Membership::open(const MembershipKey& key) {
    const int fd = socket(key.group.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return errno;
    fds_.push_back(fd);
    return 0;
}

Result<void> Membership::join(const MembershipKey& key) {
    if (!key.group.is_multicast()) return refusal(key, EINVAL);
    if (const int code = open(key); code != 0) return refusal(key, code);
    if (!key.sources.empty()) return join_sources(key);
    const int code = join_all(fds_.back(), key);
    return code == 0 ? Result<void>{} : refusal(key, code);
}

Result<void> Membership::join_sources(const MembershipKey& key) {
    bool is_fresh = true;
    for (const IpAddress& source : key.sources) {
        if (source.family != key.group.family) return refusal(key, EINVAL);
        int code = join_source(fds_.back(), key, source);
        if (code == ENOBUFS && !is_fresh) {
            code = open(key);
            if (code == 0) code = join_source(fds_.back(), key, source);
        }
        if (code != 0) return refusal(key, code);
        is_fresh = false;
    }
    return {};
}

Result<std::shared_ptr<const void>> Memberships::join(const IpAddress& group, int ifindex,
                                                      std::vector<IpAddress> sources) {
    std::sort(sources.begin(), sources.end());
    sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
    const MembershipKey key{group, ifindex, std::move(sources)};
    std::erase_if(held_, [](const auto& entry) { return entry.second.expired(); });
    if (const auto held = held_.find(key); held != held_.end()) return std::shared_ptr<const void>(held->second.lock());
    auto made = std::make_shared<Membership>();
    if (Result<void> joined = made->join(key); !joined) return joined.error();
    held_[key] = made;
    return std::shared_ptr<const void>(std::move(made));
}

size_t Memberships::count() const {
    return static_cast<size_t>(
        std::count_if(held_.begin(), held_.end(), [](const auto& entry) { return !entry.second.expired(); }));
}

}  // namespace xylem::netlink
