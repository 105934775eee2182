// SPDX-License-Identifier: Apache-2.0
// What the command line of `xylem` asks for. The only place that knows the library which parses it.
#pragma once
#include <sys/socket.h>
#include <xylem/qos.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace xylem::cli {

enum class Command { kAnswer, kRoot, kLeaf, kStatus, kBenchSend, kBenchReceive };

struct Options {
    Command command = Command::kAnswer;
    std::string answer;  // kAnswer: print this, exit 0
    std::string name;    // "xylem root", for messages

    std::string socket_path;  // empty: the library's default
    bool is_verbose = false;
    bool as_json = false;

    // Sessions.
    Endpoint address;  // root: where it listens; leaf: the root, or where it listens
    int type = SOCK_RDM;
    unsigned leaves = 0;  // 0: as many as are invited, at least one
    std::vector<Endpoint> invites;
    uint64_t rate = XY_UNSPECIFIED_64;        // bytes/s
    uint32_t service = XY_SERVICE_NO_CHANGE;  // XY_SERVICE_*
    size_t message_bytes = 0;                 // 0: what standard input gives
    bool is_listening = false;                // leaf: waits for an invitation
    std::string connect_text;                 // leaf: caller data (asking) or callee data (invited)

    uint64_t messages = 0;  // bench send: 0 = until interrupted
};

/// EINVAL and one sentence when the usage is wrong.
Result<Options> parse_options(int argc, const char* const* argv);

/// "192.0.2.1:7000" or "[2001:db8::1]:7000"
Result<Endpoint> parse_endpoint(const std::string& text);

}  // namespace xylem::cli
