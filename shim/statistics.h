// SPDX-License-Identifier: Apache-2.0
// Counters, the daemon's state, and the protocol entries.
#pragma once
#include <xylem/socket.h>
#include <xylem/stats.h>

namespace xylem::shim {

struct Socket;

int socket_statistics(Socket& s, struct xy_stats& out);
int leaf_statistics(Socket& s, struct xy_leaf_stats* out, unsigned count);
int daemon_status(char* json, size_t bytes);
int list_protocols(xy_protocol* out, unsigned count);

}  // namespace xylem::shim
