// SPDX-License-Identifier: Apache-2.0
#include "control/cli/attach.h"

#include <unistd.h>
#include <xylem/socket.h>

#include <cerrno>
#include <cstdlib>

#include "control/cli/failure.h"

namespace xylem::cli {

std::string daemon_path(const Options& options) {
    if (!options.socket_path.empty()) return options.socket_path;
    if (const char* path = std::getenv("XYLEM_SOCKET"); path && *path) return path;
    if (geteuid() == 0) return "/run/xylem/xylemd.sock";
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    return std::string(runtime && *runtime ? runtime : "$XDG_RUNTIME_DIR") + "/xylem/xylemd.sock";
}

Result<void> attach(const Options& options) {
    const std::string path = daemon_path(options);
    if (xy_attach(options.socket_path.empty() ? nullptr : path.c_str()) == 0) return {};
    return failure(Step::kAttach, path, errno);
}

}  // namespace xylem::cli
