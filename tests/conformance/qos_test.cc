// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.R: flow specs as parameters: defaults, checks, what is kept and what is told.
#include <cerrno>
#include <cstddef>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

static_assert(XY_QOS_RECEIVERS == 11005 && XY_QOS_SENDERS == 11006 && XY_QOS_NO_SENDERS == 11007);
static_assert(XY_QOS_NO_RECEIVERS == 11008 && XY_QOS_REQUEST_CONFIRMED == 11009 && XY_QOS_ADMISSION_FAILURE == 11010);
static_assert(XY_QOS_POLICY_FAILURE == 11011 && XY_QOS_BAD_STYLE == 11012 && XY_QOS_BAD_OBJECT == 11013);
static_assert(XY_QOS_TRAFFIC_CTRL_ERROR == 11014 && XY_QOS_GENERIC_ERROR == 11015 && XY_QOS_ESERVICETYPE == 11016);
static_assert(XY_QOS_EFLOWSPEC == 11017 && XY_QOS_EPROVSPECBUF == 11018);

constexpr xy_flowspec kNothing{XY_UNSPECIFIED_64, XY_UNSPECIFIED_64, XY_UNSPECIFIED_64,
                               XY_UNSPECIFIED_32, XY_UNSPECIFIED_32, XY_SERVICE_NO_CHANGE,
                               XY_UNSPECIFIED_32, XY_UNSPECIFIED_32, 0};

xy_flowspec best_effort(uint64_t rate) { return {rate, 3000, 2 * rate, 100, 200, XY_SERVICE_BEST_EFFORT, 1400, 64, 0}; }
xy_flowspec of_service(uint32_t service) {
    xy_flowspec spec = kNothing;
    spec.service_type = service;
    return spec;
}
xy_qos both(const xy_flowspec& sending, const xy_flowspec& receiving) {
    xy_qos qos{};
    qos.sending = sending, qos.receiving = receiving;
    return qos;
}
bool same(const xy_flowspec& a, const xy_flowspec& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

Done set_qos(Party& party, int s, const xy_qos& qos) {
    return party.run([=] { return done(xy_ioctl(s, XY_SIO_SET_QOS, &qos, sizeof qos, nullptr, 0, nullptr)); });
}
struct Got : Done {
    xy_qos qos{};
    size_t returned = 0;
};
Got get_qos(Party& party, int s, size_t room = sizeof(xy_qos)) {
    return party.run([=] {
        Got out;
        static_cast<Done&>(out) = done(xy_ioctl(s, XY_SIO_GET_QOS, nullptr, 0, &out.qos, room, &out.returned));
        return out;
    });
}

struct FlowSpecs : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root);
    const int bound = bound_leaf(leaf).s;
};

TEST_F(FlowSpecs, W_260_NothingIsRequestedByDefault) {
    const Got got = get_qos(leaf, bound);
    EXPECT_THAT(got, Returns(0));
    EXPECT_TRUE(same(got.qos.sending, kNothing));
    EXPECT_TRUE(same(got.qos.receiving, kNothing));
}

TEST_F(FlowSpecs, W_261_NothingIsAlwaysGranted) {
    const JoinWish wish{.has_qos = true, .qos = both(kNothing, kNothing)};
    ask(listening, leaf, {}, wish);
    invite(bound_root(root), listening_leaf(leaf), wish);
    EXPECT_THAT(set_qos(leaf, bound, wish.qos), Returns(0));
}

TEST_F(FlowSpecs, W_262_JoinOverridesWhatWasSetBefore) {
    for (const bool has_qos : {true, false}) {
        const int s = open_leaf(leaf);
        must(set_qos(leaf, s, both(best_effort(1'000'000), kNothing)), "SIO_SET_QOS");
        auto joining =
            leaf.start_join(s, listening.name, {.has_qos = has_qos, .qos = both(best_effort(2'000'000), kNothing)});
        must(root.accept(listening.s), "accept");
        must(joining.result(), "the join");
        EXPECT_EQ(get_qos(leaf, s).qos.sending.token_rate, has_qos ? 2'000'000U : 1'000'000U);
        must(set_qos(leaf, s, both(best_effort(3'000'000), kNothing)), "SIO_SET_QOS after the join");
        EXPECT_EQ(get_qos(leaf, s).qos.sending.token_rate, 3'000'000U);
    }
}

TEST_F(FlowSpecs, W_263_NoChangeKeepsADirection) {
    must(set_qos(leaf, bound, both(best_effort(1000), best_effort(2000))), "SIO_SET_QOS");
    must(set_qos(leaf, bound, both(best_effort(3000), kNothing)), "SIO_SET_QOS");
    const Got got = get_qos(leaf, bound);
    EXPECT_TRUE(same(got.qos.sending, best_effort(3000)));
    EXPECT_TRUE(same(got.qos.receiving, best_effort(2000)));
}

TEST_F(FlowSpecs, W_265_WhoHasNoQosSaysSo) {
    const Kind group{SOCK_DGRAM, XY_PROTO_GROUP};
    ASSERT_FALSE(leaf.capabilities(group) & XY_CAP_QOS);
    const int s = bound_leaf(leaf, group).s;
    EXPECT_THAT(set_qos(leaf, s, both(best_effort(1000), kNothing)), Fails(ENOPROTOOPT));
    EXPECT_THAT(get_qos(leaf, s), Fails(ENOPROTOOPT));
    for (const int type : {SOCK_RDM, SOCK_STREAM, SOCK_DGRAM}) {
        EXPECT_TRUE(leaf.capabilities({type}) & XY_CAP_QOS) << type;
        EXPECT_THAT(set_qos(leaf, bound_leaf(leaf, {type}).s, both(best_effort(1000), kNothing)), Returns(0)) << type;
    }
}

TEST_F(FlowSpecs, W_266_AJoinThatSucceedsHasWhatItAskedFor) {
    const xy_qos wanted = both(best_effort(1000), best_effort(2000));
    const Edge asked = ask(listening, leaf, {}, {.has_qos = true, .qos = wanted});
    EXPECT_TRUE(same(get_qos(leaf, asked.s).qos.sending, wanted.sending));
    EXPECT_TRUE(same(get_qos(leaf, asked.s).qos.receiving, wanted.receiving));
    const Bound inviter = bound_root(root);
    const Edge invited = invite(inviter, listening_leaf(leaf), {.has_qos = true, .qos = wanted});
    EXPECT_TRUE(same(get_qos(root, invited.at_root).qos.sending, wanted.sending));
    EXPECT_TRUE(same(get_qos(root, inviter.s).qos.sending, wanted.sending));
}

TEST_F(FlowSpecs, W_267_AFailedJoinLeavesAReadableFlowSpec) {
    const int s = open_leaf(leaf);
    const JoinWish wish{.has_qos = true, .qos = both(best_effort(1000), kNothing)};
    EXPECT_THAT(leaf.join(s, unused_address(root), wish), Fails(ECONNREFUSED));
    EXPECT_THAT(get_qos(leaf, s), Returns(0));
}

TEST_F(FlowSpecs, W_269_CodesAreWinsocks) {
    must(leaf.select(bound, XY_FD_QOS), "select");
    EXPECT_EQ(recorded_within_quiet(leaf, bound), 0U) << "nothing has changed";
}

TEST_F(FlowSpecs, W_270_SendersHaveAFlowSpecOnceConnected) {
    const Bound sender = bound_root(root);
    EXPECT_THAT(get_qos(root, sender.s), Fails(ENOTCONN));
    invite(sender, listening_leaf(leaf));
    EXPECT_THAT(get_qos(root, sender.s), Returns(0));
    EXPECT_THAT(get_qos(leaf, open_leaf(leaf)), Fails(ENOTCONN)) << "not bound";
    EXPECT_THAT(get_qos(leaf, bound), Returns(0)) << "a receiver once bound";
}

TEST_F(FlowSpecs, W_271_AShortBufferTellsWhatIsNeeded) {
    XY_ROW("A-39");
    for (const size_t room : {size_t{0}, sizeof(xy_qos) - 1}) {
        const Got got = get_qos(leaf, bound, room);
        EXPECT_THAT(got, Fails(EFAULT));
        EXPECT_EQ(got.returned, sizeof(xy_qos));
    }
    EXPECT_EQ(get_qos(leaf, bound).returned, sizeof(xy_qos));
    EXPECT_THAT(leaf.run([s = bound] {
        xy_qos qos{};
        return done(xy_ioctl(s, XY_SIO_SET_QOS, &qos, sizeof qos - 1, nullptr, 0, nullptr));
    }),
                Fails(EFAULT));
}

TEST_F(FlowSpecs, W_272_FlowSpecsDoNotMakeANonblockingSocketWait) {
    must(leaf.set_nonblocking(bound, true), "FIONBIO");
    const Done set = set_qos(leaf, bound, both(best_effort(1000), kNothing));
    EXPECT_TRUE(set.error == 0 || set.error == EAGAIN) << name_of_error(set.error);
    EXPECT_THAT(get_qos(leaf, bound), Returns(0));
}

TEST_F(FlowSpecs, W_273_EachLeafHasItsOwn) {
    XY_ROW("A-33");
    const Bound inviter = bound_root(root);
    const Edge first =
        invite(inviter, listening_leaf(leaf), {.has_qos = true, .qos = both(best_effort(1000), kNothing)});
    const Edge second =
        invite(inviter, listening_leaf(leaf), {.has_qos = true, .qos = both(best_effort(2000), kNothing)});
    EXPECT_EQ(get_qos(root, first.at_root).qos.sending.token_rate, 1000U);
    EXPECT_EQ(get_qos(root, second.at_root).qos.sending.token_rate, 2000U);
}

TEST_F(FlowSpecs, W_274_ThereIsNothingProviderSpecific) {
    xy_qos qos = both(best_effort(1000), kNothing);
    const Got before = get_qos(leaf, bound);
    EXPECT_EQ(before.qos.provider_specific.buf, nullptr);
    EXPECT_EQ(before.qos.provider_specific.len, 0U);
    qos.provider_specific = {&qos, 4};  // ignored
    EXPECT_THAT(set_qos(leaf, bound, qos), Returns(0));
    const Got after = get_qos(leaf, bound);
    EXPECT_EQ(after.qos.provider_specific.buf, nullptr);
    EXPECT_EQ(after.qos.provider_specific.len, 0U);
}

TEST_F(FlowSpecs, W_275_ASenderNamesServiceAndRate) {
    XY_ROW("A-34");
    xy_flowspec rateless = best_effort(1000);
    rateless.token_rate = 0;
    EXPECT_THAT(set_qos(leaf, bound, both(rateless, kNothing)), Fails(EINVAL));
    EXPECT_THAT(set_qos(leaf, bound, both(kNothing, rateless)), Fails(EINVAL));
    for (const uint32_t service : {XY_SERVICE_CONTROLLED_LOAD, XY_SERVICE_GUARANTEED})
        EXPECT_THAT(set_qos(leaf, bound, both(of_service(service), kNothing)), Fails(EINVAL)) << service;
    for (const uint32_t service : {XY_SERVICE_BEST_EFFORT, XY_SERVICE_NETWORK_CONTROL})
        EXPECT_THAT(set_qos(leaf, bound, both(of_service(service), kNothing)), Returns(0)) << service;
    EXPECT_THAT(set_qos(leaf, bound, both(of_service(XY_UNSPECIFIED_32), kNothing)), Fails(EINVAL)) << "defaulted";
    EXPECT_THAT(leaf.join(open_leaf(leaf), listening.name, {.has_qos = true, .qos = both(rateless, kNothing)}),
                Fails(EINVAL));
    EXPECT_TRUE(same(get_qos(leaf, bound).qos.sending, of_service(XY_SERVICE_NETWORK_CONTROL))) << "what was valid";
}

TEST_F(FlowSpecs, W_276_ThePeakIsNotBelowTheRate) {
    xy_flowspec flat = best_effort(1000);
    flat.peak_bandwidth = 500;
    EXPECT_THAT(set_qos(leaf, bound, both(flat, kNothing)), Fails(EINVAL));
    EXPECT_THAT(set_qos(leaf, bound, both(kNothing, flat)), Fails(EINVAL));
    flat.peak_bandwidth = 1000;
    EXPECT_THAT(set_qos(leaf, bound, both(flat, kNothing)), Returns(0));
    flat.peak_bandwidth = XY_UNSPECIFIED_64;
    EXPECT_THAT(set_qos(leaf, bound, both(flat, kNothing)), Returns(0));
}

TEST_F(FlowSpecs, W_277_AReceiverTakesTheSendersDescription) {
    xy_flowspec offered = best_effort(5000);
    offered.service_type = XY_SERVICE_CONTROLLED_LOAD;
    must(set_qos(root, listening.s, both(offered, kNothing)), "SIO_SET_QOS");
    const JoinWish wish{.has_qos = true, .qos = both(kNothing, of_service(XY_SERVICE_CONTROLLED_LOAD))};
    EXPECT_TRUE(same(get_qos(leaf, ask(listening, leaf, {}, wish).s).qos.receiving, offered));

    JoinWish modest = wish;
    modest.qos.receiving.token_rate = 4000;
    const xy_flowspec merged = get_qos(leaf, ask(listening, leaf, {}, modest).s).qos.receiving;
    EXPECT_EQ(merged.token_rate, 4000U) << "what it names is its own";
    EXPECT_EQ(merged.token_bucket_size, offered.token_bucket_size);

    const xy_qos guaranteed = both(kNothing, of_service(XY_SERVICE_GUARANTEED));
    EXPECT_THAT(set_qos(leaf, bound, guaranteed), Fails(EINVAL)) << "a guarantee needs a rate";
}

TEST_F(FlowSpecs, W_281_OneDirectionEndsWithoutTheOther) {
    XY_ROW("A-37");
    const Edge edge = ask(listening, leaf, {}, {.has_qos = true, .qos = both(best_effort(1000), best_effort(2000))});
    for (const uint32_t service : {XY_SERVICE_NOTRAFFIC, XY_SERVICE_BEST_EFFORT}) {
        must(set_qos(leaf, edge.s, both(of_service(service), kNothing)), "SIO_SET_QOS");
        EXPECT_TRUE(same(get_qos(leaf, edge.s).qos.sending, of_service(service)));
        EXPECT_TRUE(same(get_qos(leaf, edge.s).qos.receiving, best_effort(2000)));
        EXPECT_THAT(leaf.send(edge.s, "up"), Returns(2)) << "sending stays possible";
    }
    must(leaf.shutdown(edge.s, SHUT_WR), "shutdown");
    EXPECT_TRUE(same(get_qos(leaf, edge.s).qos.receiving, best_effort(2000)));
}

}  // namespace
}  // namespace xylem::conformance
