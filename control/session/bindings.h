// SPDX-License-Identifier: Apache-2.0
// Who holds which address and port on this daemon. Ports are names inside the daemon, one space per address family, for
// all socket types and users. Pure. Invariants: a port belongs to one user at a time, at whatever addresses, so nobody
// takes another user's joins (but for Sharing::kAll). Among one user's sockets, the same (address, port) is bound twice
// only if all of them asked for it (SO_REUSEADDR); a wildcard and a specific address are different holdings, and a
// wildcard that a join commits to a held address needs SO_REUSEADDR itself (W-204).
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace xylem::session {

class Socket;

class Bindings {
  public:
    /// Who binds.
    struct Claim {
        Socket* socket = nullptr;
        uint32_t uid = 0;
        bool may_share = false;  // SO_REUSEADDR
    };

    /// kAll: users share ports as one user's sockets do. For datagrams, which go to all who ask for them.
    enum class Sharing : uint8_t { kOneUser, kAll };

    /// `seed` says where the search for free ports begins.
    explicit Bindings(uint16_t seed = 0, Sharing sharing = Sharing::kOneUser)
        : next_(static_cast<uint16_t>(kFirstAutoPort + seed % kAutoPorts)), sharing_(sharing) {}

    /// Holds `wanted` for the claimant; port 0: a free one. EADDRINUSE. Returns what it holds.
    Result<Endpoint> bind(const Claim& claim, const Endpoint& wanted);
    /// A wildcard holding becomes a specific one (W-044). EADDRINUSE: nothing has changed.
    Result<Endpoint> commit(const Claim& claim, const Endpoint& held, const IpAddress& ip);
    void release(Socket* socket, const Endpoint& held);
    /// Who holds (address, port), and then who holds (wildcard, port); newest last.
    std::vector<Socket*> holders(const Endpoint& endpoint) const;

    static constexpr uint16_t kFirstAutoPort = 49152;
    static constexpr uint16_t kAutoPorts = 16384;

  private:
    using Port = std::pair<uint8_t, uint16_t>;  // address family, port
    struct Owner {
        uint32_t uid = 0;
        unsigned n_holdings = 0;
    };

    Endpoint hold(const Claim& claim, const Endpoint& endpoint);
    uint16_t free_port(uint8_t family);

    std::map<Endpoint, std::vector<Claim>> held_;
    std::map<Port, Owner> ports_;
    uint16_t next_;
    Sharing sharing_;
};

}  // namespace xylem::session
