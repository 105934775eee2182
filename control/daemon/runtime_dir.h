// SPDX-License-Identifier: Apache-2.0
// The folder of the control socket: made when missing (with the folders above it), held by a lock for as long as the
// daemon lives, so that two daemons never serve one socket, and removed at the end if it was made here and is empty.
// Invariant: who returned from open() holds the lock of the file that is at its path. The lock file says how many
// levels of folders were made for it, so that a daemon that takes over a killed one's lock also removes its folders.
#pragma once
#include <chrono>
#include <string>

#include "dataplane/base/result.h"

namespace xylem::daemon {

class RuntimeDir {
  public:
    /// Folders made get mode 0755 for root (every user may attach), else 0700, whatever the umask is. EADDRINUSE:
    /// another daemon still holds it after `patience`: the kernel lets go of a killed daemon's lock last of all, after
    /// its applications have learnt of the end and its first thread is gone. EACCES …: with the cure; nothing is left.
    static Result<RuntimeDir> open(const std::string& socket_path,
                                   std::chrono::milliseconds patience = std::chrono::seconds{2});
    RuntimeDir(RuntimeDir&& other) noexcept;
    RuntimeDir& operator=(RuntimeDir&&) = delete;
    ~RuntimeDir();

    const std::string& path() const { return path_; }

  private:
    enum class Attempt { kHeld, kAgain };

    RuntimeDir() = default;
    Result<Attempt> try_to_hold(const std::string& socket_path);
    Result<void> make_folders();
    Result<void> take_over();
    bool is_lock_still_there() const;

    std::string path_, lock_path_;
    int lock_fd_ = -1;
    unsigned n_made_ = 0;  // the last levels of path_ that were made here, or by whom we took over from
};

}  // namespace xylem::daemon
