// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.Q: edges that carry data one way only.
#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

static_assert(XY_SENDER_ONLY == 1 && XY_RECEIVER_ONLY == 2 && XY_BOTH == 4);

constexpr JoinWish kSends{.flags = XY_SENDER_ONLY}, kReceives{.flags = XY_RECEIVER_ONLY};

struct Direction : testing::Test {
    Party root = on_host(0, "root"), a = on_host(1, "a"), b = on_host(2, "b");
    const Bound listening = listening_root(root);

    Done direction_of(Party& party, int s) { return number_of(party, s, XY_SOL, XY_OPT_DIRECTION); }
};

TEST_F(Direction, W_250_DirectionsHaveTheirNumbers) {
    EXPECT_THAT(direction_of(a, ask(listening, a, {}, kSends).s), Returns(XY_SENDER_ONLY));
    EXPECT_THAT(direction_of(a, ask(listening, a, {}, kReceives).s), Returns(XY_RECEIVER_ONLY));
    EXPECT_THAT(direction_of(a, ask(listening, a).s), Returns(XY_BOTH));
}

TEST_F(Direction, W_251_OneAndTwoTogetherAreBothAndOthersAreInvalid) {
    XY_ROW("A-31");
    const Bound inviter = bound_root(root), listener = listening_leaf(a);
    for (const unsigned flags : {0U, 5U, 6U, 7U, 8U, 12U, 20U, 0x80000004U}) {
        EXPECT_THAT(a.join(open_leaf(a), listening.name, {.flags = flags}), Fails(EINVAL)) << flags;
        EXPECT_THAT(root.join(inviter.s, listener.name, {.flags = flags}), Fails(EINVAL)) << flags;
    }
    const Edge edge = ask(listening, a, {}, {.flags = XY_SENDER_ONLY | XY_RECEIVER_ONLY});
    EXPECT_THAT(direction_of(a, edge.s), Returns(XY_BOTH));
    EXPECT_THAT(a.send(edge.s, "up"), Returns(2));
    EXPECT_EQ(root.receive(listening.s).text, "up");
    must(root.send(listening.s, "down"), "send");
    EXPECT_EQ(a.receive(edge.s).text, "down");
}

TEST_F(Direction, W_252_AReceiverCannotSend) {
    XY_ROW("W-252");
    const Edge asked = ask(listening, a, {}, kReceives);
    EXPECT_THAT(a.send(asked.s, "up"), Fails(EOPNOTSUPP));
    const Bound inviter = bound_root(root);
    const Edge invited = invite(inviter, listening_leaf(b), kSends);
    EXPECT_THAT(b.send(invited.s, "up"), Fails(EOPNOTSUPP)) << "the mirror of the root's wish";
    must(root.send(listening.s, "down"), "send");
    must(root.send(inviter.s, "down"), "send");
    EXPECT_EQ(a.receive(asked.s).text, "down");
    EXPECT_EQ(b.receive(invited.s).text, "down");
}

TEST_F(Direction, W_253_ASenderCannotReceive) {
    XY_ROW("W-253");
    const Edge sender = ask(listening, a, {}, kSends), both = ask(listening, b);
    must(root.send(listening.s, "down"), "send");
    EXPECT_EQ(b.receive(both.s).text, "down");
    EXPECT_THAT(a.receive_now(sender.s), Fails(EOPNOTSUPP));
    EXPECT_THAT(a.run([s = sender.s] {
        int bytes = -1;
        xy_ioctl(s, XY_FIONREAD, nullptr, 0, &bytes, sizeof bytes, nullptr);
        return bytes <= 0;
    }),
                true)
        << "nothing is queued";
    EXPECT_EQ(polled_within_quiet(a, sender.s, POLLIN), 0);
    EXPECT_THAT(a.send(sender.s, "up"), Returns(2));
    EXPECT_EQ(root.receive(listening.s).text, "up");
}

TEST_F(Direction, W_254_WhatIsNotThereCannotBeShutDown) {
    XY_ROW("W-254");
    EXPECT_THAT(a.shutdown(ask(listening, a, {}, kReceives).s, SHUT_WR), Fails(EINVAL));
    EXPECT_THAT(a.shutdown(ask(listening, a, {}, kSends).s, SHUT_RD), Fails(EINVAL));
    EXPECT_THAT(a.shutdown(ask(listening, a, {}, kReceives).s, SHUT_RD), Returns(0));
    EXPECT_THAT(a.shutdown(ask(listening, a, {}, kSends).s, SHUT_WR), Returns(0));
}

TEST_F(Direction, W_255_RootedDataAreTwoWayAndSaySo) {
    // There is no one-way protocol; each entry with a rooted data plane announces that leaves may send.
    for (const int type : {SOCK_RDM, SOCK_STREAM, SOCK_DGRAM}) {
        const Kind kind{type};
        const uint32_t capabilities = a.capabilities(kind);
        EXPECT_TRUE(capabilities & XY_CAP_ROOTED_DATA) << type;
        EXPECT_TRUE(capabilities & XY_CAP_LEAF_TO_ROOT) << type;
        const Bound at = listening_root(root, kind);
        const Edge edge = ask(at, a, kind);
        must(a.send(edge.s, "up"), "send");
        EXPECT_EQ(root.receive(at.s).text, "up") << type;
        must(root.send(at.s, "down"), "send");
        EXPECT_EQ(a.receive(edge.s).text, "down") << type;
    }
}

xy_flowspec spec_of(uint64_t rate) {
    return {rate, 1000, rate, XY_UNSPECIFIED_32, XY_UNSPECIFIED_32, XY_SERVICE_BEST_EFFORT, 1500, 64, 0};
}

TEST_F(Direction, W_256_TheFlowSpecOfTheMissingDirectionIsIgnored) {
    xy_qos malformed{};
    malformed.sending = malformed.receiving = spec_of(1000);
    malformed.sending.peak_bandwidth = 500;
    EXPECT_THAT(a.join(open_leaf(a), listening.name, {.has_qos = true, .qos = malformed}), Fails(EINVAL));
    ask(listening, a, {}, {.flags = XY_RECEIVER_ONLY, .has_qos = true, .qos = malformed});
    invite(bound_root(root), listening_leaf(b), {.flags = XY_RECEIVER_ONLY, .has_qos = true, .qos = malformed});
    std::swap(malformed.sending, malformed.receiving);
    ask(listening, a, {}, {.flags = XY_SENDER_ONLY, .has_qos = true, .qos = malformed});
}

TEST_F(Direction, W_257_TheFlagDescribesOneEdge) {
    XY_ROW("A-32");
    const Bound inviter = bound_root(root);
    const Edge down = invite(inviter, listening_leaf(a), kSends);
    const Edge both = invite(inviter, listening_leaf(b), {.flags = XY_BOTH});
    EXPECT_THAT(direction_of(a, down.s), Returns(XY_RECEIVER_ONLY));
    EXPECT_THAT(direction_of(b, both.s), Returns(XY_BOTH));
    EXPECT_THAT(a.send(down.s, "up"), Fails(EOPNOTSUPP));
    EXPECT_THAT(b.send(both.s, "up"), Returns(2));
    EXPECT_EQ(root.receive(inviter.s).text, "up");
    must(root.send(inviter.s, "down"), "send");
    EXPECT_EQ(a.receive(down.s).text, "down");
    EXPECT_EQ(b.receive(both.s).text, "down");
    const Edge up = invite(inviter, listening_leaf(a), kReceives);
    EXPECT_THAT(direction_of(a, up.s), Returns(XY_SENDER_ONLY));
    EXPECT_THAT(a.receive_now(up.s), Fails(EOPNOTSUPP));
}

TEST_F(Direction, W_258_OnlyTheDirectionThatIsThereIsAskedFor) {
    xy_qos wanted{};
    wanted.sending = spec_of(1111);
    wanted.receiving = spec_of(2222);
    const auto rates = [&](unsigned flags) {
        const Edge edge = ask(listening, a, {}, {.flags = flags, .has_qos = true, .qos = wanted});
        return a.run([s = edge.s] {
            xy_qos qos{};
            EXPECT_EQ(xy_ioctl(s, XY_SIO_GET_QOS, nullptr, 0, &qos, sizeof qos, nullptr), 0);
            return qos;
        });
    };
    EXPECT_EQ(rates(XY_SENDER_ONLY).sending.token_rate, 1111U);
    EXPECT_EQ(rates(XY_SENDER_ONLY).receiving.token_rate, XY_UNSPECIFIED_64);
    EXPECT_EQ(rates(XY_RECEIVER_ONLY).sending.token_rate, XY_UNSPECIFIED_64);
    EXPECT_EQ(rates(XY_RECEIVER_ONLY).receiving.token_rate, 2222U);
    EXPECT_EQ(rates(XY_BOTH).sending.token_rate, 1111U);
    EXPECT_EQ(rates(XY_BOTH).receiving.token_rate, 2222U);
}

TEST_F(Direction, W_259_NoEventsOfTheMissingDirection) {
    XY_ROW("W-259");
    const Edge receiver = ask(listening, a, {}, kReceives), sender = ask(listening, b, {}, kSends);
    must(a.select(receiver.s, XY_FD_READ | XY_FD_WRITE), "select");
    must(b.select(sender.s, XY_FD_READ | XY_FD_WRITE), "select");
    must(root.send(listening.s, "down"), "send");
    EXPECT_THAT(a.await(receiver.s, XY_FD_READ), Succeeds());
    EXPECT_EQ(recorded_within_quiet(a, receiver.s) & XY_FD_WRITE, 0U);
    EXPECT_EQ(recorded_within_quiet(b, sender.s), unsigned{XY_FD_WRITE});
}

}  // namespace
}  // namespace xylem::conformance
