// SPDX-License-Identifier: Apache-2.0
// xylem: the everyday tool, on the public API alone. Exit status: 0 done, 1 failed, 2 wrong usage.
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "control/cli/commands.h"
#include "control/cli/options.h"
#include "control/cli/watcher.h"

namespace {

using namespace xylem;
using namespace xylem::cli;

Result<void> run(const Options& options) {
    if (options.command == Command::kAnswer) {
        fmt::print("{}", options.answer);
        return {};
    }
    Watcher watcher(options.name);
    switch (options.command) {
        case Command::kRoot:
            return run_root(options, watcher);
        case Command::kLeaf:
            return run_leaf(options, watcher);
        case Command::kStatus:
            return run_status(options);
        case Command::kBenchSend:
            return run_bench_send(options, watcher);
        case Command::kBenchReceive:
            return run_bench_receive(options, watcher);
        case Command::kAnswer:
            break;
    }
    return {};
}

/// What was printed may still fail to reach standard output (a full disk, a closed pipe).
Result<void> flush_output() {
    if (std::fflush(stdout) == 0) return {};
    return Error{errno, fmt::format("writing standard output: {}", std::strerror(errno))};
}

int report(const std::string& name, const Error& error, int status) {
    fmt::print(stderr, "{}: {}\n", name, error.what);
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    const auto options = parse_options(argc, argv);
    if (!options) return report("xylem", options.error(), 2);
    try {
        if (auto done = run(*options); !done) return report(options->name, done.error(), 1);
        if (auto flushed = flush_output(); !flushed) return report(options->name, flushed.error(), 1);
    } catch (const std::exception& exception) {
        return report(options->name, {ENOMEM, exception.what()}, 1);
    }
    return 0;
}
