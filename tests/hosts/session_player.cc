// SPDX-License-Identifier: Apache-2.0
// Plays one participant of a session with invited and asking leaves, of which one leaves and one is killed:
//   session_player root ADDR:PORT INVITED,… N_ASKING
//   session_player leaf ask|listen ADDR:PORT NAME stay|leave AFTER
// Connect data goes both ways, each leaf sends one message up, the root sends numbered messages until two leaves are
// gone and some more. Both print what they saw.
#include <poll.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "control/cli/bench_message.h"
#include "tests/hosts/player.h"

namespace {

using namespace xylem;
using namespace xylem::player;

constexpr unsigned kGone = 2;
constexpr uint64_t kMessagesAfterwards = 20000;
constexpr size_t kMessageBytes = 1000;

std::string text_of(const xy_data& held) { return {static_cast<const char*>(held.buf), held.len}; }

/// Answers "PREFIX + what the caller said"; keeps what it said.
struct Greeting {
    std::string answer_prefix, said;
};

int greet(const xy_request* request, xy_data* callee, void* arg) {
    auto& greeting = *static_cast<Greeting*>(arg);
    greeting.said = text_of(request->caller_data);
    const std::string answer = greeting.answer_prefix + greeting.said;
    check(callee && callee->len >= answer.size(), "room for callee data");
    std::memcpy(callee->buf, answer.data(), answer.size());
    callee->len = answer.size();
    return XY_ACCEPT;
}

struct Leaf {
    std::string name;
    int descriptor = -1;
    bool has_closed = false;
    int code = -1;
};

class Root {
  public:
    explicit Root(const std::string& where) : socket_(listen_at(where, SOCK_RDM, XY_C_ROOT | XY_D_ROOT)) {}

    void invite(const std::string& where) {
        const auto name = address_of(where);
        std::string said = "invitation";
        char room[XY_CONNECT_DATA_MAX];
        const xy_data caller{said.data(), said.size()};
        xy_data callee{room, sizeof room};
        const int s = xy_join_leaf(socket_, name.get(), name.length, &caller, &callee, nullptr, nullptr, XY_BOTH);
        check(s >= 0 && s != socket_, "invite {}", where);
        const std::string answer = text_of(callee);
        const auto space = answer.find(" accepts invitation");
        check(space != std::string::npos, "callee data of {}: '{}'", where, answer);
        add(answer.substr(0, space), s);
    }

    void accept() {
        Greeting greeting{"welcome ", {}};
        const int s = xy_accept(socket_, nullptr, nullptr, greet, &greeting);
        check(s >= 0, "accept");
        add(greeting.said, s);
    }

    void take_hellos() {
        for (size_t i = 0; i < leaves_.size(); ++i) {
            char room[256];
            cli::SocketAddress from, own;
            const ssize_t n = xy_recvfrom(socket_, room, sizeof room, 0, from.get(), &from.length);
            check(n > 0, "hello {}", i);
            const std::string name(room, static_cast<size_t>(n));
            const Leaf* leaf = find(name);
            check(leaf != nullptr, "a hello of '{}'", name);
            check(xy_getpeername(leaf->descriptor, own.get(), &own.length) == 0, "getpeername of {}", name);
            check(cli::to_string(from.storage) == cli::to_string(own.storage), "hello of {} came from {}, not {}", name,
                  cli::to_string(from.storage), cli::to_string(own.storage));
        }
        say("hellos of {} leaves", leaves_.size());
    }

    void send_until_some_are_gone() {
        std::vector<std::byte> message(kMessageBytes);
        for (uint64_t left = kMessagesAfterwards; left > 0; ++n_sent_) {
            cli::fill_message(message, n_sent_);
            check(xy_send(socket_, message.data(), message.size(), 0) == static_cast<ssize_t>(message.size()),
                  "send {}", n_sent_);
            if (n_sent_ % 64 == 0) look_for_closes(0);
            if (n_closed() >= kGone) --left;
        }
    }

    void end() {
        check(n_closed() == kGone, "{} leaves are gone before the end, wanted {}", n_closed(), kGone);
        check(xy_shutdown(socket_, SHUT_WR) == 0, "shutdown");
        while (n_closed() < leaves_.size())
            look_for_closes(20000);
        nlohmann::json out{{"messages", n_sent_}};
        for (const Leaf& leaf : leaves_)
            out["closes"][leaf.name] = leaf.code;
        for (const auto& [name, reason] : reasons())
            out["reasons"][name] = reason;
        say("{}", out.dump());
        for (const Leaf& leaf : leaves_)
            check(xy_close(leaf.descriptor) == 0, "close {}", leaf.name);
        check(xy_close(socket_) == 0, "close the root");
    }

  private:
    void add(const std::string& name, int s) {
        check(xy_event_select(s, -1, XY_FD_CLOSE) == 0, "event_select of {}", name);
        leaves_.push_back({name, s});
        say("joined {}", name);
    }

    Leaf* find(std::string_view name) {
        for (Leaf& leaf : leaves_)
            if (leaf.name == name) return &leaf;
        return nullptr;
    }

    size_t n_closed() const {
        size_t n = 0;
        for (const Leaf& leaf : leaves_)
            n += leaf.has_closed;
        return n;
    }

    void look_for_closes(int timeout_ms) {
        std::vector<pollfd> readable;
        for (const Leaf& leaf : leaves_)
            readable.push_back({leaf.has_closed ? -1 : leaf.descriptor, POLLIN, 0});
        const int n = poll(readable.data(), readable.size(), timeout_ms);
        check(n > 0 || timeout_ms == 0, "FD_CLOSE within {} ms", timeout_ms);
        for (size_t i = 0; i < readable.size(); ++i)
            if (readable[i].revents != 0) leaves_[i].has_closed = take_close(leaves_[i].descriptor, leaves_[i].code);
    }

    std::map<std::string, unsigned> reasons() const {
        std::vector<struct xy_leaf_stats> rows(leaves_.size());
        rows[0].size = sizeof rows[0];
        check(
            xy_leaf_stats(socket_, rows.data(), static_cast<unsigned>(rows.size())) == static_cast<int>(leaves_.size()),
            "one row of statistics per leaf");
        std::map<std::string, unsigned> out;
        for (const auto& row : rows)
            for (const Leaf& leaf : leaves_)
                if (leaf.descriptor == row.descriptor) out[leaf.name] = row.reason;
        return out;
    }

    const int socket_;
    std::vector<Leaf> leaves_;
    uint64_t n_sent_ = 0;
};

void play_root(const std::string& where, const std::string& invited, int n_asking) {
    Root root(where);
    say("listening");
    std::istringstream names(invited);
    for (std::string name; std::getline(names, name, ',');)
        root.invite(name);
    for (int i = 0; i < n_asking; ++i)
        root.accept();
    root.take_hellos();
    root.send_until_some_are_gone();
    root.end();
}

int ask(const std::string& where, std::string name) {
    const auto root = address_of(where);
    const int s = xy_socket(root.storage.ss_family, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
    check(s >= 0, "socket");
    char room[XY_CONNECT_DATA_MAX];
    const xy_data caller{name.data(), name.size()};
    xy_data callee{room, sizeof room};
    check(xy_join_leaf(s, root.get(), root.length, &caller, &callee, nullptr, nullptr, XY_BOTH) == s, "join {}", where);
    check(text_of(callee) == "welcome " + name, "callee data '{}'", text_of(callee));
    return s;
}

int await_invitation(const std::string& where, const std::string& name) {
    const int listener = listen_at(where, SOCK_RDM, XY_C_LEAF | XY_D_LEAF);
    say("listening");
    Greeting greeting{name + " accepts ", {}};
    const int s = xy_accept(listener, nullptr, nullptr, greet, &greeting);
    check(s >= 0, "accept");
    check(greeting.said == "invitation", "caller data '{}'", greeting.said);
    check(xy_close(listener) == 0, "close the listener");
    return s;
}

void play_leaf(bool is_asking, const std::string& where, const std::string& name, bool is_leaving, uint64_t after) {
    const int s = is_asking ? ask(where, name) : await_invitation(where, name);
    check(xy_send(s, name.data(), name.size(), 0) == static_cast<ssize_t>(name.size()), "hello of {}", name);
    cli::MessageChecker checker;
    std::vector<std::byte> room(kMessageBytes);
    for (;;) {
        const ssize_t n = xy_recv(s, room.data(), room.size(), 0);
        if (n < 0 && errno == ESHUTDOWN) break;
        check(n >= 0, "receive");
        checker.check({room.data(), static_cast<size_t>(n)});
        if (checker.n_messages() == after) say("got {}", after);
        if (checker.n_messages() == after && is_leaving) break;
    }
    say(R"({{"messages": {}, "missing": {}, "corrupt": {}}})", checker.n_messages(), checker.n_missing(),
        checker.n_corrupt());
    check(xy_close(s) == 0, "close");
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 4 && words[0] == "root") {
        play_root(words[1], words[2], std::atoi(argv[4]));
    } else if (words.size() == 6 && words[0] == "leaf") {
        play_leaf(words[1] == "ask", words[2], words[3], words[4] == "leave", std::strtoull(argv[6], nullptr, 10));
    } else {
        return 2;
    }
    return 0;
}
