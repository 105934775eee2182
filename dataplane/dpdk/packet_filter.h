// SPDX-License-Identifier: Apache-2.0
// The classic BPF program that an af_packet port puts on its socket, so that traffic which is not ours is not even
// copied. It says the same as the XDP program: unfragmented, untagged UDP without IP options or extension headers to
// the data port or to a joined (group, port). Frames that this host sends itself, or that are for another host, never
// pass.
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "dataplane/base/address.h"

namespace xylem::dpdk {

/// `max_frame_bytes`: longer frames do not fit the ring and are refused. Pure.
std::vector<sock_filter> build_packet_filter(uint16_t data_udp_port, const std::vector<Endpoint>& groups,
                                             unsigned max_frame_bytes);

}  // namespace xylem::dpdk
