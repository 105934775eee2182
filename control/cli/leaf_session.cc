// SPDX-License-Identifier: Apache-2.0
#include "control/cli/leaf_session.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "control/cli/attach.h"
#include "control/cli/failure.h"
#include "control/cli/sockaddr.h"
#include "dataplane/base/address_text.h"

namespace xylem::cli {
namespace {

/// Accepts, and answers with the text of --data.
int answer_with_text(const xy_request*, xy_data* callee_data, void* arg) {
    const auto& text = *static_cast<const std::string*>(arg);
    if (!callee_data) return XY_ACCEPT;
    const size_t n = callee_data->buf ? std::min(text.size(), callee_data->len) : 0;
    std::copy_n(text.data(), n, static_cast<char*>(callee_data->buf));
    callee_data->len = n;
    return XY_ACCEPT;
}

}  // namespace

LeafSession::~LeafSession() {
    if (socket_ >= 0) xy_close(socket_);
}

Result<void> LeafSession::join() {
    if (auto attached = attach(options_); !attached) return attached;
    const std::string where = to_string(options_.address);
    const int family = options_.address.ip.is_v4() ? AF_INET : AF_INET6;
    socket_ = xy_socket(family, options_.type, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
    if (socket_ < 0) return failure(Step::kSocket, where, errno);
    auto joined = options_.is_listening ? await_invitation(where.c_str()) : ask(where.c_str());
    if (joined && options_.is_verbose) fmt::print(stderr, "{}: joined {}\n", options_.name, where);
    if (joined) watcher_.set_leaves(1);
    return joined;
}

Result<void> LeafSession::ask(const char* where) {
    const SocketAddress root = to_socket_address(options_.address);
    std::string text = options_.connect_text;
    const xy_data caller{text.data(), text.size()};
    const int joined = xy_join_leaf(socket_, root.get(), root.length, text.empty() ? nullptr : &caller, nullptr,
                                    nullptr, nullptr, XY_RECEIVER_ONLY);
    if (joined >= 0) return {};
    return errno == EINTR ? interrupted() : failure(Step::kJoin, where, errno);
}

Result<void> LeafSession::await_invitation(const char* where) {
    const SocketAddress own = to_socket_address(options_.address);
    if (xy_bind(socket_, own.get(), own.length) != 0) return failure(Step::kBind, where, errno);
    if (xy_listen(socket_, 1) != 0) return failure(Step::kListen, where, errno);
    if (options_.is_verbose) fmt::print(stderr, "{}: listening on {}\n", options_.name, where);
    std::string text = options_.connect_text;
    for (;;) {
        if (watcher_.is_stopping()) return interrupted();
        const int accepted = xy_accept(socket_, nullptr, nullptr, answer_with_text, &text);
        if (accepted < 0 && (errno == EINTR || errno == EACCES || errno == ECONNRESET)) continue;
        if (accepted < 0) return failure(Step::kAccept, where, errno);
        xy_close(std::exchange(socket_, accepted));
        return {};
    }
}

Result<void> LeafSession::end_of(int code) const {
    if (code == 0 || code == ESHUTDOWN) return {};
    if (code == EINTR) return interrupted();
    return failure(Step::kReceive, to_string(options_.address), code);
}

uint64_t LeafSession::lost_bytes() const {
    struct xy_stats stats {};
    stats.size = sizeof stats;
    return xy_stats(socket_, &stats) == 0 ? stats.lost_bytes : 0;
}

}  // namespace xylem::cli
