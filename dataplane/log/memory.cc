// SPDX-License-Identifier: Apache-2.0
#include "dataplane/log/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xylem/abi/position.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace xylem::log {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int kSeals = kSizeSeals | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

Error failure(const char* operation, uint64_t bytes) {
    const int code = errno;
    return {code, std::string("shared memory of ") + std::to_string(bytes) + " bytes: " + operation + ": " +
                      std::strerror(code)};
}

}  // namespace

Result<SharedMemory> SharedMemory::create(const char* name, uint64_t bytes) {
    SharedMemory memory;
    memory.fd_ = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory.fd_ < 0) return failure("memfd_create", bytes);
    if (ftruncate(memory.fd_, static_cast<off_t>(bytes)) != 0) return failure("ftruncate", bytes);
    if (fcntl(memory.fd_, F_ADD_SEALS, kSizeSeals) != 0) return failure("F_ADD_SEALS", bytes);
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd_, 0);
    if (at == MAP_FAILED) return failure("mmap", bytes);
    memory.bytes_ = static_cast<uint8_t*>(at);
    memory.size_ = bytes;
    if (madvise(at, bytes, MADV_DONTFORK) != 0) return failure("madvise(MADV_DONTFORK)", bytes);
    return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : bytes_(std::exchange(other.bytes_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    std::swap(fd_, other.fd_);
    return *this;
}

SharedMemory::~SharedMemory() {
    if (bytes_ != nullptr) munmap(bytes_, size_);
    if (fd_ >= 0) close(fd_);
}

Result<void> SharedMemory::prefault(uint64_t off, uint64_t len) {
    if (off >= size_ || len == 0) return {};
    const uint64_t begin = off & ~4095ULL;
    const uint64_t end = abi::round_up_page(std::min(off + std::min(len, size_), size_));
    if (madvise(bytes_ + begin, end - begin, MADV_POPULATE_WRITE) != 0) return failure("prefault", end - begin);
    return {};
}

Result<void> SharedMemory::seal() {
    if (fcntl(fd_, F_ADD_SEALS, kSeals) != 0) return failure("F_ADD_SEALS", size_);
    const int seals = fcntl(fd_, F_GET_SEALS);
    if (seals < 0) return failure("F_GET_SEALS", size_);
    if ((seals & kSeals) == kSeals) return {};
    errno = EPERM;
    return failure("the seals do not hold", size_);
}

}  // namespace xylem::log
