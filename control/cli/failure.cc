// SPDX-License-Identifier: Apache-2.0
#include "control/cli/failure.h"

#include <cerrno>
#include <cstring>

namespace xylem::cli {
namespace {

std::string_view doing(Step step) {
    switch (step) {
        case Step::kAttach:
            return "attaching to xylemd at";
        case Step::kSocket:
            return "making a socket for";
        case Step::kBind:
            return "binding";
        case Step::kListen:
            return "listening on";
        case Step::kInvite:
            return "inviting the leaf at";
        case Step::kAccept:
            return "accepting at";
        case Step::kJoin:
            return "joining the root at";
        case Step::kQos:
            return "asking for";
        case Step::kSend:
            return "sending from";
        case Step::kReceive:
            return "receiving from";
        case Step::kShutdown:
            return "ending the session at";
        case Step::kStatus:
            return "asking for the status of";
    }
    return "";
}

struct Cure {
    Step step;
    int code;
    std::string_view text;
};

constexpr Cure kCures[] = {
    {Step::kAttach, ENETDOWN, "no daemon answers there; start xylemd, or name its socket with --socket"},
    {Step::kAttach, ENOENT, "no daemon answers there; start xylemd, or name its socket with --socket"},
    {Step::kAttach, ECONNREFUSED, "no daemon answers there; start xylemd, or name its socket with --socket"},
    {Step::kAttach, EACCES, "this user may not attach; see allow_uids in its configuration"},
    {Step::kAttach, ENAMETOOLONG, "a socket's path has at most 107 bytes"},
    {Step::kBind, EADDRNOTAVAIL,
     "not an address of this host, or of none of the daemon's ports; `xylem status` lists them"},
    {Step::kBind, EADDRINUSE, "another session has that port; choose another"},
    {Step::kListen, EADDRINUSE, "another session has that port; choose another"},
    {Step::kInvite, ECONNREFUSED,
     "no leaf listens there, or it refused; start `xylem leaf --listen` there, of the same --type"},
    {Step::kJoin, ECONNREFUSED,
     "no root listens there, or it refused; start `xylem root` there first, of the same --type"},
    {Step::kQos, EOPNOTSUPP, "the daemon does not grant that; ask for less, or leave --rate and --service out"},
    {Step::kQos, ENOPROTOOPT, "this daemon grants no rates; leave --rate and --service out"},
    {Step::kSend, ENOTCONN, "no leaf is left"},
    {Step::kReceive, ECONNRESET, "the root was lost or gave up; what came is incomplete"},
    {Step::kReceive, ECONNABORTED,
     "the session broke off: the root's host was lost, or this leaf read too slowly; what came is incomplete"},
};

std::string_view general_cure(int code) {
    switch (code) {
        case ENETDOWN:
            return "xylemd is gone; start it again";
        case EHOSTUNREACH:
        case ENETUNREACH:
            return "no way to that host; see `ip route get` and the daemon's --port";
        case ETIMEDOUT:
            return "nobody answered in time; is xylemd running there?";
        case EMFILE:
        case ENOBUFS:
            return "the daemon is out of room; see `xylem status`";
        default:
            return {};
    }
}

}  // namespace

Error failure(Step step, std::string_view operand, int code) {
    std::string_view cure = general_cure(code);
    for (const Cure& row : kCures)
        if (row.step == step && row.code == code) cure = row.text;
    std::string what(doing(step));
    what.append(" ").append(operand).append(": ").append(std::strerror(code));
    if (!cure.empty()) what.append(": ").append(cure);
    return Error{code, std::move(what)};
}

std::string end_text(int code) {
    switch (code) {
        case 0:
            return "left";
        case ECONNRESET:
            return "its application died";
        case ECONNABORTED:
            return "its host was lost or it read too slowly";
        case ENETDOWN:
            return "xylemd is gone";
        default:
            return std::strerror(code);
    }
}

Error interrupted() { return Error{EINTR, "interrupted"}; }

}  // namespace xylem::cli
