// SPDX-License-Identifier: Apache-2.0
// The calls of the interface with values in and values out, so that they can travel between processes. They run in the
// process that calls them.
#pragma once
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <xylem/xylem.h>

#include <algorithm>
#include <cerrno>
#include <concepts>
#include <cstring>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

namespace xylem::conformance {

/// A short byte string.
struct Text {
    uint32_t length = 0;
    char bytes[4096];

    Text() = default;
    Text(std::string_view s) : length(static_cast<uint32_t>(std::min(s.size(), sizeof bytes))) {  // NOLINT: a string
        std::memcpy(bytes, s.data(), length);
    }
    Text(const char* s) : Text(std::string_view(s)) {}         // NOLINT: a string
    Text(const std::string& s) : Text(std::string_view(s)) {}  // NOLINT: a string
    std::string_view view() const { return {bytes, length}; }
    bool operator==(const Text& other) const { return view() == other.view(); }
};
void PrintTo(const Text& text, std::ostream* out);

/// What a call returned, and errno where that was -1.
struct Done {
    int64_t value = -1;
    int error = 0;
};
void PrintTo(const Done& done, std::ostream* out);
/// What goes on after a Done is not printed.
template <std::derived_from<Done> T>
void PrintTo(const T& more, std::ostream* out) {
    PrintTo(static_cast<const Done&>(more), out);
}
/// Right after the call.
inline Done done(int64_t value) { return {value, value == -1 ? errno : 0}; }

std::string name_of_error(int error);
MATCHER(Succeeds, "succeeds") { return arg.error == 0 && arg.value >= 0; }
MATCHER_P(Returns, value, "returns " + testing::PrintToString(value)) { return arg.error == 0 && arg.value == value; }
MATCHER_P(Fails, error, "fails with " + name_of_error(error)) { return arg.value == -1 && arg.error == error; }

/// What the call returned; throws where it failed. For what is not under test.
int must(const Done& done, const char* what);

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    /// "192.0.2.1" or "fd00::1".
    static Address of(const std::string& ip, uint16_t port);
    uint16_t port() const;
    Address with_port(uint16_t port) const;
    int family() const { return storage.ss_family; }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    std::string text() const;
    bool operator==(const Address& other) const { return text() == other.text(); }
};
void PrintTo(const Address& address, std::ostream* out);

struct Kind {
    int type = SOCK_RDM;  // with SOCK_NONBLOCK
    int protocol = XY_PROTO_TREE;
    int family = AF_INET;
};

struct JoinWish {
    unsigned flags = XY_BOTH;
    std::optional<Text> caller{};  // caller data
    int callee_room = -1;          // bytes for callee data; -1: no buffer at all
    bool has_qos = false;
    xy_qos qos{};
};
struct Joined : Done {
    bool has_callee = false;
    uint64_t callee_length = 0;  // as the call left it (blocking joins)
    Text callee;
};

/// What a condition function saw (`was_asked`) and an accept returned.
struct Accepted : Done {
    Address peer;  // as xy_accept told it
    bool was_asked = false, is_same_thread = false;
    bool has_caller_data = false, has_qos = false;
    Text caller_data;
    Address caller, callee;
    uint64_t callee_room = 0;
    unsigned flags = 0;
    xy_qos qos{};
};
/// How a request is answered; the default is no condition function at all.
struct Answer {
    bool has_condition = false;
    int decision = XY_ACCEPT;
    Text callee{};                                        // callee data
    void (*change)(const xy_request* request) = nullptr;  // e.g. the flow spec
};
inline Answer answer_of(int decision, const Text& callee = {}) { return {true, decision, callee, nullptr}; }

struct Received : Done {
    Text text;
    Address from;
};

struct Events : Done {
    uint32_t events = 0;
    int32_t error_of[XY_FD_MAX_EVENTS] = {};
    bool has(unsigned event) const { return (events & event) != 0; }
};

/// What xy_enum_protocols told.
struct Protocols {
    int count = 0;
    xy_protocol entries[64];
    const xy_protocol* begin() const { return entries; }
    const xy_protocol* end() const { return entries + count; }
};

namespace calls {

Protocols protocols();

Joined join(int s, const Address& name, const JoinWish& wish);
/// The callee data of a nonblocking join of this process: what its buffer holds now.
Joined callee_of(int s);
Accepted accept(int s, const Answer& answer);
Received receive(int s, size_t room, int flags);
Events enum_events(int s);
Done name(int s, bool is_peer, Address& out);

/// Waits until poll() reports `fd` readable.
bool await_readable(int fd, int timeout_ms);
/// Waits until xy_poll reports `events` on `s`.
bool await_poll(int s, short events, int timeout_ms);
/// Collects what is recorded on `s` until all of `wanted` are; Fails(ETIME) when they do not come. The socket's own
/// descriptor signals its events.
Events await_events(int s, unsigned wanted);

}  // namespace calls

}  // namespace xylem::conformance
