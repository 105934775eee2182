// SPDX-License-Identifier: Apache-2.0
// The options of reliable multicast (XY_OPT_RM_*) at our sessions: what the log, the hop limit and the counters are
// under those names. What we have nothing for is refused, never taken and forgotten.
#include "control/session/rm_options.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

constexpr uint64_t kMaxRate = 1'000'000'000'000, kMaxWindowMs = 10'000'000;  // their product fits 64 bits

template <class T>
static bool take(const abi::OptionBody& body, T& value) {
    if (body.bytes != sizeof value) return false;
    std::memcpy(&value, body.value, sizeof value);
    return true;
}

template <class T>
static Reply give(const abi::OptionBody& asked, const T& value) {
    abi::OptionBody body{
        .level = asked.level, .name = asked.name, .bytes = sizeof value, .reserved_zero = 0, .value = {}};
    static_assert(sizeof value <= sizeof body.value);
    std::memcpy(body.value, &value, sizeof value);
    return Reply::of(body);
}

Result<xy_rm_rate_window> complete_rate_window(xy_rm_rate_window w) {
    const int n_open = (w.rate_bytes_s == 0) + (w.window_ms == 0) + (w.window_bytes == 0);
    if (n_open > 1) return Error{EINVAL, "two of rate, time and bytes must be given"};
    if (w.rate_bytes_s > kMaxRate || w.window_ms > kMaxWindowMs || w.window_bytes > kMaxRate * (kMaxWindowMs / 1000))
        return Error{EINVAL, "the rate or the window is outside its limits"};
    if (w.rate_bytes_s == 0)
        w.rate_bytes_s = w.window_bytes / w.window_ms * 1000 + w.window_bytes % w.window_ms * 1000 / w.window_ms;
    if (w.rate_bytes_s == 0 || w.rate_bytes_s > kMaxRate) return Error{EINVAL, "the rate is outside its limits"};
    if (w.window_ms == 0)
        w.window_ms = std::max<uint64_t>(
            1, w.window_bytes / w.rate_bytes_s * 1000 + w.window_bytes % w.rate_bytes_s * 1000 / w.rate_bytes_s);
    if (w.window_ms > kMaxWindowMs) return Error{EINVAL, "the window is outside its limits"};
    const uint64_t bytes = w.rate_bytes_s * w.window_ms / 1000, a_millisecond = w.rate_bytes_s / 1000 + 1;
    if (w.window_bytes == 0) w.window_bytes = std::max<uint64_t>(1, bytes);
    if (w.window_bytes > bytes + a_millisecond || w.window_bytes + a_millisecond < bytes)
        return Error{EINVAL, "the bytes of the window are not rate times time"};
    return w;
}

static Result<void> set_rate_window(Socket& socket, const abi::OptionBody& body, uint32_t cell_bytes, bool is_fixed,
                                    const Settings& settings) {
    xy_rm_rate_window wanted;
    if (!take(body, wanted)) return Error{EINVAL, "the option's value has another size"};
    Result<xy_rm_rate_window> window = complete_rate_window(wanted);
    if (!window) return window.error();
    abi::OptionBody log{.level = XY_SOL, .name = XY_OPT_LOG_BYTES, .bytes = 8, .reserved_zero = 0, .value = {}};
    std::memcpy(log.value, &window->window_bytes, sizeof window->window_bytes);
    Result<void> set = session::set_option(socket.options, log, cell_bytes, is_fixed, settings);
    if (set) socket.options.rm_rate_bytes_s = window->rate_bytes_s;
    return set;
}

static Result<void> set_small(Socket& socket, const abi::OptionBody& body) {
    uint32_t value;
    if (!take(body, value)) return Error{EINVAL, "the option's value has another size"};
    switch (body.name) {
        case XY_OPT_RM_WINDOW_ADVANCE_METHOD:
            if (value == XY_RM_ADVANCE_BY_TIME) return {};
            return value == XY_RM_ADVANCE_AS_CACHE ? Error{EOPNOTSUPP, "a log is no cache of past data"}
                                                   : Error{EINVAL, "no such method"};
        case XY_OPT_RM_LATE_JOIN:
            if (value > 75) return Error{EINVAL, "at most 75 percent of the window"};
            if (value != 0) return Error{ENOPROTOOPT, "a leaf starts at what is sent after its join"};
            return {};
        case XY_OPT_RM_WINDOW_ADVANCE_RATE:
            if (value == 0 || value > 50) return Error{EINVAL, "1 to 50 percent of the window"};
            socket.options.rm_advance_percent = value;
            return {};
        default:
            socket.options.rm_is_intranet = value != 0 ? 1 : 0;
            return {};
    }
}

Reply Sessions::set_rm_option(Socket& socket, const abi::OptionBody& body, bool is_fixed) {
    switch (body.name) {
        case XY_OPT_RM_RATE_WINDOW: {
            Result<void> set = set_rate_window(socket, body, cell_bytes_of(socket), is_fixed, settings_);
            return set ? Reply{} : Reply(set.error().code);
        }
        case XY_OPT_RM_TTL: {
            uint32_t hops;
            return take(body, hops) ? set_reach(socket, hops > 255 ? 256 : static_cast<int>(hops)) : Reply(EINVAL);
        }
        case XY_OPT_RM_WINDOW_ADVANCE_METHOD:
        case XY_OPT_RM_LATE_JOIN:
        case XY_OPT_RM_WINDOW_ADVANCE_RATE:
        case XY_OPT_RM_HIGH_SPEED_INTRANET: {
            Result<void> set = set_small(socket, body);
            return set ? Reply{} : Reply(set.error().code);
        }
        case XY_OPT_RM_SEND_IF:
        case XY_OPT_RM_ADD_RECEIVE_IF:
        case XY_OPT_RM_DEL_RECEIVE_IF:
            return Reply(EOPNOTSUPP);  // the bound address and the routes choose it
        case XY_OPT_RM_SENDER_STATS:
        case XY_OPT_RM_RECEIVER_STATS:
            return Reply(EINVAL);
        default:
            return Reply(ENOPROTOOPT);
    }
}

xy_rm_sender_stats Sessions::sender_stats(const Socket& socket) const {
    xy_rm_sender_stats out{};
    StreamRef stream = socket.root ? socket.root->stream : socket.leaf ? socket.leaf->upstream : nullptr;
    if (!stream) return out;
    const auto add = [&](const engine::ReplicaCounters& counters) {
        out.total_bytes += counters.sent_bytes + counters.repaired_bytes;
        out.naks += counters.naks;
        out.repair_frames +=
            (counters.repaired_bytes + stream->geometry().cell_bytes - 1) / stream->geometry().cell_bytes;
    };
    if (socket.root) {
        for (const auto& [peer, held] : socket.root->hosts) {
            const HostRef host = held.lock();
            if (host && host->replica) add(host->replica->counters());
        }
    } else if (socket.leaf->upstream_replica) {
        add(socket.leaf->upstream_replica->counters());
    }
    const engine::StreamCounters counters = engine_.counters(stream->get());
    const uint64_t window = stream->geometry().cells() * stream->geometry().cell_bytes;
    const uint64_t held = bytes_between(stream->geometry(), counters.confirmed, counters.committed);
    out.data_bytes = counters.pulled_bytes;
    out.data_frames = counters.frames;
    out.space_bytes = window > held ? window - held : 0;
    out.trailing_cell = abi::cell_of(counters.confirmed);
    out.leading_cell = abi::cell_of(counters.committed);
    return out;
}

xy_rm_receiver_stats Sessions::receiver_stats(const Socket& socket) const {
    xy_rm_receiver_stats out{};
    const auto add = [&](const ImageBox& image, engine::Position consumed) {
        const engine::ImageCounters counters = engine_.counters(image.get());
        out.data_bytes += counters.received_bytes;
        out.total_bytes += counters.received_bytes + counters.duplicate_bytes;
        out.duplicate_frames +=
            (counters.duplicate_bytes + image.spec().geometry.cell_bytes - 1) / image.spec().geometry.cell_bytes;
        out.naks_sent += counters.naks_sent;
        out.trailing_cell = std::max(out.trailing_cell, abi::cell_of(consumed));
        out.leading_cell = std::max(out.leading_cell, abi::cell_of(counters.published));
        if (counters.published > consumed)
            out.frames_buffered += abi::cell_of(counters.published) - abi::cell_of(consumed);
    };
    if (socket.root) {
        for (const RootEdgeRef& edge : socket.root->edges)
            if (edge->upstream && edge->upstream_reader) add(*edge->upstream, edge->upstream_reader->consumed());
    } else if (socket.leaf && socket.leaf->image && socket.leaf->reader) {
        add(*socket.leaf->image->image, socket.leaf->reader->consumed());
    }
    return out;
}

Reply Sessions::get_rm_option(const Socket& socket, const abi::OptionBody& body) const {
    const Options& held = socket.options;
    switch (body.name) {
        case XY_OPT_RM_RATE_WINDOW: {
            uint32_t log2 = held.log_cells_log2;
            if (socket.root && socket.root->is_geometry_fixed) log2 = socket.root->geometry.cells_log2;
            xy_rm_rate_window window{held.rm_rate_bytes_s, 0, static_cast<uint64_t>(cell_bytes_of(socket)) << log2};
            if (window.rate_bytes_s != 0) window.window_ms = window.window_bytes * 1000 / window.rate_bytes_s;
            return give(body, window);
        }
        case XY_OPT_RM_WINDOW_ADVANCE_METHOD:
            return give(body, uint32_t{XY_RM_ADVANCE_BY_TIME});
        case XY_OPT_RM_LATE_JOIN:
            return give(body, uint32_t{0});
        case XY_OPT_RM_WINDOW_ADVANCE_RATE:
            return give(body, held.rm_advance_percent);
        case XY_OPT_RM_HIGH_SPEED_INTRANET:
            return give(body, held.rm_is_intranet);
        case XY_OPT_RM_TTL:
            return socket.root ? give(body, uint32_t{hops_of(*socket.root)}) : Reply(EINVAL);
        case XY_OPT_RM_SENDER_STATS:
            return give(body, sender_stats(socket));
        case XY_OPT_RM_RECEIVER_STATS:
            return give(body, receiver_stats(socket));
        case XY_OPT_RM_SEND_IF:
            return Reply(EOPNOTSUPP);
        default:
            return Reply(ENOPROTOOPT);
    }
}

}  // namespace xylem::session
