// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.N: the error codes of a join, those whose trigger is around the call: daemon, network, memory.
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <string>

#include "tests/conformance/daemon.h"
#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

TEST(JoinSurroundings, W_203_NetworkIsDownWithoutTheDaemon) {
    Daemon daemon;
    Party leaf(daemon.host(), "leaf");
    const int s = open_leaf(leaf);
    daemon.kill();
    EXPECT_THAT(leaf.join(s, leaf.address(7000)), Fails(ENETDOWN));
}

TEST(JoinSurroundings, W_203_NetworkGoesDownDuringAJoin) {
    Daemon daemon;
    Party root(daemon.host(), "root"), leaf(daemon.host(), "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf);
    auto joining = leaf.start_join(s, at.name);
    ASSERT_TRUE(root.run([s = at.s] { return calls::await_readable(s, kPatienceMs); }));
    daemon.kill();
    EXPECT_THAT(joining.result(), Fails(ENETDOWN));
}

TEST(JoinSurroundings, W_203_NetworkGoesDownDuringASession) {
    Daemon daemon;
    Party root(daemon.host(), "root"), leaf(daemon.host(), "leaf");
    const Bound at = listening_root(root);
    const Edge edge = ask(at, leaf);
    must(leaf.select(edge.s, XY_FD_CLOSE), "select");
    must(root.select(edge.at_root, XY_FD_CLOSE), "select");
    daemon.kill();
    EXPECT_EQ(leaf.await(edge.s, XY_FD_CLOSE).error_of[XY_FD_CLOSE_BIT], ENETDOWN);
    EXPECT_EQ(root.await(edge.at_root, XY_FD_CLOSE).error_of[XY_FD_CLOSE_BIT], ENETDOWN);
}

/// 192.0.2.0/24 is in no laboratory; a daemon of its own sees no network at all.
TEST(JoinSurroundings, W_213_NoRouteToTheDestination) {
    std::optional<Daemon> alone;
    if (!is_network()) alone.emplace(Daemon::Network::kNone);
    Party party(alone ? alone->host() : host(0), "party");
    const Address far = Address::of("192.0.2.1", 7000);
    const int leaf = open_leaf(party);
    EXPECT_THAT(party.join(leaf, far), Fails(ENETUNREACH));
    const int root = must(party.socket({}, kRoot), "socket");
    EXPECT_THAT(party.join(root, far), Fails(ENETUNREACH));
    const Bound at = listening_root(party);
    auto joining = party.start_join(leaf, at.name);
    must(party.accept(at.s), "accept");
    EXPECT_THAT(joining.result(), Returns(leaf)) << "the same socket, to where there is a way";
}

/// Leaves the daemon so much address space for what it makes from now on; 0 takes the limit away.
void limit_memory(const Daemon& daemon, uint64_t more_bytes) {
    uint64_t pages = 0;
    std::ifstream("/proc/" + std::to_string(daemon.pid()) + "/statm") >> pages;
    const uint64_t bytes = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + more_bytes;
    const rlimit limit{more_bytes != 0 ? bytes : RLIM_INFINITY, RLIM_INFINITY};
    must(done(prlimit(daemon.pid(), RLIMIT_AS, &limit, nullptr)), "prlimit");
}

TEST(JoinSurroundings, W_214_MemoryIsExhausted) {
    Daemon daemon;
    Party root(daemon.host(), "root"), leaf(daemon.host(), "leaf");
    const Bound at = listening_root(root), listener = listening_leaf(leaf), inviter = bound_root(root);
    for (const int s : {at.s, inviter.s})
        must(root.run([s] {
            const uint64_t bytes = 64 << 20;
            return done(xy_setsockopt(s, XY_SOL, XY_OPT_LOG_BYTES, &bytes, sizeof bytes));
        }),
             "XY_OPT_LOG_BYTES");
    const int s = open_leaf(leaf);
    limit_memory(daemon, 32 << 20);
    EXPECT_THAT(leaf.join(s, at.name), Fails(ENOBUFS));
    auto inviting = root.start_join(inviter.s, listener.name);
    EXPECT_THAT(leaf.accept(listener.s), Fails(ENOBUFS));
    EXPECT_THAT(inviting.result(), Fails(ENOBUFS));
    limit_memory(daemon, 0);
    auto joining = leaf.start_join(s, at.name);
    must(root.accept(at.s), "accept");
    EXPECT_THAT(joining.result(), Returns(s)) << "it was not joined, and may try again";
}

/// There is no start-up call: the first socket attaches, and that is where it shows.
TEST(JoinSurroundings, W_220_NothingStartsWithoutADaemon) {
    Party party({"/nonexistent/xylemd.sock", "127.0.0.1"}, "party");
    EXPECT_THAT(party.run([] { return done(xy_attach(nullptr)); }), Fails(ENETDOWN));
    EXPECT_THAT(party.socket({}, kLeaf), Fails(ENETDOWN));
}

TEST(JoinSurroundings, W_222_SilentHostIsUnreachable) {
    if (!is_network()) GTEST_SKIP() << "one host has no neighbours";
    Party leaf = on_host(0, "leaf");
    EXPECT_THAT(leaf.join(open_leaf(leaf), Address::of(absent_host(), 7000)), Fails(ENETUNREACH));
}

}  // namespace
}  // namespace xylem::conformance
