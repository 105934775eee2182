// SPDX-License-Identifier: Apache-2.0
// Shared memory of the daemon's as this process sees it. Never inherited by a forked child.
#pragma once
#include <cstddef>

namespace xylem::shim {

class Mapping {
  public:
    Mapping() = default;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    /// Maps the first `bytes` of `fd`, which stays the caller's. 0, or errno: EPROTO when the file is shorter.
    int map(int fd, size_t bytes, bool is_writable);
    void release();
    /// Takes over what `other` maps.
    void take(Mapping& other) {
        release();
        base_ = other.base_, bytes_ = other.bytes_;
        other.forget();
    }
    /// Forgets the mapping without unmapping it: in a forked child it is not there.
    void forget() { base_ = nullptr, bytes_ = 0; }

    char* bytes() const { return static_cast<char*>(base_); }
    template <class T>
    T* as() const {
        return static_cast<T*>(base_);
    }
    explicit operator bool() const { return base_ != nullptr; }

  private:
    void* base_ = nullptr;
    size_t bytes_ = 0;
};

}  // namespace xylem::shim
