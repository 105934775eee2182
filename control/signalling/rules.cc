// SPDX-License-Identifier: Apache-2.0
#include "control/signalling/rules.h"

#include <algorithm>
#include <cerrno>

namespace xylem::signalling {
namespace {

std::string printable(const std::string& text) {
    std::string out = text.substr(0, kMaxSoftwareBytes);
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return out;
}

}  // namespace

HelloFault check_hello(const proto::Hello& hello, Introduction& out) {
    if (hello.version() != kSignallingVersion) return HelloFault::version;
    if (hello.instance().size() != out.instance.size() || hello.data_port() > UINT16_MAX ||
        hello.signal_port() > UINT16_MAX || hello.heartbeat_interval_ms() == 0)
        return HelloFault::bad;
    std::copy(hello.instance().begin(), hello.instance().end(), out.instance.begin());
    out.data_port = static_cast<uint16_t>(hello.data_port());
    out.signal_port = static_cast<uint16_t>(hello.signal_port());
    out.heartbeat_interval_ms = std::clamp(hello.heartbeat_interval_ms(), kMinHeartbeatMs, kMaxHeartbeatMs);
    out.software = printable(hello.software());
    out.is_known = hello.is_known();
    return HelloFault::none;
}

AcceptVerdict judge_accepted(const InstanceId& own, const InstanceId& theirs, bool is_up,
                             bool is_own_hello_unanswered) {
    if (theirs == own) return AcceptVerdict::self;
    if (is_up) return AcceptVerdict::known;
    if (theirs > own) return AcceptVerdict::await;
    return is_own_hello_unanswered ? AcceptVerdict::hold : AcceptVerdict::establish;
}

DialVerdict judge_dialed(const InstanceId& own, const InstanceId& theirs, bool is_up, bool is_known) {
    if (theirs == own) return DialVerdict::self;
    if (is_up) return DialVerdict::existing;
    if (is_known) return DialVerdict::wait;
    return own > theirs ? DialVerdict::confirm_establish : DialVerdict::establish;
}

int join_errno(int connect_errno) {
    switch (connect_errno) {
        case EHOSTUNREACH:
        case ENETDOWN:
        case EHOSTDOWN:
        case EAFNOSUPPORT:
            return ENETUNREACH;
        case ECONNRESET:
        case EPIPE:
            return ECONNREFUSED;
        default:
            return connect_errno;
    }
}

int refusal_errno(int code) { return code > 0 && code < 134 ? code : ECONNREFUSED; }

}  // namespace xylem::signalling
