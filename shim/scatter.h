// SPDX-License-Identifier: Apache-2.0
// The caller's buffers, read or filled front to back. Nothing is copied beyond their end.
#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstring>

namespace xylem::shim {

class Scatter {
  public:
    Scatter(const iovec* parts, size_t n_parts) : parts_(parts) {
        for (size_t i = 0; i < n_parts; ++i)
            left_ += parts[i].iov_len;
    }

    size_t left() const { return left_; }

    /// Fills the next `bytes` (at most left()).
    void put(const void* from, size_t bytes) {
        left_ -= bytes;
        for (auto* source = static_cast<const char*>(from); bytes != 0;) {
            const size_t n = step(bytes);
            memcpy(static_cast<char*>(parts_->iov_base) + off_, source, n);
            move(n), source += n, bytes -= n;
        }
    }

    /// Reads the next `bytes` (at most left()).
    void get(void* to, size_t bytes) {
        left_ -= bytes;
        for (auto* target = static_cast<char*>(to); bytes != 0;) {
            const size_t n = step(bytes);
            memcpy(target, static_cast<const char*>(parts_->iov_base) + off_, n);
            move(n), target += n, bytes -= n;
        }
    }

  private:
    size_t step(size_t bytes) {
        while (off_ == parts_->iov_len)
            ++parts_, off_ = 0;
        const size_t here = parts_->iov_len - off_;
        return bytes < here ? bytes : here;
    }
    void move(size_t n) { off_ += n; }

    const iovec* parts_;
    size_t off_ = 0;
    size_t left_ = 0;
};

}  // namespace xylem::shim
