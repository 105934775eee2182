// SPDX-License-Identifier: Apache-2.0
// The conformance suite: a test per row of docs/winsock.md. conformance.py starts the daemons and then this.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (!GTEST_FLAG_GET(list_tests) && std::getenv("XY_CONFORM_HOSTS") == nullptr) {
        std::fputs("XY_CONFORM_HOSTS is not set: run tests/conformance/conformance.py\n", stderr);
        return 2;
    }
    return RUN_ALL_TESTS();
}
