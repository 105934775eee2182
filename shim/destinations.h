// SPDX-License-Identifier: Apache-2.0
// Where a GROUP socket's datagrams may go: the daemon's indices and lengths by address, kept until it says that
// something has changed. With the send mutex held.
#pragma once
#include <netinet/in.h>
#include <xylem/abi/command.h>
#include <xylem/abi/group.h>

namespace xylem::shim {

struct Socket;

struct Destination {
    sockaddr_in6 address{};  // IPv4: its first 16 bytes
    uint32_t index = 0;
    uint32_t max_bytes = 0;  // of one datagram
};

class Destinations {
  public:
    /// That of `to`; null: of the group that the socket has joined. 0 or errno: ENOTCONN (no `to`, and no group),
    /// EDESTADDRREQ (the group was joined without a port), what the daemon says. `may_wait`: the first datagram to a
    /// host waits a moment for its neighbour entry, as nothing holds it meanwhile.
    int find(Socket& s, const sockaddr* to, socklen_t length, bool may_wait, Destination& out);
    void close();

  private:
    int ask(Socket& s, const abi::AddressBody& name, bool may_wait, Destination& out);
    Destination* make();

    Destination* known_ = nullptr;  // [abi::kMaxDestinations], made when the first is
    uint32_t n_known_ = 0;
    uint32_t changes_seen_ = 0;
};

}  // namespace xylem::shim
