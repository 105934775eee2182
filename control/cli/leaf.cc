// SPDX-License-Identifier: Apache-2.0
// xylem leaf: what the root sends, to standard output.
#include <fmt/core.h>
#include <unistd.h>
#include <xylem/xylem.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "control/cli/commands.h"
#include "control/cli/failure.h"
#include "control/cli/leaf_session.h"

namespace xylem::cli {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr size_t kFlushBytes = 256 << 10;

/// Collects messages and writes them in large pieces, so that small messages do not cost a system call each.
class Output {
  public:
    Output() : buffer_(kBufferBytes) {}

    char* room() { return buffer_.data() + used_; }
    size_t room_bytes() const { return buffer_.size() - used_; }
    bool is_empty() const { return used_ == 0; }
    bool is_full() const { return used_ >= kFlushBytes; }
    void add(size_t bytes) { used_ += bytes; }
    void grow() { buffer_.resize(buffer_.size() * 2); }

    Result<void> flush() {
        size_t n = 0;
        while (n < used_) {
            const ssize_t written = write(STDOUT_FILENO, buffer_.data() + n, used_ - n);
            if (written < 0 && errno == EINTR) continue;
            if (written < 0)
                return Error{errno, fmt::format("writing standard output: {}{}", std::strerror(errno),
                                                errno == EPIPE ? ": its reader is gone" : "")};
            n += static_cast<size_t>(written);
        }
        used_ = 0;
        return {};
    }

  private:
    std::vector<char> buffer_;
    size_t used_ = 0;
};

/// Receives until the end; nothing for a graceful one.
Result<void> receive_all(const Options& options, const LeafSession& session, Output& output, Watcher& watcher) {
    while (!watcher.is_stopping()) {
        // Whoever has something to write does not sleep on it.
        const int flags = output.is_empty() ? 0 : XY_MSG_DONTWAIT;
        const ssize_t got = xy_recv(session.descriptor(), output.room(), output.room_bytes(), flags);
        const int code = got < 0 ? errno : 0;
        if (got > 0) {
            output.add(static_cast<size_t>(got));
            watcher.add_bytes(static_cast<uint64_t>(got));
        }
        if (output.is_full() || (code != 0 && code != EINTR)) {
            const bool had_some = !output.is_empty();
            if (auto flushed = output.flush(); !flushed) return flushed;
            if (code == EAGAIN || code == EWOULDBLOCK) continue;
            if (code == EMSGSIZE) {
                if (!had_some) output.grow();
                continue;
            }
        }
        if (got == 0 && options.type == SOCK_STREAM) return {};
        if (code != 0 && code != EINTR) return session.end_of(code);
    }
    return interrupted();
}

}  // namespace

Result<void> run_leaf(const Options& options, Watcher& watcher) {
    LeafSession session(options, watcher);
    if (auto joined = session.join(); !joined) return joined;
    Output output;
    auto received = receive_all(options, session, output, watcher);
    const bool is_broken_output = !received && received.error().code == EPIPE;
    if (auto flushed = is_broken_output ? Result<void>() : output.flush(); !flushed && received) received = flushed;
    const uint64_t lost_bytes = session.lost_bytes();
    if (received && lost_bytes > 0) return Error{EIO, fmt::format("{} bytes were lost on the way", lost_bytes)};
    if (!received)
        return Error{received.error().code, fmt::format("{} ({} bytes received, {} lost)", received.error().what,
                                                        watcher.bytes(), lost_bytes)};
    if (options.is_verbose) fmt::print(stderr, "{}: {} bytes, complete\n", options.name, watcher.bytes());
    return {};
}

}  // namespace xylem::cli
