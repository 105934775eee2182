// SPDX-License-Identifier: Apache-2.0
// The folder of the control socket: made when missing, held by a lock for as long as the daemon lives (so that two
// daemons never share it, and a killed one's leftovers are known to be nobody's), and removed at the end if it was made
// here and is empty.
#pragma once
#include <string>

#include "dataplane/base/result.h"

namespace xylem::daemon {

class RuntimeDir {
  public:
    /// EADDRINUSE: another daemon holds it. EACCES …: with the cure.
    static Result<RuntimeDir> open(const std::string& socket_path);
    RuntimeDir(RuntimeDir&& other) noexcept;
    RuntimeDir& operator=(RuntimeDir&&) = delete;
    ~RuntimeDir();

    const std::string& path() const { return path_; }

  private:
    RuntimeDir() = default;
    std::string path_, lock_path_;
    int lock_fd_ = -1;
    bool is_made_here_ = false;
};

}  // namespace xylem::daemon
