// SPDX-License-Identifier: Apache-2.0
// Other daemons, for sessions: control/signalling's peers behind session::Links, and their messages passed on.
#pragma once
#include <asio/io_context.hpp>

#include "control/config/config.h"
#include "control/daemon/network.h"
#include "control/session/sessions.h"
#include "control/signalling/peers.h"

namespace xylem::daemon {

class PeerLinks : public session::Links, public signalling::Listener {
  public:
    PeerLinks(asio::io_context& context, const config::Config& config, const NetworkPaths& network);

    /// Messages go there from now on.
    void set_sessions(session::Sessions* sessions) { sessions_ = sessions; }
    signalling::Peers& peers_socket() { return peers_; }

    // session::Links
    void dial(const IpAddress& ip, std::function<void(Result<session::PeerId>)> done) override;
    void send(session::PeerId peer, const proto::Envelope& message) override;
    IpAddress local_address(session::PeerId peer) const override;
    bool may_receive_at(session::PeerId peer, const IpAddress& ip) const override;
    std::vector<session::PeerFacts> peers() const override;

    // signalling::Listener
    void on_message(signalling::PeerId peer, const proto::Envelope& envelope) override;
    void on_peer_up(signalling::PeerId peer) override;
    void on_peer_lost(signalling::PeerId peer, int code) override;
    void on_notice(std::string_view sentence) override;

  private:
    bool is_static_peer(const IpAddress& ip) const;

    asio::io_context& context_;
    const NetworkPaths& network_;
    std::vector<IpAddress> static_peers_;
    signalling::Peers peers_;
    session::Sessions* sessions_ = nullptr;
};

}  // namespace xylem::daemon
