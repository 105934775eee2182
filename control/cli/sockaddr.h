// SPDX-License-Identifier: Apache-2.0
// Endpoints as the socket calls take them.
#pragma once
#include <sys/socket.h>

#include <string>

#include "dataplane/base/address.h"

namespace xylem::cli {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = sizeof(sockaddr_storage);
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const Endpoint& endpoint);
/// "192.0.2.1:7000", or "unset".
std::string to_string(const sockaddr_storage& storage);

}  // namespace xylem::cli
