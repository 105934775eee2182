// SPDX-License-Identifier: Apache-2.0
// Sending datagrams of a GROUP stream: the one place where a worker looks at records, since each goes where its own
// first word says. Whatever the application has written: a record that is no datagram (or one that is changed while it
// is read) costs its own stream what is left of a cell, and nobody else anything.
#pragma once
#include "dataplane/stage/context.h"

namespace xylem::stage {

/// Pulls at most `budget` records. Each becomes one frame at its destination's port, a datagram in this host's image of
/// its group, both, or one drop for each of the two that it does not become. A frame that finds its port's queue full
/// stays in the log, and the stream pauses there. Returns 0 when there was nothing to do.
/// What the last poll sampled is sent, not what is committed by now: whoever was told that a destination is set, or a
/// group joined, before he wrote can rely on it, since the commands that were given by then have been applied
/// (context.is_up_to_date).
unsigned transmit_datagrams(TxStream& stream, unsigned budget, Context& context);

}  // namespace xylem::stage
