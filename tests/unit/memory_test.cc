// SPDX-License-Identifier: Apache-2.0
#include "dataplane/log/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "dataplane/log/image.h"
#include "dataplane/log/tx_log.h"

namespace xylem::log {
namespace {

constexpr uint64_t kBytes = 4 * 4096;

SharedMemory make() { return std::move(*SharedMemory::create("xylem-test", kBytes)); }

void expect_nobody_else_writes(int fd, uint64_t bytes) {
    EXPECT_EQ(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    char byte = 'x';
    EXPECT_EQ(pwrite(fd, &byte, 1, 0), -1);
    EXPECT_EQ(ftruncate(fd, 0), -1);
    EXPECT_EQ(ftruncate(fd, static_cast<off_t>(2 * bytes)), -1);
    EXPECT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    EXPECT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const int again = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (again >= 0) {
        EXPECT_EQ(mmap(nullptr, bytes, PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
        EXPECT_EQ(pwrite(again, &byte, 1, 0), -1);
        close(again);
    }
    void* readable = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_NE(readable, MAP_FAILED);
    EXPECT_EQ(mprotect(readable, bytes, PROT_READ | PROT_WRITE), -1);
    EXPECT_EQ(madvise(readable, bytes, MADV_REMOVE), -1);
    munmap(readable, bytes);
}

TEST(SharedMemoryTest, SealedMemoryIsWrittenThroughExistingMappingsOnly) {  // Invariant 3
    SharedMemory memory = make();
    void* application = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd(), 0);
    ASSERT_NE(application, MAP_FAILED);
    ASSERT_TRUE(memory.seal());
    expect_nobody_else_writes(memory.fd(), kBytes);
    memory.bytes()[0] = 1;
    static_cast<uint8_t*>(application)[1] = 2;
    EXPECT_EQ(static_cast<uint8_t*>(application)[0], 1);
    EXPECT_EQ(memory.bytes()[1], 2);
    munmap(application, kBytes);
}

TEST(SharedMemoryTest, NobodyChangesTheSizeNotEvenBeforeTheSeal) {  // Invariant 3
    SharedMemory memory = make();
    EXPECT_EQ(ftruncate(memory.fd(), 4096), -1);
    EXPECT_EQ(ftruncate(memory.fd(), 2 * kBytes), -1);
    EXPECT_EQ(memory.bytes()[kBytes - 1], 0);
    EXPECT_TRUE(memory.seal());
}

TEST(SharedMemoryTest, MemoryWhoseSealsWereSealedByTheApplicationIsRefused) {  // Invariant 3
    SharedMemory memory = make();
    ASSERT_EQ(fcntl(memory.fd(), F_ADD_SEALS, F_SEAL_SEAL), 0);
    const auto sealed = memory.seal();
    ASSERT_FALSE(sealed);
    EXPECT_EQ(sealed.error().code, EPERM);
    EXPECT_NE(sealed.error().what.find("F_ADD_SEALS"), std::string::npos);
}

TEST(SharedMemoryTest, PrefaultMakesExactlyItsPagesPresent) {
    SharedMemory memory = make();
    ASSERT_TRUE(memory.prefault(4097, 10));
    unsigned char present[4];
    ASSERT_EQ(mincore(memory.bytes(), kBytes, present), 0);
    EXPECT_EQ(present[0] & 1, 0);
    EXPECT_EQ(present[1] & 1, 1);
    EXPECT_EQ(present[2] & 1, 0);
    EXPECT_TRUE(memory.prefault(kBytes - 8, ~0ULL)) << "clamped to the memory";
    EXPECT_TRUE(memory.prefault(kBytes, 8)) << "nothing there";
    ASSERT_EQ(mincore(memory.bytes(), kBytes, present), 0);
    EXPECT_EQ(present[2] & 1, 0);
    EXPECT_EQ(present[3] & 1, 1);
}

TEST(SharedMemoryTest, DescriptorIsClosedWithTheLastOwner) {
    int fd;
    {
        SharedMemory first = make();
        fd = first.fd();
        SharedMemory second = std::move(first);
        EXPECT_EQ(second.fd(), fd);
        EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(SharedMemoryTest, SizeThatDoesNotExistIsAnErrorThatNamesIt) {
    const auto memory = SharedMemory::create("xylem-test", 1ULL << 62);
    ASSERT_FALSE(memory);
    EXPECT_NE(memory.error().what.find("4611686018427387904"), std::string::npos);
}

TEST(SharedMemoryTest, ImageIsSealedWhenItIsMade) {  // Invariant 3
    const abi::Geometry geometry{1408, 6};
    const auto image = Image::create({.geometry = geometry});
    ASSERT_TRUE(image);
    expect_nobody_else_writes(image->fd(), abi::image_total_bytes(geometry));
}

TEST(Layout, ImageHeaderSaysWhereItsPartsAre) {
    const abi::Geometry geometry{8192, 7};
    auto image = Image::create({.geometry = geometry, .flags = abi::kImageReliable | abi::kImageStream});
    ASSERT_TRUE(image);
    const abi::ImageHeader& header = image->header();
    EXPECT_EQ(header.magic, abi::kImageMagic);
    EXPECT_EQ(header.version, abi::kAbiVersion);
    EXPECT_EQ(header.cell_bytes, 8192U);
    EXPECT_EQ(header.cells_log2, 7U);
    EXPECT_EQ(header.flags, abi::kImageReliable | abi::kImageStream);
    EXPECT_EQ(header.ends_off, 4096U);
    EXPECT_EQ(header.cells_off, 8192U);
    EXPECT_EQ(header.total_bytes, 8192U + 128 * 8192);
    EXPECT_EQ(lseek(image->fd(), 0, SEEK_END), static_cast<off_t>(header.total_bytes));
    EXPECT_EQ(header.final.load(), abi::kNoPosition);
    EXPECT_EQ(header.kick_at.load(), abi::kNoPosition);
}

TEST(Layout, LogHeaderSaysWhereItsPartsAre) {
    const abi::Geometry geometry{1408, 12};
    const abi::Position start = abi::position(77, 16);
    auto log = TxLog::create(geometry, start);
    ASSERT_TRUE(log);
    abi::LogHeader header;
    ASSERT_EQ(pread(log->fd(), static_cast<void*>(&header), sizeof(header), 0), static_cast<ssize_t>(sizeof(header)));
    EXPECT_EQ(header.magic, abi::kLogMagic);
    EXPECT_EQ(header.version, abi::kAbiVersion);
    EXPECT_EQ(header.used_off, 4096U);
    EXPECT_EQ(header.cells_off, 4096U + 8192);
    EXPECT_EQ(header.total_bytes, 12288U + 4096 * 1408);
    EXPECT_EQ(lseek(log->fd(), 0, SEEK_END), static_cast<off_t>(header.total_bytes));
    EXPECT_EQ(header.commit.load(), start);
}

TEST(Layout, ImpossibleGeometriesAreRefused) {
    for (const abi::Geometry& geometry : {abi::Geometry{1404, 10}, {248, 10}, {65536, 10}, {1408, 5}, {1408, 17}}) {
        const auto log = TxLog::create(geometry);
        ASSERT_FALSE(log);
        EXPECT_EQ(log.error().code, EINVAL);
        const auto image = Image::create({.geometry = geometry});
        ASSERT_FALSE(image);
        EXPECT_EQ(image.error().code, EINVAL);
        EXPECT_NE(image.error().what.find(std::to_string(geometry.cell_bytes)), std::string::npos);
    }
    EXPECT_FALSE(TxLog::create({1408, 10}, 4)) << "a start between records";
    EXPECT_FALSE(TxLog::create({1408, 10}, 1408)) << "a start at a cell's end";
}

}  // namespace
}  // namespace xylem::log
