// SPDX-License-Identifier: Apache-2.0
// Where a join is at either end, and which message may come then. Pure: the tables are the protocol. A message that
// may not come ends its join, and nothing else (invariant 4).
#pragma once
#include <cstdint>

#include "control/signalling/messages.pb.h"

namespace xylem::session {

/// At the root's host.
enum class RootStep : uint8_t {
    kOffered,    // leaf asked, we offered; the leaf makes its image
    kQueued,     // in the backlog
    kTaken,      // the application's condition function has it
    kDialing,    // we invite: no connection yet
    kInvited,    // InviteRequest is out
    kPreparing,  // admitted: its host, which has the stream already, adds the reader
    kAdding,     // accepted: the worker appends the replica
    kLive,
    kClosing,    // Close is out, the leaf reads on to the end
    kConfirmed,  // the leaf has taken everything; its own stream may go on
    kLeft,       // the leaf is gone; what it sent is still being read here
    kOver,
};

/// At the leaf's host.
enum class LeafStep : uint8_t {
    kDialing,   // no connection yet
    kAsked,     // JoinRequest is out
    kReady,     // image made, JoinReady is out; the root's application decides
    kQueued,    // invited: in our backlog
    kTaken,     // invited: our application's condition function has it
    kAccepted,  // invited: InviteAccept is out
    kStarting,  // admitted: the worker appends the replica of our own stream
    kLive,
    kClosing,    // the root's stream has an end, the application reads on to it
    kConfirmed,  // it has
    kLingering,  // the application closed; what it sent is still on its way
    kOver,
};

using Kind = proto::Envelope::KindCase;

/// Messages from a leaf's host.
constexpr bool may_come(RootStep step, Kind kind) {
    switch (kind) {
        case Kind::kJoinReady:
            return step == RootStep::kOffered;
        case Kind::kCancel:
            // It may have crossed our JoinAccept, and that our Close.
            return step != RootStep::kDialing && step != RootStep::kInvited && step <= RootStep::kConfirmed;
        case Kind::kJoinPrepared:
            return step == RootStep::kPreparing;
        case Kind::kInviteAccept:
            return step == RootStep::kInvited;
        case Kind::kReject:
            return step == RootStep::kInvited;
        case Kind::kLeave:
            if (step == RootStep::kLeft) return true;  // it gave up what was still on its way
            [[fallthrough]];
        case Kind::kUpstreamClose:
            return step == RootStep::kAdding || step == RootStep::kLive || step == RootStep::kClosing ||
                   step == RootStep::kConfirmed;
        case Kind::kConfirmed:
            return step == RootStep::kClosing;
        case Kind::kMemberReady:
        case Kind::kMemberBroken:
            return step >= RootStep::kAdding && step <= RootStep::kLeft;
        default:
            return false;
    }
}

/// Messages from the root's host.
constexpr bool may_come(LeafStep step, Kind kind) {
    switch (kind) {
        case Kind::kJoinOffer:
            return step == LeafStep::kAsked;
        case Kind::kJoinPrepare:
            return step == LeafStep::kReady || step == LeafStep::kAccepted;
        case Kind::kJoinAccept:
            return step == LeafStep::kReady;
        case Kind::kMemberAdd:
        case Kind::kMemberRemove:
            return step == LeafStep::kReady || (step >= LeafStep::kAccepted && step < LeafStep::kOver);
        case Kind::kReject:
            return step == LeafStep::kAsked || step == LeafStep::kReady;
        case Kind::kCancel:
            return step == LeafStep::kQueued || step == LeafStep::kTaken || step == LeafStep::kAccepted;
        case Kind::kLive:
            return step == LeafStep::kAccepted;
        case Kind::kClose:
            return step >= LeafStep::kStarting && step < LeafStep::kOver;
        default:
            return false;
    }
}

}  // namespace xylem::session
