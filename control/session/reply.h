// SPDX-License-Identifier: Apache-2.0
// The answer to one command of an application.
#pragma once
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"

namespace xylem::session {

/// A descriptor with an owner.
class OwnedFd {
  public:
    OwnedFd() = default;
    explicit OwnedFd(int fd) : fd_(fd) {}
    OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    OwnedFd& operator=(OwnedFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~OwnedFd() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }

  private:
    int fd_ = -1;
};

/// `error` != 0: nothing else counts. Borrowed descriptors are the engine's and valid until control returns to the
/// event loop; owned ones are closed once they are sent.
struct Reply {
    int error = 0;
    uint32_t value = 0;
    std::vector<std::byte> body;
    std::vector<int> borrowed;
    std::vector<OwnedFd> owned;

    Reply() = default;
    explicit Reply(int code) : error(code) {}
    template <class Body>
    static Reply of(const Body& value) {
        static_assert(std::is_trivially_copyable_v<Body>);
        Reply reply;
        reply.body.resize(sizeof value);
        std::memcpy(reply.body.data(), &value, sizeof value);
        return reply;
    }
};

using Respond = std::function<void(Reply)>;

}  // namespace xylem::session
