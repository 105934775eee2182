// SPDX-License-Identifier: Apache-2.0
// Memory shared with applications: memfds that the engine makes, maps read-write and then seals. Their size is fixed
// from the first moment: no holder of the descriptor can take pages away under our mapping. After `seal` the mappings
// that exist keep writing, and nobody gets another way to write or punch the memory, whatever descriptor it holds:
// handing out a read-only descriptor alone protects nothing (it can be reopened for writing).
#pragma once
#include <cstdint>

#include "dataplane/base/result.h"

namespace xylem::log {

/// A memfd and our read-write mapping of all of it, until destruction.
class SharedMemory {
  public:
    /// `bytes` is a multiple of the page size; `name` shows in /proc/PID/maps. The memory reads as zero and is not
    /// present yet.
    static Result<SharedMemory> create(const char* name, uint64_t bytes);

    SharedMemory() = default;
    SharedMemory(SharedMemory&& other) noexcept;
    SharedMemory& operator=(SharedMemory&& other) noexcept;
    ~SharedMemory();

    uint8_t* bytes() const { return bytes_; }
    uint64_t size() const { return size_; }
    int fd() const { return fd_; }

    /// Makes [off, off + len) present (clamped to the memory, widened to pages). Control, before the first use: the
    /// first touch costs 0.57 ms per MiB.
    Result<void> prefault(uint64_t off, uint64_t len);

    /// Seals against new writable mappings, writes and further seals as well, and checks that the seals hold. On an
    /// error (EPERM: whoever held the descriptor before had closed the seals) what is in it must not be used.
    Result<void> seal();

  private:
    uint8_t* bytes_ = nullptr;
    uint64_t size_ = 0;
    int fd_ = -1;
};

}  // namespace xylem::log
