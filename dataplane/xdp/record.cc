// SPDX-License-Identifier: Apache-2.0
#include "dataplane/xdp/record.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace xylem::xdp {
namespace {

/// Program ids start anew with each boot.
std::string boot_id() {
    char id[40] = {};
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return "?";
    const ssize_t n = read(fd, id, sizeof id - 1);
    close(fd);
    id[n > 0 ? strcspn(id, "\n") : 0] = '\0';
    return id;
}

/// Interface indexes start anew with each network namespace.
uint64_t network_namespace() {
    struct stat net {};
    return stat("/proc/self/ns/net", &net) == 0 ? net.st_ino : 0;
}

bool is_ours(int fd) {
    struct stat file {};
    return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_uid == geteuid();
}

bool is_still_there(int fd) {
    struct stat file {};
    return fstat(fd, &file) == 0 && file.st_nlink != 0;
}

}  // namespace

Record::Record(Record&& other) noexcept
    : text_(std::move(other.text_)),
      path_(std::move(other.path_)),
      ifindex_(other.ifindex_),
      fd_(std::exchange(other.fd_, -1)),
      program_id_(other.program_id_),
      is_foreign_(other.is_foreign_) {}

Record& Record::operator=(Record&& other) noexcept {
    std::swap(text_, other.text_);
    std::swap(path_, other.path_);
    std::swap(ifindex_, other.ifindex_);
    std::swap(fd_, other.fd_);
    std::swap(program_id_, other.program_id_);
    std::swap(is_foreign_, other.is_foreign_);
    return *this;
}

Record::~Record() {
    if (fd_ >= 0) close(fd_);
}

Result<Record> Record::open(const std::string& text, const std::string& runtime_dir, const std::string& interface,
                            int ifindex) {
    Record record;
    record.text_ = text;
    record.path_ = runtime_dir + "/xdp-" + interface;
    record.ifindex_ = ifindex;
    do {  // a file that its last owner removed while we waited for the lock is no lock
        if (record.fd_ >= 0) close(record.fd_);
        record.fd_ = ::open(record.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (record.fd_ < 0)
            return Error{errno, text + ": cannot write " + record.path_ + " (" + strerror(errno) +
                                    "); the runtime directory must exist and be ours"};
        if (!is_ours(record.fd_)) return Error{EPERM, text + ": " + record.path_ + " is not ours; remove it"};
        if (flock(record.fd_, LOCK_EX | LOCK_NB) != 0)
            return Error{EBUSY,
                         text + ": another daemon has this interface (it holds " + record.path_ + "); stop it first"};
    } while (!is_still_there(record.fd_));
    record.read_back();
    return record;
}

void Record::read_back() {
    char found[256], boot[64];
    const ssize_t n = pread(fd_, found, sizeof found - 1, 0);
    if (n <= 0) return;
    found[n] = '\0';
    unsigned id;
    int ifindex;
    unsigned long net;
    if (sscanf(found, "%u %d %lu %63s", &id, &ifindex, &net, boot) != 4 || boot_id() != boot) return;
    is_foreign_ = net != network_namespace();
    if (!is_foreign_ && ifindex == ifindex_) program_id_ = id;
}

Result<void> Record::remember(uint32_t program_id) {
    const std::string now = std::to_string(program_id) + " " + std::to_string(ifindex_) + " " +
                            std::to_string(network_namespace()) + " " + boot_id() + "\n";
    const auto n = static_cast<ssize_t>(now.size());
    if (ftruncate(fd_, 0) != 0 || pwrite(fd_, now.data(), now.size(), 0) != n)
        return Error{errno, text_ + ": cannot write " + path_ + " (" + strerror(errno) + ")"};
    program_id_ = program_id;
    return {};
}

void Record::forget() {
    if (fd_ < 0) return;
    unlink(path_.c_str());
    close(std::exchange(fd_, -1));
}

}  // namespace xylem::xdp
