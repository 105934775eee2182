// SPDX-License-Identifier: Apache-2.0
// memif ports: shared memory between two daemons of one machine that trust each other, for labs and benches. The driver
// believes its peer and may crash when the peer is killed under load, so the operator has to ask for it.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "dataplane/base/address_text.h"
#include "dataplane/dpdk/kernel_interface.h"
#include "dataplane/dpdk/port.h"

namespace xylem::dpdk {
namespace {

constexpr unsigned kBufferBytes = 2048;
constexpr unsigned kLogRing = 11;  // 2048 frames in each direction
constexpr unsigned kFrames = 8191;
// The driver cannot be polled before it has started, and a client starts only when its server listens.
constexpr auto kServerWait = std::chrono::seconds(10);
constexpr auto kServerRetry = std::chrono::milliseconds(20);

/// A living socket of another type answers "wrong type" and notices nothing; a real connection and its end abort the
/// driver.
bool has_listener(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool is_refused =
        connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return !is_refused;
}

/// A socket file that nobody listens on is what a killed daemon left; anything else stays.
Result<void> remove_stale_socket(const PortSpec& spec) {
    struct stat file {};
    if (lstat(spec.memif_path.c_str(), &file) != 0) return {};
    if (!S_ISSOCK(file.st_mode))
        return Error{EEXIST, spec.text + ": " + spec.memif_path + " is not a socket; move it away"};
    if (has_listener(spec.memif_path))
        return Error{EADDRINUSE,
                     spec.text + ": another process listens on " + spec.memif_path + "; stop it or use another path"};
    if (unlink(spec.memif_path.c_str()) == 0) return {};
    return Error{errno,
                 spec.text + ": cannot remove the stale socket " + spec.memif_path + " (" + strerror(errno) + ")"};
}

}  // namespace

Result<void> Port::open_memif() {
    if (!config_.lab_ports)
        return Error{
            EPERM,
            spec_.text + ": memif is for labs, a peer that dies may take this daemon along; allow it with --lab-ports"};
    const bool is_server = spec_.memif_role == MemifRole::kServer;
    if (is_server)
        if (auto removed = remove_stale_socket(spec_); !removed) return removed;
    mac_ = memif_mac(spec_.ip);
    auto pool = MbufPool::create("memif:" + spec_.memif_path.substr(0, 15), kFrames, kBufferBytes);
    if (!pool) return pool.error();
    pool_ = std::move(*pool);
    auto probed =
        probe("net_memif", std::string("role=") + (is_server ? "server" : "client") + ",socket=" + spec_.memif_path +
                               ",socket-abstract=no,bsize=" + std::to_string(kBufferBytes) +
                               ",rsize=" + std::to_string(kLogRing) + ",mac=" + to_string(mac_));
    if (!probed) return probed;
    if (auto configured = configure(1, 1 << kLogRing); !configured) return configured;
    if (is_server) return start(false);
    const auto deadline = std::chrono::steady_clock::now() + kServerWait;
    while (rte_eth_dev_start(port_ids_.back()) != 0) {
        if (std::chrono::steady_clock::now() > deadline)
            return Error{ECONNREFUSED, spec_.text + ": no server on " + spec_.memif_path + "; start the peer first"};
        std::this_thread::sleep_for(kServerRetry);
    }
    return {};
}

}  // namespace xylem::dpdk
