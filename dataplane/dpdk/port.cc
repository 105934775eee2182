// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/port.h"

#include <rte_bus_vdev.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/dpdk/eal_log.h"
#include "dataplane/dpdk/kernel_interface.h"

namespace xylem::dpdk {
namespace {

constexpr uint16_t kTxDescs = 1024;

}  // namespace

Result<std::unique_ptr<Port>> Port::open(const PortSpec& spec, const PortConfig& config) {
    std::unique_ptr<Port> port(new Port(spec, config));
    forget_eal_complaint();
    Result<void> opened;
    switch (spec.kind) {
        case PortKind::kLocal:
            opened = Error{EINVAL, spec.text + ": this kind has no device"};
            break;
        case PortKind::kNull:
            opened = port->open_null();
            break;
        case PortKind::kAfPacket:
            opened = port->open_af_packet();
            break;
        case PortKind::kAfXdp:
            opened = port->open_af_xdp();
            break;
        case PortKind::kMemif:
            opened = port->open_memif();
            break;
    }
    if (!opened) return opened.error();
    return port;
}

Port::~Port() {
    // The AF_XDP driver detaches whatever program it finds when it closes.
    if (!steering_ || !steering_->is_foreign_attached()) close_devices();
    steering_.reset();
    close_xdp_sockets();
    if (owns_wait_fd_) ::close(wait_fd_);
}

void Port::close_devices() {
    for (const uint16_t port_id : port_ids_) {
        rte_eth_dev_stop(port_id);
        rte_eth_dev_close(port_id);
    }
    for (const std::string& vdev : vdevs_)
        rte_vdev_uninit(vdev.c_str());
}

Result<void> Port::open_null() {
    auto pool = MbufPool::create(spec_.text, 4095, 2048);
    if (!pool) return pool.error();
    pool_ = std::move(*pool);
    if (auto probed = probe("net_null", "no-rx=1"); !probed) return probed;
    if (auto configured = configure(static_cast<uint16_t>(std::max(1U, config_.n_queues)), 256); !configured)
        return configured;
    rte_ether_addr mac{};
    rte_eth_macaddr_get(port_ids_.back(), &mac);
    std::memcpy(mac_.bytes.data(), mac.addr_bytes, mac_.bytes.size());
    return start(false);
}

/// Makes one DPDK device of `driver` and appends it to this port.
Result<void> Port::probe(const std::string& driver, const std::string& arguments) {
    static unsigned n_probed = 0;
    const std::string vdev = driver + std::to_string(n_probed++);
    uint16_t port_id;
    const int failure = rte_vdev_init(vdev.c_str(), arguments.c_str());
    if (failure != 0) return port_error(spec_, failure < -1 ? -failure : EIO, "the driver refused it");
    vdevs_.push_back(vdev);
    if (rte_eth_dev_get_port_by_name(vdev.c_str(), &port_id) != 0)
        return port_error(spec_, EIO, "the driver made no port");
    port_ids_.push_back(port_id);
    return {};
}

/// Configures the newest device with `n_queues` in each direction.
Result<void> Port::configure(uint16_t n_queues, uint16_t n_rx_desc) {
    const uint16_t port_id = port_ids_.back();
    rte_eth_dev_info about{};
    rte_eth_conf conf{};
    int failure = rte_eth_dev_info_get(port_id, &about);
    conf.txmode.offloads = about.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    multi_segs_ = conf.txmode.offloads != 0;
    if (failure == 0) failure = rte_eth_dev_configure(port_id, n_queues, n_queues, &conf);
    for (uint16_t q = 0; failure == 0 && q < n_queues; ++q) {
        failure = rte_eth_rx_queue_setup(port_id, q, n_rx_desc, SOCKET_ID_ANY, nullptr, pool_.get());
        if (failure == 0) failure = rte_eth_tx_queue_setup(port_id, q, kTxDescs, SOCKET_ID_ANY, nullptr);
        queues_.push_back({port_id, q});
    }
    return failure == 0 ? Result<void>{} : port_error(spec_, -failure, "the driver takes no queues");
}

/// Starts the newest device. That replays its promiscuous mode, off by default: `keep_promiscuous` makes it replay what
/// the operator had set.
Result<void> Port::start(bool keep_promiscuous) {
    const uint16_t port_id = port_ids_.back();
    int failure = keep_promiscuous ? rte_eth_promiscuous_enable(port_id) : 0;
    if (failure == 0) failure = rte_eth_dev_start(port_id);
    return failure == 0 ? Result<void>{} : port_error(spec_, -failure, "the driver does not start");
}

/// Drops what came in before the port knew what is ours.
void Port::discard_pending() {
    rte_mbuf* burst[32];
    for (uint16_t q = 0; q < n_queues(); ++q)
        while (const uint16_t n = rx(q, burst, 32))
            rte_pktmbuf_free_bulk(burst, n);
}

bool Port::link_is_up() const {
    if (ifindex_ != 0) {
        const auto now = query_interface(spec_);
        return now && now->ifindex == ifindex_ && now->is_running;
    }
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port_ids_.front(), &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

uint64_t Port::link_speed_bps() const {
    if (ifindex_ == 0) return 0;
    const auto now = query_interface(spec_);
    return now ? now->link_speed_bps : 0;
}

Result<void> Port::add_group(const IpAddress& group, uint16_t udp_port) {
    if (steering_) return steering_->add_group(group, udp_port);
    const Endpoint joined{group, udp_port};
    if (packet_sockets_.empty() || std::find(groups_.begin(), groups_.end(), joined) != groups_.end()) return {};
    groups_.push_back(joined);
    auto applied = apply_packet_filter();
    if (!applied) groups_.pop_back();
    return applied;
}

Result<void> Port::remove_group(const IpAddress& group, uint16_t udp_port) {
    if (steering_) return steering_->remove_group(group, udp_port);
    if (std::erase(groups_, Endpoint{group, udp_port}) == 0) return {};
    return apply_packet_filter();
}

PortStats Port::stats() {
    PortStats sum;
    for (const uint16_t port_id : port_ids_) {
        rte_eth_stats of_device{};
        if (rte_eth_stats_get(port_id, &of_device) != 0) continue;
        sum.rx_pkts += of_device.ipackets;
        sum.rx_bytes += of_device.ibytes;
        sum.tx_pkts += of_device.opackets;
        sum.tx_bytes += of_device.obytes;
        sum.rx_missed_pkts += of_device.imissed + of_device.rx_nombuf;
        sum.rx_error_pkts += of_device.ierrors;
        sum.tx_error_pkts += of_device.oerrors;
    }
    sum.rx_missed_pkts += count_packet_drops();
    return sum;
}

}  // namespace xylem::dpdk
