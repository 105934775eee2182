// SPDX-License-Identifier: Apache-2.0
// Makes the kernel resolve or confirm a neighbour. With CAP_NET_ADMIN by netlink; without it by an empty UDP datagram
// to the discard port (9), which has the same effect and which a neighbour at worst answers with "port unreachable".
#pragma once
#include <cstdint>
#include <string>

#include "control/netlink/kernel_socket.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace xylem::netlink {

class NeighbourProbe {
  public:
    static Result<NeighbourProbe> open();
    NeighbourProbe(NeighbourProbe&& other) noexcept;
    NeighbourProbe& operator=(NeighbourProbe&&) = delete;
    ~NeighbourProbe();

    /// Resolves an unresolved neighbour, confirms a stale one. What comes of it is announced on the event socket.
    void use(QuerySocket& kernel, int ifindex, const IpAddress& ip);
    /// Asks a known neighbour again now, whatever its state; it stays usable until it has failed to answer.
    void recheck(QuerySocket& kernel, int ifindex, const IpAddress& ip);

    /// Of an Ethernet link, 0 when the driver does not say.
    uint32_t speed_mbps(const std::string& ifname) const;

  private:
    NeighbourProbe(int fd4, int fd6) : fd4_(fd4), fd6_(fd6) {}
    void send_datagram(int ifindex, const IpAddress& ip);

    int fd4_, fd6_;              // fd6_ is -1 where the kernel has no IPv6
    bool is_privileged_ = true;  // until the kernel says no
};

}  // namespace xylem::netlink
