// SPDX-License-Identifier: Apache-2.0
// Addresses as text, for configuration, logs and errors.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/base/address.h"

namespace xylem {

/// An IPv4 or IPv6 address without scope or prefix length; nothing if `text` is none.
std::optional<IpAddress> parse_ip(std::string_view text);

/// "192.0.2.1", "2001:db8::1", or "unset".
std::string to_string(const IpAddress& ip);

/// "02:00:00:00:00:01"
std::string to_string(const MacAddress& mac);

/// "192.0.2.1:7470", "[2001:db8::1]:7470"
std::string to_string(const Endpoint& endpoint);

}  // namespace xylem
