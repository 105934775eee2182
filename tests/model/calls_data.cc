// SPDX-License-Identifier: Apache-2.0
// Sending and receiving: who gets what, in which order, and what is said when nothing can come (W-023 … W-038, W-165,
// W-169, W-174, W-252, W-253); poll and statistics.
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/model/world.h"

namespace xylem::model {

namespace {
constexpr size_t kMaxOutstandingBytes = 12 * 1024;  // the log and the image hold it, whoever reads or does not
}

int World::send_refusal(const Node& s) const {
    if (s.is_shut_write) return ESHUTDOWN;
    if (s.is_root()) return s.n_live() == 0 ? ENOTCONN : 0;
    if (s.is_handle() || !s.is_joined()) return ENOTCONN;
    if (s.has_ended()) return *s.edge->leaf_end.begin() == 0 ? ESHUTDOWN : *s.edge->leaf_end.begin();
    return s.edge->direction == XY_RECEIVER_ONLY ? EOPNOTSUPP : 0;
}

void World::send(Node& s, const Op& op) {
    if (s.may_chat()) return;  // a side chat, where there are any
    const unsigned sizes[] = {0, 1, 7, 8, 100, 1000, 1399, 1400, 1401, 3000};
    Message message{id_ << 20 | ++n_messages_, sizes[op.r[0] % std::size(sizes)]};
    if (s.type == SOCK_STREAM && message.bytes == 0) message.bytes = 1;
    if (s.outstanding_bytes() + message.bytes > kMaxOutstandingBytes) return;
    settle(s);
    Request request = request_for(Call::kSend, s.fd, op.r[1] % 4 == 0 ? XY_MSG_DONTWAIT : 0);
    request.data = content_of(message);
    std::set<int> allowed{send_refusal(s)};
    if (s.is_leaf() && s.has_ended() && !s.is_shut_write) {
        allowed = s.edge->leaf_end;
        if (allowed.erase(0) != 0) allowed.insert(ESHUTDOWN);
    }
    if (op.r[1] % 32 == 1) {
        request.a = 0x4000000;  // no such flag
        allowed = {EOPNOTSUPP};
    } else if (op.r[1] % 32 == 2 && allowed.contains(0) && s.type != SOCK_STREAM) {
        request.data.assign(kMaxData, 'x');  // longer than a quarter of the log (W-036)
        allowed = {EMSGSIZE};
    }
    const Reply reply = ask(s, request);
    if (check(&s, "send(" + std::to_string(request.data.size()) + ")", reply, allowed) != 0) return;
    if (reply.result != static_cast<int64_t>(message.bytes))
        fail("send took " + std::to_string(reply.result) + " bytes");
    ++s.n_sent;
    if (s.is_leaf()) {
        if (s.edge->root != nullptr) s.edge->up.pending.push_back(message);
        return;
    }
    s.recent.emplace_back(n_steps_, message);
    if (s.recent.size() > 8) s.recent.pop_front();
    for (Edge* e : s.edges)
        if (e->step == Edge::Step::kLive && e->leaf_receives()) e->down.pending.push_back(message);
}

Queue& World::queue_of(Node& s, Edge& edge) const { return s.is_root() ? edge.up : edge.down; }

/// The edges from which something can be received now.
std::vector<Edge*> World::sources(Node& s) const {
    std::vector<Edge*> all;
    if (s.is_shut_read) return all;
    if (s.is_leaf() && s.is_joined() && !(s.edge->down.is_empty() && s.edge->early.empty())) all.push_back(s.edge);
    if (s.is_root())
        for (Edge* e : s.edges)
            if (!e->up.is_empty()) all.push_back(e);
    return all;
}

/// What a receive says that finds nothing.
std::set<int> World::nothing_there(const Node& s) const {
    if (s.is_shut_read) return {ESHUTDOWN};
    if (!s.is_handle() && !s.local) return {EINVAL};  // W-305
    if (s.is_root()) return {EAGAIN};
    if (s.is_handle() || !s.is_joined()) return {ENOTCONN};
    if (s.edge->direction == XY_SENDER_ONLY) return {EOPNOTSUPP};
    if (!s.has_ended()) return {EAGAIN};
    std::set<int> codes = s.edge->leaf_end;
    if (codes.erase(0) != 0) codes.insert(s.type == SOCK_STREAM ? 0 : ESHUTDOWN);  // W-169
    return codes;
}

void World::receive(Node& s, const Op& op) {
    if (s.may_chat()) return;
    if (s.is_leaf()) settle(s);
    const size_t rooms[] = {kMaxData, kMaxData, kMaxData, 50, 1000};
    size_t room = rooms[op.r[0] % std::size(rooms)];
    int flags = op.r[1] % 8 == 0 ? XY_MSG_PEEK : 0;
    if (s.type != SOCK_DGRAM && op.r[1] / 8 % 4 == 0) flags |= XY_MSG_PARTIAL;
    const std::vector<Edge*> from = sources(s);
    // Nobody tells whose message was too long and is lost.
    if (s.type == SOCK_DGRAM && from.size() > 1) room = kMaxData;
    const bool is_certain = std::any_of(
        from.begin(), from.end(), [&](Edge* e) { return !queue_of(s, *e).is_empty() && !queue_of(s, *e).may_be_lost; });
    std::set<int> allowed = nothing_there(s);
    const bool may_have = !from.empty();
    Request request = request_for(Call::kReceive, s.fd, flags | XY_MSG_DONTWAIT);
    request.n = room;
    if (is_certain || !allowed.contains(EAGAIN)) be_patient(s, request, {EAGAIN});
    if (is_certain && !s.has_ended()) allowed.clear();
    if (is_certain && s.has_ended() && s.edge->leaf_end == std::set<int>{0}) allowed.clear();
    if (may_have) allowed.insert({0, EMSGSIZE});
    if (is_certain) request.a &= s.mask == 0 && op.r[2] % 2 == 0 && !s.is_nonblocking ? ~XY_MSG_DONTWAIT : ~0;
    const Reply reply = ask(s, request);
    const int outcome = check(&s, "recv(" + std::to_string(room) + ", " + std::to_string(flags) + ")", reply, allowed);
    reenable(s, XY_FD_READ);
    const bool is_end = outcome == 0 && reply.result == 0 && s.type == SOCK_STREAM;
    if ((outcome != 0 && outcome != EMSGSIZE) || is_end) {
        if (is_end && (from.empty() || !is_certain)) return;
        if (is_end) fail("the stream ended before all was received");
        for (Edge* e : from)  // then nothing more comes
            if (outcome != EMSGSIZE && queue_of(s, *e).may_be_lost) queue_of(s, *e) = {};
        return;
    }
    if (s.is_leaf() && outcome == 0) place_early(*s.edge, reply, s.type == SOCK_STREAM);
    if (s.type == SOCK_STREAM)
        take_bytes(s, reply, room, flags);
    else
        take_message(s, reply, room, flags);
}

/// The first that a leaf receives tells what it got of what was sent just before it joined.
void World::place_early(Edge& edge, const Reply& reply, bool is_stream) {
    const auto early = std::exchange(edge.early, {});
    for (size_t n = 0; n <= early.size(); ++n) {
        std::deque<Message> all(early.end() - static_cast<ptrdiff_t>(n), early.end());
        all.insert(all.end(), edge.down.pending.begin(), edge.down.pending.end());
        std::string bytes;
        for (size_t i = 0; i < all.size() && (i == 0 || (is_stream && bytes.size() < reply.data.size())); ++i)
            bytes += content_of(all[i]).substr(i == 0 && n == 0 ? edge.down.taken_bytes : 0);
        if (all.empty() || bytes.compare(0, reply.data.size(), reply.data) != 0) continue;
        edge.down.pending = std::move(all);
        return;
    }
}

/// Whose message a c_root has received (W-038).
Edge& World::source_of(Node& s, const Reply& reply, size_t room) {
    if (s.is_leaf()) return *s.edge;
    if (s.partial != nullptr) return *s.partial;
    if (reply.result < 0) {  // EMSGSIZE: it is not told whose
        for (Edge* e : sources(s))
            if (e->up.pending.front().bytes > room) return *e;
        fail("a message is too long that nobody sent");
    }
    const Address from = address_of(reply);
    for (Edge* e : sources(s)) {
        if (e->leaf_address != from) continue;
        const std::string whole = content_of(e->up.pending.front());
        const std::string rest = whole.substr(std::min(e->up.taken_bytes, whole.size()));
        const size_t n = std::min(rest.size(), reply.data.size());
        if (rest.compare(0, n, reply.data, 0, n) == 0) return *e;
    }
    fail("received " + std::to_string(reply.result) + " bytes that no leaf at " + text_of(from) + " has sent");
    return *s.edge;
}

void World::take_message(Node& s, const Reply& reply, size_t room, int flags) {
    const bool is_too_long = reply.result < 0;
    Edge& edge = source_of(s, reply, room);
    Queue& queue = queue_of(s, edge);
    if (queue.is_empty() && is_too_long && !edge.early.empty()) return;  // one of those that may have come early
    if (queue.is_empty()) fail("received a message that nobody sent");
    const Message& message = queue.pending.front();
    const size_t left = message.bytes - queue.taken_bytes;
    const bool is_peek = (flags & XY_MSG_PEEK) != 0, is_partial = (flags & XY_MSG_PARTIAL) != 0;
    if (is_too_long) {  // W-035: it stays, unless it is best effort
        if (left <= room) fail("EMSGSIZE for a message that fits");
        if (s.type == SOCK_DGRAM && !is_peek) queue.pending.pop_front(), ++s.n_received;
        return;
    }
    const std::string wanted = content_of(message).substr(queue.taken_bytes, std::min(room, left));
    if (left > room && !is_partial && !is_peek && s.type != SOCK_DGRAM)
        fail("a message longer than the buffer was cut");
    if (reply.data != wanted && !(is_partial && !reply.data.empty() && wanted.starts_with(reply.data)))
        fail("received other bytes than were sent");
    const bool is_whole = reply.data.size() == left;
    if (((reply.values[0] & MSG_EOR) != 0) != is_whole && (reply.values[0] & MSG_TRUNC) == 0)
        fail("the end of a message is not marked rightly");
    if (is_peek) return;
    ++s.n_received;
    queue.taken_bytes += reply.data.size();
    s.partial = is_whole ? nullptr : &edge;
    if (is_whole) queue.pending.pop_front(), queue.taken_bytes = 0;
}

void World::take_bytes(Node& s, const Reply& reply, size_t room, int flags) {
    if (reply.result <= 0 || reply.data.size() > room) fail("a stream gave " + std::to_string(reply.result) + " bytes");
    Edge& edge = source_of(s, reply, room);
    Queue queue = queue_of(s, edge);
    size_t at = 0;
    while (at < reply.data.size()) {
        if (queue.is_empty()) fail("a stream gave more bytes than were sent");
        const std::string rest = content_of(queue.pending.front()).substr(queue.taken_bytes);
        const size_t n = std::min(rest.size(), reply.data.size() - at);
        if (reply.data.compare(at, n, rest, 0, n) != 0) fail("a stream gave other bytes than were sent");
        at += n;
        queue.taken_bytes += n;
        if (n == rest.size()) queue.pending.pop_front(), queue.taken_bytes = 0;
    }
    if ((flags & XY_MSG_PEEK) == 0) queue_of(s, edge) = queue;
}

void World::next_bytes(Node& s) {
    const Reply reply = ask(s, request_for(Call::kNextBytes, s.fd));
    if (s.is_handle()) {
        check(&s, "FIONREAD()", reply, {s.is_live() ? 0 : EOPNOTSUPP, EOPNOTSUPP, ENOTCONN});
        return;
    }
    check(&s, "FIONREAD()", reply, {0, EINVAL});
    size_t most = 0;
    if (s.is_leaf() && s.is_joined())
        for (const Message& m : s.edge->early)
            most += m.bytes;
    if (s.is_leaf() && s.is_joined()) most += s.edge->down.bytes();
    for (const Edge* e : s.edges)
        most = std::max(most, e->up.bytes());
    if (reply.result > static_cast<int64_t>(most)) fail("FIONREAD tells " + std::to_string(reply.result) + " bytes");
}

// ---- readiness and counters ----

Truth World::readable(const Node& s) const {
    if (s.is_handle()) {
        std::set<int> codes;
        return s.is_live() && s.edge->handle_end.empty() && handle_has_ended(*s.edge, codes) == Truth::kNo
                   ? Truth::kMaybe  // a side chat
                   : handle_has_ended(*s.edge, codes);
    }
    if (!s.queue.empty()) return Truth::kYes;
    if (s.is_shut_read) return Truth::kMaybe;
    if (s.is_leaf()) {
        if (!s.is_joined()) return Truth::kNo;
        if (s.has_ended()) return s.edge->down.may_be_lost ? Truth::kMaybe : Truth::kYes;
        if (s.edge->down.is_empty()) return s.edge->early.empty() ? Truth::kNo : Truth::kMaybe;
        return s.edge->down.may_be_lost ? Truth::kMaybe : Truth::kYes;
    }
    Truth most = Truth::kNo;
    for (const Edge* e : s.edges)
        if (!e->up.is_empty()) most = std::max(most, e->up.may_be_lost ? Truth::kMaybe : Truth::kYes);
    return most;
}

void World::poll(Node& s) {
    settle(s);
    const Truth in = readable(s);
    if (in == Truth::kYes) {
        const Reply late = ask(s, request_for(Call::kAwaitReadable, s.fd));
        if (late.result < 0) fail("xy_poll never says POLLIN in state " + before_);
    }
    const Reply reply = ask(s, request_for(Call::kPoll, s.fd, POLLIN | POLLOUT));
    check(&s, "poll()", reply, {0});
    const bool is_in = (reply.values[0] & POLLIN) != 0, is_out = (reply.values[0] & POLLOUT) != 0;
    if (is_in && in == Truth::kNo) fail("xy_poll says POLLIN in state " + before_);
    if (!is_in && in == Truth::kYes) fail("xy_poll says no POLLIN in state " + before_);
    const int refusal = send_refusal(s);
    const bool is_certain = !s.is_handle() && !(s.is_leaf() && s.has_ended());
    if (is_certain && is_out != (refusal != ENOTCONN)) fail("xy_poll is wrong about POLLOUT in state " + before_);
    if ((reply.values[0] & (POLLERR | POLLNVAL)) != 0) fail("xy_poll says POLLERR or POLLNVAL");
}

void World::stats(Node& s) {
    settle(s);
    const Reply reply = ask(s, request_for(Call::kStats, s.fd));
    check(&s, "stats()", reply, {0});
    const auto sent = static_cast<uint64_t>(reply.values[1]), received = static_cast<uint64_t>(reply.values[2]);
    if (sent != s.n_sent)
        fail("stats tell " + std::to_string(sent) + " messages sent, not " + std::to_string(s.n_sent));
    const bool counts_pieces = s.type == SOCK_STREAM;
    if (!counts_pieces && received != s.n_received)
        fail("stats tell " + std::to_string(received) + " messages received, not " + std::to_string(s.n_received));
    if (reply.values[4] != 0) fail("stats tell lost bytes");
    if (s.is_root() && !s.is_finishing && static_cast<unsigned>(reply.values[0]) != s.n_live())
        fail("stats tell " + std::to_string(reply.values[0]) + " leaves, not " + std::to_string(s.n_live()));
}

// A row for every leaf whose descriptor is open.
void World::leaf_stats(Node& s) {
    settle(s);
    const Reply reply = ask(s, request_for(Call::kLeafStats, s.fd));
    if (!s.is_root()) {
        check(&s, "leaf_stats()", reply, {0, EINVAL, EOPNOTSUPP});
        return;
    }
    check(&s, "leaf_stats()", reply, {0});
    std::vector<const Edge*> rows;
    for (const Edge* e : s.edges)
        if (e->handle != nullptr) rows.push_back(e);
    if (reply.result != static_cast<int64_t>(rows.size()))
        fail("leaf_stats tell " + std::to_string(reply.result) + " rows, not " + std::to_string(rows.size()));
    for (size_t i = 0; i < std::min<size_t>(rows.size(), 5); ++i) {
        const int64_t state = reply.values[3 * i + 1];
        const auto row =
            std::find_if(rows.begin(), rows.end(), [&](const Edge* e) { return e->handle->fd == reply.values[3 * i]; });
        if (row == rows.end()) fail("a row of leaf_stats has the descriptor of no leaf");
        const Edge::Step step = (*row)->step;
        const bool is_live = step == Edge::Step::kLive && !(*row)->is_root_finished;
        if (is_live && state != XY_LEAF_LIVE) fail("a live leaf's row is not live");
        if (step == Edge::Step::kPending && state != XY_LEAF_PENDING) fail("a pending leaf's row is not pending");
        if (step == Edge::Step::kOver && state == XY_LEAF_PENDING) fail("an ended leaf's row is pending");
    }
}

}  // namespace xylem::model
