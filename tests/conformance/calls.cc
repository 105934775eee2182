// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/calls.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>

#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "tests/conformance/process.h"

namespace xylem::conformance {

void PrintTo(const Text& text, std::ostream* out) { *out << testing::PrintToString(std::string(text.view())); }

void PrintTo(const Done& done, std::ostream* out) {
    if (done.value == -1)
        *out << "-1, " << name_of_error(done.error);
    else
        *out << done.value;
}

void PrintTo(const Address& address, std::ostream* out) { *out << address.text(); }

std::string name_of_error(int error) {
    const char* name = strerrorname_np(error);
    return name != nullptr ? name : "errno " + std::to_string(error);
}

int must(const Done& done, const char* what) {
    if (done.value >= 0 && done.error == 0) return static_cast<int>(done.value);
    throw std::runtime_error(std::string(what) + ": " + name_of_error(done.error));
}

Address Address::of(const std::string& ip, uint16_t port) {
    Address out;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    if (inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        out.length = sizeof *v4;
    } else if (inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        out.length = sizeof *v6;
    } else {
        throw std::runtime_error(ip + " is no address");
    }
    return out.with_port(port);
}

uint16_t Address::port() const {
    if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
    return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

Address Address::with_port(uint16_t port) const {
    Address out = *this;
    if (family() == AF_INET6)
        reinterpret_cast<sockaddr_in6*>(&out.storage)->sin6_port = htons(port);
    else
        reinterpret_cast<sockaddr_in*>(&out.storage)->sin_port = htons(port);
    return out;
}

std::string Address::text() const {
    char ip[INET6_ADDRSTRLEN] = "";
    if (family() == AF_INET)
        inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, ip, sizeof ip);
    else if (family() == AF_INET6)
        inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, ip, sizeof ip);
    else
        return "no address";
    return std::string(ip) + " port " + std::to_string(port());
}

namespace calls {

namespace {

/// The callee buffers of nonblocking joins: they must stay valid until the join is decided (W-050).
struct Callee {
    xy_data data;
    std::vector<char> room;
};
std::mutex g_mutex;
std::map<int, std::unique_ptr<Callee>> g_callees;

struct Asked {
    const Answer* answer;
    Accepted* accepted;
    pthread_t thread;
};

int ask(const xy_request* request, xy_data* callee, void* arg) {
    auto& asked = *static_cast<Asked*>(arg);
    Accepted& out = *asked.accepted;
    out.was_asked = true;
    out.is_same_thread = pthread_equal(pthread_self(), asked.thread) != 0;
    out.has_caller_data = request->caller_data.buf != nullptr;
    if (out.has_caller_data)
        out.caller_data = std::string_view(static_cast<char*>(request->caller_data.buf), request->caller_data.len);
    if (request->caller != nullptr) std::memcpy(&out.caller.storage, request->caller, request->caller_len);
    if (request->callee != nullptr) std::memcpy(&out.callee.storage, request->callee, request->callee_len);
    out.caller.length = request->caller_len, out.callee.length = request->callee_len;
    out.flags = request->flags;
    out.has_qos = request->qos != nullptr;
    if (out.has_qos) out.qos = *request->qos;
    out.callee_room = callee->len;
    callee->len = std::min<size_t>(asked.answer->callee.length, callee->len);
    if (callee->len != 0) std::memcpy(callee->buf, asked.answer->callee.bytes, callee->len);
    if (asked.answer->change != nullptr) asked.answer->change(request);
    return asked.answer->decision;
}

Joined describe(const Callee& callee) {
    Joined out;
    out.has_callee = true;
    out.callee_length = callee.data.len;
    out.callee = std::string_view(callee.room.data(), std::min(callee.data.len, callee.room.size()));
    return out;
}

int64_t now_ms() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1'000'000;
}

}  // namespace

Protocols protocols() {
    Protocols out;
    out.entries[0].size = sizeof out.entries[0];
    out.count = std::clamp(xy_enum_protocols(out.entries, std::size(out.entries)), 0, 64);
    return out;
}

Joined join(int s, const Address& name, const JoinWish& wish) {
    auto callee = std::make_unique<Callee>();
    callee->room.resize(wish.callee_room > 0 ? static_cast<size_t>(wish.callee_room) : 1);
    callee->data = {callee->room.data(), static_cast<size_t>(std::max(wish.callee_room, 0))};
    const xy_data caller{wish.caller ? const_cast<char*>(wish.caller->bytes) : nullptr,
                         wish.caller ? wish.caller->length : 0};
    xy_data* const buffer = wish.callee_room >= 0 ? &callee->data : nullptr;
    const Done result = done(xy_join_leaf(s, name.get(), name.length, wish.caller ? &caller : nullptr, buffer,
                                          wish.has_qos ? &wish.qos : nullptr, nullptr, wish.flags));
    Joined out;
    if (buffer != nullptr) {
        std::lock_guard lock(g_mutex);
        out = describe(*callee);
        g_callees[s] = std::move(callee);
    }
    static_cast<Done&>(out) = result;
    return out;
}

Joined callee_of(int s) {
    std::lock_guard lock(g_mutex);
    const auto found = g_callees.find(s);
    return found != g_callees.end() ? describe(*found->second) : Joined{};
}

Accepted accept(int s, const Answer& answer) {
    Accepted out;
    Asked asked{&answer, &out, pthread_self()};
    out.peer.length = sizeof out.peer.storage;
    static_cast<Done&>(out) =
        done(xy_accept(s, out.peer.get(), &out.peer.length, answer.has_condition ? &ask : nullptr, &asked));
    return out;
}

Received receive(int s, size_t room, int flags) {
    Received out;
    out.from.length = sizeof out.from.storage;
    static_cast<Done&>(out) = done(
        xy_recvfrom(s, out.text.bytes, std::min(room, sizeof out.text.bytes), flags, out.from.get(), &out.from.length));
    out.text.length = out.value > 0 ? static_cast<uint32_t>(out.value) : 0;
    return out;
}

Events enum_events(int s) {
    Events out;
    xy_events events;
    for (int32_t& error : events.error)
        error = -1;  // only the codes of set bits are written (W-144)
    static_cast<Done&>(out) = done(xy_enum_events(s, -1, &events));
    if (out.value < 0) return out;
    out.events = events.events;
    std::memcpy(out.error_of, events.error, sizeof events.error);
    return out;
}

Done name(int s, bool is_peer, Address& out) {
    out.length = sizeof out.storage;
    return done(is_peer ? xy_getpeername(s, out.get(), &out.length) : xy_getsockname(s, out.get(), &out.length));
}

bool await_readable(int fd, int timeout_ms) {
    pollfd readable{fd, POLLIN, 0};
    return poll(&readable, 1, timeout_ms) == 1;
}

bool await_poll(int s, short events, int timeout_ms) {
    pollfd ready{s, events, 0};
    return xy_poll(&ready, 1, timeout_ms) == 1 && (ready.revents & events) != 0;
}

Events await_events(int s, unsigned wanted) {
    Events all;
    const int64_t end_ms = now_ms() + kPatienceMs;
    while ((all.events & wanted) != wanted) {
        const int64_t left_ms = end_ms - now_ms();
        if (left_ms <= 0) return static_cast<Done&>(all) = {-1, ETIME}, all;
        await_readable(s, static_cast<int>(left_ms));
        const Events now = enum_events(s);
        if (now.value < 0) return now;
        all.events |= now.events;
        for (unsigned i = 0; i < XY_FD_MAX_EVENTS; ++i)
            if ((now.events >> i & 1) != 0) all.error_of[i] = now.error_of[i];
    }
    static_cast<Done&>(all) = {0, 0};
    return all;
}

}  // namespace calls

}  // namespace xylem::conformance
