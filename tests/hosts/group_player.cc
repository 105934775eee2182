// SPDX-License-Identifier: Apache-2.0
// A member of a group, driven line by line: `group_player xylem|kernel`. Both kinds take the same commands and answer
// each with one line, so that either can stand where the other does.
//   open v4|v6              if NAME          source ADDR      reuse            scope N      loopback 0|1
//   join ADDR:PORT both|send|recv            -> joined NAME | error CODE
//   bind ADDR:PORT          send TEXT        sendto ADDR:PORT TEXT             sized N      -> sent N | error CODE
//   recv                    -> got TEXT from ADDR:PORT
//   quiet MS                -> nothing | got …
//   exchange ID N MEMBERS own|others         -> a JSON object; every member of 0 … MEMBERS-1 sends N numbered datagrams
//   join-events ADDR:PORT both|send|recv     -> events MASK error CODE, of a join with events selected
//   events MS                                -> events MASK, what is recorded within that time
//   iperf-send N            -> sent N, as iperf 2's client numbers its datagrams
//   iperf-receive           -> got N missing M, up to the last datagram of an iperf 2 client
//   close
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "tests/hosts/player.h"

namespace {

using namespace xylem;
using namespace xylem::player;
using Clock = std::chrono::steady_clock;

// A member is at most so many datagrams ahead of what it has heard of the others: so whoever stalls stalls all, and
// less is under way than the shortest queue on the path holds (256 frames of a veth).
constexpr unsigned kAhead = 16;
constexpr auto kStuck = std::chrono::seconds(60);
constexpr size_t kMaxDatagram = 65536;

class Socket {
  public:
    virtual ~Socket() = default;
    virtual void use_interface(const std::string& name) = 0;
    virtual int add_source(const sockaddr_storage& source) = 0;
    virtual int set_scope(int scope) = 0;
    virtual int set_loopback(int is_on) = 0;
    virtual int reuse() = 0;
    virtual int bind(const sockaddr* name, socklen_t length) = 0;
    virtual int join(const cli::SocketAddress& group, const std::string& direction) = 0;
    virtual void select_events() { check(false, "events of a kernel's socket"); }
    virtual xy_events await_events(unsigned, int) { return {}; }
    virtual ssize_t send(const void* bytes, size_t n, const cli::SocketAddress* to) = 0;
    virtual ssize_t receive(void* bytes, size_t n, cli::SocketAddress& from) = 0;
    virtual int name(cli::SocketAddress& out) = 0;
    virtual int wait(int timeout_ms) = 0;
};

class XylemSocket : public Socket {
  public:
    explicit XylemSocket(int family)
        : s_(xy_socket(family, SOCK_DGRAM | SOCK_NONBLOCK, XY_PROTO_GROUP, XY_C_LEAF | XY_D_LEAF)) {
        check(s_ >= 0, "socket");
    }
    ~XylemSocket() override { check(xy_close(s_) == 0, "close"); }
    void use_interface(const std::string& name) override {
        const uint32_t ifindex = if_nametoindex(name.c_str());
        check(xy_setsockopt(s_, XY_SOL, XY_OPT_MULTICAST_IF, &ifindex, sizeof ifindex) == 0, "interface {}", name);
    }
    int add_source(const sockaddr_storage& source) override {
        return xy_setsockopt(s_, XY_SOL, XY_OPT_SOURCE, &source, sizeof source);
    }
    int set_scope(int scope) override {
        return xy_ioctl(s_, XY_SIO_MULTICAST_SCOPE, &scope, sizeof scope, nullptr, 0, nullptr);
    }
    int set_loopback(int is_on) override {
        return xy_ioctl(s_, XY_SIO_MULTIPOINT_LOOPBACK, &is_on, sizeof is_on, nullptr, 0, nullptr);
    }
    int reuse() override {
        const int one = 1;
        return xy_setsockopt(s_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    int bind(const sockaddr* name, socklen_t length) override { return xy_bind(s_, name, length); }
    int join(const cli::SocketAddress& group, const std::string& direction) override {
        const unsigned flags = direction == "send" ? XY_SENDER_ONLY : direction == "recv" ? XY_RECEIVER_ONLY : XY_BOTH;
        return xy_join_leaf(s_, group.get(), group.length, nullptr, nullptr, nullptr, nullptr, flags) == s_ ? 0 : -1;
    }
    void select_events() override {
        constexpr unsigned kAll = XY_FD_READ | XY_FD_WRITE | XY_FD_CONNECT | XY_FD_CLOSE;
        check(xy_event_select(s_, -1, kAll) == 0, "event_select");
    }
    /// Until one of `wanted` was recorded, or the time is over.
    xy_events await_events(unsigned wanted, int timeout_ms) override {
        xy_events all{};
        const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
        while ((all.events & wanted) == 0 && Clock::now() < deadline) {
            pollfd p{s_, POLLIN, 0};
            ::poll(&p, 1, 10);
            xy_events now{};
            check(xy_enum_events(s_, -1, &now) == 0, "enum_events");
            all.events |= now.events;
            for (unsigned bit = 0; bit < XY_FD_MAX_EVENTS; ++bit)
                if ((now.events >> bit & 1) != 0) all.error[bit] = now.error[bit];
        }
        return all;
    }
    ssize_t send(const void* bytes, size_t n, const cli::SocketAddress* to) override {
        // Blocking: the first datagram to a host waits for its neighbour entry.
        const int off = 0, on = 1;
        xy_ioctl(s_, XY_FIONBIO, &off, sizeof off, nullptr, 0, nullptr);
        const ssize_t sent =
            to != nullptr ? xy_sendto(s_, bytes, n, 0, to->get(), to->length) : xy_send(s_, bytes, n, 0);
        const int code = errno;
        xy_ioctl(s_, XY_FIONBIO, &on, sizeof on, nullptr, 0, nullptr);
        errno = code;
        return sent;
    }
    ssize_t receive(void* bytes, size_t n, cli::SocketAddress& from) override {
        from.length = sizeof from.storage;
        return xy_recvfrom(s_, bytes, n, 0, from.get(), &from.length);
    }
    int name(cli::SocketAddress& out) override {
        out.length = sizeof out.storage;
        return xy_getsockname(s_, out.get(), &out.length);
    }
    int wait(int timeout_ms) override {
        pollfd p{s_, POLLIN, 0};
        return xy_poll(&p, 1, timeout_ms);
    }

  private:
    int s_;
};

class KernelSocket : public Socket {
  public:
    explicit KernelSocket(int family) : family_(family), s_(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
        check(s_ >= 0, "socket");
        const int bytes = 64 << 20, one = 1;
        check(setsockopt(s_, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0, "SO_RCVBUFFORCE");
        if (family == AF_INET6) setsockopt(s_, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        const int off = 0, do_not_fragment = family == AF_INET ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;
        if (family == AF_INET) {
            setsockopt(s_, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
            setsockopt(s_, IPPROTO_IP, IP_MTU_DISCOVER, &do_not_fragment, sizeof do_not_fragment);
        } else {
            setsockopt(s_, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off);
            setsockopt(s_, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &do_not_fragment, sizeof do_not_fragment);
        }
    }
    ~KernelSocket() override { ::close(s_); }
    void use_interface(const std::string& name) override { ifindex_ = static_cast<int>(if_nametoindex(name.c_str())); }
    int add_source(const sockaddr_storage& source) override {
        sources_.push_back(source);
        return 0;
    }
    int set_scope(int scope) override {
        return family_ == AF_INET ? setsockopt(s_, IPPROTO_IP, IP_MULTICAST_TTL, &scope, sizeof scope)
                                  : setsockopt(s_, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &scope, sizeof scope);
    }
    int set_loopback(int is_on) override {
        return family_ == AF_INET ? setsockopt(s_, IPPROTO_IP, IP_MULTICAST_LOOP, &is_on, sizeof is_on)
                                  : setsockopt(s_, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &is_on, sizeof is_on);
    }
    int reuse() override {
        const int one = 1;
        return setsockopt(s_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    int bind(const sockaddr* name, socklen_t length) override { return ::bind(s_, name, length); }
    int join(const cli::SocketAddress& group, const std::string& direction) override {
        group_ = group;
        const ip_mreqn out{{}, {}, ifindex_};
        const int sets = family_ == AF_INET
                             ? setsockopt(s_, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out)
                             : setsockopt(s_, IPPROTO_IPV6, IPV6_MULTICAST_IF, &ifindex_, sizeof ifindex_);
        if (sets != 0 || direction == "send") return sets;
        cli::SocketAddress any{};
        any.length = group.length;
        any.storage.ss_family = group.storage.ss_family;
        reinterpret_cast<sockaddr_in&>(any.storage).sin_port =
            reinterpret_cast<const sockaddr_in&>(group.storage).sin_port;
        if (bind(any.get(), any.length) != 0) return -1;
        const int level = family_ == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
        if (sources_.empty()) {
            const group_req request{static_cast<uint32_t>(ifindex_), group.storage};
            return setsockopt(s_, level, MCAST_JOIN_GROUP, &request, sizeof request);
        }
        for (const sockaddr_storage& source : sources_) {
            const group_source_req request{static_cast<uint32_t>(ifindex_), group.storage, source};
            if (setsockopt(s_, level, MCAST_JOIN_SOURCE_GROUP, &request, sizeof request) != 0) return -1;
        }
        return 0;
    }
    ssize_t send(const void* bytes, size_t n, const cli::SocketAddress* to) override {
        const cli::SocketAddress& address = to != nullptr ? *to : group_;
        return ::sendto(s_, bytes, n, 0, address.get(), address.length);
    }
    ssize_t receive(void* bytes, size_t n, cli::SocketAddress& from) override {
        from.length = sizeof from.storage;
        return ::recvfrom(s_, bytes, n, 0, from.get(), &from.length);
    }
    int name(cli::SocketAddress& out) override {
        out.length = sizeof out.storage;
        return ::getsockname(s_, out.get(), &out.length);
    }
    int wait(int timeout_ms) override {
        pollfd p{s_, POLLIN, 0};
        return ::poll(&p, 1, timeout_ms);
    }

  private:
    int family_, s_;
    int ifindex_ = 0;
    cli::SocketAddress group_{};
    std::vector<sockaddr_storage> sources_;
};

struct Numbered {
    uint32_t magic, id, number;
    char filling[88];
};
constexpr uint32_t kMagic = 0x67727570;

/// What one member has heard of the others, and how far it may go on.
class Exchange {
  public:
    Exchange(Socket& socket, unsigned id, unsigned n, unsigned n_members, bool hears_itself)
        : socket_(socket),
          id_(id),
          n_(n),
          hears_itself_(hears_itself),
          seen_(n_members, std::vector<bool>(n)),
          heard_(n_members) {}

    nlohmann::json run() {
        auto last = Clock::now();
        while (!is_done() && Clock::now() - last < kStuck) {
            bool has_moved = false;
            while (n_sent_ < n_ && may_send()) {
                Numbered datagram{kMagic, id_, n_sent_, {}};
                const ssize_t sent = socket_.send(&datagram, sizeof datagram, nullptr);
                if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
                check(sent == static_cast<ssize_t>(sizeof datagram), "datagram {}: {}", n_sent_, sent);
                ++n_sent_;
                has_moved = true;
            }
            has_moved |= take_all();
            if (has_moved)
                last = Clock::now();
            else
                socket_.wait(100);
        }
        return result();
    }
    /// Nothing that was not expected comes late, either.
    nlohmann::json settle() {
        while (socket_.wait(200) > 0 && take_all()) {
        }
        return result();
    }

  private:
    bool counts(unsigned member) const { return member != id_ || hears_itself_; }
    bool may_send() const {
        for (unsigned member = 0; member < heard_.size(); ++member)
            if (member != id_ && heard_[member] + kAhead <= n_sent_) return false;
        return true;
    }
    bool is_done() const {
        if (n_sent_ < n_) return false;
        for (unsigned member = 0; member < heard_.size(); ++member)
            if (counts(member) && heard_[member] < n_) return false;
        return true;
    }
    bool take_all() {
        bool has_taken = false;
        Numbered datagram;
        cli::SocketAddress from;
        ssize_t n;
        while ((n = socket_.receive(&datagram, sizeof datagram, from)) >= 0) {
            has_taken = true;
            const bool is_ours = n == static_cast<ssize_t>(sizeof datagram) && datagram.magic == kMagic &&
                                 datagram.id < heard_.size() && datagram.number < n_;
            if (!is_ours || !counts(datagram.id)) {
                ++n_strange_;
            } else if (seen_[datagram.id][datagram.number]) {
                ++n_twice_;
            } else {
                seen_[datagram.id][datagram.number] = true;
                ++heard_[datagram.id];
            }
        }
        check(errno == EAGAIN, "receive");
        return has_taken;
    }
    nlohmann::json result() const {
        return {{"sent", n_sent_}, {"heard", heard_}, {"twice", n_twice_}, {"strange", n_strange_}};
    }

    Socket& socket_;
    unsigned id_, n_;
    bool hears_itself_;
    unsigned n_sent_ = 0, n_twice_ = 0, n_strange_ = 0;
    std::vector<std::vector<bool>> seen_;
    std::vector<unsigned> heard_;
};

std::string text_of(const cli::SocketAddress& address) {
    char host[NI_MAXHOST];
    const auto* in = reinterpret_cast<const sockaddr_in*>(address.get());
    const auto* in6 = reinterpret_cast<const sockaddr_in6*>(address.get());
    if (address.get()->sa_family == AF_INET)
        return std::string(inet_ntop(AF_INET, &in->sin_addr, host, sizeof host)) + ":" +
               std::to_string(ntohs(in->sin_port));
    return "[" + std::string(inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host)) +
           "]:" + std::to_string(ntohs(in6->sin6_port));
}

void receive_one(Socket& socket, int timeout_ms) {
    static char room[kMaxDatagram];
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
        cli::SocketAddress from;
        const ssize_t n = socket.receive(room, sizeof room, from);
        if (n >= 0) {
            const std::string text = n > 64 ? std::to_string(n) + " bytes" : std::string(room, static_cast<size_t>(n));
            return say("got {} from {}", text, text_of(from));
        }
        if (errno != EAGAIN) return say("error {}", strerrorname_np(errno));
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return say("nothing");
        socket.wait(static_cast<int>(left));
    }
}

void answer(int result, const char* done) {
    if (result == 0)
        say("{}", done);
    else
        say("error {}", strerrorname_np(errno));
}

void answer_sent(ssize_t n) {
    if (n >= 0)
        say("sent {}", n);
    else
        say("error {}", strerrorname_np(errno));
}

/// What iperf 2 numbers datagrams with; the last one's number is negative.
struct IperfDatagram {
    int32_t id_be;
    uint32_t sec_be, usec_be;
    char filling[1458];
};

void iperf_send(Socket& socket, int n) {
    const auto start = Clock::now();
    for (int i = 1; i <= n + 1; ++i) {
        const auto now = Clock::now().time_since_epoch();
        const auto usec = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
        IperfDatagram datagram{static_cast<int32_t>(htonl(static_cast<uint32_t>(i <= n ? i : -n))),
                               htonl(static_cast<uint32_t>(usec / 1000000)),
                               htonl(static_cast<uint32_t>(usec % 1000000)),
                               {}};
        // A datagram each half millisecond.
        while (Clock::now() < start + i * std::chrono::microseconds(500))
            usleep(100);
        check(socket.send(&datagram, sizeof datagram, nullptr) == sizeof datagram, "datagram {}", i);
    }
    say("sent {}", n);
}

void iperf_receive(Socket& socket) {
    std::vector<bool> seen;
    unsigned n = 0;
    for (;;) {
        IperfDatagram datagram;
        cli::SocketAddress from;
        const ssize_t bytes = socket.receive(&datagram, sizeof datagram, from);
        if (bytes < 0) {
            check(errno == EAGAIN && socket.wait(20000) > 0, "a datagram of iperf's");
            continue;
        }
        const auto id = static_cast<int32_t>(ntohl(static_cast<uint32_t>(datagram.id_be)));
        if (id < 0) break;
        if (seen.size() <= static_cast<size_t>(id)) seen.resize(static_cast<size_t>(id) + 1);
        seen[static_cast<size_t>(id)] = true;
        ++n;
    }
    say("got {} missing {}", n, std::count(seen.begin() + 1, seen.end(), false));
}

std::unique_ptr<Socket> open_socket(const std::string& kind, const std::string& family) {
    const int af = family == "v6" ? AF_INET6 : AF_INET;
    if (kind == "xylem") return std::make_unique<XylemSocket>(af);
    return std::make_unique<KernelSocket>(af);
}

void join(Socket& socket, std::istringstream& words) {
    std::string group, direction;
    words >> group >> direction;
    if (socket.join(address_of(group), direction) != 0) return say("error {}", strerrorname_np(errno));
    cli::SocketAddress name;
    socket.name(name);
    say("joined {}", text_of(name));
}

void serve(const std::string& kind, std::unique_ptr<Socket>& socket, const std::string& line) {
    std::istringstream words(line);
    std::string command, text;
    words >> command;
    int number = 0;
    if (command == "open") {
        words >> text;
        socket = open_socket(kind, text);
        return say("open");
    }
    if (command == "close") {
        socket.reset();
        return say("closed");
    }
    if (command == "if") return words >> text, socket->use_interface(text), say("ok");
    if (command == "source") return words >> text, answer(socket->add_source(address_of(text).storage), "ok");
    if (command == "reuse") return answer(socket->reuse(), "ok");
    if (command == "scope") return words >> number, answer(socket->set_scope(number), "ok");
    if (command == "loopback") return words >> number, answer(socket->set_loopback(number), "ok");
    if (command == "bind") {
        words >> text;
        const auto name = address_of(text);
        return answer(socket->bind(name.get(), name.length), "ok");
    }
    if (command == "join") return join(*socket, words);
    if (command == "iperf-send") return words >> number, iperf_send(*socket, number);
    if (command == "iperf-receive") return iperf_receive(*socket);
    if (command == "join-events") {
        std::string direction;
        words >> text >> direction;
        socket->select_events();
        check(socket->join(address_of(text), direction) == 0, "join {}", text);
        const xy_events events = socket->await_events(XY_FD_CONNECT, 20000);
        return say("events {} error {}", events.events, events.error[XY_FD_CONNECT_BIT]);
    }
    if (command == "events") return words >> number, say("events {}", socket->await_events(~0U, number).events);
    if (command == "recv") return receive_one(*socket, 20000);
    if (command == "quiet") return words >> number, receive_one(*socket, number);
    if (command == "sized") {
        words >> number;
        const std::vector<char> bytes(static_cast<size_t>(number), 'x');
        return answer_sent(socket->send(bytes.data(), bytes.size(), nullptr));
    }
    if (command == "sendto") {
        words >> text;
        const auto to = address_of(text);
        words >> text;
        return answer_sent(socket->send(text.data(), text.size(), &to));
    }
    if (command == "send") return words >> text, answer_sent(socket->send(text.data(), text.size(), nullptr));
    if (command == "exchange") {
        unsigned id, n, n_members;
        words >> id >> n >> n_members >> text;
        Exchange exchange(*socket, id, n, n_members, text == "own");
        exchange.run();
        return say("{}", exchange.settle().dump());
    }
    check(false, "a known command: {}", line);
}

}  // namespace

int main(int argc, char** argv) {
    check(argc == 2, "usage");
    std::unique_ptr<Socket> socket;
    std::string line;
    while (std::getline(std::cin, line))
        serve(argv[1], socket, line);
}
