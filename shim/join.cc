// SPDX-License-Identifier: Apache-2.0
// xy_join_leaf and xy_accept.
#include <algorithm>
#include <cstring>

#include "shim/session.h"
#include "shim/socket.h"
#include "shim/spare_descriptor.h"
#include "shim/wire_types.h"

namespace xylem::shim {

namespace {

// Whether this thread runs a condition function: a join made in there is EINPROGRESS (W-206).
__thread bool t_is_deciding = false;

uint32_t connects_of(const Socket& s) { return s.engine->connect_done.load(std::memory_order_acquire); }

// ---- xy_join_leaf ----

// The checks of W-051, in its order, as far as the shim can make them; the rest is the daemon's.
int check_state(Socket& s, const JoinArguments& a) {
    const unsigned flags = a.flags;
    const bool is_one_flag = flags == XY_SENDER_ONLY || flags == XY_RECEIVER_ONLY || flags == XY_BOTH ||
                             flags == (XY_SENDER_ONLY | XY_RECEIVER_ONLY);
    if (!is_one_flag) return EINVAL;
    if (!is_root(s) && phase_of(s) == abi::Phase::kListening) return EINVAL;
    return 0;
}

int check_arguments(Socket& s, const JoinArguments& a, abi::JoinBody& body) {
    if (a.name == nullptr || a.name_length < static_cast<socklen_t>(sizeof(sockaddr_storage::ss_family))) return EFAULT;
    const xy_data* data[] = {a.caller_data, a.callee_data};
    for (const xy_data* d : data)
        if (!is_group(s) && d != nullptr && d->len != 0 && d->buf == nullptr) return EFAULT;
    if (!is_group(s) && a.caller_data != nullptr && a.caller_data->len > sizeof body.caller) return EFAULT;
    if (const int error = address_from(a.name, a.name_length, s.family, body.name)) return error;
    if (is_group(s)) return is_multicast_address(body.name) ? 0 : EADDRNOTAVAIL;  // any port (W-046)
    return is_any_address(body.name) || port_of(body.name) == 0 ? EADDRNOTAVAIL : 0;
}

int check_session(const Socket& s) {
    const abi::Phase phase = phase_of(s);
    if (s.is_branch) return EISCONN;
    if (is_join_under_way(s) || phase == abi::Phase::kJoining) return EALREADY;
    if (!is_root(s) && (phase == abi::Phase::kJoined || phase == abi::Phase::kEnded)) return EISCONN;
    return 0;
}

int prepare_join(Socket& s, const JoinArguments& a, abi::JoinBody& body) {
    if (t_is_deciding) return EINPROGRESS;
    if (const int error = check_state(s, a)) return error;
    if (const int error = check_arguments(s, a, body)) return error;
    if (const int error = check_session(s)) return error;
    body.flags = a.flags == (XY_SENDER_ONLY | XY_RECEIVER_ONLY) ? XY_BOTH : a.flags;
    if (!is_group(s) && a.caller_data != nullptr && a.caller_data->len != 0) {  // W-188
        body.caller_bytes = static_cast<uint32_t>(a.caller_data->len);
        memcpy(body.caller, a.caller_data->buf, body.caller_bytes);
    }
    qos_from(a.qos, body.qos);
    return 0;
}

void fill_callee(xy_data* callee, const abi::JoinResultReply& result) {
    if (callee == nullptr) return;
    const size_t bytes = result.outcome != 0 ? 0 : std::min<size_t>(result.callee_bytes, sizeof result.callee);
    const size_t n = std::min(bytes, callee->len);
    if (n != 0) memcpy(callee->buf, result.callee, n);
    callee->len = n;
}

// The leaf's descriptor of a c_root: same properties as the root's socket, but for the roles (W-095 … W-097).
Socket* adopt_branch(Socket& root, const abi::SocketReply& reply, int fd) {
    root.attachment->ref();
    Socket* s = adopt(root.attachment, reply.socket, fd, &root);
    if (s == nullptr) return nullptr;
    s->is_branch = true;
    s->roles = XY_C_LEAF | XY_D_LEAF;
    s->leaf_number = reply.leaf_number;
    s->parent = &root;
    s->parent_generation = root.generation.load(std::memory_order_relaxed);
    publish(*s);
    inherit_events(*s, root);
    return s;
}

// Asks the daemon. 0 or errno.
int ask_to_join(Socket& s, const JoinArguments& a, const abi::JoinBody& body, abi::SocketReply& reply, ReplyFds& fds) {
    Lock lock(s.control_mutex);
    if (is_join_under_way(s)) return EALREADY;
    const uint32_t before = connects_of(s);
    if (const int error = s.attachment->ask(abi::Op::kJoin, s.id, body, reply, &fds)) return error;
    s.joins_before = before;  // not earlier: a join that did not start leaves the last one decided
    s.callee_data = is_group(s) ? nullptr : a.callee_data;
    if (is_group(s)) s.group_name = body.name;
    s.join_branch = -1;
    s.is_join_pending = true;
    return 0;
}

// The descriptor that the call will return, or -1.
int start_join(Socket& s, const JoinArguments& a, const abi::JoinBody& body) {
    abi::SocketReply reply{};
    ReplyFds fds;
    if (const int error = ask_to_join(s, a, body, reply, fds)) return result_of(error);
    if (!is_root(s)) return s.descriptor.load(std::memory_order_relaxed);
    Socket* branch = adopt_branch(s, reply, fds.take(0));
    Lock lock(s.control_mutex);
    if (branch == nullptr) {
        s.is_join_pending = false;  // the daemon was told to close the leaf's descriptor
        return -1;
    }
    return s.join_branch = branch->descriptor.load(std::memory_order_relaxed);
}

int outcome_of(Socket& s, abi::JoinResultReply& result) {
    const int error = s.attachment->get(abi::Op::kJoinResult, s.id, result);
    if (error != 0) return error;
    return result.outcome < 0 ? ECONNABORTED : result.outcome;
}

// xy_cancel: the join is given up, unless it was decided first (W-242). EINTR; 0: it was decided; else errno.
int give_up_join(Socket& s) {
    const int error = s.attachment->call(abi::Op::kCancelJoin, s.id, nullptr, 0, nullptr, 0);
    if (error == EINVAL) return 0;
    if (error != 0) return error;
    Lock lock(s.control_mutex);
    s.is_join_pending = false;
    return EINTR;
}

int wait_for_join(Socket& s, int fd) {
    Wait wait(s, abi::kWantConnect, -1);
    const auto is_decided = [](Socket& socket, uint64_t before) {
        return connects_of(socket) != before || !socket.is_join_pending || end_of(socket) == ENETDOWN;
    };
    int error = wait.until(is_decided, s.joins_before, nullptr);
    if (error == EINTR) error = give_up_join(s);
    if (error == 0 && end_of(s) == ENETDOWN) error = ENETDOWN;
    if (error == 0 && !s.is_join_pending) error = ENOTSOCK;  // the leaf's descriptor was closed meanwhile
    abi::JoinResultReply result{};
    if (error == 0) {
        error = outcome_of(s, result);
        Lock events(s.events.mutex);
        Lock lock(s.control_mutex);
        s.events.connects_seen = connects_of(s);
        fill_callee(s.callee_data, result);
        s.is_join_pending = false;
    }
    if (error == 0) return fd;
    Lock lock(s.control_mutex);
    s.callee_data = nullptr;  // the caller's, and it goes away; a leaf's join may still be decided
    return result_of(error);
}

// What the group's image held before the join is none of this socket's, and must not make it readable.
void begin_reading(Socket& s) {
    Lock lock(s.receive_mutex);
    if (s.receiver.prepare(s) != 0 || s.receiver.has_message(s)) return;
    s.receiver.note_empty(s);
    s.notifier.note_taken();
    if (s.events.mask.load(std::memory_order_relaxed) == 0 && !s.notifier.settle()) hung_up(s);
}

}  // namespace

bool is_join_under_way(const Socket& s) { return s.is_join_pending && connects_of(s) == s.joins_before; }

bool take_join_outcome(Socket& s, int& error) {
    const uint32_t done = connects_of(s);
    if (done == s.events.connects_seen) return false;
    Lock lock(s.control_mutex);
    abi::JoinResultReply result{};
    const int outcome = outcome_of(s, result);
    if (outcome == EINPROGRESS) return false;
    s.events.connects_seen = done;
    if (s.is_join_pending) fill_callee(s.callee_data, result);
    s.callee_data = nullptr;
    s.is_join_pending = false;
    s.pending_error = outcome;
    error = outcome;
    return true;
}

int join_leaf(int fd, const JoinArguments& arguments) {
    Use s(fd);
    if (!s) return -1;
    abi::JoinBody body{};
    if (const int error = prepare_join(*s, arguments, body)) return result_of(error);
    const int joined = start_join(*s, arguments, body);
    if (joined < 0) return -1;
    if (is_group(*s)) begin_reading(*s);
    if (s->is_nonblocking) {
        // Each join has its FD_CONNECT (W-138).
        reenable(*s, XY_FD_CONNECT);
        if (s->events.mask.load(std::memory_order_relaxed) != 0) refresh_interests(*s);
        return joined;
    }
    if (wait_for_join(*s, joined) >= 0) {
        if (has_inbox(*s)) {
            Lock lock(s->receive_mutex);
            s->receiver.prepare(*s);
        }
        return joined;
    }
    const int error = errno;
    if (is_root(*s)) close_socket_now(joined);
    return result_of(error);
}

// ---- xy_accept ----

namespace {

// A root that was shut down admits nobody any more; its phase does not say so.
bool may_accept(const Socket& s) {
    return phase_of(s) == abi::Phase::kListening && (s.shut.load(std::memory_order_acquire) & kShutWrite) == 0;
}

int take_request(Socket& s, abi::AcceptTakeReply& request) {
    Wait wait(s, abi::kWantAccept, s.receive_timeout_ns);
    const auto is_ready = [](Socket& socket, uint64_t) {
        return socket.engine->backlog.load(std::memory_order_acquire) != 0 || end_of(socket) >= 0 ||
               !may_accept(socket);
    };
    for (;;) {
        const int error = s.attachment->get(abi::Op::kAcceptTake, s.id, request);
        if (error != EAGAIN) return error == 0 ? (s.notifier.note_taken(), 0) : error;
        if (s.is_nonblocking) return EAGAIN;
        if (const int e = wait.until(is_ready, 0, nullptr)) return e;
        if (const int end = end_of(s); end >= 0) return end == 0 ? EINVAL : end;
        if (!may_accept(s)) return EINVAL;
    }
}

xy_request describe(const abi::AcceptTakeReply& r, xy_qos& qos) {
    xy_request out{};
    out.size = sizeof out;
    out.caller = reinterpret_cast<const sockaddr*>(&r.caller.address);
    out.caller_len = std::min<socklen_t>(r.caller.length, sizeof r.caller.address);
    if (r.caller_bytes != 0)
        out.caller_data = {const_cast<uint8_t*>(r.caller_data), std::min<size_t>(r.caller_bytes, sizeof r.caller_data)};
    qos_to(r.qos, qos);
    out.qos = r.qos.is_present != 0 ? &qos : nullptr;
    out.callee = reinterpret_cast<const sockaddr*>(&r.callee.address);
    out.callee_len = std::min<socklen_t>(r.callee.length, sizeof r.callee.address);
    out.flags = r.flags;
    return out;
}

// What the callee buffer holds before the condition function runs: one that leaves buffer and length alone answers
// nothing.
void fill_untouched(uint8_t (&bytes)[abi::kMaxConnectData]) {
    for (size_t i = 0; i < sizeof bytes; ++i)
        bytes[i] = static_cast<uint8_t>(i * 151 + (i >> 8) + 23);
}

uint32_t callee_length(const abi::AcceptDecideBody& answer, size_t length) {
    if (length > sizeof answer.callee) return 0;
    uint8_t untouched[sizeof answer.callee];
    fill_untouched(untouched);
    const bool is_untouched = length == sizeof untouched && memcmp(untouched, answer.callee, length) == 0;
    return is_untouched ? 0 : static_cast<uint32_t>(length);
}

// Asks the application, in its own thread and with nothing held. 0, or the error that the call ends with.
int decide(const abi::AcceptTakeReply& request, xy_condition_fn* condition, void* argument,
           abi::AcceptDecideBody& answer) {
    answer = {};
    answer.request = request.request;
    answer.qos = request.qos;
    answer.decision = XY_ACCEPT;
    if (condition == nullptr) return 0;
    xy_qos qos;
    const xy_request description = describe(request, qos);
    xy_data callee{answer.callee, sizeof answer.callee};
    fill_untouched(answer.callee);
    const bool was_deciding = t_is_deciding;
    t_is_deciding = true;
    const int decision = condition(&description, &callee, argument);
    t_is_deciding = was_deciding;
    const bool is_known = decision == XY_ACCEPT || decision == XY_REJECT || decision == XY_DEFER;
    answer.decision = is_known ? static_cast<uint32_t>(decision) : XY_DEFER;
    answer.callee_bytes = callee_length(answer, callee.len);
    memset(answer.callee + answer.callee_bytes, 0, sizeof answer.callee - answer.callee_bytes);
    if (request.qos.is_present != 0) qos_from(&qos, answer.qos);
    if (!is_known) return EINVAL;
    return decision == XY_REJECT ? ECONNREFUSED : decision == XY_DEFER ? EBUSY : 0;
}

// There is no descriptor for it: the request stays the first in the queue (W-201).
int leave_in_queue(const abi::AcceptTakeReply& request, abi::AcceptDecideBody& answer) {
    answer = {};
    answer.request = request.request;
    answer.decision = XY_DEFER;
    return EMFILE;
}

int admit(Socket& s, const abi::AcceptDecideBody& answer) {
    abi::SocketReply reply{};
    ReplyFds fds;
    if (const int error = s.attachment->ask(abi::Op::kAcceptDecide, s.id, answer, reply, &fds, &s))
        return result_of(error);
    if (answer.decision != XY_ACCEPT) return 0;
    if (is_root(s)) {
        Socket* branch = adopt_branch(s, reply, fds.take(0));
        return branch != nullptr ? branch->descriptor.load(std::memory_order_relaxed) : -1;
    }
    s.attachment->ref();
    Socket* leaf = adopt(s.attachment, reply.socket, fds.take(0), &s);
    if (leaf == nullptr) return -1;
    leaf->roles = reply.roles != 0 ? reply.roles : s.roles;
    const int fd = leaf->descriptor.load(std::memory_order_relaxed);
    publish(*leaf);
    inherit_events(*leaf, s);
    return fd;
}

int check_accept(const Socket& s, const sockaddr* address, const socklen_t* length) {
    if (s.protocol == XY_PROTO_GROUP) return EOPNOTSUPP;
    const socklen_t needed = s.family == AF_INET6 ? 28 : 16;
    if (address != nullptr && (length == nullptr || *length < needed)) return EFAULT;
    if (end_of(s) == ENETDOWN) return ENETDOWN;
    return s.is_branch || !may_accept(s) ? EINVAL : 0;
}

// The events and the descriptor after an accept: FD_ACCEPT is enabled again unless the request was deferred (W-146,
// W-152), the first leaf makes a root writable, and an empty queue makes the descriptor quiet.
void after_accept(Socket& s, int error) {
    if (s.events.mask.load(std::memory_order_relaxed) == 0) {
        const bool is_empty = error == EAGAIN || s.engine->backlog.load(std::memory_order_acquire) == 0;
        if (is_empty && !s.notifier.settle()) hung_up(s);
        return;
    }
    if (error != EBUSY) reenable(s, XY_FD_ACCEPT);
    renew_interests(s);
}

}  // namespace

int accept_leaf(int fd, sockaddr* address, socklen_t* length, xy_condition_fn* condition, void* argument) {
    abi::AcceptTakeReply request{};
    uint32_t generation;
    {
        Use s(fd);
        if (!s) return -1;
        int error = check_accept(*s, address, length);
        if (error == 0) error = take_request(*s, request);
        if (error != 0) {
            if (error != EINVAL && error != EFAULT && error != ENOTSOCK) after_accept(*s, error);
            return result_of(error);
        }
        generation = s->generation.load(std::memory_order_relaxed);
    }
    address_to(request.caller, address, length);
    abi::AcceptDecideBody answer;
    SpareDescriptor spare(fd);
    const int refusal = spare ? decide(request, condition, argument, answer) : leave_in_queue(request, answer);
    Use s(fd);
    spare.give_back();
    if (!s || s->generation.load(std::memory_order_relaxed) != generation) return result_of(ENOTSOCK);
    const int accepted = admit(*s, answer);
    const int error = accepted < 0 ? errno : refusal;
    after_accept(*s, error);
    return error != 0 ? result_of(error) : accepted;
}

}  // namespace xylem::shim
