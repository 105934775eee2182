// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/eal.h"

#include <fcntl.h>
#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xylem::dpdk {
namespace {

/// The linker takes the object with all drivers because of this reference; see meson.build.
[[gnu::used]] int (*const kDrivers)(const char*, const char*) = rte_vdev_init;

std::vector<unsigned> allowed_cpus() {
    std::vector<unsigned> cpus;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    return cpus;
}

/// "LCORE@(c0,c1,…)"
std::string lcore_on(unsigned lcore, const std::vector<unsigned>& cpus) {
    std::string text = std::to_string(lcore) + "@(";
    for (size_t i = 0; i < cpus.size(); ++i)
        text += (i == 0 ? "" : ",") + std::to_string(cpus[i]);
    return text + ")";
}

bool contains(const std::vector<unsigned>& cpus, unsigned cpu) {
    return std::find(cpus.begin(), cpus.end(), cpu) != cpus.end();
}

Result<std::string> lcore_list(const EalConfig& config, unsigned n_workers) {
    const std::vector<unsigned> allowed = allowed_cpus();
    std::vector<unsigned> control_cpus;
    for (const unsigned cpu : allowed)
        if (!contains(config.worker_cpus, cpu)) control_cpus.push_back(cpu);
    std::string list = lcore_on(0, control_cpus.empty() ? allowed : control_cpus);
    for (unsigned i = 0; i < n_workers; ++i) {
        const bool is_pinned = i < config.worker_cpus.size();
        if (is_pinned && !contains(allowed, config.worker_cpus[i]))
            return Error{EINVAL, "lcore " + std::to_string(config.worker_cpus[i]) +
                                     ": this process may not run on that CPU; `taskset -p " + std::to_string(getpid()) +
                                     "` shows which ones it may use"};
        list += "," + lcore_on(i + 1, is_pinned ? std::vector<unsigned>{config.worker_cpus[i]} : allowed);
    }
    return list;
}

std::vector<std::string> eal_arguments(const EalConfig& config, const std::string& lcores) {
    std::vector<std::string> arguments{"xylemd", "--no-telemetry", "--lcores", lcores, "--log-level", "warning"};
    const std::string prefix = config.file_prefix.empty() ? "xylem-" + std::to_string(getpid()) : config.file_prefix;
    arguments.insert(arguments.end(), {"--file-prefix", prefix});
    if (!config.needs_pci) arguments.emplace_back("--no-pci");
    if (config.huge_pages)
        arguments.emplace_back("--in-memory");
    else
        arguments.insert(arguments.end(), {"--no-huge", "--no-shconf", "-m", std::to_string(config.memory_mb)});
    return arguments;
}

/// EAL makes a runtime directory even when it puts nothing there. Only empty ones go.
void remove_empty_runtime_dir() {
    std::string dir = rte_eal_get_runtime_dir();
    if (rmdir(dir.c_str()) != 0) return;
    dir.resize(dir.rfind('/'));
    rmdir(dir.c_str());
}

/// EAL writes its fatal errors to standard error by itself, past any log; what it said is in eal_complaint() too.
class SilentStderr {
  public:
    SilentStderr() : kept_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)), null_(open("/dev/null", O_WRONLY | O_CLOEXEC)) {
        if (kept_ >= 0 && null_ >= 0) dup2(null_, STDERR_FILENO);
    }
    ~SilentStderr() {
        if (kept_ >= 0) dup2(kept_, STDERR_FILENO);
        for (const int fd : {kept_, null_})
            if (fd >= 0) close(fd);
    }
    SilentStderr(const SilentStderr&) = delete;
    SilentStderr& operator=(const SilentStderr&) = delete;

  private:
    int kept_, null_;
};

int start_eal(std::vector<std::string> arguments) {
    const SilentStderr silence;
    std::vector<char*> argv;
    for (std::string& argument : arguments)
        argv.push_back(argument.data());
    argv.push_back(nullptr);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int started = rte_eal_init(static_cast<int>(argv.size()) - 1, argv.data());
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return started;
}

}  // namespace

Result<Eal> Eal::init(const EalConfig& config) {
    static bool has_started = false;
    if (has_started) return Error{EALREADY, "DPDK was started before in this process, and starts only once"};
    const unsigned n_workers =
        config.worker_cpus.empty() ? config.n_workers : static_cast<unsigned>(config.worker_cpus.size());
    if (n_workers + 1 > RTE_MAX_LCORE)
        return Error{EINVAL,
                     std::to_string(n_workers) + " workers: DPDK allows at most " + std::to_string(RTE_MAX_LCORE - 1)};
    auto lcores = lcore_list(config, n_workers);
    if (!lcores) return lcores.error();
    capture_eal_log(config.log);
    forget_eal_complaint();
    has_started = true;
    const bool is_up = start_eal(eal_arguments(config, *lcores)) >= 0;
    const int code = rte_errno != 0 ? rte_errno : EIO;
    remove_empty_runtime_dir();
    if (!is_up) {
        std::string complaint = eal_complaint();
        if (complaint.ends_with('.')) complaint.pop_back();
        const std::string cure = config.huge_pages ? "; huge pages are reserved with `sysctl vm.nr_hugepages=N`" : "";
        return Error{code, "DPDK does not start: " + complaint + cure};
    }
    return Eal(n_workers);
}

Eal::~Eal() {
    if (is_live_) rte_eal_cleanup();
}

Result<void> launch_worker(unsigned worker_idx, int (*fn)(void*), void* arg) {
    const int failure = rte_eal_remote_launch(fn, arg, worker_idx + 1);
    if (failure == 0) return {};
    return Error{-failure, "worker " + std::to_string(worker_idx) + ": " +
                               (failure == -EBUSY ? "still busy" : "there is no such worker")};
}

void wait_worker(unsigned worker_idx) { rte_eal_wait_lcore(worker_idx + 1); }

}  // namespace xylem::dpdk
