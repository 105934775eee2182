// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/links.h"

#include <algorithm>
#include <asio/post.hpp>
#include <cstring>

#include "control/config/log.h"
#include "dataplane/base/address_text.h"

namespace xylem::daemon {

namespace {

signalling::Config signalling_config(const config::Config& config) {
    signalling::Config out;
    out.signal_port = config.signal_port;
    out.data_port = config.data_port;
    out.heartbeat_interval_ms = config.heartbeat_interval_ms;
    for (const config::Peer& peer : config.peers)
        out.static_peers.push_back({peer.address, peer.signal_port});
    for (const dpdk::PortSpec& port : config.ports)
        if (port.kind == dpdk::PortKind::kMemif)
            out.static_peers.push_back({port.signal_peer.ip, port.signal_peer.port});
    return out;
}

}  // namespace

PeerLinks::PeerLinks(asio::io_context& context, const config::Config& config, const NetworkPaths& network)
    : context_(context), network_(network), peers_(context, signalling_config(config), *this) {
    for (const auto& peer : signalling_config(config).static_peers)
        static_peers_.push_back(peer.address);
}

bool PeerLinks::is_static_peer(const IpAddress& ip) const {
    return std::find(static_peers_.begin(), static_peers_.end(), ip) != static_peers_.end();
}

void PeerLinks::dial(const IpAddress& ip, std::function<void(Result<session::PeerId>)> done) {
    // An address of this host is this daemon, unless the configuration says that another one signals there.
    if (network_.is_ours(ip) && !is_static_peer(ip))
        return asio::post(context_, [done = std::move(done)] { done(session::kSelf); });
    const dpdk::PortSpec* memif = network_.memif_toward(ip);
    peers_.dial(memif != nullptr ? memif->signal_peer.ip : ip,
                [done = std::move(done)](Result<signalling::PeerId> peer) {
                    if (!peer) return done(peer.error());
                    done(static_cast<session::PeerId>(*peer));
                });
}

void PeerLinks::send(session::PeerId peer, const proto::Envelope& message) {
    peers_.send(static_cast<signalling::PeerId>(peer), message);
}

IpAddress PeerLinks::local_address(session::PeerId peer) const {
    const auto facts = peers_.facts(static_cast<signalling::PeerId>(peer));
    if (!facts) return {};
    // Signalling with a memif port's other end takes another way than its data.
    for (const Endpoint& endpoint : facts->addresses)
        if (const dpdk::PortSpec* memif = network_.memif_signalled_by(endpoint); memif != nullptr) return memif->ip;
    return facts->local_address;
}

bool PeerLinks::may_receive_at(session::PeerId peer, const IpAddress& ip) const {
    if (const auto* memif = network_.memif_toward(ip); memif != nullptr) return true;
    const auto facts = peers_.facts(static_cast<signalling::PeerId>(peer));
    if (!facts) return false;
    const auto is_there = [&](const Endpoint& endpoint) { return endpoint.ip == ip; };
    return facts->address == ip || std::any_of(facts->addresses.begin(), facts->addresses.end(), is_there);
}

std::vector<session::PeerFacts> PeerLinks::peers() const {
    std::vector<session::PeerFacts> all;
    for (const signalling::PeerFacts& peer : peers_.list())
        all.push_back({static_cast<session::PeerId>(peer.id), {peer.address, peer.data_port}, "up"});
    return all;
}

void PeerLinks::on_message(signalling::PeerId peer, const proto::Envelope& envelope) {
    if (sessions_ != nullptr) sessions_->on_message(static_cast<session::PeerId>(peer), envelope);
}

void PeerLinks::on_peer_up(signalling::PeerId peer) {
    const auto facts = peers_.facts(peer);
    if (facts)
        log::info("signalling", "peer is up", {{"address", to_string(facts->address)}, {"instance", facts->instance}});
}

void PeerLinks::on_peer_lost(signalling::PeerId peer, int code) {
    log::info("signalling", "peer is lost", {{"peer", static_cast<uint64_t>(peer)}, {"reason", std::strerror(code)}});
    if (sessions_ != nullptr) sessions_->peer_lost(static_cast<session::PeerId>(peer));
}

void PeerLinks::on_notice(std::string_view sentence) { log::warn("signalling", sentence); }

}  // namespace xylem::daemon
