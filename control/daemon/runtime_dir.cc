// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/runtime_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

namespace xylem::daemon {

namespace {

constexpr unsigned kMaxLevels = 64;
constexpr int kMaxAttempts = 1000;
constexpr std::chrono::milliseconds kLockInterval{10};

Error cannot(int code, const std::string& path, const char* what) {
    return {code, path + ": " + what + " (" + std::strerror(code) + "); name another place with --socket"};
}

/// `path` and what is above it, the deepest first.
std::vector<std::string> levels_of(const std::string& path) {
    std::vector<std::string> levels;
    for (std::filesystem::path one = path; !one.empty() && one != one.root_path(); one = one.parent_path())
        if (one.has_filename()) levels.push_back(one.string());
    return levels;
}

void remove_levels(const std::string& path, unsigned n) {
    for (const std::string& level : levels_of(path)) {
        if (n-- == 0 || rmdir(level.c_str()) != 0) return;
    }
}

}  // namespace

Result<RuntimeDir> RuntimeDir::open(const std::string& socket_path, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    RuntimeDir dir;
    dir.path_ = std::filesystem::path(socket_path).parent_path().string();
    if (dir.path_.empty()) dir.path_ = ".";
    dir.lock_path_ = socket_path + ".lock";  // one per socket: several daemons may share a folder
    for (int n = 0; n < kMaxAttempts; ++n) {
        Result<Attempt> attempt = dir.try_to_hold(socket_path);
        if (!attempt && attempt.error().code == EADDRINUSE && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(kLockInterval);
            continue;
        }
        if (!attempt) {
            remove_levels(dir.path_, std::exchange(dir.n_made_, 0));
            return attempt.error();
        }
        if (*attempt == Attempt::kHeld) return dir;
    }
    return cannot(ENOENT, dir.lock_path_, "cannot be made");
}

/// A daemon that ends removes its lock and its folder: what was opened or made just before is nobody's then.
Result<RuntimeDir::Attempt> RuntimeDir::try_to_hold(const std::string& socket_path) {
    if (Result<void> made = make_folders(); !made) return made.error();
    lock_fd_ = ::open(lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (lock_fd_ < 0) {
        if (errno == ENOENT) return Attempt::kAgain;
        return cannot(errno, lock_path_, "cannot be made");
    }
    Error refused{EADDRINUSE,
                  socket_path + ": another xylemd serves there; stop it, or choose another path with --socket"};
    if (flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) {
        if (is_lock_still_there()) {
            Result<void> taken = take_over();
            if (taken) return Attempt::kHeld;
            refused = taken.error();
        } else {
            close(std::exchange(lock_fd_, -1));
            return Attempt::kAgain;
        }
    }
    close(std::exchange(lock_fd_, -1));
    return refused;
}

Result<void> RuntimeDir::make_folders() {
    const mode_t mode = geteuid() == 0 ? 0755 : 0700;
    std::vector<std::string> levels = levels_of(path_);
    std::reverse(levels.begin(), levels.end());
    unsigned n_made = 0;
    for (const std::string& level : levels) {
        if (mkdir(level.c_str(), mode) == 0) {
            n_made_ = std::max(n_made_, ++n_made);
            if (chmod(level.c_str(), mode) != 0) return cannot(errno, level, "its mode cannot be set");
            continue;
        }
        int code = errno;
        struct stat found {};
        const bool is_there = stat(level.c_str(), &found) == 0;
        if (is_there ? S_ISDIR(found.st_mode) : code == EEXIST && errno == ENOENT) continue;
        if (is_there) code = ENOTDIR;
        if (code == ENOENT) continue;  // removed since we saw or made what is above it: the lock cannot be made either
        return cannot(code, level, "cannot make the runtime directory");
    }
    return {};
}

bool RuntimeDir::is_lock_still_there() const {
    struct stat held {};
    return fstat(lock_fd_, &held) == 0 && held.st_nlink != 0;
}

/// Reads what a killed daemon left, and writes what is ours now.
Result<void> RuntimeDir::take_over() {
    struct stat file {};
    if (fstat(lock_fd_, &file) != 0 || !S_ISREG(file.st_mode) || file.st_uid != geteuid())
        return Error{EPERM, lock_path_ + " is not ours: remove it, or choose another path with --socket"};
    char text[16] = {};
    const ssize_t n = pread(lock_fd_, text, sizeof text - 1, 0);
    unsigned n_left = 0;
    if (n > 0) std::from_chars(text, text + n, n_left);
    if (n_left <= kMaxLevels) n_made_ = std::max(n_made_, n_left);
    const std::string mine = std::to_string(n_made_) + "\n";
    if (ftruncate(lock_fd_, 0) != 0 || pwrite(lock_fd_, mine.data(), mine.size(), 0) < 0)
        return cannot(errno, lock_path_, "cannot be written");
    return {};
}

RuntimeDir::RuntimeDir(RuntimeDir&& other) noexcept
    : path_(std::move(other.path_)),
      lock_path_(std::move(other.lock_path_)),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      n_made_(std::exchange(other.n_made_, 0)) {}

RuntimeDir::~RuntimeDir() {
    if (lock_fd_ < 0) return;
    unlink(lock_path_.c_str());  // before the lock is let go: who opened it meanwhile sees that it is gone
    close(lock_fd_);
    remove_levels(path_, n_made_);
}

}  // namespace xylem::daemon
