// SPDX-License-Identifier: Apache-2.0
#include "shim/mapping.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

namespace xylem::shim {

int Mapping::map(int fd, size_t bytes, bool is_writable) {
    struct stat status;
    if (fstat(fd, &status) != 0) return errno;
    if (status.st_size < 0 || static_cast<size_t>(status.st_size) < bytes || bytes == 0) return EPROTO;
    void* base = mmap(nullptr, bytes, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return errno;
    madvise(base, bytes, MADV_DONTFORK);
    release();
    base_ = base;
    bytes_ = bytes;
    return 0;
}

void Mapping::release() {
    if (base_ != nullptr) munmap(base_, bytes_);
    forget();
}

}  // namespace xylem::shim
