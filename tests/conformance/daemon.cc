// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/daemon.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace xylem::conformance {

namespace {

constexpr int kLookEveryMs = 5;

/// A port that nobody has now.
std::string free_port(int type) {
    const int probe = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    socklen_t length = sizeof name;
    auto* address = reinterpret_cast<sockaddr*>(&name);
    const bool is_bound = bind(probe, address, length) == 0 && getsockname(probe, address, &length) == 0;
    close(probe);
    if (!is_bound) throw Lost("no free port");
    return std::to_string(ntohs(name.sin_port));
}

bool bring_loopback_up() {
    const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP;
    return ioctl(s, SIOCSIFFLAGS, &loopback) == 0;
}

[[noreturn]] void become(const std::vector<std::string>& words, int output, bool has_network) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!has_network && !(unshare(CLONE_NEWNET) == 0 && bring_loopback_up())) _exit(126);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
}

}  // namespace

Daemon::Daemon(Network network) {
    char name[] = "/tmp/xylem-test.XXXXXX";
    const char* program = std::getenv("XY_CONFORM_DAEMON");
    if (program == nullptr || mkdtemp(name) == nullptr) throw Lost("XY_CONFORM_DAEMON is not set, or no directory");
    directory_ = name;
    const std::string signal_port = free_port(SOCK_STREAM), data_port = free_port(SOCK_DGRAM);
    const std::vector<std::string> words{program,     "--socket",    host().socket, "--signal-port",
                                         signal_port, "--data-port", data_port};
    const int log = open(log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_ = fork();
    if (pid_ == 0) become(words, log, network == Network::kOurs);
    close(log);
    await_ready();
}

Daemon::~Daemon() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void Daemon::await_ready() {
    for (int waited_ms = 0; waited_ms < kPatienceMs; waited_ms += kLookEveryMs) {
        std::ifstream log(log_path());
        for (std::string line; std::getline(log, line);)
            if (line == "ready" || line.ends_with(" ready")) return;
        if (is_gone(kLookEveryMs)) break;
    }
    kill();
    throw Lost("an xylemd of the test's own did not start");
}

bool Daemon::is_gone(int timeout_ms) {
    for (; pid_ > 0; --timeout_ms) {
        if (waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
        if (pid_ > 0 && timeout_ms <= 0) return false;
        if (pid_ > 0) usleep(1000);
    }
    return true;
}

void Daemon::kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    is_gone(kPatienceMs);
}

void Daemon::stop() {
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    if (!is_gone(kPatienceMs)) throw Lost("an xylemd did not end");
}

}  // namespace xylem::conformance
