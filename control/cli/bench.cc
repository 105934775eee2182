// SPDX-License-Identifier: Apache-2.0
// xylem bench: a generator and a sink that prove that every message came, once, in order and unchanged. Both print one
// JSON object.
#include <fmt/core.h>
#include <xylem/xylem.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <vector>

#include "control/cli/bench_message.h"
#include "control/cli/commands.h"
#include "control/cli/failure.h"
#include "control/cli/leaf_session.h"
#include "control/cli/root_session.h"
#include "dataplane/base/address_text.h"

namespace xylem::cli {
namespace {

constexpr unsigned kBatch = 32;
constexpr size_t kFirstRoomBytes = 64 << 10;
constexpr uint64_t kMaxRoomBytes = 1ULL << 31;

using Clock = std::chrono::steady_clock;

void print_result(nlohmann::ordered_json row, uint64_t messages, uint64_t bytes, Clock::duration took) {
    const double seconds = std::chrono::duration<double>(took).count();
    row["messages"] = messages;
    row["bytes"] = bytes;
    row["seconds"] = seconds;
    row["messages_per_s"] = seconds > 0 ? static_cast<double>(messages) / seconds : 0;
    row["gbit_s"] = seconds > 0 ? static_cast<double>(bytes) * 8e-9 / seconds : 0;
    fmt::print("{}\n", row.dump());
}

/// Buffers of one length, and the batch that points at them.
class Batch {
  public:
    explicit Batch(size_t bytes) { resize(bytes); }

    void resize(size_t bytes) {
        bytes_ = bytes;
        memory_.assign(bytes * kBatch, std::byte{});
        for (unsigned i = 0; i < kBatch; ++i) {
            messages_[i] = {};
            messages_[i].size = sizeof(xy_msg);
            messages_[i].buf = memory_.data() + i * bytes;
            messages_[i].len = bytes;
        }
    }
    size_t bytes() const { return bytes_; }
    xy_msg* messages() { return messages_.data(); }
    std::span<std::byte> at(unsigned i) { return {memory_.data() + i * bytes_, bytes_}; }

  private:
    size_t bytes_ = 0;
    std::vector<std::byte> memory_;
    std::array<xy_msg, kBatch> messages_;
};

/// Sends `count` messages that were filled in. Error: interrupted, or the send's.
Result<void> send_batch(const Options& options, int s, Batch& batch, unsigned count, Watcher& watcher) {
    for (unsigned n = 0; n < count;) {
        const int sent = xy_send_batch(s, batch.messages() + n, count - n, 0);
        if (sent > 0) {
            n += static_cast<unsigned>(sent);
            watcher.add_bytes(static_cast<uint64_t>(sent) * batch.bytes());
        } else if (errno != EINTR) {
            return failure(Step::kSend, to_string(options.address), errno);
        }
        if (watcher.is_stopping()) return interrupted();
    }
    return {};
}

Result<void> send_stream(const Options& options, int s, std::span<std::byte> message, Watcher& watcher) {
    for (size_t n = 0; n < message.size();) {
        const ssize_t sent = xy_send(s, message.data() + n, message.size() - n, 0);
        if (sent < 0 && errno != EINTR) return failure(Step::kSend, to_string(options.address), errno);
        if (sent < 0 && watcher.is_stopping()) return interrupted();
        if (sent > 0) n += static_cast<size_t>(sent);
    }
    watcher.add_bytes(message.size());
    return {};
}

Result<void> send_messages(const Options& options, int s, Watcher& watcher, uint64_t& next) {
    Batch batch(options.message_bytes);
    const unsigned max = options.type == SOCK_STREAM ? 1 : kBatch;
    const uint64_t end = options.messages == 0 ? UINT64_MAX : options.messages;
    while (next < end && !watcher.is_stopping()) {
        const auto count = static_cast<unsigned>(std::min<uint64_t>(max, end - next));
        for (unsigned i = 0; i < count; ++i)
            fill_message(batch.at(i), next + i);
        auto sent = options.type == SOCK_STREAM ? send_stream(options, s, batch.at(0), watcher)
                                                : send_batch(options, s, batch, count, watcher);
        next = watcher.bytes() / options.message_bytes;
        if (!sent && sent.error().code == EINTR) return {};
        if (!sent) return sent;
    }
    return {};
}

/// Receives batches of messages until the end, whose errno it returns (0: graceful).
int receive_messages(int s, Watcher& watcher, MessageChecker& checker) {
    Batch batch(kFirstRoomBytes);
    while (!watcher.is_stopping()) {
        const int n = xy_recv_batch(s, batch.messages(), kBatch, 0);
        for (int i = 0; i < n; ++i) {
            const auto index = static_cast<unsigned>(i);
            const size_t bytes = batch.messages()[index].received;
            checker.check(batch.at(index).first(bytes));
            watcher.add_bytes(bytes);
        }
        if (n < 0 && errno == EMSGSIZE && batch.bytes() * kBatch < kMaxRoomBytes)
            batch.resize(batch.bytes() * 2);
        else if (n < 0 && errno != EINTR)
            return errno == ESHUTDOWN ? 0 : errno;
    }
    return EINTR;
}

/// The same for a stream: cuts it into messages by the lengths in their headers.
int receive_stream(int s, Watcher& watcher, MessageChecker& checker) {
    std::vector<std::byte> buffer(kFirstRoomBytes);
    size_t used = 0;
    while (!watcher.is_stopping()) {
        const ssize_t got = xy_recv(s, buffer.data() + used, buffer.size() - used, 0);
        if (got == 0) return used == 0 ? 0 : EPROTO;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        used += static_cast<size_t>(got);
        watcher.add_bytes(static_cast<uint64_t>(got));
        size_t at = 0;
        while (used - at >= kBenchHeaderBytes) {
            const size_t bytes = MessageChecker::length_of({buffer.data() + at, used - at});
            if (bytes < kBenchHeaderBytes || bytes > kMaxRoomBytes) return EPROTO;
            if (bytes > buffer.size()) buffer.resize(bytes * 2);
            if (used - at < bytes) break;
            checker.check({buffer.data() + at, bytes});
            at += bytes;
        }
        std::copy(buffer.begin() + static_cast<ptrdiff_t>(at), buffer.begin() + static_cast<ptrdiff_t>(used),
                  buffer.begin());
        used -= at;
    }
    return EINTR;
}

}  // namespace

Result<void> run_bench_send(const Options& options, Watcher& watcher) {
    RootSession session(options, watcher);
    if (auto opened = session.open(); !opened) return opened;
    if (auto gathered = session.gather(); !gathered) return gathered;
    const auto start = Clock::now();
    uint64_t n_messages = 0;
    const auto sent = send_messages(options, session.descriptor(), watcher, n_messages);
    const auto finished = session.finish();
    const auto took = Clock::now() - start;
    nlohmann::ordered_json row{{"leaves", session.leaves()}, {"message_bytes", options.message_bytes}};
    row["intact"] = static_cast<bool>(sent) && static_cast<bool>(finished);
    print_result(std::move(row), n_messages, watcher.bytes(), took);
    return !sent ? sent : finished;
}

Result<void> run_bench_receive(const Options& options, Watcher& watcher) {
    LeafSession session(options, watcher);
    if (auto joined = session.join(); !joined) return joined;
    const auto start = Clock::now();
    MessageChecker checker;
    const int s = session.descriptor();
    const int code =
        options.type == SOCK_STREAM ? receive_stream(s, watcher, checker) : receive_messages(s, watcher, checker);
    const auto took = Clock::now() - start;
    nlohmann::ordered_json row{{"missing", checker.n_missing()}, {"corrupt", checker.n_corrupt()}};
    row["lost_bytes"] = session.lost_bytes();
    row["end"] = code;
    print_result(std::move(row), checker.n_messages(), watcher.bytes(), took);
    if (auto end = session.end_of(code); !end) return end;
    if (checker.n_corrupt() > 0 || checker.n_missing() > 0)
        return Error{EIO,
                     fmt::format("{} messages are missing, {} are corrupt", checker.n_missing(), checker.n_corrupt())};
    return {};
}

}  // namespace xylem::cli
