// SPDX-License-Identifier: Apache-2.0
// DPDK's environment layer, wrapped in one place. It starts once per process, silently, by default without privileges
// and without huge pages, and leaves no file behind, so that any number of daemons share a host. The calling thread
// becomes lcore 0 (control); worker i is lcore i + 1. It cannot be started a second time in one process, not even after
// it has ended.
#pragma once
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/dpdk/eal_log.h"

namespace xylem::dpdk {

struct EalConfig {
    bool huge_pages = false;
    unsigned memory_mb = 256;           // the whole heap without huge pages; it costs memory only where it is touched
    unsigned n_workers = 1;             // ignored if worker_cpus is given
    std::vector<unsigned> worker_cpus;  // one pinned worker per entry; empty: workers float over all allowed CPUs
    bool needs_pci = false;             // scan the PCI bus
    std::string file_prefix;            // empty: one of our own, by process id
    EalLogSink log = nullptr;           // DPDK's own words; null: dropped
};

class Eal {
  public:
    /// Starts DPDK. The calling thread is control from now on and may run on every allowed CPU that no worker is pinned
    /// to. Signals are blocked in all threads that DPDK starts. Errors: EALREADY, EINVAL (a CPU that is not ours),
    /// DPDK's own.
    static Result<Eal> init(const EalConfig& config);

    Eal(Eal&& other) noexcept : n_workers_(other.n_workers_), is_live_(other.is_live_) { other.is_live_ = false; }
    Eal& operator=(Eal&&) = delete;
    /// Ends DPDK. Ports and pools must be gone, workers must have returned.
    ~Eal();

    unsigned n_workers() const { return n_workers_; }

  private:
    explicit Eal(unsigned n_workers) : n_workers_(n_workers), is_live_(true) {}
    unsigned n_workers_;
    bool is_live_;
};

/// Runs `fn(arg)` on worker `worker_idx` (0 …). EBUSY if it still runs something, EINVAL if there is no such worker.
Result<void> launch_worker(unsigned worker_idx, int (*fn)(void*), void* arg);

/// Waits until that worker's function has returned; at once if it runs none.
void wait_worker(unsigned worker_idx);

}  // namespace xylem::dpdk
