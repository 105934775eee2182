// SPDX-License-Identifier: Apache-2.0
// Memberships in multicast groups, held by kernel sockets, so that the kernel speaks IGMPv2/v3 and MLD and programs the
// device's filter. The sockets are bound to nothing: no datagram is ever queued on them. A membership ends with its
// last holder, and with the process however it ends. Thread: control.
#pragma once
#include <compare>
#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace xylem::netlink {

/// Sources empty: datagrams of everybody (MCAST_JOIN_GROUP); else of these only (MCAST_JOIN_SOURCE_GROUP).
struct MembershipKey {
    IpAddress group;
    int ifindex = 0;
    std::vector<IpAddress> sources;  // sorted, none twice
    auto operator<=>(const MembershipKey&) const = default;
};

/// The kernel sockets of one membership.
class Membership {
  public:
    Membership() = default;
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;
    ~Membership();

    Result<void> join(const MembershipKey& key);

  private:
    Result<void> join_sources(const MembershipKey& key);
    int open(const MembershipKey& key);

    std::vector<int> fds_;  // the kernel bounds the sources of one socket (igmp_max_msf, 10): more take more sockets
};

class Memberships {
  public:
    /// The membership, joined now or shared with those who hold it already. ENOBUFS: the kernel's limits; ENODEV: no
    /// such interface; EINVAL: an address that is no group, or a source of another family.
    Result<std::shared_ptr<const void>> join(const IpAddress& group, int ifindex, std::vector<IpAddress> sources);
    /// Memberships that somebody holds.
    size_t count() const;

  private:
    std::map<MembershipKey, std::weak_ptr<const Membership>> held_;
};

}  // namespace xylem::netlink
