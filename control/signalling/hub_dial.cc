// SPDX-License-Identifier: Apache-2.0
// Dials: one attempt per endpoint however many ask; who was told "you are known here already" waits and tries again.
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "control/signalling/hub.h"
#include "dataplane/base/address_text.h"

namespace xylem::signalling {
namespace {

// By then the other side has found out that its connection is dead (Liveness), and one attempt more has been made.
constexpr uint32_t kGiveUpIntervals = kSilentIntervals + 2;

Error dial_error(int code, const Endpoint& endpoint) {
    std::string what = to_string(endpoint) + ": ";
    int shown = join_errno(code);
    if (shown == ECONNREFUSED)
        return {shown, what + "no daemon answers: is xylemd running there, with this --signal-port?"};
    if (shown == EPROTONOSUPPORT)
        return {shown, what + "speaks another signalling version: run the same release on both hosts"};
    if (shown == EPROTO) return {ECONNREFUSED, what + "what answers is no xylemd"};
    return {shown, what + std::strerror(shown)};
}

}  // namespace

Endpoint Peers::Hub::endpoint_of(const IpAddress& address) const {
    for (const StaticPeer& entry : config_.static_peers)
        if (entry.address == address) return {address, entry.signal_port};
    return {address, config_.signal_port != 0 ? config_.signal_port : kDefaultSignalPort};
}

IpAddress Peers::Hub::source_for(const IpAddress& target) const {
    for (const IpAddress& address : config_.listen_addresses)
        if (address.family == target.family && !address.is_wildcard()) return address;
    return {};
}

void Peers::Hub::dial(const IpAddress& address, DialDone done) {
    Endpoint endpoint = endpoint_of(address);
    if (is_shutting_down_)
        return post_answer(std::move(done), Error{ECANCELED, to_string(endpoint) + ": the daemon is stopping"});
    if (auto found = by_endpoint_.find(endpoint); found != by_endpoint_.end())
        return post_answer(std::move(done), found->second);
    auto [place, is_new] = dials_.try_emplace(endpoint);
    Dial& dial = place->second;
    dial.waiting.push_back(std::move(done));
    if (!is_new) return;
    dial.give_up = Clock::now() + Milliseconds(config_.connect_timeout_ms) +
                   kGiveUpIntervals * Milliseconds(config_.heartbeat_interval_ms);
    attempt(endpoint, dial);
}

void Peers::Hub::attempt(const Endpoint& endpoint, Dial& dial) {
    counters_.dialed++;
    auto connection = std::make_shared<Connection>(context_, *this, config_);
    Link& link = links_[connection.get()];
    link.connection = connection;
    link.is_dialed = true;
    link.endpoint = endpoint;
    dial.connection = connection.get();
    connection->dial(endpoint, source_for(endpoint.ip));
}

void Peers::Hub::retry_later(const Endpoint& endpoint, Dial& dial) {
    dial.connection = nullptr;
    dial.retry = std::make_unique<asio::steady_timer>(context_, Milliseconds(config_.heartbeat_interval_ms) / 2);
    dial.retry->async_wait([hub = weak_from_this(), endpoint](asio::error_code failure) {
        if (auto self = hub.lock(); self && !failure) self->retry(endpoint);
    });
}

void Peers::Hub::retry(const Endpoint& endpoint) {
    auto found = dials_.find(endpoint);
    if (found == dials_.end() || found->second.connection != nullptr) return;
    if (Clock::now() >= found->second.give_up) return answer_dial(endpoint, dial_error(ETIMEDOUT, endpoint));
    attempt(endpoint, found->second);
}

// The connection of a dial ended before its peer was up. A dial that was decided otherwise has let go of it.
void Peers::Hub::dial_ended(Link& link, Ending ending) {
    auto found = dials_.find(link.endpoint);
    if (found == dials_.end() || found->second.connection != link.connection.get()) return;
    answer_dial(link.endpoint, dial_error(ending.code == ECONNABORTED ? ECONNREFUSED : ending.code, link.endpoint));
}

void Peers::Hub::answer_dial(const Endpoint& endpoint, const Result<PeerId>& result) {
    auto found = dials_.find(endpoint);
    if (found == dials_.end()) return;
    std::vector<DialDone> waiting = std::move(found->second.waiting);
    dials_.erase(found);
    for (DialDone& done : waiting)
        done(result);
}

void Peers::Hub::answer_dials_expecting(const InstanceId& instance, PeerId id) {
    std::vector<Endpoint> endpoints;
    for (const auto& [endpoint, dial] : dials_)
        if (dial.expected == instance && dial.connection == nullptr) endpoints.push_back(endpoint);
    for (const Endpoint& endpoint : endpoints) {
        if (peers_.contains(id)) join_address(id, endpoint, Evidence::found);
        answer_dial(endpoint, id);
    }
}

void Peers::Hub::post_answer(DialDone done, Result<PeerId> result) {
    asio::post(context_, [hub = weak_from_this(), done = std::move(done), result = std::move(result)]() mutable {
        auto self = hub.lock();
        if (!self) return;
        if (result && !self->peers_.contains(*result))
            result = Error{ECONNABORTED, "the connection to the daemon was lost meanwhile"};
        done(std::move(result));
    });
}

}  // namespace xylem::signalling
