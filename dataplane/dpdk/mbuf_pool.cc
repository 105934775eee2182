// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/mbuf_pool.h"

#include <rte_errno.h>
#include <rte_memzone.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace xylem::dpdk {
namespace {

constexpr unsigned kMaxCachePerLcore = 256;
// One object per element and no rearrangement for memory channels: the layout that the AF_XDP driver computes with.
constexpr unsigned kPackedFlags = RTE_MEMPOOL_F_NO_SPREAD | RTE_MEMPOOL_F_NO_IOVA_CONTIG;

unsigned element_overhead() {
    return rte_mempool_calc_obj_size(RTE_CACHE_LINE_SIZE, kPackedFlags, nullptr) - RTE_CACHE_LINE_SIZE;
}

/// Gives the empty pool its memory: exactly n elements from a page border on.
int populate(rte_mempool* pool, const std::string& name, unsigned n_mbufs, unsigned element_bytes) {
    const size_t page_bytes = static_cast<size_t>(getpagesize());
    const size_t bytes = RTE_ALIGN_CEIL(static_cast<size_t>(n_mbufs) * element_bytes, page_bytes);
    const rte_memzone* zone = rte_memzone_reserve_aligned(name.c_str(), bytes, SOCKET_ID_ANY, 0, page_bytes);
    if (zone == nullptr) return -rte_errno;
    const int n_populated = rte_mempool_populate_virt(
        pool, static_cast<char*>(zone->addr), bytes, page_bytes,
        [](rte_mempool_memhdr*, void* opaque) { rte_memzone_free(static_cast<const rte_memzone*>(opaque)); },
        const_cast<rte_memzone*>(zone));
    if (n_populated == static_cast<int>(n_mbufs)) return 0;
    if (n_populated <= 0) rte_memzone_free(zone);
    return n_populated < 0 ? n_populated : -ENOMEM;
}

}  // namespace

void MbufPool::Free::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

Result<MbufPool> MbufPool::build(const std::string& name, unsigned n_mbufs, unsigned element_bytes) {
    const unsigned object_bytes = element_bytes - element_overhead();
    MbufPool made;
    made.pool_.reset(rte_mempool_create_empty(name.c_str(), n_mbufs, object_bytes,
                                              std::min(kMaxCachePerLcore, n_mbufs / 8),
                                              sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, kPackedFlags));
    int failure = made.pool_ ? 0 : -rte_errno;
    if (failure == 0) {
        rte_pktmbuf_pool_private layout{};
        layout.mbuf_data_room_size = static_cast<uint16_t>(object_bytes - sizeof(rte_mbuf));
        rte_pktmbuf_pool_init(made.pool_.get(), &layout);
        failure = populate(made.pool_.get(), name, n_mbufs, element_bytes);
    }
    if (failure != 0)
        return Error{-failure, name + ": no memory for " + std::to_string(n_mbufs) + " frames of " +
                                   std::to_string(element_bytes) + " bytes; give the daemon more memory"};
    rte_mempool_obj_iter(made.pool_.get(), rte_pktmbuf_init, nullptr);
    return made;
}

Result<MbufPool> MbufPool::create(const std::string& name, unsigned n_mbufs, unsigned data_bytes) {
    const unsigned object_bytes =
        RTE_ALIGN_CEIL(static_cast<unsigned>(sizeof(rte_mbuf)) + RTE_PKTMBUF_HEADROOM + data_bytes,
                       static_cast<unsigned>(RTE_CACHE_LINE_SIZE));
    return build(name, n_mbufs, object_bytes + element_overhead());
}

Result<MbufPool> MbufPool::create_for_xdp(const std::string& name, unsigned n_mbufs) {
    return build(name, n_mbufs, kXdpElementBytes);
}

}  // namespace xylem::dpdk
