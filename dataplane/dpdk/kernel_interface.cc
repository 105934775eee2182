// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/kernel_interface.h"

#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/dpdk/eal_log.h"

namespace xylem::dpdk {
namespace {

/// One ioctl after another about one interface, on a socket of the caller's namespace.
class InterfaceQuery {
  public:
    explicit InterfaceQuery(const std::string& name) : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        request_.ifr_name[name.copy(request_.ifr_name, IFNAMSIZ - 1)] = '\0';
    }
    ~InterfaceQuery() {
        if (fd_ >= 0) close(fd_);
    }
    InterfaceQuery(const InterfaceQuery&) = delete;
    InterfaceQuery& operator=(const InterfaceQuery&) = delete;

    bool ask(unsigned long what) { return ioctl(fd_, what, &request_) == 0; }
    bool ask_ethtool(void* command) {
        request_.ifr_data = static_cast<char*>(command);
        return ask(SIOCETHTOOL);
    }
    const ifreq& answer() const { return request_; }

  private:
    int fd_;
    ifreq request_{};
};

unsigned count_rx_queues(InterfaceQuery& query) {
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    if (!query.ask_ethtool(&channels)) return 1;
    return std::max(1U, channels.combined_count + channels.rx_count);
}

uint64_t link_speed_bps(InterfaceQuery& query) {
    ethtool_cmd settings{};
    settings.cmd = ETHTOOL_GSET;
    if (!query.ask_ethtool(&settings)) return 0;
    const uint32_t speed_mbps = ethtool_cmd_speed(&settings);
    return speed_mbps == static_cast<uint32_t>(SPEED_UNKNOWN) ? 0 : speed_mbps * uint64_t{1000000};
}

}  // namespace

Result<KernelInterface> query_interface(const PortSpec& spec) {
    InterfaceQuery query(spec.interface);
    if (!query.ask(SIOCGIFINDEX)) {
        if (errno == ENODEV) return Error{ENODEV, spec.text + ": no such interface; `ip link` lists those there are"};
        return Error{errno, spec.text + ": the kernel does not tell about this interface"};
    }
    KernelInterface found;
    found.ifindex = query.answer().ifr_ifindex;
    if (query.ask(SIOCGIFHWADDR)) std::memcpy(found.mac.bytes.data(), query.answer().ifr_hwaddr.sa_data, 6);
    if (query.ask(SIOCGIFMTU)) found.mtu = static_cast<unsigned>(query.answer().ifr_mtu);
    if (query.ask(SIOCGIFFLAGS)) {
        const int flags = query.answer().ifr_flags;
        found.is_up = (flags & IFF_UP) != 0;
        found.is_running = found.is_up && (flags & IFF_RUNNING) != 0;
        found.is_promiscuous = (flags & IFF_PROMISC) != 0;
    }
    found.n_rx_queues = count_rx_queues(query);
    found.link_speed_bps = link_speed_bps(query);
    return found;
}

Result<void> require_capabilities(const PortSpec& spec, std::initializer_list<Capability> needed) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
    syscall(SYS_capget, &header, sets);
    bool has_all = true;
    std::string names;
    for (const Capability& capability : needed) {
        has_all = has_all && (sets[CAP_TO_INDEX(capability.number)].effective & CAP_TO_MASK(capability.number)) != 0;
        names += std::string(names.empty() ? "" : ", ") + capability.name;
    }
    if (has_all) return {};
    return Error{EPERM, spec.text + ": no permission; run the daemon as root or with " + names};
}

Error port_error(const PortSpec& spec, int code, const std::string& why) {
    const std::string complaint = eal_complaint();
    return Error{code, spec.text + ": " + why + (complaint.empty() ? "" : " (" + complaint + ")")};
}

}  // namespace xylem::dpdk
