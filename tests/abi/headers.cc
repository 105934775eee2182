// SPDX-License-Identifier: Apache-2.0
// The public headers alone, in C++20, and the C++ wrapper.
#include <xylem/xylem.hpp>

int main() {
    static_assert(!noexcept(xylem::Socket(0, 0, 0, 0)));
    return xy_version() == nullptr;
}
