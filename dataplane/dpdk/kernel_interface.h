// SPDX-License-Identifier: Apache-2.0
// What the kernel says about a network interface and about this process's rights over it. All of it is read anew per
// call; control thread only.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>

#include "dataplane/base/address.h"
#include "dataplane/base/port_spec.h"
#include "dataplane/base/result.h"

namespace xylem::dpdk {

struct KernelInterface {
    int ifindex = 0;
    MacAddress mac;
    unsigned mtu = 0;  // bytes of IP
    bool is_up = false;
    bool is_running = false;      // up and with a carrier
    bool is_promiscuous = false;  // asked for by the operator, not by a packet socket
    unsigned n_rx_queues = 1;     // combined ones where the device has such, else those that receive
    uint64_t link_speed_bps = 0;  // 0: the device does not say
};

/// Looks up spec.interface in the caller's network namespace. ENODEV if there is none.
Result<KernelInterface> query_interface(const PortSpec& spec);

/// A capability by its number (CAP_*) and the name to tell the operator.
struct Capability {
    int number;
    const char* name;
};

/// EPERM with a sentence that lists all `needed` capabilities if one of them is not effective in this process.
Result<void> require_capabilities(const PortSpec& spec, std::initializer_list<Capability> needed);

/// "SPEC: WHY", with DPDK's own complaint appended if it made one since forget_eal_complaint().
Error port_error(const PortSpec& spec, int code, const std::string& why);

}  // namespace xylem::dpdk
