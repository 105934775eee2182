// SPDX-License-Identifier: Apache-2.0
// Finding the daemon.
#pragma once
#include "control/cli/options.h"
#include "dataplane/base/result.h"

namespace xylem::cli {

/// Attaches this process to the daemon that the options name. Error: the path and the cure.
Result<void> attach(const Options& options);

/// Where the daemon is looked for: --socket, $XYLEM_SOCKET, or the default.
std::string daemon_path(const Options& options);

}  // namespace xylem::cli
