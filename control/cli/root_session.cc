// SPDX-License-Identifier: Apache-2.0
#include "control/cli/root_session.h"

#include <fmt/core.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "control/cli/attach.h"
#include "control/cli/failure.h"
#include "control/cli/sockaddr.h"
#include "dataplane/base/address_text.h"

namespace xylem::cli {
namespace {

constexpr int kBacklog = 1024;

/// Remembers what a leaf that asked has brought along.
int remember_caller(const xy_request* request, xy_data* callee_data, void* arg) {
    if (request->caller_data.len > 0)
        static_cast<std::string*>(arg)->assign(static_cast<const char*>(request->caller_data.buf),
                                               request->caller_data.len);
    if (callee_data) callee_data->len = 0;
    return XY_ACCEPT;
}

xy_flowspec unspecified() {
    return {.token_rate = XY_UNSPECIFIED_64,
            .token_bucket_size = XY_UNSPECIFIED_64,
            .peak_bandwidth = XY_UNSPECIFIED_64,
            .latency = XY_UNSPECIFIED_32,
            .delay_variation = XY_UNSPECIFIED_32,
            .service_type = XY_SERVICE_NO_CHANGE,
            .max_sdu_size = XY_UNSPECIFIED_32,
            .minimum_policed_size = XY_UNSPECIFIED_32,
            .reserved = 0};
}

std::string reason_text(const LeafRow& row) {
    switch (row.reason) {
        case XY_END_LEFT:
            return "it left";
        case XY_END_EVICTED:
            return "it was evicted";
        case XY_END_SLOW:
            return "it read too slowly and was evicted";
        case XY_END_APP_DIED:
            return "its application died";
        case XY_END_PEER_LOST:
            return "its host was lost";
        case XY_END_REFUSED:
            return "its join failed";
        case XY_END_NONE:
            return "it has not confirmed";
        default:
            return end_text(row.end_error);
    }
}

}  // namespace

RootSession::~RootSession() {
    for (const Leaf& leaf : leaves_)
        xy_close(leaf.descriptor);
    if (socket_ >= 0) xy_close(socket_);
}

void RootSession::note(const std::string& text) const {
    if (options_.is_verbose) fmt::print(stderr, "{}: {}\n", options_.name, text);
}

Result<void> RootSession::open() {
    if (auto attached = attach(options_); !attached) return attached;
    const std::string where = to_string(options_.address);
    const SocketAddress address = to_socket_address(options_.address);
    socket_ = xy_socket(address.storage.ss_family, options_.type, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT);
    if (socket_ < 0) return failure(Step::kSocket, where, errno);
    if (xy_bind(socket_, address.get(), address.length) != 0) return failure(Step::kBind, where, errno);
    if (auto set = set_flow_spec(); !set) return set;
    if (xy_listen(socket_, kBacklog) != 0) return failure(Step::kListen, where, errno);
    note(fmt::format("listening on {}, waiting for {} {}", where, options_.leaves,
                     options_.leaves == 1 ? "leaf" : "leaves"));
    return {};
}

Result<void> RootSession::set_flow_spec() {
    if (options_.rate == XY_UNSPECIFIED_64 && options_.service == XY_SERVICE_NO_CHANGE) return {};
    xy_qos qos{.sending = unspecified(), .receiving = unspecified(), .provider_specific = {nullptr, 0}, .reserved = {}};
    qos.sending.token_rate = options_.rate;
    qos.sending.service_type =
        options_.service == XY_SERVICE_NO_CHANGE ? static_cast<uint32_t>(XY_SERVICE_BEST_EFFORT) : options_.service;
    size_t returned = 0;
    if (xy_ioctl(socket_, XY_SIO_SET_QOS, &qos, sizeof qos, nullptr, 0, &returned) == 0) return {};
    const std::string rate = options_.rate == XY_UNSPECIFIED_64 ? "no rate" : fmt::format("{} bytes/s", options_.rate);
    return failure(Step::kQos, fmt::format("{}, service {}", rate, qos.sending.service_type), errno);
}

Result<void> RootSession::gather() {
    for (const Endpoint& leaf : options_.invites)
        if (auto invited = invite(leaf); !invited) return invited;
    while (leaves_.size() < options_.leaves)
        if (auto accepted = accept_one(); !accepted) return accepted;
    return {};
}

Result<void> RootSession::invite(const Endpoint& leaf) {
    if (watcher_.is_stopping()) return interrupted();
    const SocketAddress name = to_socket_address(leaf);
    char room[XY_CONNECT_DATA_MAX];
    xy_data callee{room, sizeof room};
    const int descriptor =
        xy_join_leaf(socket_, name.get(), name.length, nullptr, &callee, nullptr, nullptr, XY_SENDER_ONLY);
    if (descriptor < 0) return errno == EINTR ? interrupted() : failure(Step::kInvite, to_string(leaf), errno);
    if (callee.len > 0 && callee.len <= sizeof room)
        note(fmt::format("{} says \"{}\"", to_string(leaf), std::string_view(room, callee.len)));
    return admit(descriptor, to_string(leaf));
}

Result<void> RootSession::accept_one() {
    if (watcher_.is_stopping()) return interrupted();
    SocketAddress from;
    std::string text;
    const int descriptor = xy_accept(socket_, from.get(), &from.length, remember_caller, &text);
    if (descriptor < 0) {
        if (errno == EINTR) return {};                          // is_stopping() tells next time
        if (errno == EACCES || errno == ECONNRESET) return {};  // the leaf gave up meanwhile
        return failure(Step::kAccept, to_string(options_.address), errno);
    }
    if (!text.empty()) note(fmt::format("{} says \"{}\"", to_string(from.storage), text));
    return admit(descriptor, to_string(from.storage));
}

Result<void> RootSession::admit(int descriptor, std::string name) {
    leaves_.push_back({descriptor, std::move(name)});
    watcher_.set_leaves(leaves());
    if (xy_event_select(descriptor, -1, XY_FD_CLOSE) != 0) return failure(Step::kAccept, leaves_.back().name, errno);
    note(fmt::format("leaf {} of {}: {}", leaves_.size(), options_.leaves, leaves_.back().name));
    return {};
}

uint64_t RootSession::max_message_bytes() const {
    uint64_t bytes = 0;
    socklen_t length = sizeof bytes;
    return xy_getsockopt(socket_, XY_SOL, XY_OPT_MAX_MSG_SIZE, &bytes, &length) == 0 ? bytes : 0;
}

void RootSession::take_close(Leaf& leaf, short revents) {
    xy_events events{};
    if (xy_enum_events(leaf.descriptor, -1, &events) == 0 && (events.events & XY_FD_CLOSE)) {
        leaf.has_closed = true;
        leaf.close_error = events.error[XY_FD_CLOSE_BIT];
    } else if (revents & (POLLHUP | POLLERR | POLLNVAL)) {
        leaf.has_closed = true;
        leaf.close_error = ENETDOWN;
    }
}

/// False: a signal came before every leaf had closed.
bool RootSession::wait_for_closes() {
    for (;;) {
        std::vector<pollfd> open;
        std::vector<Leaf*> whose;
        for (Leaf& leaf : leaves_) {
            if (leaf.has_closed) continue;
            open.push_back({leaf.descriptor, POLLIN, 0});
            whose.push_back(&leaf);
        }
        watcher_.set_leaves(static_cast<unsigned>(open.size()));
        if (open.empty()) return true;
        const int n = poll(open.data(), open.size(), -1);
        if (n < 0 && watcher_.is_stopping()) return false;
        if (n < 0) continue;
        for (size_t i = 0; i < open.size(); ++i)
            if (open[i].revents != 0) take_close(*whose[i], open[i].revents);
    }
}

std::vector<LeafRow> RootSession::rows() const {
    std::vector<LeafRow> rows(leaves_.size() + 1);
    rows[0].size = sizeof(LeafRow);
    const int n = xy_leaf_stats(socket_, rows.data(), static_cast<unsigned>(rows.size()));
    rows.resize(n < 0 ? 0 : std::min<size_t>(static_cast<size_t>(n), rows.size()));
    return rows;
}

/// Empty: this leaf has everything.
std::string RootSession::complaint(const Leaf& leaf, const LeafRow* row) const {
    if (!row) return fmt::format("{} ({})", leaf.name, end_text(leaf.close_error));
    const bool is_whole = leaf.has_closed && leaf.close_error == 0 && row->reason == XY_END_CLOSED &&
                          row->confirmed_bytes == row->sent_bytes && row->lost_bytes == 0;
    if (is_whole) return {};
    return fmt::format("{} ({}, confirmed {} of {} log bytes, lost {})", leaf.name, reason_text(*row),
                       row->confirmed_bytes, row->sent_bytes, row->lost_bytes);
}

Result<void> RootSession::finish() {
    watcher_.rearm();
    if (xy_shutdown(socket_, SHUT_WR) != 0) return failure(Step::kShutdown, to_string(options_.address), errno);
    const bool has_waited = wait_for_closes();
    const auto all = rows();
    std::string complaints;
    unsigned n_complaints = 0;
    for (const Leaf& leaf : leaves_) {
        const LeafRow* row = nullptr;
        for (const auto& candidate : all)
            if (candidate.descriptor == leaf.descriptor) row = &candidate;
        const std::string text = complaint(leaf, row);
        if (text.empty()) continue;
        complaints.append(n_complaints++ == 0 ? "" : "; ").append(text);
    }
    if (n_complaints == 0) return {};
    return Error{EIO, fmt::format("{}{} of {} {} did not confirm the whole input: {}",
                                  has_waited ? "" : "interrupted: ", n_complaints, leaves_.size(),
                                  leaves_.size() == 1 ? "leaf" : "leaves", complaints)};
}

}  // namespace xylem::cli
