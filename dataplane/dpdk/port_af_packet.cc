// SPDX-License-Identifier: Apache-2.0
// af_packet ports: a packet socket with mapped rings. The kernel keeps the interface and sees every frame too; the
// socket filter sees to it that only our frames are copied into the ring.
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "dataplane/base/fd_list.h"
#include "dataplane/dpdk/eal_log.h"
#include "dataplane/dpdk/fd_scan.h"
#include "dataplane/dpdk/kernel_interface.h"
#include "dataplane/dpdk/packet_filter.h"
#include "dataplane/dpdk/port.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

namespace xylem::dpdk {
namespace {

constexpr unsigned kEthernetHeader = 14;
constexpr unsigned kRingHeader = 32;  // what the ring keeps of a frame slot: TPACKET2_HDRLEN less sizeof(sockaddr_ll)
constexpr unsigned kMaxSlot =
    16384;  // no longer frames than jumbo ones: the loopback's 64 KiB would cost a megabyte per 16 frames
constexpr unsigned kRoomyRingBytes = 8 << 20, kFrugalRingBytes = 2 << 20;

// Room for a whole ring of frames under way. With the usual 208 KiB, some 90 frames, the kernel may stop in the middle
// of the ring; the driver calls the rest sent, and it lies there until somebody sends again.
constexpr int kSendBufferBytes = 64 << 20;

/// A frame slot is a power of two, since a block (64 KiB) holds a whole number of them.
unsigned frame_slot_bytes(unsigned mtu) {
    unsigned bytes = 2048;
    while (bytes < kMaxSlot && bytes < mtu + kEthernetHeader + TPACKET2_HDRLEN)
        bytes *= 2;
    return bytes;
}

std::string arguments(const PortSpec& spec, unsigned n_queues, unsigned slot_bytes, unsigned ring_bytes) {
    return "iface=" + spec.interface + ",qpairs=" + std::to_string(n_queues) +
           ",blocksz=65536,framesz=" + std::to_string(slot_bytes) +
           ",framecnt=" + std::to_string(ring_bytes / slot_bytes) + ",qdisc_bypass=1";
}

}  // namespace

Result<void> Port::open_af_packet() {
    const auto interface = query_interface(spec_);
    if (!interface) return interface.error();
    auto permitted = require_capabilities(spec_, {{CAP_NET_RAW, "CAP_NET_RAW"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}});
    if (!permitted) return permitted;
    if (!interface->is_up)
        return Error{ENETDOWN, spec_.text + ": the interface is down; `ip link set " + spec_.interface + " up`"};
    mac_ = interface->mac;
    ifindex_ = interface->ifindex;
    const unsigned slot_bytes = frame_slot_bytes(interface->mtu);
    mtu_ = std::min(interface->mtu, slot_bytes - kEthernetHeader - static_cast<unsigned>(TPACKET2_HDRLEN));
    const unsigned n_queues = std::max(1U, config_.n_queues);
    auto pool = MbufPool::create(spec_.text, kRoomyRingBytes / slot_bytes * (n_queues + 1) - 1, slot_bytes);
    if (!pool) return pool.error();
    pool_ = std::move(*pool);
    const std::vector<int> fds_before = list_fds();
    // The rings are locked in memory: without CAP_IPC_LOCK only small ones are allowed.
    auto probed = probe("net_af_packet", arguments(spec_, n_queues, slot_bytes, kRoomyRingBytes));
    if (!probed) {
        forget_eal_complaint();
        probed = probe("net_af_packet", arguments(spec_, n_queues, slot_bytes, kFrugalRingBytes));
    }
    if (!probed) return probed;
    if (auto adopted = adopt_packet_sockets(fds_before); !adopted) return adopted;
    if (auto configured = configure(static_cast<uint16_t>(n_queues), 512); !configured) return configured;
    if (auto started = start(interface->is_promiscuous); !started) return started;
    discard_pending();
    return {};
}

/// Finds the driver's sockets and teaches them what is ours.
Result<void> Port::adopt_packet_sockets(const std::vector<int>& fds_before) {
    packet_sockets_ = new_sockets(fds_before, AF_PACKET);
    if (packet_sockets_.empty()) return port_error(spec_, EIO, "the driver's packet socket was not found");
    const int on = 1;
    for (const int fd : packet_sockets_) {
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof kSendBufferBytes);
    }
    if (auto applied = apply_packet_filter(); !applied) return applied;
    return sleep_on(packet_sockets_);
}

Result<void> Port::apply_packet_filter() {
    const unsigned max_frame_bytes = frame_slot_bytes(mtu_) - kRingHeader;
    auto code = build_packet_filter(config_.data_udp_port, groups_, max_frame_bytes);
    const std::string too_many = spec_.text + ": too many groups (" + std::to_string(groups_.size()) + ")";
    if (code.size() > BPF_MAXINSNS) return Error{ENOSPC, too_many};
    const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
    for (const int fd : packet_sockets_) {
        if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) continue;
        if (errno == ENOMEM && !groups_.empty())
            return Error{ENOSPC, too_many + ": the socket filter may not be larger than net.core.optmem_max"};
        return Error{errno, spec_.text + ": the kernel refused the socket filter"};
    }
    return {};
}

void Port::clear_wait_error() {
    int error;
    socklen_t length = sizeof error;
    for (const int fd : packet_sockets_)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    for (const XdpSocket& socket : xdp_sockets_)
        getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &length);
}

/// Frames that found the ring full, ever. The kernel's count starts anew whenever it is asked.
uint64_t Port::count_packet_drops() {
    for (const int fd : packet_sockets_) {
        tpacket_stats latest{};
        socklen_t length = sizeof latest;
        if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &latest, &length) == 0) packet_drops_ += latest.tp_drops;
    }
    return packet_drops_;
}

/// One descriptor that is readable while any of `sockets` is: the socket itself, or an epoll over all of them.
Result<void> Port::sleep_on(const std::vector<int>& sockets) {
    if (sockets.size() == 1) {
        wait_fd_ = sockets.front();
        return {};
    }
    wait_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (wait_fd_ < 0) return Error{errno, spec_.text + ": no descriptor left to wait on"};
    owns_wait_fd_ = true;
    for (const int fd : sockets) {
        epoll_event event{};
        event.events = EPOLLIN;
        if (epoll_ctl(wait_fd_, EPOLL_CTL_ADD, fd, &event) != 0)
            return Error{errno, spec_.text + ": cannot wait for its frames"};
    }
    return {};
}

}  // namespace xylem::dpdk
