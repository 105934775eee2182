// SPDX-License-Identifier: Apache-2.0
#include "control/signalling/instance.h"

#include <sys/random.h>

#include <cstdlib>

namespace xylem::signalling {

InstanceId draw_instance() {
    InstanceId instance{};
    // Up to 256 bytes come whole, without EINTR, once the kernel's pool is ready (getrandom(2)).
    while (getrandom(instance.data(), instance.size(), 0) != static_cast<ssize_t>(instance.size()))
        if (errno != EINTR) std::abort();
    return instance;
}

std::string to_hex(const InstanceId& instance) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (uint8_t byte : instance) {
        text += kDigits[byte >> 4];
        text += kDigits[byte & 15];
    }
    return text;
}

}  // namespace xylem::signalling
