// SPDX-License-Identifier: Apache-2.0
// An application that does harm, as far as it can:
//   hostile scribble ADDR:PORT SECONDS SEED
//     writes random words into everything it shares with the daemon, and rings every bell
//
//   hostile sloth ADDR:PORT
//     joins that root and never reads; prints the code of its FD_CLOSE
//
//   hostile busy ADDR:PORT
//     a root and a leaf in one process that send and receive until they are killed
//
//   hostile limits ADDR:PORT FOREIGN:PORT
//     asks for what is outside the limits; each must fail by itself
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "tests/hosts/player.h"

namespace {

using namespace xylem;
using namespace xylem::player;

struct Mapping {
    uint64_t* words;
    size_t n_words;
};

/// The shared memory of this process that it may write: its control segment and its logs.
std::vector<Mapping> writable_shared_mappings() {
    std::ifstream maps("/proc/self/maps");
    std::vector<Mapping> out;
    for (std::string line; std::getline(maps, line);) {
        unsigned long begin = 0, end = 0;
        char rights[5] = {};
        if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights) != 3) continue;
        if (std::string_view(rights) != "rw-s" || line.find("memfd:") == std::string::npos) continue;
        out.push_back({reinterpret_cast<uint64_t*>(begin), (end - begin) / sizeof(uint64_t)});
    }
    return out;
}

std::vector<int> descriptors() {
    std::vector<int> out;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        if (const int fd = std::atoi(entry.path().filename().c_str()); fd > 2) out.push_back(fd);
    return out;
}

/// The connection that carries commands: the daemon rightly hangs up at the first wrong word.
bool is_command_connection(int fd) {
    int type = 0;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
}

/// A word as an attacker would choose it: random, near a limit, or a position slightly wrong.
uint64_t evil_word(std::mt19937_64& random, uint64_t now) {
    switch (random() % 6) {
        case 0:
            return random();
        case 1:
            return ~0ULL;
        case 2:
            return now + (random() % 4096);
        case 3:
            return now - (random() % 4096);
        case 4:
            return 1ULL << (random() % 64);
        default:
            return 0;
    }
}

void play_scribbler(const std::string& where, int seconds, uint64_t seed) {
    std::signal(SIGPIPE, SIG_IGN);
    OwnSession session = open_own_session(where);
    for (int i = 0; i < 100; ++i)
        check(xy_send(session.root, &i, sizeof i, 0) == sizeof i, "send");
    const auto mappings = writable_shared_mappings();
    check(!mappings.empty(), "there is shared memory to scribble over");
    const auto fds = descriptors();
    for (const int fd : fds)
        fcntl(fd, F_SETFL, O_NONBLOCK);  // or it would only block itself
    say("scribbling over {} mappings, seed {}", mappings.size(), seed);
    std::mt19937_64 random(seed);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (std::chrono::steady_clock::now() < end) {
        for (int i = 0; i < 1000; ++i) {
            const Mapping& mapping = mappings[random() % mappings.size()];
            // Half of it goes where the words are: the first pages.
            const size_t reach = random() % 2 ? mapping.n_words : std::min<size_t>(mapping.n_words, 1024);
            volatile uint64_t& word = mapping.words[random() % reach];
            word = evil_word(random, word);
        }
        const int fd = fds[random() % fds.size()];
        const uint64_t junk = random() | 1;
        if (!is_command_connection(fd)) [[maybe_unused]]
            const ssize_t n = write(fd, &junk, 8);
    }
    for (const int fd : fds) {
        [[maybe_unused]] const ssize_t n = write(fd, mappings[0].words, 1 + random() % 64);
        [[maybe_unused]] int failed = ftruncate(fd, 0);
        failed = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20);
        failed = fcntl(fd, F_SETFL, 0);
        failed = shutdown(fd, SHUT_RD);
    }
    say("done");
    std::_Exit(0);  // what it maps is ruined: no orderly end
}

void play_sloth(const std::string& where) {
    const auto root = address_of(where);
    const int s = xy_socket(root.storage.ss_family, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
    check(s >= 0, "socket");
    check(xy_join_leaf(s, root.get(), root.length, nullptr, nullptr, nullptr, nullptr, XY_RECEIVER_ONLY) == s, "join");
    check(xy_event_select(s, -1, XY_FD_CLOSE) == 0, "event_select");
    say("joined");
    for (int code = 0;;) {
        pollfd readable{s, POLLIN, 0};
        check(poll(&readable, 1, 30000) == 1, "FD_CLOSE within 30 s");
        if (!take_close(s, code)) continue;
        say("close {}", code);
        return;
    }
}

/// Never comes to an end by itself; says `busy` when the first message has come through.
void play_busy(const std::string& where) {
    const OwnSession session = open_own_session(where);
    std::vector<char> message(500, 'b');
    for (bool is_told = false;;) {
        while (xy_send(session.root, message.data(), message.size(), 0) > 0) {
        }
        check(errno == EAGAIN, "send");
        ssize_t n;
        while ((n = xy_recv(session.leaf, message.data(), message.size(), 0)) > 0) {
            if (!is_told) say("busy");
            is_told = true;
        }
        check(n < 0 && errno == EAGAIN, "receive");
    }
}

void play_limits(const std::string& where, const std::string& foreign) {
    const auto own = address_of(where), other = address_of(foreign);
    auto make = [&] {
        const int s = xy_socket(own.storage.ss_family, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT);
        check(s >= 0, "socket");
        return s;
    };
    const int s = make();
    for (const uint64_t bytes : {uint64_t{1} << 50, ~uint64_t{0}, uint64_t{0}})
        check(xy_setsockopt(s, XY_SOL, XY_OPT_LOG_BYTES, &bytes, sizeof bytes) == -1 && errno == EINVAL,
              "a log of {} bytes", bytes);
    const uint64_t small = 100000;
    uint64_t rounded = 0;
    socklen_t length = sizeof rounded;
    check(xy_setsockopt(s, XY_SOL, XY_OPT_LOG_BYTES, &small, sizeof small) == 0, "a log of {} bytes", small);
    check(xy_getsockopt(s, XY_SOL, XY_OPT_LOG_BYTES, &rounded, &length) == 0 && rounded >= small, "read back: {}",
          rounded);
    check(xy_bind(s, other.get(), other.length) == -1 && errno == EADDRNOTAVAIL, "binding {}", foreign);
    check(xy_bind(s, own.get(), own.length) == 0 && xy_listen(s, 1) == 0, "binding {}", where);
    const int second = make();
    const bool is_refused = xy_bind(second, own.get(), own.length) == -1 || xy_listen(second, 1) == -1;
    check(is_refused && errno == EADDRINUSE, "binding {} twice", where);
    check(xy_send(s, "x", 1, 0) == -1 && errno == ENOTCONN, "send without leaves");
    check(xy_socket(AF_UNIX, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT) == -1 && errno == EAFNOSUPPORT, "AF_UNIX");
    check(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, 0) == -1 && errno == EINVAL, "no roles");
    check(xy_close(second) == 0 && xy_close(s) == 0, "close");
    check(xy_close(s) == -1 && errno == ENOTSOCK, "close twice");
    say("limits hold");
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 4 && words[0] == "scribble")
        play_scribbler(words[1], std::atoi(argv[3]), std::strtoull(argv[4], nullptr, 10));
    else if (words.size() == 2 && words[0] == "sloth")
        play_sloth(words[1]);
    else if (words.size() == 2 && words[0] == "busy")
        play_busy(words[1]);
    else if (words.size() == 3 && words[0] == "limits")
        play_limits(words[1], words[2]);
    else
        return 2;
    return 0;
}
