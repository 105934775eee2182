// SPDX-License-Identifier: Apache-2.0
#include "control/cli/sockaddr.h"

#include <netinet/in.h>

#include <cstring>

#include "dataplane/base/address_text.h"

namespace xylem::cli {

SocketAddress to_socket_address(const Endpoint& endpoint) {
    SocketAddress out;
    if (endpoint.ip.is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(endpoint.port);
        v4.sin_addr.s_addr = endpoint.ip.v4_be();
        std::memcpy(&out.storage, &v4, sizeof v4);
        out.length = sizeof v4;
    } else {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(endpoint.port);
        std::memcpy(&v6.sin6_addr, endpoint.ip.bytes.data(), sizeof v6.sin6_addr);
        std::memcpy(&out.storage, &v6, sizeof v6);
        out.length = sizeof v6;
    }
    return out;
}

std::string to_string(const sockaddr_storage& storage) {
    Endpoint endpoint;
    if (storage.ss_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &storage, sizeof v4);
        endpoint = {IpAddress::v4(v4.sin_addr.s_addr), ntohs(v4.sin_port)};
    } else if (storage.ss_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, &storage, sizeof v6);
        endpoint = {IpAddress::v6(v6.sin6_addr.s6_addr), ntohs(v6.sin6_port)};
    } else {
        return "unset";
    }
    return to_string(endpoint);
}

}  // namespace xylem::cli
