// SPDX-License-Identifier: Apache-2.0
// A member of a MESH, driven by lines on standard input:
//   mesh_player root ADDR:PORT NAME        (a root admits everybody who asks)
//   mesh_player leaf ADDR:PORT NAME
// It sends numbered messages all the time, and checks what it hears: per sender in order, without a gap.
//   stop          sends no more, and says how many it has sent
//   leave         closes at once
//   expect N A=n… root: once it has all n of each A, it closes the session, and reports
// A leaf reports when its session has ended. The report: per sender the first and the last number heard, how many, what
// was wrong; `due`: how many we had sent when we first heard of that one (all after that must reach it).
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "control/cli/bench_message.h"
#include "tests/hosts/player.h"

namespace {

using namespace xylem;
using namespace xylem::player;

constexpr size_t kLongestBytes = 3000;
constexpr long kPauseNs = 2'000'000;

struct Message {
    char name[8];
    uint64_t number;
    std::byte rest[kLongestBytes];
};

struct Heard {
    std::string address;
    uint64_t first = 0, last = 0, count = 0, wrong = 0, due = 0;
};

size_t length_of(uint64_t number) { return offsetof(Message, rest) + cli::kBenchHeaderBytes + number * 37 % 2500; }

class Player {
  public:
    Player(int s, std::string name, bool is_root) : s_(s), name_(std::move(name)), is_root_(is_root) {}

    void play() {
        const timespec pause{0, kPauseNs};
        while (!has_ended_) {
            send_one();
            while (receive_one()) {
            }
            if (is_root_) accept_all();
            obey();
            nanosleep(&pause, nullptr);
        }
    }

  private:
    void send_one() {
        if (is_quiet_) return;
        Message message{};
        std::snprintf(message.name, sizeof message.name, "%s", name_.c_str());
        message.number = n_sent_;
        const size_t bytes = length_of(n_sent_);
        cli::fill_message({message.rest, bytes - offsetof(Message, rest)}, n_sent_);
        const ssize_t n = xy_send(s_, &message, bytes, XY_MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
        check(n == static_cast<ssize_t>(bytes), "send {}", n_sent_);
        ++n_sent_;
    }

    bool receive_one() {
        Message message;
        cli::SocketAddress from;
        const ssize_t n = xy_recvfrom(s_, &message, sizeof message, XY_MSG_DONTWAIT, from.get(), &from.length);
        if (n < 0 && errno == EAGAIN) return false;
        if (n < 0) {
            end(errno);
            return false;
        }
        check(n >= static_cast<ssize_t>(offsetof(Message, rest)), "a message of {} bytes", n);
        message.name[sizeof message.name - 1] = 0;
        note(message, static_cast<size_t>(n), cli::to_string(from.storage));
        return true;
    }

    void note(const Message& message, size_t bytes, const std::string& from) {
        const auto [place, is_new] = heard_.try_emplace(message.name);
        Heard& sender = place->second;
        if (is_new) sender = {.address = from, .first = message.number, .due = n_sent_};
        cli::MessageChecker checker;
        checker.check({message.rest, bytes - offsetof(Message, rest)});
        const bool is_next = is_new || message.number == sender.last + 1;
        sender.wrong +=
            !is_next || sender.address != from || bytes != length_of(message.number) || checker.n_corrupt() != 0;
        sender.last = message.number;
        ++sender.count;
        if (is_new) say("hears {}", message.name);
    }

    void accept_all() {
        while (xy_accept(s_, nullptr, nullptr, nullptr, nullptr) >= 0)
            say("admitted {}", ++n_admitted_);
        check(errno == EAGAIN || errno == EACCES || errno == ECONNRESET || errno == ECONNABORTED, "accept");
        for (const auto& [name, count] : expected_)
            if (heard_[name].last + 1 < count) return;
        if (expected_.empty()) return;
        check(xy_close(s_) == 0, "close");
        end(0);
    }

    void obey() {
        pollfd input{STDIN_FILENO, POLLIN, 0};
        if (poll(&input, 1, 0) != 1) return;
        std::istringstream line(await_word());
        std::string word;
        line >> word;
        if (word == "stop") {
            is_quiet_ = true;
            say("stopped {}", n_sent_);
        } else if (word == "leave") {
            check(xy_close(s_) == 0, "close");
            say("left {}", n_sent_);
            end(0);
        } else if (word == "expect") {
            while (line >> word)
                expected_[word.substr(0, word.find('='))] = std::stoull(word.substr(word.find('=') + 1));
        }
    }

    void end(int code) {
        has_ended_ = true;
        nlohmann::json report{{"name", name_}, {"sent", n_sent_}, {"end", code}, {"heard", nlohmann::json::object()}};
        for (const auto& [name, one] : heard_)
            report["heard"][name] = {{"first", one.first}, {"last", one.last}, {"count", one.count},
                                     {"wrong", one.wrong}, {"due", one.due},   {"address", one.address}};
        say("{}", report.dump());
    }

    int s_;
    std::string name_;
    bool is_root_, is_quiet_ = false, has_ended_ = false;
    uint64_t n_sent_ = 0;
    int n_admitted_ = 0;
    std::map<std::string, Heard> heard_;
    std::map<std::string, uint64_t> expected_;
};

int open_member(const std::string& where, const std::string& role) {
    const auto name = address_of(where);
    const unsigned roles = (role == "root" ? XY_C_ROOT : XY_C_LEAF) | XY_D_LEAF;
    const int s = xy_socket(name.storage.ss_family, SOCK_RDM, XY_PROTO_MESH, roles);
    check(s >= 0, "socket");
    if (role == "root") {
        check(xy_bind(s, name.get(), name.length) == 0, "bind {}", where);
        check(xy_listen(s, 64) == 0, "listen {}", where);
        const int is_on = 1;
        check(xy_ioctl(s, XY_FIONBIO, &is_on, sizeof is_on, nullptr, 0, nullptr) == 0, "nonblocking");
        say("listening");
        return s;
    }
    check(xy_join_leaf(s, name.get(), name.length, nullptr, nullptr, nullptr, nullptr, XY_BOTH) == s, "join {}", where);
    say("joined");
    return s;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() != 3 || (words[0] != "root" && words[0] != "leaf")) return 2;
    Player(open_member(words[1], words[0]), words[2], words[0] == "root").play();
    return 0;
}
