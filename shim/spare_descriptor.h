// SPDX-License-Identifier: Apache-2.0
// A descriptor number that is held for a socket to come, so that nothing is asked of the daemon that could not be
// taken. It is given back just before the descriptor arrives; another thread may take it then, but not before.
#pragma once
#include <fcntl.h>
#include <unistd.h>

namespace xylem::shim {

class SpareDescriptor {
  public:
    /// `like`: any open descriptor.
    explicit SpareDescriptor(int like) : fd_(fcntl(like, F_DUPFD_CLOEXEC, 0)) {}
    ~SpareDescriptor() { give_back(); }
    SpareDescriptor(const SpareDescriptor&) = delete;
    SpareDescriptor& operator=(const SpareDescriptor&) = delete;
    /// False: the process has no descriptor left.
    explicit operator bool() const { return fd_ >= 0; }
    void give_back() {
        if (fd_ >= 0) close(fd_);
        fd_ = -1;
    }

  private:
    int fd_;
};

}  // namespace xylem::shim
