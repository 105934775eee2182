// SPDX-License-Identifier: Apache-2.0
// xylem root: standard input to every leaf.
#include <fmt/core.h>
#include <unistd.h>
#include <xylem/xylem.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "control/cli/commands.h"
#include "control/cli/failure.h"
#include "control/cli/root_session.h"
#include "dataplane/base/address_text.h"

namespace xylem::cli {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kDatagramBytes = 1400;  // one cell: a lost frame costs one message

/// Reads from standard input: at least one byte unless it ends, all of `bytes` when `is_exact` and there is as much.
/// The number read, or -1 with errno (EINTR: interrupted, nothing was read).
ssize_t read_input(char* to, size_t bytes, bool is_exact, const Watcher& watcher) {
    size_t n = 0;
    while (n < bytes) {
        const ssize_t got = read(STDIN_FILENO, to + n, bytes - n);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) {
            if (!watcher.is_stopping()) continue;
            if (n > 0) break;
            return -1;
        }
        if (got < 0) return -1;
        n += static_cast<size_t>(got);
        if (!is_exact) break;
    }
    return static_cast<ssize_t>(n);
}

/// Bytes of one message: as asked, else what a read gives, within what the session can carry.
Result<size_t> message_bytes(const Options& options, const RootSession& session) {
    const uint64_t max = options.type == SOCK_STREAM ? 0 : session.max_message_bytes();
    if (options.message_bytes != 0) {
        if (max != 0 && options.message_bytes > max)
            return Error{
                EMSGSIZE,
                fmt::format("--message-bytes {}: the longest message of this session has {} bytes (a quarter of "
                            "its log, see log_cells)",
                            options.message_bytes, max)};
        return options.message_bytes;
    }
    const size_t wanted = options.type == SOCK_DGRAM ? kDatagramBytes : kReadBytes;
    return max == 0 ? wanted : std::min<size_t>(wanted, max);
}

Result<void> send_whole(const Options& options, int s, const char* from, size_t bytes, const Watcher& watcher) {
    size_t n = 0;
    while (n < bytes) {
        const ssize_t sent = xy_send(s, from + n, bytes - n, 0);
        if (sent < 0 && errno == EINTR) {
            if (watcher.is_stopping()) return interrupted();
            continue;
        }
        if (sent < 0) return failure(Step::kSend, to_string(options.address), errno);
        n += static_cast<size_t>(sent);
    }
    return {};
}

/// Sends standard input to its end. A failed send is an error; so is a failed read.
Result<void> send_input(const Options& options, const RootSession& session, Watcher& watcher) {
    auto bytes = message_bytes(options, session);
    if (!bytes) return bytes.error();
    std::vector<char> message(*bytes);
    const bool is_exact = options.message_bytes != 0;
    while (!watcher.is_stopping()) {
        const ssize_t got = read_input(message.data(), message.size(), is_exact, watcher);
        if (got == 0) return {};
        if (got < 0 && errno == EINTR) break;
        if (got < 0) return Error{errno, fmt::format("reading standard input: {}", std::strerror(errno))};
        const auto length = static_cast<size_t>(got);
        if (auto sent = send_whole(options, session.descriptor(), message.data(), length, watcher); !sent) return sent;
        watcher.add_bytes(length);
    }
    return interrupted();
}

}  // namespace

Result<void> run_root(const Options& options, Watcher& watcher) {
    RootSession session(options, watcher);
    if (auto opened = session.open(); !opened) return opened;
    if (auto gathered = session.gather(); !gathered) return gathered;
    const auto start = std::chrono::steady_clock::now();
    const auto sent = send_input(options, session, watcher);
    const auto finished = session.finish();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (!sent && !finished) return Error{sent.error().code, sent.error().what + "; " + finished.error().what};
    if (!sent) return Error{sent.error().code, fmt::format("{} after {} bytes", sent.error().what, watcher.bytes())};
    if (!finished) return finished;
    if (options.is_verbose)
        fmt::print(stderr, "{}: {} of {} leaves confirmed {} bytes in {:.6f} s\n", options.name, session.leaves(),
                   session.leaves(), watcher.bytes(), took.count());
    return {};
}

}  // namespace xylem::cli
