// SPDX-License-Identifier: Apache-2.0
// What the worker knows of a GROUP stream's destinations. Control makes routes, commands put them in.
#pragma once
#include <xylem/abi/group.h>

#include <array>

#include "dataplane/packet/udp_frame.h"
#include "dataplane/stage/egress.h"

namespace xylem::stage {

struct GroupRoute {
    Endpoint dest;             // no address: not set
    uint32_t port = 0;         // of this host's image that gets it as well
    Egress* egress = nullptr;  // null: nothing goes on a wire
    bool is_up = false;
    uint32_t max_payload_bytes = 0;  // that the path and the port take
    packet::UdpTemplate header;
    abi::GroupReceived sender{};  // what readers on this host are told
};

struct GroupSender {
    std::array<GroupRoute, abi::kMaxDestinations> routes;
    bool is_paused = false;  // the datagram at the cursor found its port's queue full
    uint64_t hostile_records = 0;
};

}  // namespace xylem::stage
