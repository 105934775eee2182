// SPDX-License-Identifier: Apache-2.0
// af_xdp ports: our XDP program takes our frames off the interface, the kernel keeps the rest. Each receive queue is a
// DPDK device of its own: the driver counts only "combined" queues, which a veth has none of. Every device loads and
// attaches a program, so before the next one opens, the program of the last comes off, and Steering gives the newest
// program the sockets of all.
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "dataplane/base/fd_list.h"
#include "dataplane/dpdk/fd_scan.h"
#include "dataplane/dpdk/kernel_interface.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/xdp/steering.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif

namespace xylem::dpdk {
namespace {

constexpr uint16_t kRingDescs = 2048;  // what the driver's fill ring holds too
// Of a frame's page, the pool's header, the mbuf, its headroom and the kernel's 256 bytes are not for the frame.
constexpr unsigned kMaxFrameBytes = 4096 - 64 - 128 - 128 - 256;
constexpr unsigned kEthernetHeader = 14;
// Per queue 2048 frames lie in the fill ring, up to 2048 in each of the other rings.
constexpr unsigned kFramesPerQueue = 8192;

std::string arguments(const PortSpec& spec, unsigned queue, const std::string& object_path) {
    return "iface=" + spec.interface + ",start_queue=" + std::to_string(queue) +
           ",queue_count=1,busy_budget=0,xdp_prog=" + object_path;
}

uint64_t inode_of(int fd) {
    struct stat file {};
    return fstat(fd, &file) == 0 ? file.st_ino : 0;
}

}  // namespace

Result<void> Port::open_af_xdp() {
    const auto interface = query_interface(spec_);
    if (!interface) return interface.error();
    auto permitted = require_capabilities(spec_, {{CAP_NET_RAW, "CAP_NET_RAW"},
                                                  {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                                  {CAP_BPF, "CAP_BPF"},
                                                  {CAP_IPC_LOCK, "CAP_IPC_LOCK"}});
    if (!permitted) return permitted;
    if (!interface->is_up)
        return Error{ENETDOWN, spec_.text + ": the interface is down; `ip link set " + spec_.interface + " up`"};
    if (interface->mtu + kEthernetHeader > kMaxFrameBytes)
        return Error{EMSGSIZE, spec_.text + ": AF_XDP frames carry at most " +
                                   std::to_string(kMaxFrameBytes - kEthernetHeader) + " bytes, the MTU is " +
                                   std::to_string(interface->mtu) + "; lower it"};
    if (interface->n_rx_queues > XYLEM_STEER_MAX_QUEUES)
        return Error{E2BIG, spec_.text + ": " + std::to_string(interface->n_rx_queues) +
                                " receive queues; set at most " + std::to_string(XYLEM_STEER_MAX_QUEUES) +
                                " with `ethtool -L`"};
    mac_ = interface->mac;
    mtu_ = interface->mtu;
    ifindex_ = interface->ifindex;
    auto steering = xdp::Steering::prepare({spec_.text, spec_.interface, ifindex_, config_.runtime_dir});
    if (!steering) return steering.error();
    steering_ = std::move(*steering);
    auto pool = MbufPool::create_for_xdp(spec_.text, kFramesPerQueue * interface->n_rx_queues - 1);
    if (!pool) return pool.error();
    pool_ = std::move(*pool);
    std::vector<int> sockets;
    for (unsigned queue = 0; queue < interface->n_rx_queues; ++queue) {
        auto opened = open_xdp_queue(queue, interface->is_promiscuous);
        if (!opened) return opened;
        sockets.push_back(xdp_sockets_.back().fd);
    }
    return sleep_on(sockets);
}

Result<void> Port::open_xdp_queue(unsigned queue, bool keep_promiscuous) {
    const std::vector<int> fds_before = list_fds();
    steering_->detach();
    auto opened = probe("net_af_xdp", arguments(spec_, queue, steering_->object_path()));
    if (opened) opened = configure(1, kRingDescs);
    if (opened) opened = start(keep_promiscuous);
    const std::vector<int> sockets = new_sockets(fds_before, AF_XDP);
    for (const int fd : sockets)
        xdp_sockets_.push_back({fd, inode_of(fd)});
    if (!opened) return opened;
    if (sockets.empty()) return port_error(spec_, EIO, "the driver's AF_XDP socket was not found");
    if (auto adopted = steering_->adopt(config_.data_udp_port); !adopted) return adopted;
    return steering_->add_socket(queue, sockets.back());
}

/// The driver forgets some of its descriptors when it closes; those that are still what they were are ours to close.
void Port::close_xdp_sockets() {
    for (const XdpSocket& socket : xdp_sockets_)
        if (inode_of(socket.fd) == socket.inode) ::close(socket.fd);
    xdp_sockets_.clear();
}

}  // namespace xylem::dpdk
