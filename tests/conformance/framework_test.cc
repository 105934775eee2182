// SPDX-License-Identifier: Apache-2.0
// What the plays stand on: that a party's failure is the test's.
#include <gtest/gtest-spi.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

TEST(Framework, ExpectationThatFailsInAPartyFailsTheTest) {
    Party party = on_host(0, "party");
    EXPECT_NONFATAL_FAILURE(party.run([] { EXPECT_EQ(1, 2) << "in its process"; }), "in its process");
}

TEST(Framework, CallAndResultTravel) {
    Party party = on_host(0, "party");
    const Text text = "there and back";
    EXPECT_EQ(party.run([text] { return text; }), text);
    EXPECT_NE(party.run([] { return getpid(); }), getpid());
    auto pending = party.start([] { return calls::await_readable(-1, 2 * kQuietMs); });
    EXPECT_TRUE(pending.is_waiting());
    EXPECT_FALSE(pending.result());
}

TEST(Framework, PartyThatDiedIsLost) {
    Party crashed = on_host(0, "crashed"), killed = on_host(0, "killed");
    EXPECT_THROW(crashed.run([] { std::abort(); }), Lost);
    killed.kill();
    EXPECT_THROW(killed.run([] {}), Lost);
}

}  // namespace
}  // namespace xylem::conformance
