// SPDX-License-Identifier: Apache-2.0
// The runtime directory: who holds it, with which mode it is made, and that nothing of it is left over.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "control/daemon/runtime_dir.h"

namespace xylem::daemon {
namespace {

constexpr std::chrono::milliseconds kNoPatience{0};

struct Folder : testing::Test {
    Folder() {
        char name[] = "/tmp/xylem-dir-XXXXXX";
        base = ::mkdtemp(name);
        socket = base + "/one/two/xylemd.sock";
    }
    ~Folder() override { std::filesystem::remove_all(base); }
    bool is_there(const std::string& below) const { return ::access((base + below).c_str(), F_OK) == 0; }
    mode_t mode_of(const std::string& below) const {
        struct stat found {};
        EXPECT_EQ(::stat((base + below).c_str(), &found), 0);
        return found.st_mode & 0777;
    }
    /// A daemon that holds the folder and ends without a word.
    void kill_one() const {
        const pid_t child = ::fork();
        if (child == 0) {
            const Result<RuntimeDir> dir = RuntimeDir::open(socket);
            ::_exit(dir ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_EQ(status, 0);
    }

    std::string base, socket;
};

TEST_F(Folder, EveryLevelIsMadeWithItsModeWhateverTheUmask) {
    const mode_t before = ::umask(0077);
    const Result<RuntimeDir> dir = RuntimeDir::open(socket);
    ::umask(before);
    ASSERT_TRUE(dir) << dir.error().what;
    const mode_t wanted = ::geteuid() == 0 ? 0755 : 0700;
    EXPECT_EQ(mode_of("/one"), wanted);
    EXPECT_EQ(mode_of("/one/two"), wanted);
    EXPECT_EQ(mode_of("/one/two/xylemd.sock.lock"), 0600U);
}

TEST_F(Folder, WhatWasMadeGoesAtTheEndAndWhatWasThereStays_Invariant6) {
    { ASSERT_TRUE(RuntimeDir::open(socket)); }
    EXPECT_FALSE(is_there("/one"));
    ASSERT_EQ(::mkdir((base + "/one").c_str(), 0700), 0);
    { ASSERT_TRUE(RuntimeDir::open(socket)); }
    EXPECT_TRUE(is_there("/one"));
    EXPECT_FALSE(is_there("/one/two"));
    EXPECT_EQ(mode_of("/one"), 0700U);
}

TEST_F(Folder, AKilledDaemonsFoldersGoWithItsSuccessor_Invariant6) {
    kill_one();
    EXPECT_TRUE(is_there("/one/two/xylemd.sock.lock"));
    kill_one();
    { ASSERT_TRUE(RuntimeDir::open(socket)); }
    EXPECT_FALSE(is_there("/one"));
}

TEST_F(Folder, AKilledDaemonsSuccessorLeavesWhatNeitherMade) {
    std::filesystem::create_directories(base + "/one/two");
    kill_one();
    { ASSERT_TRUE(RuntimeDir::open(socket)); }
    EXPECT_TRUE(is_there("/one/two"));
    EXPECT_FALSE(is_there("/one/two/xylemd.sock.lock"));
}

TEST_F(Folder, ASecondDaemonIsRefusedAndTakesNothingAway) {
    const Result<RuntimeDir> first = RuntimeDir::open(socket);
    ASSERT_TRUE(first);
    const Result<RuntimeDir> second = RuntimeDir::open(socket, kNoPatience);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EADDRINUSE);
    EXPECT_NE(second.error().what.find(socket), std::string::npos);
    EXPECT_TRUE(is_there("/one/two/xylemd.sock.lock"));
}

/// The kernel lets go of a killed daemon's lock last: who starts its successor meanwhile need not try again.
TEST_F(Folder, ADaemonWaitsForOneThatIsJustGoing) {
    Result<RuntimeDir> first = RuntimeDir::open(socket);
    ASSERT_TRUE(first);
    std::atomic<bool> is_held{false};
    std::thread successor([&] { is_held = bool{RuntimeDir::open(socket, std::chrono::minutes{1})}; });
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    EXPECT_FALSE(is_held);
    { const RuntimeDir gone = std::move(*first); }
    successor.join();
    EXPECT_TRUE(is_held);
}

TEST_F(Folder, AFileInTheWayIsNamedAndNothingIsLeft) {
    std::ofstream(base + "/file") << "x";
    const Result<RuntimeDir> dir = RuntimeDir::open(base + "/file/xylemd.sock");
    ASSERT_FALSE(dir);
    EXPECT_EQ(dir.error().code, ENOTDIR);
    EXPECT_NE(dir.error().what.find(base + "/file"), std::string::npos);
    EXPECT_NE(dir.error().what.find("--socket"), std::string::npos);
}

TEST_F(Folder, ALockThatIsNoFileOfOursIsNotTaken) {
    std::filesystem::create_directories(base + "/one/two");
    ASSERT_EQ(::symlink("/etc/passwd", (socket + ".lock").c_str()), 0);
    EXPECT_FALSE(RuntimeDir::open(socket));
    ASSERT_EQ(::unlink((socket + ".lock").c_str()), 0);
    ASSERT_EQ(::mkfifo((socket + ".lock").c_str(), 0600), 0);
    EXPECT_FALSE(RuntimeDir::open(socket));
}

/// One ends while others start: whoever holds it, holds it alone.
TEST_F(Folder, OnlyOneHoldsItHoweverTheyComeAndGo) {
    constexpr int kThreads = 4, kRounds = 2000;
    std::atomic<int> n_holders{0}, n_held{0}, n_broken{0};
    auto come_and_go = [&] {
        for (int n = 0; n < kRounds; ++n) {
            const Result<RuntimeDir> dir = RuntimeDir::open(socket, kNoPatience);
            if (!dir) {
                if (dir.error().code != EADDRINUSE) ++n_broken;
                continue;
            }
            if (++n_holders != 1) ++n_broken;
            std::this_thread::yield();
            if (!is_there("/one/two/xylemd.sock.lock")) ++n_broken;
            ++n_held;
            --n_holders;
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
        threads.emplace_back(come_and_go);
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_GT(n_held, 0);
    EXPECT_EQ(n_broken, 0);
}

}  // namespace
}  // namespace xylem::daemon
