// SPDX-License-Identifier: Apache-2.0
// What the first message after a quiet time costs, through the daemons and through a blocking kernel UDP socket, in
// turns within one run. The sender stamps with CLOCK_MONOTONIC, which all namespaces of one machine share; each
// receiver sleeps in a blocking call.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xylem/xylem.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "dataplane/base/clock.h"

namespace {

struct Options {
    std::string root_address;
    uint16_t root_port = 7801, udp_port = 7802;
    std::string leaf_address;
    unsigned count = 100, idle_ms = 1000;
};

sockaddr_in ipv4(const std::string& ip, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1)
        throw std::invalid_argument(ip + ": not an IPv4 address");
    return address;
}

int check(int result, const char* what) {
    if (result < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
    return result;
}

const sockaddr* any(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

void send_all(const Options& options) {
    const sockaddr_in root = ipv4(options.root_address, options.root_port),
                      sink = ipv4(options.leaf_address, options.udp_port);
    const int s = check(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT), "xy_socket");
    check(xy_bind(s, any(root), sizeof root), "xy_bind");
    check(xy_listen(s, 1), "xy_listen");
    std::puts("listening");
    std::fflush(stdout);
    check(xy_accept(s, nullptr, nullptr, nullptr, nullptr), "xy_accept");
    const int udp = check(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    for (unsigned i = 0; i < 2 * options.count; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(options.idle_ms));
        const uint64_t stamp = xylem::monotonic_ns();
        if (i % 2 == 0)
            check(static_cast<int>(xy_send(s, &stamp, sizeof stamp, 0)), "xy_send");
        else
            check(static_cast<int>(sendto(udp, &stamp, sizeof stamp, 0, any(sink), sizeof sink)), "sendto");
    }
    check(xy_shutdown(s, SHUT_WR), "xy_shutdown");
    check(xy_close(s), "xy_close");
    close(udp);
}

template <class Receive>
std::vector<double> latencies_us(unsigned count, Receive receive) {
    std::vector<double> all;
    uint64_t stamp = 0;
    while (all.size() < count && receive(&stamp, sizeof stamp) == sizeof stamp)
        all.push_back(static_cast<double>(xylem::monotonic_ns() - stamp) * 1e-3);
    std::sort(all.begin(), all.end());
    return all;
}

nlohmann::json summary(const std::vector<double>& sorted) {
    if (sorted.empty()) return nullptr;
    return {{"n", sorted.size()}, {"p50_us", sorted[sorted.size() / 2]}, {"p99_us", sorted[sorted.size() * 99 / 100]}};
}

void receive_all(const Options& options) {
    const sockaddr_in root = ipv4(options.root_address, options.root_port),
                      own = ipv4(options.leaf_address, options.udp_port);
    const int udp = check(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    check(bind(udp, any(own), sizeof own), "bind");
    const int s = check(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF), "xy_socket");
    check(xy_join_leaf(s, any(root), sizeof root, nullptr, nullptr, nullptr, nullptr, XY_RECEIVER_ONLY),
          "xy_join_leaf");
    std::vector<double> kernel;
    std::thread other(
        [&] { kernel = latencies_us(options.count, [&](void* to, size_t n) { return recv(udp, to, n, 0); }); });
    const auto ours = latencies_us(options.count, [&](void* to, size_t n) { return xy_recv(s, to, n, 0); });
    other.join();
    const nlohmann::json row{{"xylem", summary(ours)}, {"kernel", summary(kernel)}};
    std::printf("%s\n", row.dump().c_str());
    xy_close(s);
    close(udp);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("first_message: the first message after a quiet time");
    app.require_subcommand(1);
    auto* sender = app.add_subcommand("send", "root and UDP sender");
    auto* receiver = app.add_subcommand("recv", "leaf and UDP receiver; prints JSON");
    for (auto* sub : {sender, receiver}) {
        sub->add_option("--root", options.root_address, "the root's IPv4 address")->required();
        sub->add_option("--leaf", options.leaf_address, "the leaf's IPv4 address")->required();
        sub->add_option("--count", options.count, "messages of each kind");
        sub->add_option("--idle-ms", options.idle_ms, "quiet time before each");
    }
    CLI11_PARSE(app, argc, argv);
    try {
        sender->parsed() ? send_all(options) : receive_all(options);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "first_message: %s\n", error.what());
        return 1;
    }
}
