// SPDX-License-Identifier: Apache-2.0
// The pool that all frames of one port come from. Its elements lie packed in one piece of memory: the AF_XDP driver
// registers exactly n × 4096 bytes from the first element on, and a frame outside of that would be lost silently; and
// without huge pages DPDK's own layout spends a page per frame.
#pragma once
#include <rte_mbuf.h>

#include <memory>
#include <string>

#include "dataplane/base/result.h"

namespace xylem::dpdk {

class MbufPool {
  public:
    /// Element size of a pool that an AF_XDP port may use: header, mbuf and data in exactly one page.
    static constexpr unsigned kXdpElementBytes = 4096;

    /// `n_mbufs` frames with room for `data_bytes` behind the usual headroom. `name` is unique in the process. Control
    /// thread.
    static Result<MbufPool> create(const std::string& name, unsigned n_mbufs, unsigned data_bytes);
    /// The same with elements of kXdpElementBytes.
    static Result<MbufPool> create_for_xdp(const std::string& name, unsigned n_mbufs);

    MbufPool() = default;
    rte_mempool* get() const { return pool_.get(); }
    unsigned size() const { return pool_ ? pool_->size : 0; }
    /// Frames that nobody holds. Exact only while nobody allocates.
    unsigned n_free() const { return pool_ ? rte_mempool_avail_count(pool_.get()) : 0; }

  private:
    struct Free {
        void operator()(rte_mempool* pool) const;
    };
    static Result<MbufPool> build(const std::string& name, unsigned n_mbufs, unsigned element_bytes);
    std::unique_ptr<rte_mempool, Free> pool_;
};

/// Takes `n` frames, all or none; each is empty with the usual headroom. Any lcore; no lock.
inline bool alloc_burst(rte_mempool* pool, rte_mbuf** burst, unsigned n) {
    return rte_pktmbuf_alloc_bulk(pool, burst, n) == 0;
}

}  // namespace xylem::dpdk
