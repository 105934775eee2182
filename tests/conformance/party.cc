// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/party.h"

#include <poll.h>

#include <cstdlib>
#include <sstream>
#include <vector>

namespace xylem::conformance {

namespace {

/// XY_CONFORM_HOSTS: "SOCKET ADDRESS PID" of each, separated by commas; set by conformance.py.
std::vector<Host> hosts_of_environment() {
    const char* text = std::getenv("XY_CONFORM_HOSTS");
    std::vector<Host> hosts;
    std::istringstream list(text != nullptr ? text : "");
    for (std::string one; std::getline(list, one, ',');) {
        Host host;
        std::istringstream(one) >> host.socket >> host.address >> host.daemon;
        hosts.push_back(host);
    }
    if (hosts.empty())
        throw std::runtime_error("XY_CONFORM_HOSTS is not set: tests/conformance/conformance.py sets it");
    return hosts;
}

const std::vector<Host>& hosts() {
    static const std::vector<Host> all = hosts_of_environment();
    return all;
}

}  // namespace

const Host& host(size_t i) { return hosts()[i % hosts().size()]; }

bool is_network() { return hosts().size() > 1; }

std::string absent_host() {
    const std::string& first = hosts()[0].address;
    return first.substr(0, first.rfind('.')) + ".250";
}

Done Party::socket(const Kind& kind, unsigned roles, Where where) {
    return run([=] { return done(xy_socket(kind.family, kind.type, kind.protocol, roles)); }, where);
}

Done Party::bind(int s, const Address& name, Where where) {
    return run([=] { return done(xy_bind(s, name.get(), name.length)); }, where);
}

Done Party::listen(int s, int backlog, Where where) {
    return run([=] { return done(xy_listen(s, backlog)); }, where);
}

Joined Party::join(int s, const Address& name, const JoinWish& wish, Where where) {
    return run([=] { return calls::join(s, name, wish); }, where);
}

Pending<Joined> Party::start_join(int s, const Address& name, const JoinWish& wish, Where where) {
    return start([=] { return calls::join(s, name, wish); }, where);
}

Joined Party::callee_of(int s, Where where) {
    return run([=] { return calls::callee_of(s); }, where);
}

Done Party::connect(int s, const Address& name, Where where) {
    return run([=] { return done(xy_connect(s, name.get(), name.length)); }, where);
}

Accepted Party::accept(int s, const Answer& answer, Where where) {
    return run(
        [=] {
            calls::await_poll(s, POLLIN, kPatienceMs);
            return calls::accept(s, answer);
        },
        where);
}

Accepted Party::accept_now(int s, const Answer& answer, Where where) {
    return run([=] { return calls::accept(s, answer); }, where);
}

Pending<Accepted> Party::start_accept(int s, const Answer& answer, Where where) {
    return start([=] { return calls::accept(s, answer); }, where);
}

Done Party::send(int s, const Text& text, int flags, Where where) {
    return run([=] { return done(xy_send(s, text.bytes, text.length, flags)); }, where);
}

Done Party::send_to(int s, const Text& text, const Address& to, Where where) {
    return run([=] { return done(xy_sendto(s, text.bytes, text.length, 0, to.get(), to.length)); }, where);
}

Received Party::receive(int s, Where where) {
    return run(
        [=] {
            calls::await_poll(s, POLLIN, kPatienceMs);
            return calls::receive(s, sizeof(Text::bytes), 0);
        },
        where);
}

Received Party::receive_now(int s, size_t room, int flags, Where where) {
    return run([=] { return calls::receive(s, room, flags); }, where);
}

Pending<Received> Party::start_receive(int s, Where where) {
    return start([=] { return calls::receive(s, sizeof(Text::bytes), 0); }, where);
}

Done Party::shutdown(int s, int how, Where where) {
    return run([=] { return done(xy_shutdown(s, how)); }, where);
}

Done Party::close(int s, Where where) {
    return run([=] { return done(xy_close(s)); }, where);
}

namespace {

struct Named : Done {
    Address address;
};

Named ask_name(int s, bool is_peer) {
    Named out;
    static_cast<Done&>(out) = calls::name(s, is_peer, out.address);
    return out;
}

}  // namespace

Address Party::name_of(int s, Where where) {
    const Named named = run([=] { return ask_name(s, false); }, where);
    must(named, "getsockname");
    return named.address;
}

Done Party::peer_of(int s, Address* out, Where where) {
    const Named named = run([=] { return ask_name(s, true); }, where);
    if (out != nullptr) *out = named.address;
    return named;
}

Done Party::set_nonblocking(int s, bool is_nonblocking, Where where) {
    const int value = is_nonblocking ? 1 : 0;
    return run([=] { return done(xy_ioctl(s, XY_FIONBIO, &value, sizeof value, nullptr, 0, nullptr)); }, where);
}

Done Party::select(int s, unsigned mask, Where where) {
    return run([=] { return done(xy_event_select(s, -1, mask)); }, where);
}

Events Party::events(int s, Where where) {
    return run([=] { return calls::enum_events(s); }, where);
}

Events Party::await(int s, unsigned wanted, Where where) {
    return run([=] { return calls::await_events(s, wanted); }, where);
}

bool Party::is_quiet(int s, Where where) {
    return run([=] { return !calls::await_readable(s, kQuietMs); }, where);
}

Protocols Party::protocols(Where where) {
    return run([] { return calls::protocols(); }, where);
}

uint32_t Party::capabilities(const Kind& kind, Where where) {
    for (const xy_protocol& entry : protocols(where))
        if (entry.family == kind.family && entry.type == (kind.type & ~SOCK_NONBLOCK) &&
            entry.protocol == kind.protocol)
            return entry.capabilities;
    return 0;
}

}  // namespace xylem::conformance
