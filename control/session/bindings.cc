// SPDX-License-Identifier: Apache-2.0
#include "control/session/bindings.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "dataplane/base/address_text.h"

namespace xylem::session {

uint16_t Bindings::free_port(uint8_t family) {
    for (unsigned tried = 0; tried < kAutoPorts; ++tried) {
        const uint16_t port = next_;
        next_ = port == 65535 ? kFirstAutoPort : static_cast<uint16_t>(port + 1);
        if (!ports_.contains({family, port})) return port;
    }
    return 0;
}

Endpoint Bindings::hold(const Claim& claim, const Endpoint& endpoint) {
    held_[endpoint].push_back(claim);
    Owner& owner = ports_[{endpoint.ip.family, endpoint.port}];
    owner.uid = claim.uid;
    ++owner.n_holdings;
    return endpoint;
}

Result<Endpoint> Bindings::bind(const Claim& claim, const Endpoint& wanted) {
    Endpoint endpoint = wanted;
    if (endpoint.port == 0) {
        endpoint.port = free_port(endpoint.ip.family);
        if (endpoint.port == 0) return Error{EADDRINUSE, "no port is free: close some sockets"};
    }
    const auto owner = ports_.find({endpoint.ip.family, endpoint.port});
    if (sharing_ == Sharing::kOneUser && owner != ports_.end() && owner->second.uid != claim.uid)
        return Error{EADDRINUSE,
                     "port " + std::to_string(endpoint.port) + " is in use by another user: choose another port"};
    const auto held = held_.find(endpoint);
    const auto shares = [](const Claim& other) { return other.may_share; };
    if (held != held_.end() && !(claim.may_share && std::all_of(held->second.begin(), held->second.end(), shares)))
        return Error{EADDRINUSE,
                     to_string(endpoint) + " is in use: choose another port, or set SO_REUSEADDR before every bind"};
    return hold(claim, endpoint);
}

Result<Endpoint> Bindings::commit(const Claim& claim, const Endpoint& held, const IpAddress& ip) {
    const Endpoint specific{ip, held.port};
    if (held_.contains(specific) && !claim.may_share)
        return Error{EADDRINUSE, to_string(specific) + " is in use: choose another port or set SO_REUSEADDR"};
    hold(claim, specific);
    release(claim.socket, held);
    return specific;
}

void Bindings::release(Socket* socket, const Endpoint& held) {
    auto found = held_.find(held);
    if (found == held_.end()) return;
    const auto n_released = std::erase_if(found->second, [&](const Claim& claim) { return claim.socket == socket; });
    if (found->second.empty()) held_.erase(found);
    const auto owner = ports_.find({held.ip.family, held.port});
    if (n_released != 0 && --owner->second.n_holdings == 0) ports_.erase(owner);
}

std::vector<Socket*> Bindings::holders(const Endpoint& endpoint) const {
    std::vector<Socket*> all;
    auto add = [&](const Endpoint& key) {
        auto found = held_.find(key);
        if (found == held_.end()) return;
        for (const Claim& claim : found->second)
            all.push_back(claim.socket);
    };
    add(endpoint);
    Endpoint wildcard{.port = endpoint.port};
    wildcard.ip.family = endpoint.ip.family;
    if (wildcard != endpoint) add(wildcard);
    return all;
}

}  // namespace xylem::session
