// SPDX-License-Identifier: Apache-2.0
// What the programs that play applications in the host tests share. They are driven by the Python tests: each line they
// print is flushed at once, and a check that fails ends them with status 1 and a sentence.
#pragma once
#include <fmt/core.h>
#include <xylem/xylem.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "control/cli/options.h"
#include "control/cli/sockaddr.h"

namespace xylem::player {

template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
    fmt::print("{}\n", fmt::format(format, std::forward<Args>(args)...));
    std::fflush(stdout);
}

template <class... Args>
void check(bool is_true, fmt::format_string<Args...> format, Args&&... args) {
    if (is_true) return;
    const int code = errno;
    say("FAILED: {} (errno {}: {})", fmt::format(format, std::forward<Args>(args)...), code, std::strerror(code));
    std::_Exit(1);
}

/// "192.0.2.1:7000" as the calls take it.
cli::SocketAddress address_of(const std::string& text);

/// A bound, listening root or leaf.
int listen_at(const std::string& text, int type, unsigned roles);

/// The codes with which descriptor `s` closed, once it has: true and `code`.
bool take_close(int s, int& code);

/// A root and a leaf of its own, both in this process, joined and nonblocking, with FD_CLOSE and FD_READ selected.
struct OwnSession {
    int root = -1, on_root = -1, leaf = -1;  // on_root: the root's descriptor of the leaf
    void close();
};
OwnSession open_own_session(const std::string& text, int type = SOCK_RDM);

/// The next line of standard input; ends the process when there is none.
std::string await_word();

}  // namespace xylem::player
