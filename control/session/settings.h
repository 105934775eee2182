// SPDX-License-Identifier: Apache-2.0
// What the operator decides about sessions, and the limits that keep a peer or an application from taking more memory
// than its share.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace xylem::session {

struct Settings {
    uint32_t cell_bytes = 1408;  // of a stream, unless the path to the first leaf allows less
    uint32_t log_cells = 1024;   // default of XY_OPT_LOG_BYTES
    uint32_t image_cells = 0;    // 0: as many as the stream's log
    uint32_t slow_leaf_ms = 1000;
    uint32_t join_timeout_ms = 30000;
    uint32_t linger_ms = 30000;  // a closed socket whose data makes no progress for so long is given up
    uint32_t stop_ms = 1000;     // what a stopping daemon grants its sessions
    uint16_t data_port = 7471;
    uint64_t max_log_bytes = 1ULL << 30;         // one log
    uint64_t max_image_bytes = 1ULL << 30;       // one image
    uint64_t max_peer_image_bytes = 4ULL << 30;  // all images that one peer's joins made
    std::string version;
    std::function<uint64_t()> now_ms;  // monotonic clock
};

}  // namespace xylem::session
