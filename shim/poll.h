// SPDX-License-Identifier: Apache-2.0
// xy_poll: BSD readiness over any mix of descriptors.
#pragma once
#include <poll.h>

namespace xylem::shim {

/// As poll(2): the number of descriptors with something to tell, or -1 with errno.
int poll_descriptors(pollfd* fds, nfds_t count, int timeout_ms);

}  // namespace xylem::shim
