// SPDX-License-Identifier: Apache-2.0
// The daemons that this one talks to: connections over TCP, found by address, named by PeerId.
// Invariants: a peer is its random instance id, not an address, and there is one connection to it however many dials,
// from either side, led there. A PeerId is used once. A message given to send() arrives, in order, or on_peer_lost is
// called. What a peer sends can at worst end its own connection, counted by name.
// Thread: everything, callbacks included, on the thread that runs the io_context. No member function calls a callback
// before it returns.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/signalling/messages.pb.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace asio {
class io_context;
}

namespace xylem::signalling {

/// One connection to one instance of a daemon. A peer that was lost and comes back has another PeerId.
enum class PeerId : uint64_t {};
inline constexpr PeerId kNoPeer{0};
/// This daemon. It is always there, and no on_peer_up or on_peer_lost is called for it.
inline constexpr PeerId kSelf{1};

inline constexpr uint16_t kDefaultSignalPort = 7470;

/// Where the signalling of the daemon at `address` listens, when that is not our own signalling port.
struct StaticPeer {
    IpAddress address;
    uint16_t signal_port = 0;
};

struct Config {
    uint16_t signal_port = kDefaultSignalPort;  ///< 0: nobody listens, and dials go to kDefaultSignalPort
    uint16_t data_port = 0;                     ///< told to peers
    uint32_t heartbeat_interval_ms = 1000;
    uint32_t connect_timeout_ms = 5000;
    uint32_t hello_timeout_ms = 5000;   ///< from the TCP connection to the end of the Hello exchange
    uint32_t write_stall_ms = 10000;    ///< a peer that takes nothing for so long is lost
    uint32_t shutdown_ms = 1000;        ///< how long shutdown() waits for queues to empty
    size_t max_queued_bytes = 4 << 20;  ///< a peer that lets more than that wait is lost
    size_t max_half_open = 64;          ///< accepted connections before Hello; beyond, the oldest is ended
    size_t max_peers = 1024;
    std::string software = "xylemd";  ///< told to peers, for their status
    std::vector<StaticPeer> static_peers;
    /// Where to listen and from where to dial; empty: everywhere.
    std::vector<IpAddress> listen_addresses;
};

/// What happened at the peers. It may call any member function of Peers, but not destroy it.
class Listener {
  public:
    virtual ~Listener() = default;
    /// Between on_peer_up and on_peer_lost (always, for kSelf), in the order sent. Never Hello or Heartbeat.
    virtual void on_message(PeerId peer, const proto::Envelope& envelope) = 0;
    /// Before the dial that led to it is answered, and before its first message.
    virtual void on_peer_up(PeerId peer) = 0;
    /// `code`: ECONNABORTED closed by the peer, ECONNRESET connection broken, ETIMEDOUT silent, EPROTO ended by us for
    /// what it sent, ENOBUFS it does not read, EMSGSIZE a message of ours fits no frame; others come from the socket.
    /// The last call for this peer.
    virtual void on_peer_lost(PeerId peer, int code) = 0;
    /// Something that the operator should read, as one sentence.
    virtual void on_notice(std::string_view sentence) { (void)sentence; }
};

struct PeerFacts {
    PeerId id = kNoPeer;
    std::string instance;             ///< 32 hexadecimal digits
    IpAddress address;                ///< of the peer, on the connection; unset for kSelf
    IpAddress local_address;          ///< of this host, toward the peer; unset for kSelf
    uint16_t data_port = 0;           ///< the peer's
    std::vector<Endpoint> addresses;  ///< signalling endpoints known to lead there; port 0: it does not listen
    std::string software;             ///< name and version, as it says
    uint32_t heartbeat_age_ms = 0;    ///< since something was heard of it
    size_t queued_bytes = 0;          ///< given to send() and not yet taken by the socket
    bool is_opened_here = false;      ///< this side dialed
};

/// Counts since the start, by the names in counters.def.
struct Counters {
#define XY_SIGNALLING_COUNTER(name, sentence) uint64_t name = 0;
#include "control/signalling/counters.def"
#undef XY_SIGNALLING_COUNTER
    /// The same as (name, count), in the order of the table.
    std::vector<std::pair<std::string_view, uint64_t>> named() const;
};

class Peers {
  public:
    using DialDone = std::function<void(Result<PeerId>)>;

    /// `context` and `listener` outlive it. Draws the instance id.
    Peers(asio::io_context& context, Config config, Listener& listener);
    /// Closes every connection at once; calls no callback.
    ~Peers();
    Peers(const Peers&) = delete;
    Peers& operator=(const Peers&) = delete;

    /// Accepts connections from now on. Error: EADDRINUSE, EACCES, EADDRNOTAVAIL … and nothing listens.
    [[nodiscard]] Result<void> listen();

    /// Connects to the daemon at `address` (its port: Config), or finds the peer that is known to be there. kSelf: it
    /// is this daemon. `done` is called once. Error codes: ECONNREFUSED (also: what answers is no daemon), ENETUNREACH,
    /// ETIMEDOUT, EPROTONOSUPPORT another version, ECONNABORTED lost meanwhile, ECANCELED shutdown; others come from
    /// connect().
    void dial(const IpAddress& address, DialDone done);

    /// Queues a message. To kSelf: the listener gets it later, in order. To a peer that is lost: nothing.
    void send(PeerId peer, proto::Envelope envelope);

    /// Nothing: no such peer (any more).
    std::optional<PeerFacts> facts(PeerId peer) const;
    /// All peers, without kSelf.
    std::vector<PeerFacts> list() const;
    const Counters& counters() const;

    /// Stops accepting, dialing and receiving, sends what is queued (for at most Config::shutdown_ms), closes, then
    /// calls `done`. The listener is not called any more.
    void shutdown(std::function<void()> done);

  private:
    class Hub;
    std::shared_ptr<Hub> hub_;
};

}  // namespace xylem::signalling
