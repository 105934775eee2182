// SPDX-License-Identifier: Apache-2.0
// An xylemd of a test's own, with nothing but its local port: for what must not happen to the daemons of all.
#pragma once
#include <string>
#include <vector>

#include "tests/conformance/party.h"

namespace xylem::conformance {

class Daemon {
  public:
    enum class Network : uint8_t {
        kOurs,
        kNone,  // a network namespace with a loopback and nothing else
    };

    /// Ready when constructed.
    explicit Daemon(Network network = Network::kOurs);
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    Host host() const { return {directory_ + "/xylemd.sock", "127.0.0.1", pid_}; }
    pid_t pid() const { return pid_; }
    /// SIGKILL, and waits until it is gone.
    void kill();
    /// As an operator ends it; throws when it does not go.
    void stop();

  private:
    void await_ready();
    bool is_gone(int timeout_ms);
    std::string log_path() const { return directory_ + "/xylemd.log"; }

    std::string directory_;
    pid_t pid_ = -1;
};

}  // namespace xylem::conformance
