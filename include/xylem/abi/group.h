// SPDX-License-Identifier: Apache-2.0
// GROUP: plain UDP datagrams, no Xylem header on the wire. A datagram is one record (BEGIN | END) of one cell, in a log
// as in an image. In a GROUP log its payload begins with a GroupSend, in a GROUP image with a GroupReceived; what
// follows is what the UDP datagram carries. The one log whose records the worker parses: each goes elsewhere.
#pragma once
#include <xylem/abi/record.h>

#include <cstdint>

namespace xylem::abi {

inline constexpr uint32_t kMaxDestinations = 64;  // of one socket

/// Written by the application, hostile: an index that names no destination of this socket is a named drop.
struct GroupSend {
    uint32_t destination;  // index that kDestination gave; 0: the group that the socket has joined
    uint32_t reserved_zero;
};
static_assert(sizeof(GroupSend) == 8);

/// Written by the engine.
struct GroupReceived {
    uint8_t address[16];  // the sender's, IPv4 in the first 4 bytes
    uint16_t port;        // the sender's UDP port, host order
    uint16_t family;      // AF_INET, AF_INET6
    uint32_t ifindex;     // where it came in; 0: from this host
    uint64_t origin;      // (application << 32 | socket id) + 1 of a sender on this host; 0: from the wire
};
static_assert(sizeof(GroupReceived) == 32);

constexpr uint64_t group_origin(uint32_t app, uint32_t socket) {
    return ((static_cast<uint64_t>(app) << 32) | socket) + 1;
}

}  // namespace xylem::abi
