// SPDX-License-Identifier: Apache-2.0
// xylemd: exit status 0 after a clean stop, 1 when it could not be set up, 2 for a bad configuration.
#include <sys/resource.h>

#include <cstdio>
#include <exception>

#include "control/config/config.h"
#include "control/config/log.h"
#include "control/daemon/daemon.h"

namespace {

/// Two descriptors per socket of every application: as many as the system gives.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    constexpr rlim_t kWanted = 262144;
    const rlimit more{kWanted, limit.rlim_max > kWanted ? limit.rlim_max : kWanted};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int run(int argc, char** argv) {
    auto config = xylem::config::load(argc, argv);
    if (!config) {
        std::fprintf(stderr, "xylemd: %s\n", config.error().what.c_str());
        return 2;
    }
    if (!config->answer_only.empty()) {
        std::fputs(config->answer_only.c_str(), stdout);
        return 0;
    }
    xylem::log::start(config->log_level);
    for (const std::string& line : xylem::config::effective_lines(*config))
        std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    raise_descriptor_limit();
    xylem::daemon::Daemon daemon(*config);
    if (auto done = daemon.run(); !done) {
        std::fprintf(stderr, "xylemd: %s\n", done.error().what.c_str());
        return 1;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "xylemd: %s\n", error.what());
        return 1;
    }
}
