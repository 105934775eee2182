// SPDX-License-Identifier: Apache-2.0
// Data from leaves to their root:
//   upstream_player root ADDR:PORT N_LEAVES MESSAGES
//     admits the leaves, reads MESSAGES of each, and prints per leaf what came, by the name in its caller data
//   upstream_player leaf ADDR:PORT NAME MESSAGES
//     joins, sends, and closes: what is under way is still delivered
// A message is the leaf's letter (the first of its name) and then numbered, checked bytes of changing length.
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "control/cli/bench_message.h"
#include "tests/hosts/player.h"

namespace {

using namespace xylem;
using namespace xylem::player;

constexpr size_t kLongestBytes = 4000;

size_t length_of(uint64_t sequence) { return 1 + cli::kBenchHeaderBytes + sequence * 37 % 2500; }

struct Leaf {
    std::string name, address;
    cli::MessageChecker checker;
};

int keep_name(const xy_request* request, xy_data*, void* arg) {
    static_cast<std::string*>(arg)->assign(static_cast<const char*>(request->caller_data.buf),
                                           request->caller_data.len);
    return XY_ACCEPT;
}

/// The leaves by the address that messages come from.
std::map<std::string, Leaf> admit(int root, int n_leaves) {
    std::map<std::string, Leaf> leaves;
    for (int i = 0; i < n_leaves; ++i) {
        Leaf leaf;
        const int branch = xy_accept(root, nullptr, nullptr, keep_name, &leaf.name);
        cli::SocketAddress peer;
        check(branch >= 0, "accept");
        check(xy_getpeername(branch, peer.get(), &peer.length) == 0, "getpeername of {}", leaf.name);
        leaf.address = cli::to_string(peer.storage);
        check(leaves.emplace(leaf.address, leaf).second, "two leaves at {}", leaf.address);
        say("admitted {}", leaf.name);
    }
    return leaves;
}

void play_root(const std::string& where, int n_leaves, uint64_t messages) {
    const int root = listen_at(where, SOCK_RDM, XY_C_ROOT | XY_D_ROOT);
    say("listening");
    auto leaves = admit(root, n_leaves);
    std::vector<std::byte> room(kLongestBytes);
    for (uint64_t left = messages * leaves.size(); left > 0; --left) {
        cli::SocketAddress from;
        const ssize_t n = xy_recvfrom(root, room.data(), room.size(), 0, from.get(), &from.length);
        check(n > 1, "receive with {} messages to come", left);
        const auto leaf = leaves.find(cli::to_string(from.storage));
        check(leaf != leaves.end(), "a message from {}, who is no leaf", cli::to_string(from.storage));
        check(static_cast<char>(room[0]) == leaf->second.name[0], "a message of '{}' that is said to be {}'s",
              static_cast<char>(room[0]), leaf->second.name);
        leaf->second.checker.check({room.data() + 1, static_cast<size_t>(n) - 1});
    }
    nlohmann::json out;
    for (const auto& [address, leaf] : leaves)
        out[leaf.name] = {{"messages", leaf.checker.n_messages()},
                          {"missing", leaf.checker.n_missing()},
                          {"corrupt", leaf.checker.n_corrupt()}};
    say("{}", out.dump());
    check(xy_close(root) == 0, "close");
}

void play_leaf(const std::string& where, std::string name, uint64_t messages) {
    const auto root = address_of(where);
    const int s = xy_socket(root.storage.ss_family, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
    check(s >= 0, "socket");
    const xy_data caller{name.data(), name.size()};
    check(xy_join_leaf(s, root.get(), root.length, &caller, nullptr, nullptr, nullptr, XY_BOTH) == s, "join {}", where);
    say("joined");
    std::vector<std::byte> message(kLongestBytes, static_cast<std::byte>(name[0]));
    for (uint64_t i = 0; i < messages; ++i) {
        const size_t bytes = length_of(i);
        cli::fill_message({message.data() + 1, bytes - 1}, i);
        check(xy_send(s, message.data(), bytes, 0) == static_cast<ssize_t>(bytes), "send {}", i);
    }
    check(xy_close(s) == 0, "close");
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 4 && words[0] == "root")
        play_root(words[1], std::atoi(argv[3]), std::strtoull(argv[4], nullptr, 10));
    else if (words.size() == 4 && words[0] == "leaf")
        play_leaf(words[1], words[2], std::strtoull(argv[4], nullptr, 10));
    else
        return 2;
    return 0;
}
