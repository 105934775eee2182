// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.N: the error codes of a join, each by its trigger.
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

Done set_join_timeout(Party& party, int s, uint32_t timeout_ms) {
    return party.run(
        [=] { return done(xy_setsockopt(s, XY_SOL, XY_OPT_JOIN_TIMEOUT_MS, &timeout_ms, sizeof timeout_ms)); });
}

TEST(JoinErrors, W_204_WildcardWhoseAddressIsTaken) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Bound owner = bound_leaf(leaf);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.bind(s, Address::of("0.0.0.0", owner.name.port())), "bind");
    EXPECT_THAT(leaf.join(s, at.name), Fails(EADDRINUSE));
    EXPECT_TRUE(root.is_quiet(at.s));
}

TEST(JoinErrors, W_204_SharedAddressIsNotInUse) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Bound owner = bound_leaf(leaf);
    const int s = open_leaf(leaf);
    must(leaf.run([s] {
        const int is_shared = 1;
        return done(xy_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &is_shared, sizeof is_shared));
    }),
         "SO_REUSEADDR");
    must(leaf.bind(s, Address::of("0.0.0.0", owner.name.port())), "bind");
    auto joining = leaf.start_join(s, at.name);
    must(root.accept(at.s), "accept");
    EXPECT_THAT(joining.result(), Returns(s));
    EXPECT_EQ(leaf.name_of(s), owner.name);
}

TEST(JoinErrors, W_205_CancelledJoinIsInterrupted) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf);
    const Joined joined = leaf.run([s, name = at.name] {
        Joined out;
        std::thread blocked([&] { out = calls::join(s, name, {}); });
        while (xy_cancel(blocked.native_handle()) != 0)
            usleep(1000);  // it is in no call yet
        blocked.join();
        return out;
    });
    EXPECT_THAT(joined, Fails(EINTR));
}

TEST(JoinErrors, W_206_JoinInsideAConditionFunction) {
    XY_ROW("A-04");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf);
    auto joining = leaf.start_join(s, at.name);
    struct Inside {
        Done join, socket, name;
    };
    const auto inside = root.run([at = at.s, name = at.name] {
        struct Argument {
            Address name;
            Inside told;
        } argument{name, {}};
        const auto condition = [](const xy_request*, xy_data* callee, void* arg) {
            auto& a = *static_cast<Argument*>(arg);
            a.told.socket = done(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, kLeaf));
            const int own = static_cast<int>(a.told.socket.value);
            a.told.join = calls::join(own, a.name, {});
            a.told.name = done(xy_bind(own, a.name.with_port(0).get(), a.name.length));
            callee->len = 0;
            return XY_ACCEPT;
        };
        must(done(xy_accept(at, nullptr, nullptr, condition, &argument)), "accept");
        return argument.told;
    });
    EXPECT_THAT(inside.join, Fails(EINPROGRESS));
    EXPECT_THAT(inside.socket, Succeeds()) << "other calls are allowed";
    EXPECT_THAT(inside.name, Succeeds()) << "other calls are allowed";
    EXPECT_THAT(joining.result(), Returns(s));
}

TEST(JoinErrors, W_207_SecondJoinWhileOneIsPending) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    must(leaf.join(s, at.name), "join");
    EXPECT_THAT(leaf.join(s, at.name), Fails(EALREADY));
}

TEST(JoinErrors, W_208_AddressZeroAndPortZero) {
    Party party = on_host(0, "party");
    const Bound root = bound_root(party, kNonblocking);
    for (const int s : {root.s, open_leaf(party, kNonblocking)}) {
        EXPECT_THAT(party.join(s, Address::of("0.0.0.0", 7000)), Fails(EADDRNOTAVAIL));
        EXPECT_THAT(party.join(s, party.address(0)), Fails(EADDRNOTAVAIL));
    }
}

TEST(JoinErrors, W_209_AddressOfAnotherFamily) {
    Party party = on_host(0, "party");
    const Bound root = bound_root(party);
    EXPECT_THAT(party.join(root.s, Address::of("::1", 7000)), Fails(EAFNOSUPPORT));
    EXPECT_THAT(party.join(open_leaf(party), Address::of("::1", 7000)), Fails(EAFNOSUPPORT));
}

TEST(JoinErrors, W_210_NobodyListens) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    EXPECT_THAT(leaf.join(open_leaf(leaf), unused_address(root)), Fails(ECONNREFUSED));
    EXPECT_THAT(root.join(bound_root(root).s, unused_address(leaf)), Fails(ECONNREFUSED));
}

TEST(JoinErrors, W_210_BacklogIsFull) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root, {}, 1);
    must(leaf.join(open_leaf(leaf, kNonblocking), at.name), "join");
    ASSERT_TRUE(root.run([s = at.s] { return calls::await_readable(s, kPatienceMs); }));
    EXPECT_THAT(leaf.join(open_leaf(leaf), at.name), Fails(ECONNREFUSED));
}

TEST(JoinErrors, W_210_ConditionFunctionRejects) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root), inviter = bound_root(root), listener = listening_leaf(leaf);
    auto joining = leaf.start_join(open_leaf(leaf), at.name);
    EXPECT_THAT(root.accept(at.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    EXPECT_THAT(joining.result(), Fails(ECONNREFUSED));
    auto inviting = root.start_join(inviter.s, listener.name);
    EXPECT_THAT(leaf.accept(listener.s, answer_of(XY_REJECT)), Fails(ECONNREFUSED));
    EXPECT_THAT(inviting.result(), Fails(ECONNREFUSED));
}

TEST(JoinErrors, W_210_ListenerIsOfTheWrongKind) {
    XY_ROW("A-20");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    EXPECT_THAT(leaf.join(open_leaf(leaf), listening_leaf(root).name), Fails(ECONNREFUSED));
    EXPECT_THAT(root.join(bound_root(root).s, listening_root(leaf).name), Fails(ECONNREFUSED));
    EXPECT_THAT(leaf.join(open_leaf(leaf, {SOCK_STREAM}), listening_root(root).name), Fails(ECONNREFUSED))
        << "another type";
}

TEST(JoinErrors, W_211_BadBuffers) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf, kNonblocking);
    const auto join_with = [&leaf, s, &at](xy_data caller, xy_data callee) {
        return leaf.run([=, name = at.name] {
            xy_data answer = callee;
            return done(xy_join_leaf(s, name.get(), name.length, &caller, &answer, nullptr, nullptr, XY_BOTH));
        });
    };
    static char bytes[XY_CONNECT_DATA_MAX + 1];
    EXPECT_THAT(join_with({bytes, XY_CONNECT_DATA_MAX + 1}, {}), Fails(EFAULT)) << "caller data too long";
    EXPECT_THAT(join_with({nullptr, 1}, {}), Fails(EFAULT)) << "no caller data where some are";
    EXPECT_THAT(join_with({}, {nullptr, 1}), Fails(EFAULT)) << "no callee buffer where one is";
    Address name = at.name;
    name.length = 8;
    EXPECT_THAT(leaf.join(s, name), Fails(EFAULT)) << "the name too short";
    EXPECT_TRUE(root.is_quiet(at.s));
    EXPECT_THAT(join_with({bytes, XY_CONNECT_DATA_MAX}, {bytes, 1}), Returns(s)) << "the longest that is allowed";
}

TEST(JoinErrors, W_212_MemberOfASession) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const Edge edge = ask(at, leaf);
    EXPECT_THAT(leaf.join(edge.s, at.name), Fails(EISCONN));
}

TEST(JoinErrors, W_215_NotASocketOfOurs) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root);
    const int s = open_leaf(leaf);
    must(leaf.close(s), "close");
    EXPECT_THAT(leaf.join(s, at.name), Fails(ENOTSOCK)) << "closed";
    const int foreign = leaf.run([] { return ::socket(AF_INET, SOCK_STREAM, 0); });
    for (const int fd : {foreign, 0, 1'000'000, 2'000'000'000, -1})
        EXPECT_THAT(leaf.join(fd, at.name), Fails(ENOTSOCK)) << fd;
}

TEST(JoinErrors, W_217_ConnectDataWhereTheCapabilitySaysSo) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    for (const xy_protocol& entry : root.protocols()) {
        if ((entry.capabilities & XY_CAP_ROOTED_CONTROL) == 0 || entry.family != AF_INET) continue;
        const Kind kind{entry.type, entry.protocol};
        const Bound at = listening_root(root, kind);
        const int s = open_leaf(leaf, kind);
        if ((entry.capabilities & XY_CAP_CONNECT_DATA) == 0) {
            EXPECT_THAT(leaf.join(s, at.name, {.caller = "hello"}), Fails(EPROTONOSUPPORT)) << entry.name;
            continue;
        }
        auto joining = leaf.start_join(s, at.name, {.caller = "hello"});
        EXPECT_EQ(root.accept(at.s, answer_of(XY_ACCEPT)).caller_data, "hello") << entry.name;
        EXPECT_THAT(joining.result(), Returns(s)) << entry.name;
    }
}

TEST(JoinErrors, W_218_NobodyAnswers) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root), inviter = bound_root(root), listener = listening_leaf(leaf);
    const int s = open_leaf(leaf);
    must(set_join_timeout(leaf, s, 100), "XY_OPT_JOIN_TIMEOUT_MS");
    EXPECT_THAT(leaf.join(s, at.name), Fails(ETIMEDOUT));
    must(set_join_timeout(root, inviter.s, 100), "XY_OPT_JOIN_TIMEOUT_MS");
    EXPECT_THAT(root.join(inviter.s, listener.name), Fails(ETIMEDOUT));
}

TEST(JoinErrors, W_219_BadFlagsAndListeningLeaves) {
    XY_ROW("A-31");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root), listener = listening_leaf(leaf);
    for (const unsigned flags : {0U, 5U, 6U, 7U, 8U, 12U, 20U, 0x80000000U, ~0U}) {
        EXPECT_THAT(leaf.join(open_leaf(leaf), at.name, {.flags = flags}), Fails(EINVAL)) << flags;
        EXPECT_THAT(root.join(at.s, listener.name, {.flags = flags}), Fails(EINVAL)) << flags;
    }
    EXPECT_THAT(leaf.join(listener.s, at.name), Fails(EINVAL));
}

TEST(JoinErrors, W_221_JoinNeverWouldBlock) {
    XY_ROW("A-03");
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound at = listening_root(root, kNonblocking, 1), inviter = bound_root(root, kNonblocking);
    const Bound listener = listening_leaf(leaf, kNonblocking);
    for (int i = 0; i < 20; ++i) {  // most of them find the backlog full
        const int s = open_leaf(leaf, kNonblocking);
        EXPECT_THAT(leaf.join(s, at.name), Returns(s));
        EXPECT_THAT(leaf.join(s, at.name), testing::Not(Fails(EAGAIN)));
    }
    EXPECT_THAT(root.join(inviter.s, listener.name), Succeeds());
    EXPECT_THAT(root.join(inviter.s, listener.name), Fails(EALREADY));
}

}  // namespace
}  // namespace xylem::conformance
