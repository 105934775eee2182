// SPDX-License-Identifier: Apache-2.0
// Finds the sockets that a driver opened for itself and keeps to itself: whatever is there after opening a port and was
// not there before. Control thread, while no other thread opens sockets of the same family.
#pragma once
#include <vector>

namespace xylem::dpdk {

/// The sockets of `domain` (AF_PACKET, AF_XDP) among the open descriptors that are not in `before` (ascending),
/// ascending.
std::vector<int> new_sockets(const std::vector<int>& before, int domain);

}  // namespace xylem::dpdk
