// SPDX-License-Identifier: Apache-2.0
#include "tests/hosts/player.h"

#include <poll.h>

#include <cstdio>

namespace xylem::player {

cli::SocketAddress address_of(const std::string& text) {
    const auto endpoint = cli::parse_endpoint(text);
    check(static_cast<bool>(endpoint), "{} is no address", text);
    return cli::to_socket_address(*endpoint);
}

int listen_at(const std::string& text, int type, unsigned roles) {
    const auto own = address_of(text);
    const int s = xy_socket(own.storage.ss_family, type, XY_PROTO_TREE, roles);
    check(s >= 0, "socket");
    check(xy_bind(s, own.get(), own.length) == 0, "bind {}", text);
    check(xy_listen(s, 64) == 0, "listen {}", text);
    return s;
}

bool take_close(int s, int& code) {
    xy_events events{};
    check(xy_enum_events(s, -1, &events) == 0, "enum_events");
    if (!(events.events & XY_FD_CLOSE)) return false;
    code = events.error[XY_FD_CLOSE_BIT];
    return true;
}

namespace {

/// Waits until `bit` is recorded on `s`; its error.
int await_event(int s, unsigned bit) {
    for (;;) {
        pollfd readable{s, POLLIN, 0};
        check(poll(&readable, 1, 20000) == 1, "event {} within 20 s", bit);
        xy_events events{};
        check(xy_enum_events(s, -1, &events) == 0, "enum_events");
        if (events.events & (1U << bit)) return events.error[bit];
    }
}

}  // namespace

OwnSession open_own_session(const std::string& text, int type) {
    const auto name = address_of(text);
    OwnSession session;
    session.root = listen_at(text, type, XY_C_ROOT | XY_D_ROOT);
    check(xy_event_select(session.root, -1, XY_FD_ACCEPT) == 0, "event_select on the root");
    session.leaf = xy_socket(name.storage.ss_family, type, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
    check(session.leaf >= 0, "socket of the leaf");
    check(xy_event_select(session.leaf, -1, XY_FD_CONNECT) == 0, "event_select on the leaf");
    const int joining =
        xy_join_leaf(session.leaf, name.get(), name.length, nullptr, nullptr, nullptr, nullptr, XY_BOTH);
    check(joining == session.leaf, "join");
    check(await_event(session.root, XY_FD_ACCEPT_BIT) == 0, "FD_ACCEPT");
    session.on_root = xy_accept(session.root, nullptr, nullptr, nullptr, nullptr);
    check(session.on_root >= 0, "accept");
    check(await_event(session.leaf, XY_FD_CONNECT_BIT) == 0, "FD_CONNECT");
    for (const int s : {session.root, session.on_root, session.leaf})
        check(xy_event_select(s, -1, XY_FD_CLOSE | XY_FD_READ) == 0, "event_select on {}", s);
    return session;
}

void OwnSession::close() {
    for (const int s : {leaf, on_root, root})
        check(xy_close(s) == 0, "close {}", s);
}

std::string await_word() {
    char line[256];
    if (!std::fgets(line, sizeof line, stdin)) std::_Exit(0);
    std::string word(line);
    while (!word.empty() && word.back() == '\n')
        word.pop_back();
    return word;
}

}  // namespace xylem::player
