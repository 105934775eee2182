// SPDX-License-Identifier: Apache-2.0
#include "control/api/dispatch.h"

#include <cstring>

namespace xylem::api {

using abi::Op;
using session::App;
using session::Reply;
using session::Sessions;

std::optional<abi::RequestHeader> header_of(std::span<const std::byte> message) {
    abi::RequestHeader header;
    if (message.size() < sizeof header || message.size() > abi::kMaxCommandBytes) return std::nullopt;
    std::memcpy(&header, message.data(), sizeof header);
    if (header.magic != abi::kCommandMagic || header.version != abi::kAbiVersion) return std::nullopt;
    if (header.body_bytes != message.size() - sizeof header) return std::nullopt;
    return header;
}

namespace {

/// What a command is called with.
struct Call {
    Sessions& sessions;
    App& app;
    uint32_t socket;
    std::span<const std::byte> body;
    const session::Respond& respond;
};

template <class Body>
Body body_of(const Call& call) {
    Body body;
    std::memcpy(&body, call.body.data(), sizeof body);
    return body;
}

using BareCommand = Reply (Sessions::*)(App&, uint32_t);
template <class Body>
using BodyCommand = Reply (Sessions::*)(App&, uint32_t, const Body&);

bool run(const Call& call, BareCommand command) {
    if (!call.body.empty()) return false;
    call.respond((call.sessions.*command)(call.app, call.socket));
    return true;
}

template <class Body>
bool run(const Call& call, BodyCommand<Body> command) {
    if (call.body.size() != sizeof(Body)) return false;
    call.respond((call.sessions.*command)(call.app, call.socket, body_of<Body>(call)));
    return true;
}

bool open_socket(const Call& call) {
    if (call.body.size() != sizeof(abi::SocketBody)) return false;
    call.respond(call.sessions.open_socket(call.app, body_of<abi::SocketBody>(call)));
    return true;
}

bool decide(const Call& call) {
    if (call.body.size() != sizeof(abi::AcceptDecideBody)) return false;
    call.sessions.accept_decide(call.app, call.socket, body_of<abi::AcceptDecideBody>(call), call.respond);
    return true;
}

bool set_option(const Call& call) {
    if (call.body.size() != sizeof(abi::OptionBody)) return false;
    call.sessions.set_option(call.app, call.socket, body_of<abi::OptionBody>(call), call.respond);
    return true;
}

bool status(const Call& call) {
    if (!call.body.empty()) return false;
    call.respond(call.sessions.status(call.app));
    return true;
}

}  // namespace

bool dispatch(Sessions& sessions, App& app, std::span<const std::byte> message, const session::Respond& respond) {
    const std::optional<abi::RequestHeader> header = header_of(message);
    if (!header) return false;
    const Call call{sessions, app, header->socket, message.subspan(sizeof *header), respond};
    switch (static_cast<Op>(header->op)) {
        case Op::kAttach:
            return false;
        case Op::kSocket:
            return open_socket(call);
        case Op::kBind:
            return run(call, &Sessions::bind);
        case Op::kListen:
            return run(call, &Sessions::listen);
        case Op::kJoin:
            return run(call, &Sessions::join);
        case Op::kJoinResult:
            return run(call, &Sessions::join_result);
        case Op::kAcceptTake:
            return run(call, &Sessions::accept_take);
        case Op::kAcceptDecide:
            return decide(call);
        case Op::kShutdown:
            return run(call, &Sessions::shutdown);
        case Op::kClose:
            return run(call, &Sessions::close);
        case Op::kSendDisconnect:
            return run(call, &Sessions::send_disconnect);
        case Op::kRecvDisconnect:
            return run(call, &Sessions::recv_disconnect);
        case Op::kSetOption:
            return set_option(call);
        case Op::kGetOption:
            return run(call, &Sessions::get_option);
        case Op::kName:
            return run(call, &Sessions::name);
        case Op::kMakeLog:
            return run(call, &Sessions::make_log);
        case Op::kLogMapped:
            return run(call, &Sessions::log_mapped);
        case Op::kGetInbox:
            return run(call, &Sessions::get_inbox);
        case Op::kGetImage:
            return run(call, &Sessions::get_image);
        case Op::kStats:
            return run(call, &Sessions::stats);
        case Op::kLeafStats:
            return run(call, &Sessions::leaf_stats);
        case Op::kStatus:
            return status(call);
        case Op::kSetQos:
            return run(call, &Sessions::set_qos);
        case Op::kGetQos:
            return run(call, &Sessions::get_qos);
        case Op::kCancelJoin:
            return run(call, &Sessions::cancel_join);
        case Op::kDestination:
            return run(call, &Sessions::destination);
        case Op::kSideChat:
            return run(call, &Sessions::side_chat);
    }
    return false;
}

}  // namespace xylem::api
