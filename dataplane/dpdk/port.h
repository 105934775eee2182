// SPDX-License-Identifier: Apache-2.0
// A port: one way out of this host, driven by DPDK. Opening, closing and every question is for the control thread; rx
// and tx are for the one worker that owns the queue. Closing leaves the interface as the operator had it: no XDP
// program, no socket, no file, promiscuous mode untouched.
#pragma once
#include <rte_ethdev.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/port_spec.h"
#include "dataplane/base/result.h"
#include "dataplane/dpdk/mbuf_pool.h"
#include "dataplane/xdp/steering.h"

namespace xylem::dpdk {

struct PortConfig {
    uint16_t data_udp_port = 7471;  // what is for us, host order
    std::string runtime_dir;        // exists and is ours; remembers what a killed predecessor left on an interface
    unsigned n_queues = 1;          // wanted; a port may have more (AF_XDP: every receive queue) or fewer
    bool lab_ports = false;         // memif may be used
};

/// Totals since the port was opened.
struct PortStats {
    uint64_t rx_pkts = 0, rx_bytes = 0;
    uint64_t tx_pkts = 0, tx_bytes = 0;
    uint64_t rx_missed_pkts = 0;  // came in for us, and found the ring full
    uint64_t rx_error_pkts = 0, tx_error_pkts = 0;
};

class Port {
  public:
    /// Opens a port that can send and receive on return. The errors are sentences for the operator: ENODEV no such
    /// interface, ENETDOWN interface down, EPERM missing rights, EBUSY somebody else's XDP program, EINVAL, ENOMEM.
    static Result<std::unique_ptr<Port>> open(const PortSpec& spec, const PortConfig& config);
    ~Port();
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;

    /// Takes up to `n` frames that arrived on `queue`; they are the caller's to free.
    uint16_t rx(uint16_t queue, rte_mbuf** burst, uint16_t n) {
        const Queue at = queues_[queue];
        return rte_eth_rx_burst(at.port_id, at.queue_idx, burst, n);
    }
    /// Sends the first k of `n` frames and returns k; the rest stay the caller's. n = 0 collects completions (AF_XDP
    /// needs that when idle). Frames from pool() are not copied by AF_XDP.
    uint16_t tx(uint16_t queue, rte_mbuf** burst, uint16_t n) {
        const Queue at = queues_[queue];
        return rte_eth_tx_burst(at.port_id, at.queue_idx, burst, n);
    }
    uint16_t n_queues() const { return static_cast<uint16_t>(queues_.size()); }
    /// A frame may be a chain of segments. If not, send flat frames only: the driver reads past the first segment.
    bool multi_segs() const { return multi_segs_; }
    rte_mempool* pool() const { return pool_.get(); }
    const MbufPool& frames() const { return pool_; }

    const PortSpec& spec() const { return spec_; }
    /// As configured, such as "af_xdp:eth0".
    const std::string& name() const { return spec_.text; }
    MacAddress mac() const { return mac_; }
    /// Bytes of IP in a frame, as at open.
    unsigned mtu() const { return mtu_; }
    /// The kernel's interface; 0 where there is none (null, memif).
    int ifindex() const { return ifindex_; }
    /// Readable as long as a frame waits to be received; -1 where there is nothing to sleep on (null, memif). Not the
    /// caller's.
    int wait_fd() const { return wait_fd_; }
    /// Call when wait_fd() reports an error: a link that went down leaves one behind, and the descriptor would stay
    /// ready for ever, also after the link is up again. The only call here for the worker besides rx and tx.
    void clear_wait_error();
    bool link_is_up() const;
    /// 0: unknown.
    uint64_t link_speed_bps() const;
    PortStats stats();
    /// What the XDP program decided, by xylem_steer_verdict; all zero for other kinds.
    xdp::Steering::Counters steering_counters() const {
        return steering_ ? steering_->counters() : xdp::Steering::Counters{};
    }

    /// Lets UDP datagrams to `group`:`udp_port` in, or no longer. Kinds that see every frame anyway ignore it. ENOSPC
    /// when full.
    Result<void> add_group(const IpAddress& group, uint16_t udp_port);
    Result<void> remove_group(const IpAddress& group, uint16_t udp_port);

  private:
    struct Queue {
        uint16_t port_id, queue_idx;
    };

    struct XdpSocket {
        int fd;
        uint64_t inode;
    };

    explicit Port(const PortSpec& spec, const PortConfig& config) : spec_(spec), config_(config) {}
    Result<void> open_null();
    Result<void> open_memif();
    Result<void> open_af_packet();
    Result<void> open_af_xdp();
    Result<void> open_xdp_queue(unsigned queue, bool keep_promiscuous);
    void close_devices();
    void close_xdp_sockets();
    Result<void> adopt_packet_sockets(const std::vector<int>& fds_before);
    Result<void> apply_packet_filter();
    Result<void> sleep_on(const std::vector<int>& sockets);
    uint64_t count_packet_drops();
    Result<void> probe(const std::string& driver, const std::string& arguments);
    Result<void> configure(uint16_t n_queues, uint16_t n_rx_desc);
    Result<void> start(bool keep_promiscuous);
    void discard_pending();

    PortSpec spec_;
    PortConfig config_;
    MbufPool pool_;
    std::vector<Queue> queues_;
    std::vector<std::string> vdevs_;           // names of the DPDK devices that make up this port
    std::vector<uint16_t> port_ids_;           // those of them that DPDK knows as an Ethernet port
    std::vector<int> packet_sockets_;          // the driver's own, one per queue (af_packet)
    std::unique_ptr<xdp::Steering> steering_;  // af_xdp
    std::vector<XdpSocket> xdp_sockets_;       // the driver's own, one per queue (af_xdp)
    std::vector<Endpoint> groups_;             // joined (af_packet)
    uint64_t packet_drops_ = 0;                // the kernel forgets its count when asked
    MacAddress mac_;
    unsigned mtu_ = 1500;
    int ifindex_ = 0;
    int wait_fd_ = -1;
    bool owns_wait_fd_ = false;
    bool multi_segs_ = false;
};

}  // namespace xylem::dpdk
