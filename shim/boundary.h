// SPDX-License-Identifier: Apache-2.0
// XY_OPT_RM_MESSAGE_BOUNDARY: the next message is so many bytes long, and comes in several sends. One thread at a time
// (the socket's send mutex).
#pragma once
#include <cstddef>
#include <cstdint>

namespace xylem::shim {

/// What a send is of its message.
struct Piece {
    bool begins = true, ends = true;
};

class Boundary {
  public:
    void set(uint32_t bytes) { left_ = bytes, has_begun_ = false; }
    /// Bytes that the message still lacks; 0: each send is a message.
    uint32_t left() const { return left_; }
    bool has_begun() const { return has_begun_; }
    Piece next(size_t bytes) const { return {!has_begun_, left_ == 0 || bytes == left_}; }
    void pass(size_t bytes) {
        if (left_ == 0) return;
        left_ -= static_cast<uint32_t>(bytes);
        has_begun_ = left_ != 0;
    }
    /// Nothing of the message will be delivered.
    void break_off() { set(0); }

  private:
    uint32_t left_ = 0;
    bool has_begun_ = false;
};

}  // namespace xylem::shim
