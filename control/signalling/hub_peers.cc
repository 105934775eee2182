// SPDX-License-Identifier: Apache-2.0
// Who is where, listening, and the end.
#include <algorithm>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>

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

void Peers::Hub::join_address(PeerId id, const Endpoint& endpoint) {
    std::vector<Endpoint>& addresses = peers_.at(id).addresses;
    if (std::find(addresses.begin(), addresses.end(), endpoint) != addresses.end()) return;
    if (addresses.size() >= kMaxAddresses) return;
    addresses.push_back(endpoint);
    if (endpoint.port != 0) by_endpoint_[endpoint] = id;
}

// An instance was met at an endpoint. If that was another's, then the other is there no more: it ends if its connection
// led there. Where it was merely seen besides, only that is forgotten, so nobody ends a peer by repeating its instance
// id.
void Peers::Hub::take_over_address(const Endpoint& endpoint, const InstanceId& instance) {
    auto found = by_endpoint_.find(endpoint);
    if (found == by_endpoint_.end()) return;
    PeerId id = found->second;
    Peer& former = peers_.at(id);
    if (former.introduction.instance == instance) return;
    if (former.addresses.front() == endpoint)
        return drop(links_.at(former.connection), {.code = ECONNRESET, .counter = &Counters::replaced});
    std::erase(former.addresses, endpoint);
    by_endpoint_.erase(found);
}

void Peers::Hub::lose(PeerId id, int code) {
    auto found = peers_.find(id);
    for (const Endpoint& endpoint : found->second.addresses) {
        auto entry = by_endpoint_.find(endpoint);
        if (entry != by_endpoint_.end() && entry->second == id) by_endpoint_.erase(entry);
    }
    by_instance_.erase(found->second.introduction.instance);
    peers_.erase(found);
    if (listener_ != nullptr) listener_->on_peer_lost(id, code);
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
