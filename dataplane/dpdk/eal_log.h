// SPDX-License-Identifier: Apache-2.0
// What DPDK and its drivers say: kept off standard error, handed to the daemon's log line by line, and the last
// complaint is remembered so that a failed set-up can say why. Any thread may log; lines are short, so none is lost
// before 512 bytes.
#pragma once
#include <string>

namespace xylem::dpdk {

/// Receives one line without its newline. `rte_level` is RTE_LOG_* (1 emergency … 8 debug). Called under a lock: keep
/// it short.
using EalLogSink = void (*)(unsigned rte_level, const char* line);

/// Routes DPDK's log to `sink` (null: nowhere) from now on. Call before rte_eal_init.
void capture_eal_log(EalLogSink sink);

/// Forgets the remembered complaint. Control thread.
void forget_eal_complaint();

/// The first line of error level or worse since forget_eal_complaint(), "" if there was none. Control thread.
std::string eal_complaint();

}  // namespace xylem::dpdk
