// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/runtime_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace xylem::daemon {

Result<RuntimeDir> RuntimeDir::open(const std::string& socket_path) {
    RuntimeDir dir;
    dir.path_ = std::filesystem::path(socket_path).parent_path().string();
    if (dir.path_.empty()) dir.path_ = ".";
    const mode_t mode = geteuid() == 0 ? 0755 : 0700;
    if (mkdir(dir.path_.c_str(), mode) == 0)
        dir.is_made_here_ = true;
    else if (errno != EEXIST)
        return Error{errno, dir.path_ + ": cannot make the runtime directory (" + std::strerror(errno) +
                                "); name another place with --socket"};
    // One lock per socket: several daemons may share a folder.
    dir.lock_path_ = socket_path + ".lock";
    dir.lock_fd_ = ::open(dir.lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (dir.lock_fd_ < 0)
        return Error{errno, dir.lock_path_ + ": cannot be made (" + std::strerror(errno) +
                                "); name another place with --socket"};
    if (flock(dir.lock_fd_, LOCK_EX | LOCK_NB) != 0) {
        const Error error{EADDRINUSE,
                          socket_path + ": another xylemd serves there; stop it, or choose another path with --socket"};
        close(std::exchange(dir.lock_fd_, -1));
        return error;
    }
    return dir;
}

RuntimeDir::RuntimeDir(RuntimeDir&& other) noexcept
    : path_(std::move(other.path_)),
      lock_path_(std::move(other.lock_path_)),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      is_made_here_(std::exchange(other.is_made_here_, false)) {}

RuntimeDir::~RuntimeDir() {
    if (lock_fd_ >= 0) {
        unlink(lock_path_.c_str());
        close(lock_fd_);
    }
    if (is_made_here_) rmdir(path_.c_str());
}

}  // namespace xylem::daemon
