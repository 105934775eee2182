// SPDX-License-Identifier: Apache-2.0
// Where a feed is at either end, and which message may come then. Pure: the tables are the protocol. A message that may
// not come ends its feed, and nothing else (invariant 4).
#pragma once
#include <cstdint>

#include "control/signalling/messages.pb.h"

namespace xylem::session {

/// At the sender's host.
enum class OutStep : uint8_t {
    kOpening,  // FeedOpen is out
    kAdding,   // the worker appends the replica
    kLive,
    kClosing,  // FeedClose is out, what was sent is still on its way
    kOver,
};

/// At the receiver's host.
enum class InStep : uint8_t {
    kReady,    // image and reader are made, FeedReady is out
    kWaiting,  // live, but an older feed of that sender is still being read
    kLive,
    kOver,
};

/// Messages from the receiver's host.
constexpr bool may_come(OutStep step, proto::Envelope::KindCase kind) {
    switch (kind) {
        case proto::Envelope::kFeedReady:
            return step == OutStep::kOpening;
        case proto::Envelope::kFeedDone:
            return step != OutStep::kOver;
        default:
            return false;
    }
}

/// Messages from the sender's host.
constexpr bool may_come(InStep step, proto::Envelope::KindCase kind) {
    switch (kind) {
        case proto::Envelope::kFeedLive:
            return step == InStep::kReady;
        case proto::Envelope::kFeedClose:
            return step != InStep::kOver;
        default:
            return false;
    }
}

}  // namespace xylem::session
