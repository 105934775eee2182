// SPDX-License-Identifier: Apache-2.0
// Datagrams into images of groups: those that come in at a port, and those of this host's own senders.
#pragma once
#include <xylem/abi/group.h>

#include <span>

#include "dataplane/packet/parse.h"
#include "dataplane/stage/context.h"

namespace xylem::stage {

/// Where a burst came in.
struct InPort {
    uint32_t index = 0;      // of the port
    uint32_t ifindex = 0;    // 0: it has no kernel interface
    uint16_t data_port = 0;  // UDP to it is Xylem frames
};

/// A datagram to another UDP port than ours: stored in its group's image, or one drop.
void take_datagram(const packet::ParsedDatagram& datagram, const InPort& port, Context& context);

/// Stores a datagram behind what its readers are told of it, and notes the image as touched. A cell that is too small
/// for it: image_too_small.
void store_datagram(RxImage& image, const abi::GroupReceived& from, std::span<const uint8_t> payload, Context& context);

}  // namespace xylem::stage
