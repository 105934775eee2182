// SPDX-License-Identifier: Apache-2.0
#include "control/session/messages.h"

#include <netinet/in.h>
#include <xylem/socket.h>

#include <cerrno>
#include <cstring>

#include "control/signalling/codec.h"

namespace xylem::session {

void to_proto(const Endpoint& endpoint, proto::Address& out) {
    out.set_ip(endpoint.ip.bytes.data(), endpoint.ip.is_v4() ? 4 : 16);
    out.set_port(endpoint.port);
}

std::optional<Endpoint> from_proto(const proto::Address& address) { return signalling::from_proto(address); }

void to_proto(const abi::Qos& qos, proto::Qos& out) {
    *out.mutable_sending() = signalling::to_proto(qos.sending);
    *out.mutable_receiving() = signalling::to_proto(qos.receiving);
}

abi::Qos from_proto(const proto::Qos& qos) {
    return {.is_present = 1,
            .reserved_zero = 0,
            .sending = signalling::from_proto(qos.sending()),
            .receiving = signalling::from_proto(qos.receiving())};
}

void to_proto(const engine::Geometry& geometry, int socket_type, proto::StreamParameters& out) {
    out.set_cell_bytes(geometry.cell_bytes);
    out.set_cells_log2(geometry.cells_log2);
    out.set_socket_type(static_cast<uint32_t>(socket_type));
}

std::optional<engine::Geometry> geometry_of(const proto::StreamParameters& parameters) {
    const engine::Geometry geometry{.cell_bytes = parameters.cell_bytes(), .cells_log2 = parameters.cells_log2()};
    if (!geometry.is_valid()) return std::nullopt;
    return geometry;
}

std::optional<Bytes> data_from(const std::string& field) {
    if (field.size() > abi::kMaxConnectData) return std::nullopt;
    const auto* first = reinterpret_cast<const std::byte*>(field.data());
    return Bytes(first, first + field.size());
}

std::string data_to(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

Result<Endpoint> endpoint_of(const abi::AddressBody& body, int family) {
    if (body.length < sizeof(sa_family_t) || body.length > sizeof(sockaddr_storage))
        return Error{EFAULT, "the address has no room for a family"};
    const size_t needed = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (body.length < needed) return Error{EFAULT, "the address is too short for its family"};
    if (body.address.ss_family != family) return Error{EAFNOSUPPORT, "the address is of another family"};
    Endpoint endpoint;
    if (family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &body.address, sizeof in);
        endpoint.ip = IpAddress::v4(in.sin_addr.s_addr);
        endpoint.port = ntohs(in.sin_port);
    } else {
        sockaddr_in6 in{};
        std::memcpy(&in, &body.address, sizeof in);
        endpoint.ip = IpAddress::v6(in.sin6_addr.s6_addr);
        endpoint.port = ntohs(in.sin6_port);
    }
    return endpoint;
}

abi::AddressBody body_of(const Endpoint& endpoint) {
    abi::AddressBody body{};
    if (endpoint.ip.is_v4()) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(endpoint.port);
        in.sin_addr.s_addr = endpoint.ip.v4_be();
        std::memcpy(&body.address, &in, sizeof in);
        body.length = sizeof in;
    } else if (endpoint.ip.is_v6()) {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(endpoint.port);
        std::memcpy(&in.sin6_addr, endpoint.ip.bytes.data(), 16);
        std::memcpy(&body.address, &in, sizeof in);
        body.length = sizeof in;
    }
    return body;
}

int scope_id_of(const abi::AddressBody& body) {
    sockaddr_in6 in{};
    if (body.address.ss_family != AF_INET6 || body.length < sizeof in) return 0;
    std::memcpy(&in, &body.address, sizeof in);
    return static_cast<int>(in.sin6_scope_id);
}

uint32_t mirrored(uint32_t direction) {
    if (direction == XY_SENDER_ONLY) return XY_RECEIVER_ONLY;
    if (direction == XY_RECEIVER_ONLY) return XY_SENDER_ONLY;
    return XY_BOTH;
}

bool may_send(uint32_t direction) { return direction != XY_RECEIVER_ONLY; }
bool may_receive(uint32_t direction) { return direction != XY_SENDER_ONLY; }

}  // namespace xylem::session
