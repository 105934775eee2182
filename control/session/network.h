// SPDX-License-Identifier: Apache-2.0
// What sessions need from the network, as two small interfaces: links to the daemons of other hosts, and the ways that
// data frames take to them. The daemon adapts control/signalling and control/netlink to them; tests wire two Sessions
// back to back. Thread: control. No callback runs inside the call that asked for it.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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

/// Where datagrams of a GROUP socket leave us, and come in.
struct GroupPort {
    uint32_t port = engine::kLocalPort;  // index into Engine::ports(), or kLocalPort
    int ifindex = 0;                     // its kernel interface, of `local` the loopback interface; 0: it has none
    IpAddress source;                    // what we send comes from there
    unsigned mtu = 0;                    // bytes of IP; 0: `local`
};
/// The kernel is a member as long as it is held.
using Membership = std::shared_ptr<const void>;

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

    // Datagrams (GROUP).
    /// Which of our ports an interface is (the loopback interface is `local`'s); nothing: none.
    virtual std::optional<uint32_t> port_of(int ifindex) const = 0;
    /// The port for a group: that of the interface `ifindex` or, when that is 0, the one that holds the address
    /// `bound`, or that the kernel's route leads over; else the first that is not `local`; else `local`. For a host:
    /// the one that the kernel's route leads over. EADDRNOTAVAIL: the interface is none of our ports, or has no address
    /// of the family; ENETUNREACH, EHOSTUNREACH (ourselves), EACCES (broadcast): no datagram can be sent to that host.
    virtual Result<GroupPort> group_port(const IpAddress& dest, int ifindex, const IpAddress& bound) = 0;
    /// As watch(), over this port (not kLocalPort) whatever the routes say.
    virtual WatchId watch_on(const Endpoint& dest, const GroupPort& at,
                             std::function<void(const engine::Path&)> changed) = 0;
    /// The way as it is now.
    virtual engine::Path path_now(WatchId id) const = 0;
    /// Makes the kernel a member of the group at the port's interface, if it has one. ENOBUFS: the kernel's limits.
    virtual Result<Membership> join_group(const IpAddress& group, const GroupPort& at,
                                          const std::vector<IpAddress>& sources) = 0;
};

}  // namespace xylem::session
