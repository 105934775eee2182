// SPDX-License-Identifier: Apache-2.0
// The one invariant of a sender's window: bytes = rate × time. Pure.
#pragma once
#include <xylem/socket.h>
#include <xylem/stats.h>

#include "dataplane/base/result.h"

namespace xylem::session {

/// Of rate, time and bytes the one that is 0 comes from the others. EINVAL: more than one is open, they contradict each
/// other by more than a millisecond's bytes, or one is outside its limits.
Result<xy_rm_rate_window> complete_rate_window(xy_rm_rate_window window);

constexpr bool is_rm_option(int name) { return name >= XY_OPT_RM_RATE_WINDOW && name <= XY_OPT_RM_HIGH_SPEED_INTRANET; }

}  // namespace xylem::session
