// SPDX-License-Identifier: Apache-2.0
// What is behind Peers: which connection is in which state of the Hello exchange, which instance is which peer, who
// waits for which dial. Invariant: a connection is in links_ until it ended; a link is `up` exactly if its peer is in
// peers_.
#pragma once
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/signalling/acceptor.h"
#include "control/signalling/connection.h"
#include "control/signalling/peers.h"
#include "control/signalling/rules.h"

namespace xylem::signalling {

class Peers::Hub final : public Connection::Owner, public std::enable_shared_from_this<Peers::Hub> {
  public:
    Hub(asio::io_context& context, Config config, Listener& listener);
    Hub(const Hub&) = delete;
    Hub& operator=(const Hub&) = delete;

    Result<void> listen();
    void dial(const IpAddress& address, DialDone done);
    void send(PeerId peer, proto::Envelope envelope);
    std::optional<PeerFacts> facts(PeerId peer) const;
    std::vector<PeerFacts> list() const;
    const Counters& counters() const { return counters_; }
    void shutdown(std::function<void()> done);
    /// Closes everything at once; no callback is called any more.
    void stop();

  private:
    enum class State : uint8_t {
        connecting,        // dialed
        awaiting_answer,   // dialed, Hello sent
        introducing,       // accepted, no Hello yet
        held,              // accepted, Hello read, not answered: an own dial to the same endpoint may win
        awaiting_confirm,  // accepted, answered; the greater instance decides
        up,
        closing,  // only sends what is queued
    };
    struct Link {
        std::shared_ptr<Connection> connection;
        State state = State::connecting;
        bool is_dialed = false;
        Endpoint endpoint{};  // where the peer's signalling listens (dialed: where we dialed)
        Introduction introduction{};
        PeerId peer = kNoPeer;
        std::list<Connection*>::iterator half_open{};  // accepted and not up: place in half_open_
        bool is_half_open = false;
    };
    struct Peer {
        Connection* connection = nullptr;
        Introduction introduction{};
        std::vector<Endpoint> addresses;  // the first is that of the connection
        std::set<Endpoint> found_at;      // those that we dialed, and it answered
        bool is_opened_here = false;
    };
    struct Dial {
        std::vector<DialDone> waiting;
        Connection* connection = nullptr;    // null: waits for `expected` to come up, or for the next attempt
        std::optional<InstanceId> expected;  // the other side has a connection to us that is not up here
        TimePoint give_up{};
        std::unique_ptr<asio::steady_timer> retry;
    };

    void on_connected(Connection& connection) override;
    void on_envelope(Connection& connection, const proto::Envelope& envelope) override;
    void on_ended(Connection& connection, Ending ending) override;

    // Hello (hub.cc)
    void accepted(asio::ip::tcp::socket socket);
    void hello_received(Link& link, const proto::Hello& hello);
    void wrong_version(Link& link, const proto::Hello& hello);
    void decide_accepted(Link& link);
    void decide_dialed(Link& link);
    void recheck_held();
    proto::Envelope hello(bool is_known) const;
    void answer_and_close(Link& link, const proto::Envelope& last);
    void refuse(Link& link, int code, const std::string& reason);
    void bring_up(Link& link);
    void drop(Link& link, Ending ending);
    bool is_hello_unanswered(const Endpoint& endpoint) const;
    void leave_half_open(Link& link);

    // Who is where (hub_peers.cc)
    Peer* find_instance(const InstanceId& instance);
    enum class Evidence : uint8_t { claimed, found };  // it says that it listens there, or it answered our dial there
    void join_address(PeerId id, const Endpoint& endpoint, Evidence evidence);
    void claim_address(PeerId id, const Endpoint& endpoint);
    bool is_listed_by_another(PeerId id, const Endpoint& endpoint) const;
    void ask_for_life(const Endpoint& endpoint, const InstanceId& instance);
    void forget_at(PeerId id, const Endpoint& endpoint);
    void pass_on(const Endpoint& endpoint);
    void lose(PeerId id, int code);
    PeerFacts facts_of(PeerId id, const Peer& peer) const;

    // Dials (hub_dial.cc)
    Endpoint endpoint_of(const IpAddress& address) const;
    IpAddress source_for(const IpAddress& target) const;
    void attempt(const Endpoint& endpoint, Dial& dial);
    void retry_later(const Endpoint& endpoint, Dial& dial);
    void retry(const Endpoint& endpoint);
    void answer_dial(const Endpoint& endpoint, const Result<PeerId>& result);
    void answer_dials_expecting(const InstanceId& instance, PeerId id);
    void post_answer(DialDone done, Result<PeerId> result);
    void dial_ended(Link& link, Ending ending);

    void finish_shutdown_when_empty();
    void notice(const std::string& sentence);

    asio::io_context& context_;
    const Config config_;
    Listener* listener_;  // null: stopped or shut down
    const InstanceId own_ = draw_instance();
    Counters counters_;
    uint64_t last_peer_id_ = static_cast<uint64_t>(kSelf);

    std::vector<std::shared_ptr<Acceptor>> acceptors_;
    std::unordered_map<Connection*, Link> links_;
    std::list<Connection*> half_open_;  // oldest first
    std::map<PeerId, Peer> peers_;
    std::map<InstanceId, PeerId> by_instance_;
    std::map<Endpoint, PeerId> by_endpoint_;  // whom a dial finds without dialing; port not 0
    std::map<Endpoint, Dial> dials_;
    std::function<void()> shutdown_done_;
    bool is_shutting_down_ = false;
    TimePoint next_version_notice_{};
};

}  // namespace xylem::signalling
