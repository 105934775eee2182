// SPDX-License-Identifier: Apache-2.0
// DPDK without privileges and without huge pages: start, workers, pools and the null port.
#include "dataplane/dpdk/port.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "dataplane/dpdk/eal.h"

namespace xylem::dpdk {
namespace {

class PortTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        static auto eal = Eal::init({.n_workers = 2});
        ASSERT_TRUE(eal) << eal.error().what;
    }
};

std::unique_ptr<Port> open_null_port() {
    auto port = Port::open(*parse_port_spec("null"), {});
    EXPECT_TRUE(port) << port.error().what;
    return std::move(*port);
}

TEST_F(PortTest, EalStartsOncePerProcess) {
    const auto second = Eal::init({});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EALREADY);
}

TEST_F(PortTest, WorkersRunWhatTheyAreGiven) {
    std::atomic<int> n_runs = 0;
    const auto count = [](void* runs) { return ++*static_cast<std::atomic<int>*>(runs); };
    for (unsigned worker = 0; worker < 2; ++worker)
        ASSERT_TRUE(launch_worker(worker, count, &n_runs));
    for (unsigned worker = 0; worker < 2; ++worker)
        wait_worker(worker);
    EXPECT_EQ(n_runs, 2);
}

TEST_F(PortTest, WorkerThatDoesNotExistIsAnError) {
    EXPECT_FALSE(launch_worker(
        2, [](void*) { return 0; }, nullptr));
}

TEST_F(PortTest, PoolElementsLieOnePageApart) {
    const auto pool = MbufPool::create_for_xdp("xdp_pool", 255);
    ASSERT_TRUE(pool) << pool.error().what;
    rte_mbuf* burst[64];
    ASSERT_TRUE(alloc_burst(pool->get(), burst, 64));
    for (const rte_mbuf* frame : burst)
        EXPECT_EQ(
            (reinterpret_cast<uintptr_t>(frame) - reinterpret_cast<uintptr_t>(burst[0])) % MbufPool::kXdpElementBytes,
            0U);
    EXPECT_GE(rte_pktmbuf_tailroom(burst[0]), 3500);
    rte_pktmbuf_free_bulk(burst, 64);
    EXPECT_EQ(pool->n_free(), 255U);
}

TEST_F(PortTest, PoolThatDoesNotFitSaysSoAndLeavesNothing) {
    const auto pool = MbufPool::create("giant", 1 << 20, 2048);
    ASSERT_FALSE(pool);
    EXPECT_NE(pool.error().what.find("giant"), std::string::npos);
    EXPECT_TRUE(MbufPool::create("giant", 255, 2048));
}

TEST_F(PortTest, NullPortTakesFramesReceivesNothingAndThePoolIsWholeAtTheEnd) {
    const auto port = open_null_port();
    rte_mbuf* burst[32];
    ASSERT_TRUE(alloc_burst(port->pool(), burst, 32));
    for (rte_mbuf* frame : burst)
        rte_pktmbuf_append(frame, 64);
    EXPECT_EQ(port->tx(0, burst, 32), 32);
    EXPECT_EQ(port->rx(0, burst, 32), 0);
    EXPECT_EQ(port->stats().tx_pkts, 32U);
    EXPECT_EQ(port->wait_fd(), -1);
    EXPECT_EQ(port->frames().n_free(), port->frames().size());
}

TEST_F(PortTest, ClosedPortOpensAgain) {
    open_null_port();
    open_null_port();
}

TEST_F(PortTest, LocalHasNoDevice) { EXPECT_FALSE(Port::open(*parse_port_spec("local"), {})); }

TEST_F(PortTest, InterfaceThatDoesNotExistIsNamed) {
    const auto port = Port::open(*parse_port_spec("af_packet:xy-nowhere"), {});
    ASSERT_FALSE(port);
    EXPECT_EQ(port.error().code, ENODEV);
    EXPECT_TRUE(port.error().what.starts_with("af_packet:xy-nowhere: no such interface")) << port.error().what;
}

/// Runs port_probe as nobody (or as whoever we are, if that is not root) in `home`; its exit status.
int run_unprivileged(const char* port, const std::string& home, const char* option = "send=100") {
    const int program = open(PORT_PROBE, O_RDONLY);
    const pid_t child = fork();
    if (child == 0) {
        if (chdir(home.c_str()) != 0 || (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))) _exit(99);
        const std::string runtime = "XDG_RUNTIME_DIR=" + home;
        char* const argv[] = {const_cast<char*>("port_probe"), const_cast<char*>(port), const_cast<char*>(option),
                              nullptr};
        char* const environment[] = {const_cast<char*>(runtime.c_str()), nullptr};
        fexecve(program, argv, environment);
        _exit(98);
    }
    close(program);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class UnprivilegedTest : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/xylem-port-test-XXXXXX";
        home_ = mkdtemp(name);
        std::filesystem::permissions(home_, std::filesystem::perms::all);
    }
    void TearDown() override { std::filesystem::remove_all(home_); }
    std::string home_;
};

TEST_F(UnprivilegedTest, StartsWithoutHugePagesAndLeavesNoFile) {
    EXPECT_EQ(run_unprivileged("null", home_), 0);
    EXPECT_TRUE(std::filesystem::is_empty(home_));
}

TEST_F(UnprivilegedTest, FailedStartLeavesNoFile) {
    EXPECT_EQ(run_unprivileged("null", home_, "workers=9999"), 1);
    EXPECT_EQ(run_unprivileged("null", home_, "memory_mb=2000000000"), 1);
    EXPECT_TRUE(std::filesystem::is_empty(home_));
}

TEST_F(UnprivilegedTest, InterfacePortsAreRefused) { EXPECT_EQ(run_unprivileged("af_packet:lo", home_), 1); }

}  // namespace
}  // namespace xylem::dpdk
