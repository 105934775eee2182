// SPDX-License-Identifier: Apache-2.0
#include "tests/model/daemon.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xylem/xylem.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace xylem::model {

namespace {

// A port that nobody has now.
std::string free_port(int type) {
    const int s = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t bytes = sizeof address;
    bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address);
    getsockname(s, reinterpret_cast<sockaddr*>(&address), &bytes);
    close(s);
    return std::to_string(ntohs(address.sin_port));
}

// Small logs: sending comes to their end, and thousands of sockets cost little.
constexpr char kConfiguration[] = "log_cells = 64\nslow_leaf_ms = 3600000\nmemory_mb = 64\nlog_level = \"warn\"\n";

}  // namespace

Daemon::Daemon(const std::string& program) {
    char folder[] = "/tmp/xylem-model-XXXXXX";
    if (mkdtemp(folder) == nullptr) throw std::runtime_error("no folder in /tmp");
    folder_ = folder;
    const std::string path = folder_ + "/run/xylemd.sock", config = folder_ + "/xylemd.toml";
    std::ofstream(config) << kConfiguration;
    std::filesystem::create_directory(folder_ + "/run");
    const std::string signal_port = free_port(SOCK_STREAM), data_port = free_port(SOCK_DGRAM);
    int output[2];
    if (pipe2(output, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    pid_ = fork();
    if (pid_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(output[1], 1);
        execl(program.c_str(), program.c_str(), "--config", config.c_str(), "--socket", path.c_str(), "--signal-port",
              signal_port.c_str(), "--data-port", data_port.c_str(), nullptr);
        _exit(127);
    }
    close(output[1]);
    setenv("XYLEM_SOCKET", path.c_str(), 1);
    std::string said;
    char bytes[4096];
    while (said.find("\nready") == std::string::npos) {
        const ssize_t n = read(output[0], bytes, sizeof bytes);
        if (n <= 0) throw std::runtime_error(program + " did not get ready: " + said);
        said.append(bytes, static_cast<size_t>(n));
    }
    // Nobody reads on: what it may still say is little.
    fcntl(output[0], F_SETFL, O_NONBLOCK);
}

bool Daemon::stop() {
    if (pid_ < 0) return false;
    kill(pid_, SIGTERM);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Daemon::~Daemon() {
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

Holdings holdings() {
    std::string text(1U << 20, '\0');
    const int n = xy_status(text.data(), text.size());
    if (n < 0) throw std::runtime_error(std::string("xy_status: ") + std::strerror(errno));
    text.resize(static_cast<size_t>(n));
    const auto json = nlohmann::json::parse(text);
    return {json["engine_objects"].get<long>(), json["open_descriptors"].get<long>(),
            static_cast<long>(json["sessions"].size()), json["lingering"].get<long>(), json["violations"].dump()};
}

std::string text_of(const Holdings& h) {
    return std::to_string(h.n_sessions) + " sockets, " + std::to_string(h.n_lingering) + " lingering, " +
           std::to_string(h.n_objects) + " engine objects, " + std::to_string(h.n_descriptors) +
           " descriptors, violations " + h.violations;
}

}  // namespace xylem::model
