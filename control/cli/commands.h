// SPDX-License-Identifier: Apache-2.0
// The commands of `xylem`. Each does its work and returns; an error is what the user reads, and exit status 1.
#pragma once
#include "control/cli/options.h"
#include "control/cli/watcher.h"
#include "dataplane/base/result.h"

namespace xylem::cli {

Result<void> run_root(const Options& options, Watcher& watcher);
Result<void> run_leaf(const Options& options, Watcher& watcher);
Result<void> run_status(const Options& options);
Result<void> run_bench_send(const Options& options, Watcher& watcher);
Result<void> run_bench_receive(const Options& options, Watcher& watcher);

}  // namespace xylem::cli
