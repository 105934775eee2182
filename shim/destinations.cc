// SPDX-License-Identifier: Apache-2.0
#include "shim/destinations.h"

#include <time.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "shim/socket.h"
#include "shim/wire_types.h"

namespace xylem::shim {

namespace {

constexpr int64_t kNeighbourNs = 500'000'000;  // a neighbour on the same link answers within one or two

// Without what may lie in an address and means nothing: padding, a flow label.
sockaddr_in6 key_of(const abi::AddressBody& name) {
    sockaddr_in6 key{};
    const size_t n = name.address.ss_family == AF_INET ? offsetof(sockaddr_in, sin_zero) : sizeof key;
    memcpy(&key, &name.address, n);
    if (name.address.ss_family == AF_INET6) key.sin6_flowinfo = 0;
    return key;
}

}  // namespace

void Destinations::close() {
    free(known_);
    known_ = nullptr;
    n_known_ = 0;
}

int Destinations::find(Socket& s, const sockaddr* to, socklen_t length, bool may_wait, Destination& out) {
    abi::AddressBody name{};
    if (to == nullptr) {
        if (phase_of(s) != abi::Phase::kJoined || s.group_name.length == 0) return ENOTCONN;
        name = s.group_name;
        if (port_of(name) == 0) return EDESTADDRREQ;
    } else if (const int error = address_from(to, length, s.family, name)) {
        return error;
    }
    const uint32_t changes = s.engine->destinations_changed.load(std::memory_order_acquire);
    if (changes != changes_seen_) n_known_ = 0;
    changes_seen_ = changes;
    const sockaddr_in6 key = key_of(name);
    for (uint32_t i = 0; i < n_known_; ++i) {
        if (memcmp(&known_[i].address, &key, sizeof key) != 0) continue;
        out = known_[i];
        return 0;
    }
    if (const int error = ask(s, name, may_wait, out)) return error;
    out.address = key;
    if (Destination* made = make()) *made = out;
    return 0;
}

int Destinations::ask(Socket& s, const abi::AddressBody& name, bool may_wait, Destination& out) {
    const int64_t deadline_ns = now_ns() + kNeighbourNs;
    for (;;) {
        abi::DestinationReply reply{};
        if (const int error = s.attachment->ask(abi::Op::kDestination, s.id, name, reply)) return error;
        if (reply.index >= abi::kMaxDestinations) return EPROTO;
        out.index = reply.index;
        out.max_bytes = reply.max_bytes;
        if (reply.is_up != 0 || !may_wait || now_ns() >= deadline_ns) return 0;
        const timespec pause{0, 1'000'000};
        nanosleep(&pause, nullptr);
    }
}

Destination* Destinations::make() {
    if (known_ == nullptr) known_ = static_cast<Destination*>(calloc(abi::kMaxDestinations, sizeof(Destination)));
    if (known_ == nullptr) return nullptr;
    // Two spellings of one address (scope ids) are two entries here and one at the daemon: then the first goes.
    if (n_known_ == abi::kMaxDestinations) n_known_ = 0;
    return &known_[n_known_++];
}

}  // namespace xylem::shim
