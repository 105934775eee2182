// SPDX-License-Identifier: Apache-2.0
// Between the public structures and the ones that travel to the daemon. Lengths that come in are checked: from the
// application EFAULT, from the daemon clamped.
#pragma once
#include <xylem/abi/command.h>
#include <xylem/abi/group.h>
#include <xylem/socket.h>

namespace xylem::shim {

/// 0, EFAULT (no address, or too short for `family`), EAFNOSUPPORT.
int address_from(const sockaddr* address, socklen_t length, int family, abi::AddressBody& out);
/// Copies what fits, and tells the whole length, as getsockname does. EFAULT: an address without a length.
int address_to(const abi::AddressBody& from, sockaddr* address, socklen_t* length);
bool is_any_address(const abi::AddressBody& address);
bool is_multicast_address(const abi::AddressBody& address);
/// The sender of a datagram, as an application sees it.
void sender_to(const abi::GroupReceived& from, abi::AddressBody& out);
uint16_t port_of(const abi::AddressBody& address);

void qos_from(const xy_qos* qos, abi::Qos& out);
void qos_to(const abi::Qos& from, xy_qos& out);

}  // namespace xylem::shim
