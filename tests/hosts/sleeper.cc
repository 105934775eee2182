// SPDX-License-Identifier: Apache-2.0
// An application that sleeps in epoll while its daemon dies: sleeper ADDR:PORT
// Prints `asleep`, then `close NAME CODE` as FD_CLOSE comes. At `again` on standard input it makes a new session with
// whatever daemon is there, sends through it, and prints `served`; at `close` it closes everything old and new and
// prints `closed`.
#include <sys/epoll.h>
#include <unistd.h>

#include <vector>

#include "tests/hosts/player.h"

namespace {

using namespace xylem;
using namespace xylem::player;

constexpr int kMessages = 100;

void sleep_until_all_closed(const OwnSession& session) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    const std::vector<std::pair<const char*, int>> all = {
        {"root", session.root}, {"leaf-at-root", session.on_root}, {"leaf", session.leaf}};
    for (uint32_t i = 0; i < all.size(); ++i) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u32 = i;
        check(epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].second, &event) == 0, "epoll_ctl");
    }
    say("asleep");
    for (size_t n_closed = 0; n_closed < all.size();) {
        epoll_event event{};
        check(epoll_wait(epoll, &event, 1, -1) == 1, "epoll_wait");
        const auto& [name, s] = all[event.data.u32];
        int code = 0;
        if (!take_close(s, code)) continue;
        say("close {} {}", name, code);
        ++n_closed;
        epoll_ctl(epoll, EPOLL_CTL_DEL, s, nullptr);
    }
    ::close(epoll);
}

void expect_net_down(const OwnSession& session) {
    char byte = 0;
    check(xy_send(session.root, &byte, 1, 0) == -1 && errno == ENETDOWN, "send on the old root is ENETDOWN");
    check(xy_recv(session.leaf, &byte, 1, 0) == -1 && errno == ENETDOWN, "receive on the old leaf is ENETDOWN");
    check(xy_listen(session.root, 1) == -1 && errno == ENETDOWN, "listen on the old root is ENETDOWN");
}

void use(const OwnSession& session) {
    for (const int s : {session.root, session.leaf}) {
        int off = 0;
        check(xy_event_select(s, -1, 0) == 0, "event_select 0");
        check(xy_ioctl(s, XY_FIONBIO, &off, sizeof off, nullptr, 0, nullptr) == 0, "FIONBIO");
    }
    for (int i = 0; i < kMessages; ++i)
        check(xy_send(session.root, &i, sizeof i, 0) == sizeof i, "send {}", i);
    for (int i = 0; i < kMessages; ++i) {
        int got = -1;
        check(xy_recv(session.leaf, &got, sizeof got, 0) == sizeof got && got == i, "receive {}", i);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    OwnSession before = open_own_session(argv[1]);
    sleep_until_all_closed(before);
    expect_net_down(before);
    check(await_word() == "again", "the word is again");
    OwnSession after = open_own_session(argv[1]);
    use(after);
    expect_net_down(before);
    say("served");
    check(await_word() == "close", "the word is close");
    before.close();
    after.close();
    say("closed");
    await_word();
    return 0;
}
