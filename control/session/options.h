// SPDX-License-Identifier: Apache-2.0
// A socket's options and flow specifications as values: what was set, what is valid. Pure.
#pragma once
#include <xylem/abi/command.h>
#include <xylem/socket.h>

#include <map>
#include <utility>
#include <vector>

#include "control/session/settings.h"
#include "dataplane/base/result.h"

namespace xylem::session {

struct Options {
    uint32_t slow_leaf_ms = 1000;
    uint32_t join_timeout_ms = 30000;
    uint32_t log_cells_log2 = abi::kDefaultCellsLog2;
    bool may_share_address = false;
    static constexpr int kAnyHops = -1;
    int hops = kAnyHops;  // of a root's frames; 0: leaves on this host only
    uint64_t rm_rate_bytes_s = 0;
    uint32_t rm_advance_percent = 15, rm_is_intranet = 0;
    /// Options of SOL_SOCKET that the shim acts on; the daemon keeps them so that accepted sockets inherit them
    /// (W-097).
    std::map<int, std::vector<uint8_t>> kept;

    static Options defaults(const Settings& settings);
};

/// EINVAL: a value outside its limits; ENOPROTOOPT: no such option. `cell_bytes`: of the socket's log;
/// `is_log_fixed`: it can no longer change (EINVAL).
Result<void> set_option(Options& options, const abi::OptionBody& body, uint32_t cell_bytes, bool is_log_fixed,
                        const Settings& settings);

/// Nothing requested, in both directions (W-260).
abi::Qos default_qos();
/// EINVAL: W-275, W-276.
Result<void> check_qos(const abi::Qos& qos);
/// More than best effort, in either direction.
bool wants_guarantees(const abi::Qos& qos);
/// What a join of that direction wants: nothing for the direction that it does not have (W-256, W-258).
abi::Qos qos_of_direction(const abi::Qos& qos, uint32_t direction);
/// What a receiver of controlled load leaves open is as the sender describes it (W-277).
abi::Qos with_senders_values(const abi::Qos& receiver, const abi::Qos& sender);
/// `wanted` over `held`, direction by direction (W-262, W-263).
abi::Qos merged_qos(const abi::Qos& held, const abi::Qos& wanted);

}  // namespace xylem::session
