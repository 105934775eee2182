// SPDX-License-Identifier: Apache-2.0
// Who is where, listening, and the end.
#include <algorithm>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "control/signalling/hub.h"
#include "dataplane/base/address_text.h"

namespace xylem::signalling {
namespace {

// A peer that comes from ever new addresses is known by these.
constexpr size_t kMaxAddresses = 16;

}  // namespace

Result<void> Peers::Hub::listen() {
    if (config_.signal_port == 0) return {};
    std::vector<IpAddress> addresses = config_.listen_addresses;
    bool is_everywhere = addresses.empty();
    if (is_everywhere) {
        static constexpr uint8_t kAnyV6[16] = {};
        addresses = {IpAddress::v4(0), IpAddress::v6(kAnyV6)};
    }
    std::vector<std::shared_ptr<Acceptor>> opened;
    for (const IpAddress& address : addresses) {
        auto acceptor = std::make_shared<Acceptor>(context_);
        Result<void> outcome = acceptor->open({address, config_.signal_port});
        // A host without IPv6 is a host with IPv4.
        if (!outcome && is_everywhere && address.is_v6() &&
            (outcome.error().code == EAFNOSUPPORT || outcome.error().code == EADDRNOTAVAIL))
            continue;
        if (!outcome) {
            for (auto& other : opened)
                other->close();
            return outcome;
        }
        opened.push_back(std::move(acceptor));
    }
    acceptors_ = std::move(opened);
    for (auto& acceptor : acceptors_)
        acceptor->start({
            .accepted = [this](asio::ip::tcp::socket socket) { accepted(std::move(socket)); },
            .paused =
                [this](int code) {
                    counters_.accept_paused++;
                    notice(std::string("accepting connections pauses: ") + std::strerror(code));
                },
        });
    return {};
}

Peers::Hub::Peer* Peers::Hub::find_instance(const InstanceId& instance) {
    auto found = by_instance_.find(instance);
    return found == by_instance_.end() ? nullptr : &peers_.at(found->second);
}

void Peers::Hub::join_address(PeerId id, const Endpoint& endpoint, Evidence evidence) {
    Peer& peer = peers_.at(id);
    if (std::find(peer.addresses.begin(), peer.addresses.end(), endpoint) == peer.addresses.end()) {
        if (peer.addresses.size() >= kMaxAddresses) return;
        peer.addresses.push_back(endpoint);
    }
    if (endpoint.port == 0) return;
    if (evidence == Evidence::claimed) return claim_address(id, endpoint);
    peer.found_at.insert(endpoint);
    const PeerId former = std::exchange(by_endpoint_.try_emplace(endpoint, id).first->second, id);
    if (former != id) forget_at(former, endpoint);
}

// Everybody on a host can connect from its address and say that he listens at the daemon's port. So a claim ends
// nobody, and takes nothing away from who was found there. Of two that connected from there and were not, neither is
// believed: the next dial finds out.
void Peers::Hub::claim_address(PeerId id, const Endpoint& endpoint) {
    const auto held = by_endpoint_.find(endpoint);
    if (held == by_endpoint_.end()) {
        if (!is_listed_by_another(id, endpoint)) by_endpoint_[endpoint] = id;
        return;
    }
    Peer& holder = peers_.at(held->second);
    if (held->second == id || holder.found_at.contains(endpoint)) return;
    if (holder.addresses.front() == endpoint) return static_cast<void>(by_endpoint_.erase(held));
    forget_at(std::exchange(held->second, id), endpoint);
}

// Where a peer was merely seen besides, it is no more when another turns out to be there.
void Peers::Hub::forget_at(PeerId id, const Endpoint& endpoint) {
    Peer& peer = peers_.at(id);
    if (peer.addresses.front() != endpoint) std::erase(peer.addresses, endpoint);
}

bool Peers::Hub::is_listed_by_another(PeerId id, const Endpoint& endpoint) const {
    return std::any_of(peers_.begin(), peers_.end(), [&](const auto& entry) {
        const std::vector<Endpoint>& addresses = entry.second.addresses;
        return entry.first != id && std::find(addresses.begin(), addresses.end(), endpoint) != addresses.end();
    });
}

// A new instance says that it listens where another does. If that one's host has started anew, its kernel knows nothing
// of the old connection and breaks it as soon as something is sent; who lives merely hears a heartbeat.
void Peers::Hub::ask_for_life(const Endpoint& endpoint, const InstanceId& instance) {
    if (endpoint.port == 0) return;
    proto::Envelope heartbeat;
    heartbeat.mutable_heartbeat();
    for (const auto& [id, peer] : peers_) {
        const bool is_there = peer.addresses.front() == endpoint && peer.introduction.instance != instance;
        if (is_there && peer.connection->queued_bytes() == 0) peer.connection->send(heartbeat);
    }
}

void Peers::Hub::lose(PeerId id, int code) {
    auto found = peers_.find(id);
    const std::vector<Endpoint> addresses = std::move(found->second.addresses);
    by_instance_.erase(found->second.introduction.instance);
    peers_.erase(found);
    for (const Endpoint& endpoint : addresses) {
        auto entry = by_endpoint_.find(endpoint);
        if (entry != by_endpoint_.end() && entry->second == id) by_endpoint_.erase(entry);
        pass_on(endpoint);
    }
    if (listener_ != nullptr) listener_->on_peer_lost(id, code);
}

// Who alone is left of those that say they listen there is believed.
void Peers::Hub::pass_on(const Endpoint& endpoint) {
    if (endpoint.port == 0 || by_endpoint_.contains(endpoint)) return;
    for (const auto& [id, peer] : peers_) {
        if (std::find(peer.addresses.begin(), peer.addresses.end(), endpoint) == peer.addresses.end()) continue;
        if (!is_listed_by_another(id, endpoint)) by_endpoint_[endpoint] = id;
        return;
    }
}

void Peers::Hub::send(PeerId peer, proto::Envelope envelope) {
    if (peer != kSelf) {
        auto found = peers_.find(peer);
        if (found != peers_.end()) found->second.connection->send(envelope);
        return;
    }
    asio::post(context_, [hub = weak_from_this(), envelope = std::move(envelope)] {
        if (auto self = hub.lock(); self && self->listener_ != nullptr) self->listener_->on_message(kSelf, envelope);
    });
}

PeerFacts Peers::Hub::facts_of(PeerId id, const Peer& peer) const {
    const Connection& connection = *peer.connection;
    return {
        .id = id,
        .instance = to_hex(peer.introduction.instance),
        .address = connection.remote_ip(),
        .local_address = connection.local_ip(),
        .data_port = peer.introduction.data_port,
        .addresses = peer.addresses,
        .software = peer.introduction.software,
        .heartbeat_age_ms = static_cast<uint32_t>(connection.age(Clock::now()).count()),
        .queued_bytes = connection.queued_bytes(),
        .is_opened_here = peer.is_opened_here,
    };
}

std::optional<PeerFacts> Peers::Hub::facts(PeerId peer) const {
    if (peer == kSelf)
        return PeerFacts{
            .id = kSelf, .instance = to_hex(own_), .data_port = config_.data_port, .software = config_.software};
    auto found = peers_.find(peer);
    if (found == peers_.end()) return std::nullopt;
    return facts_of(peer, found->second);
}

std::vector<PeerFacts> Peers::Hub::list() const {
    std::vector<PeerFacts> all;
    for (const auto& [id, peer] : peers_)
        all.push_back(facts_of(id, peer));
    return all;
}

void Peers::Hub::shutdown(std::function<void()> done) {
    if (is_shutting_down_) return;
    is_shutting_down_ = true;
    shutdown_done_ = std::move(done);
    listener_ = nullptr;
    for (auto& acceptor : acceptors_)
        acceptor->close();
    acceptors_.clear();
    for (auto& [endpoint, dial] : dials_)
        for (DialDone& waiting : dial.waiting)
            post_answer(std::move(waiting), Error{ECANCELED, to_string(endpoint) + ": the daemon is stopping"});
    dials_.clear();
    for (auto& [connection, link] : links_) {
        bool has_last_words = link.state == State::up;
        link.state = State::closing;
        connection->close_after_flush(Milliseconds(has_last_words ? config_.shutdown_ms : 0));
    }
    peers_.clear();
    by_instance_.clear();
    by_endpoint_.clear();
    finish_shutdown_when_empty();
}

void Peers::Hub::finish_shutdown_when_empty() {
    if (!is_shutting_down_ || !links_.empty() || !shutdown_done_) return;
    asio::post(context_, [hub = weak_from_this(), done = std::move(shutdown_done_)] {
        if (auto self = hub.lock()) done();
    });
    shutdown_done_ = nullptr;
}

void Peers::Hub::stop() {
    listener_ = nullptr;
    for (auto& acceptor : acceptors_)
        acceptor->close();
    for (auto& [connection, link] : links_)
        connection->close();
    links_.clear();
    dials_.clear();
}

void Peers::Hub::notice(const std::string& sentence) {
    if (listener_ != nullptr) listener_->on_notice(sentence);
}

}  // namespace xylem::signalling
