// SPDX-License-Identifier: Apache-2.0
// C++: a thermometer tells three displays its readings. The displays listen, and the root invites them; all four are
// threads of this process here, and could as well be four hosts.
//
//     thermometer 127.0.0.1 7000          (the displays take the next three ports)
#include <arpa/inet.h>
#include <xylem/xylem.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

int check(int result, const char* what) {
    if (result < 0) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
    return result;
}

/// A Xylem descriptor that closes itself.
class Socket {
  public:
    explicit Socket(int s) : s_(s) {}
    ~Socket() { xy_close(s_); }
    Socket(const Socket&) = delete;
    operator int() const { return s_; }

  private:
    int s_;
};

sockaddr_in address(const char* ip, int port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(static_cast<uint16_t>(port));
    if (inet_pton(AF_INET, ip, &out.sin_addr) != 1) throw std::runtime_error("not an IPv4 address");
    return out;
}

void display(sockaddr_in own, std::promise<void>& is_listening) {
    const Socket listener(check(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF), "socket"));
    check(xy_bind(listener, reinterpret_cast<sockaddr*>(&own), sizeof own), "bind");
    check(xy_listen(listener, 1), "listen");
    is_listening.set_value();
    const Socket leaf(check(xy_accept(listener, nullptr, nullptr, nullptr, nullptr), "accept"));
    int n_readings = 0;
    for (double celsius; xy_recv(leaf, &celsius, sizeof celsius, 0) == sizeof celsius;)
        ++n_readings;
    std::printf("display at port %d: %d readings\n", ntohs(own.sin_port), n_readings);
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 3) throw std::runtime_error("usage: thermometer ADDRESS PORT");
    const Socket root(check(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT), "socket"));
    std::vector<std::jthread> displays;
    for (int i = 1; i <= 3; ++i) {
        const sockaddr_in name = address(argv[1], std::atoi(argv[2]) + i);
        std::promise<void> is_listening;
        displays.emplace_back([name, &is_listening] { display(name, is_listening); });
        is_listening.get_future().wait();
        // The new descriptor stands for this leaf; what it tells is not needed here, and it may stay open to the end.
        const auto* to = reinterpret_cast<const sockaddr*>(&name);
        check(xy_join_leaf(root, to, sizeof name, nullptr, nullptr, nullptr, nullptr, XY_SENDER_ONLY), "join_leaf");
    }
    for (double celsius = 20; celsius < 25; celsius += 0.5)
        check(static_cast<int>(xy_send(root, &celsius, sizeof celsius, 0)), "send");
    check(xy_shutdown(root, SHUT_WR), "shutdown");
    displays.clear();  // waits for them
} catch (const std::exception& error) {
    std::fprintf(stderr, "thermometer: %s\n", error.what());
    return 1;
}
