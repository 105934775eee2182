// SPDX-License-Identifier: Apache-2.0
// Values of the API and of the engine to and from protobuf messages. Pure. Everything that comes from a peer is checked
// here for being well formed; whether it makes sense now is the state's question.
#pragma once
#include <xylem/abi/command.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "control/signalling/messages.pb.h"
#include "dataplane/base/address.h"
#include "dataplane/engine/engine.h"

namespace xylem::session {

using Bytes = std::vector<std::byte>;

void to_proto(const Endpoint& endpoint, proto::Address& out);
std::optional<Endpoint> from_proto(const proto::Address& address);

void to_proto(const abi::Qos& qos, proto::Qos& out);
abi::Qos from_proto(const proto::Qos& qos);

void to_proto(const engine::Geometry& geometry, int socket_type, proto::StreamParameters& out);
/// Nothing if no log or image can be so.
std::optional<engine::Geometry> geometry_of(const proto::StreamParameters& parameters);

/// Connect and disconnect data: at most kMaxConnectData bytes.
std::optional<Bytes> data_from(const std::string& field);
std::string data_to(const Bytes& bytes);

/// EFAULT: too short; EAFNOSUPPORT: not of `family`.
Result<Endpoint> endpoint_of(const abi::AddressBody& body, int family);
abi::AddressBody body_of(const Endpoint& endpoint);
/// The interface that an IPv6 address names; 0: none.
int scope_id_of(const abi::AddressBody& body);

/// The direction at the other end (W-257).
uint32_t mirrored(uint32_t direction);
bool may_send(uint32_t direction);
bool may_receive(uint32_t direction);

}  // namespace xylem::session
