// SPDX-License-Identifier: Apache-2.0
// The identity of a running daemon: 128 random bits, new at every start. Two of them are equal only if they are the
// same process, and their order decides which of two connections stays.
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace xylem::signalling {

using InstanceId = std::array<uint8_t, 16>;

/// From getrandom(); ends the process if the kernel gives no random bytes.
InstanceId draw_instance();

/// 32 hexadecimal digits.
std::string to_hex(const InstanceId& instance);

}  // namespace xylem::signalling
