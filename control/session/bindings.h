// SPDX-License-Identifier: Apache-2.0
// Who holds which address and port on this daemon. Ports are names inside the daemon, one space per address family, for
// all socket types and users. Pure. Invariant: two sockets hold the same (address, port) only if the later one asked
// for it (SO_REUSEADDR). A wildcard and a specific address are different holdings (W-204 depends on it).
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace xylem::session {

class Socket;

class Bindings {
  public:
    /// `seed` says where the search for free ports begins.
    explicit Bindings(uint16_t seed = 0) : next_(static_cast<uint16_t>(kFirstAutoPort + seed % kAutoPorts)) {}

    /// Holds `wanted` for `socket`; port 0: a free one. EADDRINUSE. Returns what it holds.
    Result<Endpoint> bind(Socket* socket, const Endpoint& wanted, bool may_share);
    /// A wildcard holding becomes a specific one (W-044). EADDRINUSE: nothing has changed.
    Result<Endpoint> commit(Socket* socket, const Endpoint& held, const IpAddress& ip, bool may_share);
    void release(Socket* socket, const Endpoint& held);
    /// Who holds (address, port), and then who holds (wildcard, port); newest last.
    std::vector<Socket*> holders(const Endpoint& endpoint) const;

    static constexpr uint16_t kFirstAutoPort = 49152;
    static constexpr uint16_t kAutoPorts = 16384;

  private:
    bool is_port_free(uint8_t family, uint16_t port) const { return !ports_.contains({family, port}); }
    uint16_t free_port(uint8_t family);

    std::map<Endpoint, std::vector<Socket*>> held_;
    std::multiset<std::pair<uint8_t, uint16_t>> ports_;
    uint16_t next_;
};

}  // namespace xylem::session
