// SPDX-License-Identifier: Apache-2.0
#include "control/signalling/peers.h"

#include "control/signalling/hub.h"

namespace xylem::signalling {

std::vector<std::pair<std::string_view, uint64_t>> Counters::named() const {
    return {
#define XY_SIGNALLING_COUNTER(name, sentence) {#name, name},
#include "control/signalling/counters.def"
#undef XY_SIGNALLING_COUNTER
    };
}

Peers::Peers(asio::io_context& context, Config config, Listener& listener)
    : hub_(std::make_shared<Hub>(context, std::move(config), listener)) {}
Peers::~Peers() { hub_->stop(); }

Result<void> Peers::listen() { return hub_->listen(); }
void Peers::dial(const IpAddress& address, DialDone done) { hub_->dial(address, std::move(done)); }
void Peers::send(PeerId peer, proto::Envelope envelope) { hub_->send(peer, std::move(envelope)); }
std::optional<PeerFacts> Peers::facts(PeerId peer) const { return hub_->facts(peer); }
std::vector<PeerFacts> Peers::list() const { return hub_->list(); }
const Counters& Peers::counters() const { return hub_->counters(); }
void Peers::shutdown(std::function<void()> done) { hub_->shutdown(std::move(done)); }

}  // namespace xylem::signalling
