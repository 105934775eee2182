// SPDX-License-Identifier: Apache-2.0
// The daemon's configuration: built-in defaults, overridden by a TOML file, overridden by flags.
// Invariant: a Config that load() returned is complete and within its limits; nobody checks it again. The table behind
// it (key_table.h) is the one source of every key's unit, default and limits, also for xylemd.toml.example and the
// documentation.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/port_spec.h"
#include "dataplane/base/result.h"

namespace xylem::config {

/// What a worker does when there is nothing to do (docs/architecture.md, "Processes and threads").
enum class Idle : uint8_t { kBusy, kAdaptive };

enum class LogLevel : uint8_t { kError, kWarn, kInfo, kDebug };

/// Where the signalling of the daemon at `address` listens, when that is not our own signalling port.
struct Peer {
    IpAddress address;
    uint16_t signal_port = 0;
};

struct Config {
    /// Not empty: --help or --version was asked for; print this on standard output and exit with status 0.
    std::string answer_only;

    /// "local" is always the first; no interface or memif path occurs twice.
    std::vector<dpdk::PortSpec> ports{dpdk::PortSpec{.text = "local"}};
    std::string socket;            ///< path of the control socket; its folder is the runtime directory
    std::vector<unsigned> lcores;  ///< the CPU to pin the worker to; empty: it floats
    Idle idle = Idle::kAdaptive;
    uint16_t signal_port = 7470;  ///< TCP
    uint16_t data_port = 7471;    ///< UDP
    bool lab_ports = false;       ///< allows memif ports
    LogLevel log_level = LogLevel::kInfo;
    std::vector<uint32_t> allow_uids;  ///< who may attach; empty: everyone
    bool huge_pages = false;
    uint32_t memory_mb = 256;  ///< memory of the packet engine (EAL), MiB
    uint32_t heartbeat_interval_ms = 1000;
    uint32_t join_timeout_ms = 30000;
    uint32_t cell_bytes = 1408;
    uint32_t log_cells = 1024;
    uint32_t image_cells = 0;  ///< 0: as many as the log of the stream
    uint32_t slow_leaf_ms = 1000;
    uint32_t reorder_us = 200;
    std::vector<Peer> peers;
};

/// The configuration that the command line asks for. Reads the file of --config, $XDG_RUNTIME_DIR and the effective
/// uid. Error: EINVAL (or the errno of reading the file) and one line that names the operand, where it stands and the
/// cure; the daemon prints it and exits with status 2.
Result<Config> load(int argc, const char* const* argv);

/// The effective configuration, one `key = value` line each, `tls: off` among them; printed at start.
std::vector<std::string> effective_lines(const Config& config);

/// Where the control socket is when nobody says: below /run for root (`is_root`), else in `runtime_dir`
/// ($XDG_RUNTIME_DIR, may be null or empty: EINVAL).
Result<std::string> default_socket_path(bool is_root, const char* runtime_dir);

}  // namespace xylem::config
