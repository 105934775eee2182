// SPDX-License-Identifier: Apache-2.0
#include "control/session/bindings.h"

#include <algorithm>
#include <cerrno>

#include "dataplane/base/address_text.h"

namespace xylem::session {

uint16_t Bindings::free_port(uint8_t family) {
    for (unsigned tried = 0; tried < kAutoPorts; ++tried) {
        const uint16_t port = next_;
        next_ = port == 65535 ? kFirstAutoPort : static_cast<uint16_t>(port + 1);
        if (is_port_free(family, port)) return port;
    }
    return 0;
}

Result<Endpoint> Bindings::bind(Socket* socket, const Endpoint& wanted, bool may_share) {
    Endpoint endpoint = wanted;
    if (endpoint.port == 0) {
        endpoint.port = free_port(endpoint.ip.family);
        if (endpoint.port == 0) return Error{EADDRINUSE, "no port is free: close some sockets"};
    }
    auto held = held_.find(endpoint);
    if (held != held_.end() && !may_share)
        return Error{EADDRINUSE, to_string(endpoint) + " is in use: choose another port or set SO_REUSEADDR"};
    held_[endpoint].push_back(socket);
    ports_.insert({endpoint.ip.family, endpoint.port});
    return endpoint;
}

Result<Endpoint> Bindings::commit(Socket* socket, const Endpoint& held, const IpAddress& ip, bool may_share) {
    Result<Endpoint> specific = bind(socket, {ip, held.port}, may_share);
    if (specific) release(socket, held);
    return specific;
}

void Bindings::release(Socket* socket, const Endpoint& held) {
    auto found = held_.find(held);
    if (found == held_.end()) return;
    if (std::erase(found->second, socket) > 0) ports_.erase(ports_.find({held.ip.family, held.port}));
    if (found->second.empty()) held_.erase(found);
}

std::vector<Socket*> Bindings::holders(const Endpoint& endpoint) const {
    std::vector<Socket*> all;
    auto add = [&](const Endpoint& key) {
        auto found = held_.find(key);
        if (found != held_.end()) all.insert(all.end(), found->second.begin(), found->second.end());
    };
    add(endpoint);
    Endpoint wildcard{.port = endpoint.port};
    wildcard.ip.family = endpoint.ip.family;
    if (wildcard != endpoint) add(wildcard);
    return all;
}

}  // namespace xylem::session
