// SPDX-License-Identifier: Apache-2.0
// Joins, leaf-initiated and root-initiated (docs/winsock.md 1.A, 1.C, 1.D, 1.E, 1.G, 1.H, 1.L, 1.M, 1.N).
#include <cerrno>

#include "tests/unit/session_world.h"

namespace xylem::session {

constexpr uint16_t kPort = 5000;

struct Join : testing::Test {
    World w;
    TestApp root{w.a}, leaf{w.b};
    uint32_t s = 0, l = 0, f = 0;

    /// A root at a, a leaf at b that has joined.
    void join(int type = SOCK_RDM, uint32_t direction = XY_BOTH) {
        s = root.root(kPort, type);
        l = leaf.leaf(type);
        ASSERT_EQ(leaf.join(l, w.a.address(), kPort, direction).error, 0);
        w.run();
        auto accepted = root.accept(s);
        w.run();
        ASSERT_EQ(accepted->error, 0);
        f = socket_in(*accepted);
    }
};

TEST_F(Join, OnlyTheLegalPlanesOfATreeAreCreated_W009_W010_W011) {
    for (uint32_t bits = 0; bits < 16; ++bits) {
        const uint32_t flags = bits << 1;
        const uint32_t c = flags & (XY_C_ROOT | XY_C_LEAF), d = flags & (XY_D_ROOT | XY_D_LEAF);
        const bool is_legal = (c == XY_C_ROOT || c == XY_C_LEAF) && (d == XY_D_ROOT || d == XY_D_LEAF);
        EXPECT_EQ(root.try_open(flags, SOCK_RDM, XY_PROTO_TREE).error, is_legal ? 0 : EINVAL) << flags;
    }
}

TEST_F(Join, FamiliesAndTypesThatThereAreNot_W016) {
    EXPECT_EQ(root.try_open(XY_C_ROOT | XY_D_ROOT, SOCK_RDM, XY_PROTO_TREE, AF_UNIX).error, EAFNOSUPPORT);
    EXPECT_EQ(root.try_open(XY_C_ROOT | XY_D_ROOT, SOCK_SEQPACKET, XY_PROTO_TREE).error, EPROTOTYPE);
    EXPECT_EQ(root.try_open(XY_C_ROOT | XY_D_ROOT, 77, XY_PROTO_TREE).error, ESOCKTNOSUPPORT);
}

TEST_F(Join, AnApplicationHasSoManySocketsAndNoMore_W016) {
    for (uint32_t n = 0; n < abi::kMaxSockets; ++n)
        ASSERT_EQ(root.try_open(XY_C_LEAF | XY_D_LEAF, SOCK_RDM, 0).error, 0);
    EXPECT_EQ(root.try_open(XY_C_LEAF | XY_D_LEAF, SOCK_RDM, 0).error, EMFILE);
}

TEST_F(Join, ALeafThatAsksIsAdmitted_W080_W083_W086) {
    s = root.root(kPort);
    l = leaf.leaf();
    EXPECT_EQ(leaf.name_error(l, false), EINVAL);
    Reply reply = leaf.join(l, w.a.address(), kPort, XY_BOTH, "let me in");
    EXPECT_EQ(socket_in(reply), l);
    EXPECT_TRUE(reply.owned.empty());
    EXPECT_NE(leaf.name(l).port, 0);  // W-042
    EXPECT_EQ(leaf.outcome(l), EINPROGRESS);
    EXPECT_EQ(leaf.phase(l), abi::Phase::kJoining);
    w.run();
    EXPECT_EQ(root.facts(s).backlog, 1U);
    EXPECT_EQ(leaf.facts(l).connect_done, 0U);

    const auto taken = body_in<abi::AcceptTakeReply>(root.take(s));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(taken.caller_data), taken.caller_bytes), "let me in");
    EXPECT_EQ(endpoint_of(taken.caller, AF_INET)->ip, w.b.address());
    EXPECT_EQ(endpoint_of(taken.callee, AF_INET)->port, kPort);
    auto accepted = root.decide(s, taken.request, XY_ACCEPT, "welcome");
    EXPECT_EQ(accepted->error, -1) << "accept returned before the replica was there";
    w.run();

    f = socket_in(*accepted);
    EXPECT_NE(f, s);
    EXPECT_EQ(accepted->owned.size(), 1U);
    EXPECT_EQ(leaf.outcome(l), 0);
    EXPECT_EQ(leaf.callee_data(l), "welcome");
    EXPECT_EQ(leaf.facts(l).connect_done, 1U);
    EXPECT_EQ(leaf.phase(l), abi::Phase::kJoined);
    EXPECT_EQ(leaf.facts(l).is_live, 1U);
    EXPECT_EQ(leaf.facts(l).leaves, 1U);
    EXPECT_EQ(root.facts(s).leaves, 1U);
    EXPECT_EQ(root.name(f, true), leaf.name(l));  // W-105
    EXPECT_EQ(root.name_error(s, true), ENOTCONN);
    EXPECT_EQ(leaf.name(l, true).port, kPort);
}

TEST_F(Join, WhatIsSentAfterAcceptArrives_Invariant5) {
    join();
    root.commit(s, abi::position(3, 64));
    w.carry();
    EXPECT_EQ(leaf.reader(l)->image->published, abi::position(3, 64));
    EXPECT_EQ(leaf.reader(l)->consumed, 0U);
    const auto image = body_in<abi::ImageReply>(leaf.s().get_image(*leaf.app, l, {}));
    EXPECT_EQ(image.flags, abi::kImageReliable);
    EXPECT_EQ(image.start, 0U);
}

TEST_F(Join, ALateLeafStartsAtTheNextFrame) {
    join();
    root.commit(s, abi::position(9, 8));
    w.read_and_carry();
    TestApp late{w.b};
    const uint32_t second = late.leaf();
    ASSERT_EQ(late.join(second, w.a.address(), kPort).error, 0);
    w.run();
    EXPECT_EQ(late.reader(second), nullptr) << "a leaf that waits holds the others' image";
    auto accepted = root.accept(s);
    w.run();
    ASSERT_EQ(accepted->error, 0);
    EXPECT_EQ(late.reader(second)->consumed, abi::position(9, 8));
    EXPECT_EQ(w.b.engine.n_images_made, 1U) << "the leaves of a host share one image";
    EXPECT_EQ(w.a.engine.replicas().size(), 1U + 0U);
}

TEST_F(Join, TwoLeavesOfOneHostAdmittedAtOnceLoseNothing) {
    for (unsigned seed = 0; seed < 50; ++seed) {
        World world;
        world.random.seed(seed);
        TestApp r{world.a}, one{world.b}, two{world.b};
        const uint32_t listener = r.root(kPort);
        const uint32_t x = one.leaf(), y = two.leaf();
        ASSERT_EQ(one.join(x, world.a.address(), kPort).error, 0);
        ASSERT_EQ(two.join(y, world.a.address(), kPort).error, 0);
        world.run();
        auto first = r.accept(listener), second = r.accept(listener);
        world.run();
        ASSERT_EQ(first->error, 0) << seed;
        ASSERT_EQ(second->error, 0) << seed;
        EXPECT_EQ(one.outcome(x), 0);
        EXPECT_EQ(two.outcome(y), 0);
        EXPECT_EQ(world.b.engine.n_images_made, 1U);
        EXPECT_EQ(r.facts(listener).leaves, 2U);
    }
}

TEST_F(Join, ALeafOfTheSameHostTakesTheSameWayWithoutLabels) {
    TestApp local{w.a};
    s = root.root(kPort);
    l = local.leaf();
    ASSERT_EQ(local.join(l, w.a.address(), kPort).error, 0);
    w.run();
    auto accepted = root.accept(s, "hello");
    w.run();
    ASSERT_EQ(accepted->error, 0);
    EXPECT_EQ(local.callee_data(l), "hello");
    for (const engine::Image* image : w.a.engine.images())
        EXPECT_EQ(image->spec.label, 0U);
    for (const engine::Replica* replica : w.a.engine.replicas())
        EXPECT_NE(replica->spec.local_image, nullptr);
    EXPECT_TRUE(w.a.network.watches.empty());
    root.commit(s, abi::position(1, 0));
    local.commit(l, abi::position(2, 0));
    w.carry();
    EXPECT_EQ(local.reader(l)->image->published, abi::position(1, 0));
    EXPECT_EQ(root.reader(s)->image->published, abi::position(2, 0));
}

TEST_F(Join, WhatALeafSendsComesIntoTheRootsInboxUnderItsNumber_W028_W038) {
    join();
    leaf.commit(l, abi::position(0, 80));
    w.carry();
    engine::Reader* inbox = root.reader(s);
    ASSERT_NE(inbox, nullptr);
    EXPECT_EQ(inbox->image->published, abi::position(0, 80));
    EXPECT_EQ(root.s().get_inbox(*root.app, s).borrowed.size(), 2U);
    const auto image = body_in<abi::ImageReply>(root.s().get_image(*root.app, s, {.slot = inbox->spec.slot}));
    EXPECT_EQ(*endpoint_of(image.source, AF_INET), leaf.name(l));
    EXPECT_EQ(image.leaf_number, root.rows(s).at(0).number);
}

TEST_F(Join, AReceiverOnlyLeafHasNoStreamAndASenderOnlyLeafNoImage_W252_W253) {
    join(SOCK_RDM, XY_RECEIVER_ONLY);
    EXPECT_EQ(leaf.s().make_log(*leaf.app, l).error, EOPNOTSUPP);
    EXPECT_EQ(leaf.facts(l).direction, static_cast<uint32_t>(XY_RECEIVER_ONLY));
    EXPECT_EQ(root.facts(f).direction, static_cast<uint32_t>(XY_SENDER_ONLY));
    EXPECT_EQ(root.reader(s), nullptr);
    TestApp other{w.b};
    const uint32_t sender = other.leaf();
    ASSERT_EQ(other.join(sender, w.a.address(), kPort, XY_SENDER_ONLY).error, 0);
    w.run();
    root.accept(s);
    w.run();
    EXPECT_EQ(other.outcome(sender), 0);
    EXPECT_EQ(other.facts(sender).is_live, 0U);
    EXPECT_EQ(other.reader(sender), nullptr);
    EXPECT_NE(root.reader(s), nullptr);
}

TEST_F(Join, NobodyListens_W084_W210_W117) {
    l = leaf.leaf();
    ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
    w.run();
    EXPECT_EQ(leaf.outcome(l), ECONNREFUSED);
    EXPECT_EQ(leaf.phase(l), abi::Phase::kBound);
    s = root.root(kPort);  // and the same socket may try again
    ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
    w.run();
    root.accept(s);
    w.run();
    EXPECT_EQ(leaf.outcome(l), 0);
    EXPECT_EQ(leaf.facts(l).connect_done, 2U);
}

TEST_F(Join, TheNetworksErrorsAreTheJoins_W213_W222) {
    l = leaf.leaf();
    w.b.links.dial_error = EHOSTUNREACH;
    ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
    w.run();
    EXPECT_EQ(leaf.outcome(l), ENETUNREACH);
    w.b.network.has_route = false;
    EXPECT_EQ(leaf.join(l, w.a.address(), kPort).error, ENETUNREACH);
}

TEST_F(Join, AnotherTypeIsRefused) {
    s = root.root(kPort, SOCK_STREAM);
    l = leaf.leaf(SOCK_RDM);
    ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
    w.run();
    EXPECT_EQ(leaf.outcome(l), ECONNREFUSED);
}

TEST_F(Join, ParametersAreCheckedInOrder_W045_W046_W047_W048_W051_W087_W251) {
    l = leaf.leaf();
    EXPECT_EQ(leaf.join(l, w.a.address(), 0).error, EADDRNOTAVAIL);
    EXPECT_EQ(leaf.join(l, ip("0.0.0.0"), kPort).error, EADDRNOTAVAIL);
    for (uint32_t flags : {0U, 5U, 8U})
        EXPECT_EQ(leaf.join(l, w.a.address(), 0, flags).error, EINVAL) << flags;
    abi::JoinBody body{};
    body.flags = XY_BOTH;
    body.name = address_body(w.a.address(), kPort);
    body.name.length = 4;
    EXPECT_EQ(leaf.s().join(*leaf.app, l, body).error, EFAULT);
    body.name = body_of({ip("2001:db8::1"), kPort});
    EXPECT_EQ(leaf.s().join(*leaf.app, l, body).error, EAFNOSUPPORT);
    EXPECT_EQ(leaf.s().join(*leaf.app, 4000, body).error, ENOTSOCK);
    const uint32_t listener = leaf.listening_leaf(6000);
    EXPECT_EQ(leaf.join(listener, w.a.address(), 0).error, EINVAL);
    EXPECT_EQ(leaf.join(l, w.a.address(), kPort, XY_SENDER_ONLY | XY_RECEIVER_ONLY).error, 0);
}

TEST_F(Join, OneJoinAtATime_W110_W111_W112_W113) {
    s = root.root(kPort);
    l = leaf.leaf();
    ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
    EXPECT_EQ(leaf.join(l, w.a.address(), kPort).error, EALREADY);
    w.run();
    EXPECT_EQ(leaf.join(l, w.a.address(), kPort).error, EALREADY);
    root.accept(s);
    w.run();
    EXPECT_EQ(leaf.outcome(l), 0);
    EXPECT_EQ(leaf.facts(l).connect_done, 1U);
    EXPECT_EQ(leaf.join(l, w.a.address(), kPort).error, EISCONN);
}

TEST_F(Join, RejectIsRefusedAtBothEnds_W193_W186) {
    s = root.root(kPort);
    l = leaf.leaf();
    leaf.join(l, w.a.address(), kPort);
    w.run();
    const auto taken = body_in<abi::AcceptTakeReply>(root.take(s));
    auto decided = root.decide(s, taken.request, XY_REJECT);
    EXPECT_EQ(body_in<abi::SocketReply>(*decided).socket, 0U);
    w.run();
    EXPECT_EQ(leaf.outcome(l), ECONNREFUSED);
    EXPECT_EQ(leaf.callee_data(l), "");
    EXPECT_EQ(root.take(s).error, EAGAIN);
    EXPECT_EQ(root.decide(s, taken.request)->error, EINVAL) << "decided twice";
}

TEST_F(Join, ADeferredRequestStaysAtTheHead_W152_W194_W195) {
    s = root.root(kPort);
    l = leaf.leaf();
    const uint32_t second = leaf.leaf();
    leaf.join(l, w.a.address(), kPort, XY_BOTH, "1");
    w.run();
    leaf.join(second, w.a.address(), kPort, XY_BOTH, "2");
    w.run();
    const auto taken = body_in<abi::AcceptTakeReply>(root.take(s));
    EXPECT_EQ(root.decide(s, taken.request, 7)->error, EINVAL);
    EXPECT_EQ(root.decide(s, taken.request, XY_DEFER)->error, 0);
    EXPECT_EQ(root.facts(s).backlog, 2U);
    const auto again = body_in<abi::AcceptTakeReply>(root.take(s));
    EXPECT_EQ(again.request, taken.request);
    EXPECT_EQ(again.caller_data[0], '1');
    root.decide(s, again.request);
    w.run();
    EXPECT_EQ(leaf.outcome(l), 0);
}

TEST_F(Join, AWithdrawnRequestIsSaidOnceAndGone_W119_W121_W122) {
    s = root.root(kPort);
    l = leaf.leaf();
    leaf.join(l, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(leaf.close(l), 0);
    w.run();
    EXPECT_EQ(root.facts(s).backlog, 1U) << "what was recorded is not taken back";
    EXPECT_EQ(root.take(s).error, EACCES);
    EXPECT_EQ(root.take(s).error, EAGAIN);
    TestApp second{w.b};
    const uint32_t m = second.leaf();
    second.join(m, w.a.address(), kPort);
    w.run();
    const auto taken = body_in<abi::AcceptTakeReply>(root.take(s));
    second.die();
    w.run();
    EXPECT_EQ(root.decide(s, taken.request)->error, ECONNRESET);
    leaf.die();
    root.die();
    w.run();
    EXPECT_EQ(w.leftovers(), "");
}

TEST_F(Join, AFullBacklogRefusesAndAShorterOneResets_W069_W070) {
    s = root.root(kPort, SOCK_RDM, 2);
    uint32_t l1 = leaf.leaf(), l2 = leaf.leaf(), l3 = leaf.leaf();
    for (uint32_t one : {l1, l2, l3}) {
        leaf.join(one, w.a.address(), kPort);
        w.run();
    }
    EXPECT_EQ(leaf.outcome(l3), ECONNREFUSED);
    EXPECT_EQ(leaf.outcome(l2), EINPROGRESS);
    EXPECT_EQ(root.s().listen(*root.app, s, {.backlog = -5, .reserved_zero = 0}).error, 0);
    w.run();
    EXPECT_EQ(leaf.outcome(l2), ECONNREFUSED);
    EXPECT_EQ(leaf.outcome(l1), EINPROGRESS);
    EXPECT_EQ(root.facts(s).backlog, 1U);
}

TEST_F(Join, NobodyAnswers_W218) {
    s = root.root(kPort);
    l = leaf.leaf();
    abi::OptionBody option{
        .level = XY_SOL, .name = XY_OPT_JOIN_TIMEOUT_MS, .bytes = 4, .reserved_zero = 0, .value = {}};
    option.value[0] = 200;
    EXPECT_EQ(leaf.set_option(l, option).error, 0);
    leaf.join(l, w.a.address(), kPort);
    w.run();
    w.pass(150);
    EXPECT_EQ(leaf.outcome(l), EINPROGRESS);
    w.pass(100);
    EXPECT_EQ(leaf.outcome(l), ETIMEDOUT);
    EXPECT_EQ(root.take(s).error, EACCES);
}

TEST_F(Join, TheRootClosesWithoutAccepting_W084) {
    s = root.root(kPort);
    l = leaf.leaf();
    leaf.join(l, w.a.address(), kPort);
    w.run();
    root.close(s);
    w.run();
    EXPECT_EQ(leaf.outcome(l), ECONNREFUSED);
}

TEST_F(Join, ListenNeedsBindAndHandlesDoNotListen_W061_W106) {
    l = leaf.leaf();
    EXPECT_EQ(leaf.s().listen(*leaf.app, l, {.backlog = 1, .reserved_zero = 0}).error, EINVAL);
    join();
    EXPECT_EQ(root.s().listen(*root.app, f, {.backlog = 1, .reserved_zero = 0}).error, EINVAL);
    EXPECT_EQ(root.take(f).error, EINVAL);
    EXPECT_EQ(root.join(f, w.b.address(), 7).error, EISCONN);
    EXPECT_EQ(root.s().make_log(*root.app, f).error, EOPNOTSUPP);
}

TEST_F(Join, AnAddressThatIsNotOursOrIsTakenIsNotBound_W204) {
    s = root.open(XY_C_ROOT | XY_D_ROOT);
    EXPECT_EQ(root.s().bind(*root.app, s, address_body(w.b.address(), 1)).error, EADDRNOTAVAIL);
    EXPECT_EQ(root.s().bind(*root.app, s, address_body(w.a.address(), kPort)).error, 0);
    EXPECT_EQ(root.s().bind(*root.app, s, address_body(w.a.address(), 1)).error, EINVAL);
    const uint32_t second = root.leaf();
    EXPECT_EQ(root.s().bind(*root.app, second, address_body(w.a.address(), kPort)).error, EADDRINUSE);
    // A wildcard is another holding, until a join commits it.
    EXPECT_EQ(root.s().bind(*root.app, second, address_body(ip("0.0.0.0"), kPort)).error, 0);
    EXPECT_EQ(root.join(second, w.b.address(), 7).error, EADDRINUSE);
    abi::OptionBody reuse{.level = SOL_SOCKET, .name = SO_REUSEADDR, .bytes = 4, .reserved_zero = 0, .value = {1}};
    EXPECT_EQ(root.set_option(second, reuse).error, 0);
    EXPECT_EQ(root.join(second, w.b.address(), 7).error, 0);
    EXPECT_EQ(root.name(second).ip, w.a.address());
}

TEST_F(Join, APortBelongsToOneUserAtWhateverAddress_Invariant3) {
    TestApp stranger{w.a, 1000};
    const IpAddress any = ip("0.0.0.0");
    const abi::OptionBody reuse{
        .level = SOL_SOCKET, .name = SO_REUSEADDR, .bytes = 4, .reserved_zero = 0, .value = {1}};
    auto bind = [&](TestApp& app, const IpAddress& address, uint16_t port) {
        const uint32_t socket = app.leaf();
        EXPECT_EQ(app.set_option(socket, reuse).error, 0);
        const int code = app.s().bind(*app.app, socket, address_body(address, port)).error;
        if (code != 0) app.close(socket);
        return code;
    };
    EXPECT_EQ(bind(root, any, kPort), 0);
    EXPECT_EQ(bind(stranger, w.a.address(), kPort), EADDRINUSE) << "it would take the joins of the other";
    EXPECT_EQ(bind(stranger, any, kPort), EADDRINUSE);
    EXPECT_EQ(bind(root, w.a.address(), kPort + 1), 0);
    EXPECT_EQ(bind(stranger, any, kPort + 1), EADDRINUSE);
    EXPECT_EQ(bind(stranger, w.a.address(), kPort + 1), EADDRINUSE);
    EXPECT_EQ(bind(root, w.a.address(), kPort), 0) << "one's own";
    EXPECT_EQ(bind(stranger, w.a.address(), 0), 0);
    root.die();
    w.run();
    EXPECT_EQ(bind(stranger, any, kPort), 0) << "free again";
    stranger.die();
}

TEST_F(Join, AnAddressIsSharedOnlyIfAllWhoHoldItAskForThat) {
    const abi::OptionBody reuse{
        .level = SOL_SOCKET, .name = SO_REUSEADDR, .bytes = 4, .reserved_zero = 0, .value = {1}};
    const abi::AddressBody address = address_body(w.a.address(), kPort);
    const uint32_t first = root.leaf(), second = root.leaf();
    EXPECT_EQ(root.s().bind(*root.app, first, address).error, 0);
    EXPECT_EQ(root.set_option(second, reuse).error, 0);
    EXPECT_EQ(root.s().bind(*root.app, second, address).error, EADDRINUSE) << "the first has not asked for it";
    root.close(first);
    EXPECT_EQ(root.s().bind(*root.app, second, address).error, 0);
    const uint32_t third = root.leaf(), fourth = root.leaf();
    EXPECT_EQ(root.s().bind(*root.app, third, address).error, EADDRINUSE);
    EXPECT_EQ(root.set_option(fourth, reuse).error, 0);
    EXPECT_EQ(root.s().bind(*root.app, fourth, address).error, 0);
}

TEST_F(Join, AWildcardRootIsReachedAtEveryAddress) {
    s = root.open(XY_C_ROOT | XY_D_ROOT);
    root.s().bind(*root.app, s, address_body(ip("0.0.0.0"), kPort));
    root.s().listen(*root.app, s, {.backlog = 1, .reserved_zero = 0});
    l = leaf.leaf();
    leaf.join(l, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(root.facts(s).backlog, 1U);
}

// ---- the root invites ----

TEST_F(Join, ARootInvitesALeafThatListens_W060_W062_W064_W065_W073_W094) {
    const uint32_t listener = leaf.listening_leaf(6000);
    s = root.open(XY_C_ROOT | XY_D_ROOT);
    Reply reply = root.join(s, w.b.address(), 6000, XY_BOTH, "come");
    f = socket_in(reply);
    EXPECT_NE(f, s);
    EXPECT_EQ(reply.owned.size(), 1U);
    EXPECT_EQ(root.phase(f), abi::Phase::kJoining);
    EXPECT_EQ(root.name_error(f, true), ENOTCONN);  // W-102
    w.run();
    EXPECT_EQ(leaf.facts(listener).backlog, 1U);
    EXPECT_EQ(root.outcome(s), EINPROGRESS);
    const auto taken = body_in<abi::AcceptTakeReply>(leaf.take(listener));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(taken.caller_data), taken.caller_bytes), "come");
    auto accepted = leaf.decide(listener, taken.request, XY_ACCEPT, "gladly");
    w.run();
    ASSERT_EQ(accepted->error, 0);
    l = socket_in(*accepted);  // answered when it is joined: it may send and receive at once
    EXPECT_NE(l, listener);
    EXPECT_EQ(root.outcome(s), 0);
    EXPECT_EQ(root.callee_data(s), "gladly");
    EXPECT_EQ(root.facts(s).connect_done, 1U);
    EXPECT_EQ(root.facts(f).connect_done, 0U);  // W-131
    EXPECT_EQ(root.phase(f), abi::Phase::kJoined);
    EXPECT_EQ(root.name(f, true), (Endpoint{w.b.address(), 6000}));
    EXPECT_EQ(leaf.phase(l), abi::Phase::kJoined);
    EXPECT_EQ(leaf.facts(l).is_live, 1U);
    root.commit(s, abi::position(5, 0));
    leaf.commit(l, abi::position(6, 0));
    w.carry();
    EXPECT_EQ(leaf.reader(l)->image->published, abi::position(5, 0));
    EXPECT_EQ(root.reader(s)->image->published, abi::position(6, 0));
}

TEST_F(Join, AnInvitationThatTheRootNeverCompletesEnds_W218) {
    const uint32_t listener = leaf.listening_leaf(6000);
    s = root.open(XY_C_ROOT | XY_D_ROOT);
    root.join(s, w.b.address(), 6000);
    w.run();
    auto accepted = leaf.accept(listener);
    w.b.links.wire.clear();  // the root's host keeps its silence
    w.pass(29'000);
    EXPECT_EQ(accepted->error, -1);
    w.pass(2'000);
    ASSERT_EQ(accepted->error, 0);
    l = socket_in(*accepted);
    EXPECT_EQ(leaf.end_code(l), ETIMEDOUT);
    EXPECT_EQ(w.b.engine.images().size(), 0U);
}

TEST_F(Join, ARootInvitesManyAndAlsoAcceptsThoseThatAsk_W068_W085_W114_W115) {
    join();
    const uint32_t x = leaf.listening_leaf(6000), y = leaf.listening_leaf(6001);
    ASSERT_EQ(root.join(s, w.b.address(), 6000).error, 0);
    EXPECT_EQ(root.join(s, w.b.address(), 6001).error, EALREADY);
    w.run();
    leaf.accept(x);
    w.run();
    EXPECT_EQ(root.outcome(s), 0);
    EXPECT_EQ(root.join(s, w.b.address(), 6000).error, EISCONN);
    ASSERT_EQ(root.join(s, w.b.address(), 6001).error, 0);
    w.run();
    leaf.accept(y);
    w.run();
    EXPECT_EQ(root.facts(s).leaves, 3U);
    EXPECT_EQ(root.facts(s).connect_done, 2U);
    EXPECT_EQ(w.b.engine.n_images_made, 1U);
    EXPECT_EQ(root.rows(s).size(), 3U);
}

TEST_F(Join, AnInvitationThatNobodyTakesFailsAndItsHandleIsDead_W067_W104_W117) {
    s = root.open(XY_C_ROOT | XY_D_ROOT);
    f = socket_in(root.join(s, w.b.address(), 6000));
    w.run();
    EXPECT_EQ(root.outcome(s), ECONNREFUSED);
    EXPECT_EQ(root.phase(f), abi::Phase::kEnded);
    EXPECT_EQ(root.end_code(f), -1);
    EXPECT_EQ(root.name_error(f, true), ENOTCONN);
    EXPECT_EQ(root.rows(s).at(0).reason, static_cast<uint32_t>(XY_END_REFUSED));
    EXPECT_EQ(root.close(f), 0);
    EXPECT_TRUE(root.rows(s).empty());
    TestApp other{w.b};
    other.root(6000);  // a listening c_root is no leaf
    root.join(s, w.b.address(), 6000);
    w.run();
    EXPECT_EQ(root.outcome(s), ECONNREFUSED);
}

TEST_F(Join, ACancelledJoinIsWithdrawnAndTheSocketMayJoinAgain_W122_W240_W243) {
    s = root.root(kPort);
    l = leaf.leaf();
    EXPECT_EQ(leaf.s().cancel_join(*leaf.app, l).error, EINVAL);
    EXPECT_EQ(leaf.s().cancel_join(*leaf.app, 4000).error, ENOTSOCK);
    for (int n_steps = 0; n_steps < 12; ++n_steps) {  // wherever it is
        ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0) << n_steps;
        for (int i = 0; i < n_steps && w.step(); ++i) {
        }
        ASSERT_EQ(leaf.s().cancel_join(*leaf.app, l).error, 0) << n_steps;
        EXPECT_EQ(leaf.phase(l), abi::Phase::kBound);
        EXPECT_EQ(leaf.facts(l).is_joining, 0U);
        EXPECT_EQ(leaf.s().cancel_join(*leaf.app, l).error, EINVAL);
        w.run();
        EXPECT_EQ(leaf.facts(l).connect_done, 0U);
        const int taken = root.take(s).error;
        EXPECT_TRUE(taken == EAGAIN || taken == EACCES) << taken;
    }
    ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
    w.run();
    auto accepted = root.accept(s);
    w.run();
    EXPECT_EQ(accepted->error, 0);
    EXPECT_EQ(leaf.outcome(l), 0);
    EXPECT_EQ(leaf.s().cancel_join(*leaf.app, l).error, EINVAL) << "it was decided first";
    root.die();
    leaf.die();
    w.run();
    EXPECT_EQ(w.leftovers(), "");
}

TEST_F(Join, ACancelMayCrossTheRootsAnswer_W242_W244) {
    s = root.root(kPort);
    for (int n_steps = 0; n_steps < 12; ++n_steps) {
        l = leaf.leaf();
        ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
        w.run();
        auto accepted = root.accept(s);
        for (int i = 0; i < n_steps && w.step(); ++i) {
        }
        const int cancelled = leaf.s().cancel_join(*leaf.app, l).error;
        w.run();
        ASSERT_TRUE(cancelled == 0 || cancelled == EINVAL) << cancelled;
        EXPECT_EQ(leaf.phase(l), cancelled == 0 ? abi::Phase::kBound : abi::Phase::kJoined) << n_steps;
        EXPECT_EQ(leaf.facts(l).connect_done, cancelled == 0 ? 0U : 1U);
        EXPECT_EQ(root.facts(s).leaves, cancelled == 0 ? 0U : 1U);
        if (accepted->error == 0 && cancelled == 0) {
            EXPECT_EQ(root.end_code(socket_in(*accepted)), 0) << "it joined and left";
        }
        leaf.close(l);
        w.run();
        w.pass(100);
    }
    root.die();
    leaf.die();
    w.run();
    EXPECT_EQ(w.leftovers(), "");
}

TEST_F(Join, ACancelledInvitationIsGone_W240_W243) {
    s = root.root(kPort);
    l = leaf.listening_leaf(kPort + 1);
    for (int n_steps = 0; n_steps < 8; ++n_steps) {
        f = socket_in(root.join(s, w.b.address(), kPort + 1));
        for (int i = 0; i < n_steps && w.step(); ++i) {
        }
        ASSERT_EQ(root.s().cancel_join(*root.app, s).error, 0) << n_steps;
        EXPECT_EQ(root.facts(s).is_joining, 0U);
        EXPECT_EQ(root.close(f), 0);
        w.run();
        EXPECT_EQ(root.facts(s).connect_done, 0U);
        const int taken = leaf.take(l).error;
        EXPECT_TRUE(taken == EAGAIN || taken == EACCES) << taken;
    }
    EXPECT_EQ(root.rows(s).size(), 0U);
    f = socket_in(root.join(s, w.b.address(), kPort + 1));
    w.run();
    EXPECT_EQ(leaf.take(l).error, 0);
    root.die();
    leaf.die();
    w.run();
    EXPECT_EQ(w.leftovers(), "");
}

struct Reach : Join {
    int set(uint32_t socket, int hops) {
        abi::OptionBody body{.level = XY_SOL, .name = abi::kOptionScope, .bytes = 4, .reserved_zero = 0, .value = {}};
        std::memcpy(body.value, &hops, sizeof hops);
        return root.s().set_option(*root.app, socket, body).error;
    }
    int hops() {
        w.carry();
        return w.a.engine.replicas().at(0)->spec.path.ttl;
    }
};

TEST_F(Reach, TheScopeIsTheHopLimitOfTheRootsFrames_W292_W296) {
    join();
    EXPECT_EQ(hops(), 64);
    EXPECT_EQ(set(s, 3), 0);
    EXPECT_EQ(hops(), 3);
    for (const int wrong : {-1, 256, 1 << 30})
        EXPECT_EQ(set(s, wrong), EINVAL);
    EXPECT_EQ(set(f, 3), EINVAL) << "it is the root's";
    EXPECT_EQ(set(s, 0), EINVAL) << "a leaf on another host is live";
    EXPECT_EQ(hops(), 3);
    root.close(f);
    w.run();
    EXPECT_EQ(set(s, 0), 0);
}

TEST_F(Reach, AScopeThatWasSetBeforeTheJoinCounts_W294) {
    s = root.root(kPort);
    EXPECT_EQ(set(s, 1), 0);
    l = leaf.leaf();
    leaf.join(l, w.a.address(), kPort);
    w.run();
    root.accept(s);
    w.run();
    EXPECT_EQ(hops(), 1);
}

TEST_F(Reach, ScopeZeroAdmitsThisHostAlone_W292_W296) {
    TestApp local{w.a};
    s = root.root(kPort);
    const uint32_t early = leaf.leaf(), late = leaf.leaf(), here = local.leaf();
    leaf.join(early, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(set(s, 0), 0);
    auto accepted = root.accept(s);  // it was queued before
    w.run();
    EXPECT_EQ(accepted->error, ENETUNREACH);
    EXPECT_EQ(leaf.outcome(early), ENETUNREACH);
    leaf.join(late, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(leaf.outcome(late), ENETUNREACH);
    EXPECT_EQ(root.take(s).error, EAGAIN);
    const uint32_t listener = leaf.listening_leaf(kPort + 1);
    f = socket_in(root.join(s, w.b.address(), kPort + 1));
    w.run();
    EXPECT_EQ(root.outcome(s), ENETUNREACH);
    EXPECT_EQ(leaf.take(listener).error, EAGAIN);
    local.join(here, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(root.accept(s)->error, -1);
    w.run();
    EXPECT_EQ(local.outcome(here), 0);
    root.die();
    leaf.die();
    local.die();
    w.run();
    EXPECT_EQ(w.leftovers(), "");
}

TEST_F(Join, ClosingThePendingHandleCancels_W119_W120) {
    const uint32_t listener = leaf.listening_leaf(6000);
    s = root.open(XY_C_ROOT | XY_D_ROOT);
    f = socket_in(root.join(s, w.b.address(), 6000));
    w.run();
    EXPECT_EQ(root.close(f), 0);
    w.run();
    EXPECT_EQ(root.facts(s).connect_done, 0U);
    EXPECT_EQ(leaf.take(listener).error, EACCES);
    ASSERT_EQ(root.join(s, w.b.address(), 6000).error, 0);
    w.run();
    leaf.accept(listener);
    w.run();
    EXPECT_EQ(root.outcome(s), 0);
}

TEST_F(Join, TheDirectionOfACallIsThatEdges_W257) {
    const uint32_t x = leaf.listening_leaf(6000);
    s = root.open(XY_C_ROOT | XY_D_ROOT);
    f = socket_in(root.join(s, w.b.address(), 6000, XY_SENDER_ONLY));
    w.run();
    const auto accepted = leaf.accept(x);
    w.run();
    l = socket_in(*accepted);
    EXPECT_EQ(leaf.facts(l).direction, static_cast<uint32_t>(XY_RECEIVER_ONLY));
    EXPECT_EQ(leaf.s().make_log(*leaf.app, l).error, EOPNOTSUPP);
}

// ---- sizes ----

TEST_F(Join, ALogsSizeIsRoundedUpReadBackAndFixedByTheFirstJoin) {
    s = root.root(kPort);
    auto option = [&](uint64_t bytes) {
        abi::OptionBody body{.level = XY_SOL, .name = XY_OPT_LOG_BYTES, .bytes = 8, .reserved_zero = 0, .value = {}};
        std::memcpy(body.value, &bytes, 8);
        return root.set_option(s, body).error;
    };
    auto read_back = [&] {
        abi::OptionBody body{.level = XY_SOL, .name = XY_OPT_LOG_BYTES, .bytes = 8, .reserved_zero = 0, .value = {}};
        const auto answer = body_in<abi::OptionBody>(root.s().get_option(*root.app, s, body));
        uint64_t bytes;
        std::memcpy(&bytes, answer.value, 8);
        return bytes;
    };
    EXPECT_EQ(read_back(), 1024U * 1408U);
    EXPECT_EQ(option(1), 0);
    EXPECT_EQ(read_back(), 64U * 1408U);
    EXPECT_EQ(option(65 * 1408), 0);
    EXPECT_EQ(read_back(), 128U * 1408U);
    EXPECT_EQ(option(1ULL << 40), EINVAL);
    EXPECT_EQ(option(0), EINVAL);
    l = leaf.leaf();
    leaf.join(l, w.a.address(), kPort);
    w.run();
    EXPECT_EQ(option(1), EINVAL);
    const auto log = body_in<abi::LogReply>(root.s().make_log(*root.app, s));
    EXPECT_EQ(log.cells_log2, 7U);
    EXPECT_EQ(log.max_message_bytes, (abi::Geometry{1408, 7}.max_message_bytes()));
    EXPECT_EQ(root.s().make_log(*root.app, s).error, 0) << "an application without a descriptor left asks again";
    EXPECT_EQ(root.s().log_mapped(*root.app, s).error, 0);
    EXPECT_EQ(root.s().make_log(*root.app, s).error, EALREADY);
    EXPECT_EQ(root.s().log_mapped(*root.app, s).error, EINVAL);
}

TEST_F(Join, TheCellFollowsThePathsMtu) {
    w.a.network.mtu = 1280;
    join();
    EXPECT_EQ(w.a.engine.stream_of(root.id(), s)->spec.geometry.cell_bytes, (1280U - 50U) / 8 * 8);
}

TEST_F(Join, ThePathIsKnownBeforeTheFirstByte) {
    s = root.root(kPort);
    l = leaf.leaf();
    leaf.join(l, w.a.address(), kPort);
    w.run();
    w.a.network.resolve();  // while the application has not decided
    root.accept(s);
    ASSERT_EQ(w.a.engine.replicas().size(), 1U);
    EXPECT_TRUE(w.a.engine.replicas().at(0)->spec.path.is_up);
    w.run();
}

TEST_F(Join, PathsAreFollowedAtBothEnds) {
    join();
    w.a.network.resolve();
    w.b.network.resolve();
    for (const engine::Replica* replica : w.a.engine.replicas())
        EXPECT_TRUE(replica->spec.path.is_up);
    for (const engine::Replica* replica : w.b.engine.replicas())
        EXPECT_TRUE(replica->spec.path.is_up);
    for (const engine::Image* image : w.a.engine.images())
        EXPECT_TRUE(image->feedback_path.is_up);
    for (const engine::Image* image : w.b.engine.images())
        EXPECT_TRUE(image->feedback_path.is_up);
    EXPECT_EQ(w.a.engine.replicas().at(0)->spec.path.dest, (Endpoint{w.b.address(), 7471}));
}

TEST_F(Join, QosIsKeptAndChecked_W260_W262_W263_W270_W275_W276) {
    l = leaf.leaf();
    EXPECT_EQ(leaf.s().get_qos(*leaf.app, l).error, ENOTCONN);
    EXPECT_EQ(leaf.s().bind(*leaf.app, l, address_body(w.b.address(), 0)).error, 0);
    auto held = [&] { return body_in<abi::QosBody>(leaf.s().get_qos(*leaf.app, l)).qos; };
    EXPECT_EQ(held().sending.token_rate, XY_UNSPECIFIED_64);
    EXPECT_EQ(held().receiving.service_type, static_cast<uint32_t>(XY_SERVICE_NO_CHANGE));
    abi::QosBody body{.qos = default_qos()};
    body.qos.sending.service_type = XY_SERVICE_GUARANTEED;
    EXPECT_EQ(leaf.s().set_qos(*leaf.app, l, body).error, EINVAL);
    body.qos.sending.token_rate = 0;
    EXPECT_EQ(leaf.s().set_qos(*leaf.app, l, body).error, EINVAL);
    body.qos.sending.token_rate = 1000;
    body.qos.sending.peak_bandwidth = 500;
    EXPECT_EQ(leaf.s().set_qos(*leaf.app, l, body).error, EINVAL);
    body.qos.sending.peak_bandwidth = 2000;
    EXPECT_EQ(leaf.s().set_qos(*leaf.app, l, body).error, 0);
    EXPECT_EQ(held().sending.token_rate, 1000U);
    EXPECT_EQ(held().receiving.token_rate, XY_UNSPECIFIED_64);
}

}  // namespace xylem::session
