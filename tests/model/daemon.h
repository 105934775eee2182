// SPDX-License-Identifier: Apache-2.0
// A daemon of the test's own, and what it says it holds.
#pragma once
#include <sys/types.h>

#include <string>

namespace xylem::model {

class Daemon {
  public:
    /// Starts `program`; returns when applications may attach. Sets XYLEM_SOCKET.
    explicit Daemon(const std::string& program);
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;
    /// Ends it; false when it did not end well (a sanitizer's complaint, say).
    bool stop();

  private:
    std::string folder_;
    pid_t pid_ = -1;
};

/// What must be back at its level of the start.
struct Holdings {
    long n_objects = 0, n_descriptors = 0, n_sessions = 0, n_lingering = 0;
    std::string violations;
};
Holdings holdings();
std::string text_of(const Holdings& holdings);

}  // namespace xylem::model
