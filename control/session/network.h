// SPDX-License-Identifier: Apache-2.0
// What sessions need from the network, as two small interfaces: links to the daemons of other hosts, and the ways that
// data frames take to them. The daemon adapts control/signalling and control/netlink to them; tests wire two Sessions
// back to back. Thread: control. No callback runs inside the call that asked for it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "control/signalling/messages.pb.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"
#include "dataplane/engine/engine.h"

namespace xylem::session {

/// A daemon that we have a connection to, the number of its signalling::PeerId. Never reused while the process lives.
using PeerId = uint64_t;
/// This daemon: joins between two applications of one host take the same way, without a connection.
inline constexpr PeerId kSelf = 1;
inline constexpr PeerId kNoPeer = 0;

struct PeerFacts {
    PeerId id = 0;
    Endpoint address;
    std::string state;
};

class Links {
  public:
    virtual ~Links() = default;
    /// The daemon that serves `ip`: kSelf, a connection that is up, or one that is being made. `done` gets the peer, or
    /// why not (errno: ECONNREFUSED, ENETUNREACH, ETIMEDOUT, …).
    virtual void dial(const IpAddress& ip, std::function<void(Result<PeerId>)> done) = 0;
    /// Queues a message to a peer other than kSelf; one for a peer that is gone is dropped (Sessions::peer_lost follows
    /// or has run).
    virtual void send(PeerId peer, const proto::Envelope& message) = 0;
    /// Our address on that connection; unset: the connection is gone.
    virtual IpAddress local_address(PeerId peer) const = 0;
    /// Whether that daemon's data may be sent to `ip`: an address that its connection came from or was dialled at. No
    /// peer may aim our streams at somebody else.
    virtual bool may_receive_at(PeerId peer, const IpAddress& ip) const = 0;
    virtual std::vector<PeerFacts> peers() const = 0;
};

using WatchId = uint64_t;

class Network {
  public:
    virtual ~Network() = default;
    /// An address of this host.
    virtual bool is_ours(const IpAddress& ip) const = 0;
    /// The address that we would send from; unset: no route (ENETUNREACH).
    virtual IpAddress source_for(const IpAddress& dest) const = 0;
    /// Path MTU in bytes of IP; 0: not known.
    virtual unsigned mtu_to(const IpAddress& dest) const = 0;
    /// Keeps the way to `dest` resolved; `changed` gets it soon, and after every change.
    virtual WatchId watch(const Endpoint& dest, std::function<void(const engine::Path&)> changed) = 0;
    virtual void unwatch(WatchId id) = 0;
};

}  // namespace xylem::session
