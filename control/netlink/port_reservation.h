// SPDX-License-Identifier: Apache-2.0
// Kernel UDP sockets (IPv4 and IPv6) bound to the data port, with a filter that drops everything. They reserve the
// port, and keep the kernel from answering data frames with ICMP port unreachable where it sees them too (af_packet
// ports).
#pragma once
#include <cstdint>
#include <utility>

#include "dataplane/base/result.h"

namespace xylem::netlink {

class PortReservation {
  public:
    /// Error: EADDRINUSE "data port 7471 is already in use …", or the errno of the call that failed. A kernel without
    /// IPv6 has only the IPv4 half.
    static Result<PortReservation> open(uint16_t data_port);
    PortReservation(PortReservation&& other) noexcept
        : fd4_(std::exchange(other.fd4_, -1)), fd6_(std::exchange(other.fd6_, -1)) {}
    PortReservation& operator=(PortReservation&&) = delete;
    /// Gives the port back.
    ~PortReservation();

  private:
    PortReservation() = default;
    int fd4_ = -1, fd6_ = -1;
};

}  // namespace xylem::netlink
