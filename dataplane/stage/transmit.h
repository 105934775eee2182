// SPDX-License-Identifier: Apache-2.0
// The sending stages: pull (a log's next frame, as far as flow control allows), replicate (to every replica of a group,
// resumable at any of them), repair (again, to one replica), and `limit` (how far the application may write).
#pragma once
#include "dataplane/stage/context.h"

namespace xylem::stage {

/// Pulls and fans out at most `budget` frames per group of the stream, and serves repairs. Afterwards every frame cut
/// was sent to all replicas of its group, or the group is paused and resumes there. Returns the number of frames sent
/// or stored (0: nothing to do). GROUP streams: see group_transmit.h.
unsigned transmit(TxStream& stream, unsigned budget, Context& context);

/// A NAK of `replica`: remembers what it misses, unless it is still being served. Ranges that no log can have are
/// malformed_nak, a NAK for a best-effort stream is wrong_type.
void accept_nak(Replica& replica, const NakRange* ranges, size_t n, Context& context);

/// A STATUS of `replica`: positions only grow; more than was sent is not believed.
void accept_status(Replica& replica, Position consumed, Position received, uint32_t echo, uint32_t window_cells,
                   Context& context);

/// The same for this host's own image, without a frame.
void accept_local_progress(RxImage& image, Context& context);

/// Sends HEARTBEATs to the replicas that have not acknowledged, with back-off, while something is unacknowledged or the
/// writer waits.
void on_stream_timer(TxStream& stream, Context& context);

/// A HEARTBEAT is due: the final position became known, or a path came up.
void ask_for_status(TxStream& stream, Context& context);

/// Recomputes the slowest replica's progress and `limit` if anything changed. True when `limit` grew.
bool update_limit(TxStream& stream);

/// Whether the final position was reached by everybody; true once.
bool take_finished(TxStream& stream);

}  // namespace xylem::stage
