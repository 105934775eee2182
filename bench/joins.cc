// SPDX-License-Identifier: Apache-2.0
// What joins cost: a root that accepts as fast as it can, joiners that measure each join, and watchers that were there
// before and tell what the storm did to them (messages lost, longest silence). `sessions` holds many small sessions.
// Programs talk by lines: each says when it is ready, and ends when its standard input does.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xylem/xylem.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/base/clock.h"

namespace {

using xylem::monotonic_ns;

struct Options {
    std::string address;
    uint16_t port = 7810;
    unsigned count = 1000;
    unsigned interval_us = 200;
    std::string type = "dgram";
};

sockaddr_in ipv4(const std::string& ip, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1)
        throw std::invalid_argument(ip + ": not an IPv4 address");
    return address;
}

const sockaddr* any(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

int check(ssize_t result, const char* what) {
    if (result < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
    return static_cast<int>(result);
}

void say(const nlohmann::json& line) {
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
}

void await_end_of_input() {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

int type_of(const Options& options) { return options.type == "dgram" ? SOCK_DGRAM : SOCK_RDM; }

int root_at(const Options& options, uint16_t port, int backlog) {
    const sockaddr_in address = ipv4(options.address, port);
    const int s = check(xy_socket(AF_INET, type_of(options), XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT), "xy_socket");
    check(xy_bind(s, any(address), sizeof address), "xy_bind");
    check(xy_listen(s, backlog), "xy_listen");
    return s;
}

int open_leaf(const Options& options, int flags) {
    return check(xy_socket(AF_INET, type_of(options) | flags, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF), "xy_socket");
}

void start_join(int s, const Options& options, uint16_t port) {
    const sockaddr_in root = ipv4(options.address, port);
    check(xy_join_leaf(s, any(root), sizeof root, nullptr, nullptr, nullptr, nullptr, XY_RECEIVER_ONLY),
          "xy_join_leaf");
}

int join(const Options& options, uint16_t port) {
    const int s = open_leaf(options, 0);
    start_join(s, options, port);
    return s;
}

/// Numbered messages to everybody, until told to stop.
void stream(int s, const Options& options, const std::atomic<bool>& must_stop, uint64_t& n_sent) {
    auto next = std::chrono::steady_clock::now();
    for (uint64_t number = 0; !must_stop; ++number) {
        while (xy_send(s, &number, sizeof number, 0) < 0 && errno == ENOTCONN && !must_stop)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        n_sent = number + 1;
        next += std::chrono::microseconds(options.interval_us);
        std::this_thread::sleep_until(next);
    }
}

void serve(const Options& options) {
    const int s = root_at(options, options.port, 1024);
    say({{"listening", true}});
    std::atomic<bool> must_stop{false};
    uint64_t n_sent = 0, first_ns = 0;
    std::thread sender;
    for (unsigned n = 0; n < options.count; ++n) {
        check(xy_accept(s, nullptr, nullptr, nullptr, nullptr), "xy_accept");
        if (n == 0) first_ns = monotonic_ns();
        if (n == 0 && options.interval_us != 0) sender = std::thread([&] { stream(s, options, must_stop, n_sent); });
    }
    say({{"accepted", options.count}, {"seconds", static_cast<double>(monotonic_ns() - first_ns) * 1e-9}});
    await_end_of_input();
    must_stop = true;
    if (sender.joinable()) sender.join();
    check(xy_shutdown(s, SHUT_WR), "xy_shutdown");
    say({{"sent", n_sent}});
    check(xy_close(s), "xy_close");
}

void join_many(const Options& options) {
    std::vector<int> joined;
    std::vector<double> us;
    const uint64_t start = monotonic_ns();
    for (unsigned n = 0; n < options.count; ++n) {
        const uint64_t before = monotonic_ns();
        joined.push_back(join(options, options.port));
        us.push_back(static_cast<double>(monotonic_ns() - before) * 1e-3);
    }
    say({{"joined", joined.size()}, {"seconds", static_cast<double>(monotonic_ns() - start) * 1e-9}, {"us", us}});
    await_end_of_input();
    for (const int s : joined)
        check(xy_close(s), "xy_close");
}

/// A leaf that was there before: what it lost, and the longest time without a message.
void watch(const Options& options) {
    const int s = join(options, options.port);
    say({{"joined", 1}});
    uint64_t n = 0, next = 0, lost = 0, longest_ns = 0, last = 0;
    for (uint64_t number; xy_recv(s, &number, sizeof number, 0) == sizeof number; ++n) {
        const uint64_t now = monotonic_ns();
        if (n != 0) lost += number - next, longest_ns = std::max(longest_ns, now - last);
        next = number + 1;
        last = now;
    }
    say({{"messages", n}, {"lost", lost}, {"longest_us", static_cast<double>(longest_ns) * 1e-3}});
    xy_close(s);
}

/// `count` sessions of one leaf each, root and leaf in this process; a message goes through each.
void sessions(const Options& options) {
    std::vector<int> open;
    const uint64_t start = monotonic_ns();
    for (unsigned n = 0; n < options.count; ++n) {
        const auto port = static_cast<uint16_t>(options.port + n);
        const int root = root_at(options, port, 1);
        const int leaf = open_leaf(options, SOCK_NONBLOCK);  // the join goes on while the root accepts
        start_join(leaf, options, port);
        const int handle = check(xy_accept(root, nullptr, nullptr, nullptr, nullptr), "xy_accept");
        const int is_nonblocking = 0;
        check(xy_ioctl(leaf, XY_FIONBIO, &is_nonblocking, sizeof is_nonblocking, nullptr, 0, nullptr), "FIONBIO");
        uint32_t number = n, received = ~n;
        check(xy_send(root, &number, sizeof number, 0), "xy_send");
        ssize_t n_received;
        while ((n_received = xy_recv(leaf, &received, sizeof received, 0)) < 0 && errno == ENOTCONN)
            std::this_thread::yield();  // the root knows that the leaf is in before the leaf does
        check(n_received, "xy_recv");
        if (received != number) throw std::runtime_error("another session's message");
        open.insert(open.end(), {handle, root, leaf});
    }
    say({{"sessions", options.count}, {"seconds", static_cast<double>(monotonic_ns() - start) * 1e-9}});
    await_end_of_input();
    for (const int s : open)
        check(xy_close(s), "xy_close");
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("joins: what joins cost, and what they cost the others");
    app.require_subcommand(1);
    struct Command {
        const char *name, *what;
        void (*run)(const Options&);
    };
    const Command commands[] = {{"serve", "a root that accepts --count leaves", serve},
                                {"join", "--count joins, one after the other; prints JSON", join_many},
                                {"watch", "a leaf that receives; prints JSON", watch},
                                {"sessions", "--count sessions of one leaf; prints JSON", sessions}};
    for (const Command& command : commands) {
        auto* sub = app.add_subcommand(command.name, command.what);
        sub->add_option("--address", options.address, "the root's IPv4 address")->required();
        sub->add_option("--listen-port", options.port, "the root's port; sessions: the first");
        sub->add_option("--count", options.count, "how many");
        sub->add_option("--interval-us", options.interval_us, "between two messages of the root; 0: none");
        sub->add_option("--type", options.type, "dgram or rdm")->check(CLI::IsMember({"dgram", "rdm"}));
    }
    CLI11_PARSE(app, argc, argv);
    raise_descriptor_limit();
    try {
        for (const Command& command : commands)
            if (app.got_subcommand(command.name)) command.run(options);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "joins: %s\n", error.what());
        return 1;
    }
}
