// SPDX-License-Identifier: Apache-2.0
// MESH: who hears whom, when a join is complete, how members go, and what daemons that make no sense can do.
#include <algorithm>
#include <cerrno>

#include "tests/unit/session_world.h"

namespace xylem::session {
namespace {

constexpr uint16_t kPort = 5000;

using Heard = std::vector<engine::Position>;

struct MeshPlay {
    explicit MeshPlay(unsigned seed = 1, int type = SOCK_RDM) : type(type) {
        w.random.seed(seed);
        s = root.root(kPort, type, 8, XY_PROTO_MESH);
    }

    uint32_t ask(TestApp& app, uint32_t flags = XY_BOTH) {
        const uint32_t socket = app.leaf(type, XY_PROTO_MESH);
        EXPECT_EQ(app.join(socket, w.a.address(), kPort, flags).error, 0);
        return socket;
    }
    /// Accepts whoever is there.
    void admit() {
        for (;;) {
            auto accepted = root.accept(s);
            if (accepted->error == EAGAIN) return;
            accepts.push_back(accepted);
        }
    }
    uint32_t join(TestApp& app, uint32_t flags = XY_BOTH) {
        const uint32_t socket = ask(app, flags);
        w.run();
        admit();
        w.run();
        EXPECT_EQ(app.outcome(socket), 0);
        return socket;
    }
    /// The root's descriptor of the n-th leaf.
    uint32_t handle(size_t n) { return socket_in(*accepts.at(n)); }
    /// How far a socket has come in each of the streams that it reads.
    static Heard heard(TestApp& app, uint32_t socket) {
        Heard all;
        for (const engine::Reader* reader : app.host.engine.readers_of(app.id(), socket))
            if (reader->is_live && reader->consumed != 0) all.push_back(reader->consumed);
        std::sort(all.begin(), all.end());
        return all;
    }
    void loopback(TestApp& app, uint32_t socket, int is_on) {
        abi::OptionBody body{};
        body.level = XY_SOL;
        body.name = abi::kOptionLoopback;
        body.bytes = sizeof is_on;
        std::memcpy(body.value, &is_on, sizeof is_on);
        auto answer = std::make_shared<Reply>(-1);
        app.s().set_option(*app.app, socket, body, [answer](Reply reply) { *answer = std::move(reply); });
        w.run();
        EXPECT_EQ(answer->error, 0);
    }
    void expect_nothing_left(const std::string& what = {}) {
        for (TestApp* app : {&root, &ann, &bob, &cid})
            app->die();
        w.run();
        w.pass(200);
        EXPECT_EQ(w.leftovers(), "") << what;
        for (TestHost* host : w.hosts) {
            EXPECT_TRUE(host->network.watches.empty()) << what;
            EXPECT_EQ(host->sessions->n_engine_objects(), 0U) << what;
        }
    }

    int type;
    World w;
    TestApp root{w.a}, ann{w.b}, bob{w.c}, cid{w.b};
    uint32_t s;
    std::vector<std::shared_ptr<Reply>> accepts;
};

}  // namespace

TEST(Mesh, EveryMemberHearsAllOthersAndItself_W026_W290) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    play.root.commit(play.s, 8);
    play.ann.commit(ann, 16);
    play.bob.commit(bob, 24);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.root, play.s), (Heard{8, 16, 24}));
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), (Heard{8, 16, 24}));
    EXPECT_EQ(MeshPlay::heard(play.bob, bob), (Heard{8, 16, 24}));
    EXPECT_EQ(play.ann.name(ann, true).port, kPort) << "the peer of a c_leaf is the root";
    play.expect_nothing_left();
}

TEST(Mesh, AStreamGoesToEachHostOnce) {
    MeshPlay play;
    play.join(play.ann), play.join(play.cid);
    const uint32_t bob = play.join(play.bob);
    const engine::Stream* stream = play.w.c.engine.stream_of(play.bob.id(), bob);
    // To the root's host, to the host of ann and cid, and back to itself.
    EXPECT_EQ(stream->replicas.size(), 3U);
    play.expect_nothing_left();
}

TEST(Mesh, AJoinIsCompleteWhenEverybodyHasAWayToTheNewcomerAndBack) {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        MeshPlay play(seed);
        const uint32_t ann = play.join(play.ann), bob = play.ask(play.bob);
        while (play.w.step() && play.bob.outcome(bob) == EINPROGRESS)
            play.admit();
        ASSERT_EQ(play.bob.outcome(bob), 0) << seed;
        // Whatever is sent from here on arrives, though completions and messages are still under way.
        play.ann.commit(ann, 16);
        play.bob.commit(bob, 24);
        play.root.commit(play.s, 8);
        play.w.read_and_carry();
        EXPECT_EQ(MeshPlay::heard(play.ann, ann), (Heard{8, 16, 24})) << seed;
        EXPECT_EQ(MeshPlay::heard(play.bob, bob), (Heard{8, 16, 24})) << seed;
        EXPECT_EQ(MeshPlay::heard(play.root, play.s), (Heard{8, 16, 24})) << seed;
        play.expect_nothing_left(std::to_string(seed));
        if (testing::Test::HasFailure()) return;
    }
}

TEST(Mesh, MembersThatJoinAtOnceAllComeTogether) {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        MeshPlay play(seed);
        const uint32_t ann = play.ask(play.ann), bob = play.ask(play.bob), cid = play.ask(play.cid);
        while (play.w.step())
            play.admit();
        for (const auto& [app, socket] :
             {std::pair{&play.ann, ann}, std::pair{&play.bob, bob}, std::pair{&play.cid, cid}}) {
            ASSERT_EQ(app->outcome(socket), 0) << seed;
            app->commit(socket, 8);
        }
        play.root.commit(play.s, 8);
        play.w.read_and_carry();
        const Heard four{8, 8, 8, 8};
        EXPECT_EQ(MeshPlay::heard(play.ann, ann), four) << seed;
        EXPECT_EQ(MeshPlay::heard(play.bob, bob), four) << seed;
        EXPECT_EQ(MeshPlay::heard(play.cid, cid), four) << seed;
        EXPECT_EQ(MeshPlay::heard(play.root, play.s), four) << seed;
        for (TestHost* host : play.w.hosts)
            EXPECT_TRUE(host->sessions->violations().empty()) << seed;
        play.expect_nothing_left(std::to_string(seed));
        if (testing::Test::HasFailure()) return;
    }
}

TEST(Mesh, AnInvitedMemberIsOneLikeAllOthers_W021) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), x = play.bob.listening_leaf(6000, SOCK_RDM, 8, XY_PROTO_MESH);
    EXPECT_EQ(play.root.join(play.s, play.w.c.address(), 6000).error, 0);
    play.w.run();
    const auto accepted = play.bob.accept(x);
    play.w.run();
    const uint32_t bob = socket_in(*accepted);
    EXPECT_EQ(play.root.outcome(play.s), 0);
    play.bob.commit(bob, 24);
    play.ann.commit(ann, 16);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), (Heard{16, 24}));
    EXPECT_EQ(MeshPlay::heard(play.bob, bob), (Heard{16, 24}));
    play.expect_nothing_left();
}

TEST(Mesh, SocketTypesAndPlanes_W007_W010_W011) {
    MeshPlay play;
    EXPECT_EQ(play.ann.try_open(XY_C_ROOT | XY_D_ROOT, SOCK_RDM, XY_PROTO_MESH).error, EINVAL);
    EXPECT_EQ(play.ann.try_open(XY_C_LEAF | XY_D_ROOT, SOCK_RDM, XY_PROTO_MESH).error, EINVAL);
    // A TREE leaf does not join a MESH, nor the other way round.
    const uint32_t tree = play.ann.leaf();
    play.ann.join(tree, play.w.a.address(), kPort);
    play.w.run();
    EXPECT_EQ(play.ann.outcome(tree), ECONNREFUSED);
    play.expect_nothing_left();
}

TEST(Mesh, DirectionsHoldForEachMember_W252_W253) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann, XY_SENDER_ONLY), bob = play.join(play.bob, XY_RECEIVER_ONLY);
    play.root.commit(play.s, 8);
    play.ann.commit(ann, 16);
    EXPECT_EQ(play.bob.s().make_log(*play.bob.app, bob).error, EOPNOTSUPP);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), Heard{});
    EXPECT_EQ(MeshPlay::heard(play.bob, bob), (Heard{8, 16}));
    EXPECT_EQ(MeshPlay::heard(play.root, play.s), (Heard{8, 16}));
    play.expect_nothing_left();
}

TEST(Mesh, LoopbackGoesOffAndOnAtAnyTime_W290_W294) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann);
    play.ann.commit(ann, 8);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), Heard{8});
    play.loopback(play.ann, ann, 0);
    play.ann.commit(ann, 16);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), Heard{});
    EXPECT_EQ(MeshPlay::heard(play.root, play.s), Heard{16}) << "the others go on";
    play.loopback(play.ann, ann, 1);
    play.ann.commit(ann, 24);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), Heard{24});
    // Before the join too.
    const uint32_t quiet = play.bob.leaf(SOCK_RDM, XY_PROTO_MESH);
    play.loopback(play.bob, quiet, 0);
    play.bob.join(quiet, play.w.a.address(), kPort);
    play.w.run();
    play.admit();
    play.w.run();
    play.bob.commit(quiet, 40);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.bob, quiet), Heard{24}) << "it starts where ann was";
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), (Heard{24, 40}));
    play.expect_nothing_left();
}

TEST(Mesh, OwnTrafficOfBeforeIsReadFirst_W290) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann);
    play.ann.commit(ann, 8);
    play.w.carry();  // it lies in the image, unread
    play.loopback(play.ann, ann, 0);
    play.loopback(play.ann, ann, 1);
    play.ann.commit(ann, 16);
    play.w.carry();
    unsigned n_live = 0;
    for (const engine::Reader* reader : play.w.b.engine.readers_of(play.ann.id(), ann))
        n_live += reader->is_live && reader->image->published != 0 ? 1 : 0;
    EXPECT_EQ(n_live, 1U) << "the new feed waits for the old one";
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.ann, ann), Heard{16});
    play.expect_nothing_left();
}

// ---- ending ----

TEST(Mesh, WhatAMemberSentArrivesAfterItHasLeft_W165) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    play.ann.commit(ann, 16);
    EXPECT_EQ(play.ann.close(ann), 0);
    play.w.run();
    EXPECT_EQ(play.root.end_code(play.handle(0)), -1) << "the root has not read it";
    play.w.read_and_carry();
    EXPECT_EQ(play.root.end_code(play.handle(0)), 0);
    EXPECT_EQ(play.bob.end_code(bob), -1) << "no event at the others";
    EXPECT_EQ(play.root.facts(play.s).leaves, 1U);
    play.bob.commit(bob, 24);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.root, play.s), Heard{24});
    EXPECT_EQ(play.w.b.engine.leftovers(), "apps 2; ") << "the host of the one that left holds nothing";
    play.expect_nothing_left();
}

TEST(Mesh, ADeadMemberEndsNobodyElse_W176) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    play.ann.commit(ann, 16);
    play.w.carry();
    play.ann.die();
    play.w.run();
    EXPECT_EQ(play.root.end_code(play.handle(0)), ECONNRESET);
    EXPECT_EQ(play.bob.end_code(bob), -1);
    play.w.pass(10000);
    EXPECT_EQ(play.bob.end_code(bob), -1);
    play.bob.commit(bob, 24);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.root, play.s), Heard{24});
    play.expect_nothing_left();
}

TEST(Mesh, ARootThatClosesEndsEverybodyOnceAllIsRead_W160_W165) {
    for (const int type : {SOCK_RDM, SOCK_DGRAM, SOCK_STREAM}) {
        MeshPlay play(1, type);
        const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
        play.root.commit(play.s, 8);
        play.bob.commit(bob, 24);
        play.w.carry();
        EXPECT_EQ(play.root.close(play.s), 0);
        play.w.carry();
        play.w.pass(100);
        EXPECT_EQ(play.ann.end_code(ann), -1) << "there is something to read";
        EXPECT_EQ(play.ann.facts(ann).leaves, 0U) << "nothing is sent any more";
        play.w.read_and_carry();
        EXPECT_EQ(play.ann.end_code(ann), 0);
        EXPECT_EQ(play.bob.end_code(bob), 0);
        EXPECT_EQ(play.root.end_code(play.handle(0)), 0);
        play.expect_nothing_left();
    }
}

TEST(Mesh, ARootThatDiesResetsEverybody_W020) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    play.root.die();
    play.w.run();
    EXPECT_EQ(play.ann.end_code(ann), ECONNRESET);
    EXPECT_EQ(play.bob.end_code(bob), ECONNRESET);
    play.expect_nothing_left();
}

TEST(Mesh, ClosingTheLeafsDescriptorSendsItAway_W101) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    play.bob.commit(bob, 24);
    play.w.carry();
    EXPECT_EQ(play.root.close(play.handle(0)), 0);
    play.w.run();
    EXPECT_EQ(play.ann.end_code(ann), -1) << "it reads what it has";
    play.w.read_and_carry();
    play.w.pass(100);
    EXPECT_EQ(play.ann.end_code(ann), 0);
    EXPECT_EQ(play.bob.end_code(bob), -1);
    play.bob.commit(bob, 32);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.root, play.s), Heard{32});
    play.expect_nothing_left();
}

TEST(Mesh, ASlowReaderGoesAlone) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    play.bob.commit(bob, abi::position(900, 0));
    play.w.carry();
    play.root.host.engine.read_all();
    play.bob.host.engine.read_all();
    play.w.carry();
    play.w.pass(1200);
    EXPECT_EQ(play.ann.end_code(ann), ECONNABORTED);
    EXPECT_EQ(play.root.end_code(play.handle(0)), ECONNABORTED);
    EXPECT_EQ(play.root.rows(play.s).at(0).reason, static_cast<uint32_t>(XY_END_SLOW));
    EXPECT_EQ(play.bob.end_code(bob), -1);
    play.expect_nothing_left();
}

TEST(Mesh, OfTwoThatLoseEachOtherTheYoungerGoes) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    play.w.cut(play.w.b, play.w.c);
    play.w.run();
    EXPECT_EQ(play.bob.end_code(bob), -1) << "the root waits for a simpler explanation";
    play.w.pass(5100);
    EXPECT_EQ(play.bob.end_code(bob), ECONNABORTED);
    EXPECT_EQ(play.root.end_code(play.handle(1)), ECONNABORTED);
    EXPECT_EQ(play.ann.end_code(ann), -1);
    play.ann.commit(ann, 16);
    play.w.read_and_carry();
    EXPECT_EQ(MeshPlay::heard(play.root, play.s), Heard{16});
    play.expect_nothing_left();
}

TEST(Mesh, AHostThatDiesTakesNobodyAlong) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    // bob's daemon is gone; ann's notices before the root's.
    play.w.cut_off(play.w.b, play.w.c);
    play.w.run();
    play.w.pass(1000);
    play.w.cut_off(play.w.a, play.w.c);
    play.w.run();
    play.w.pass(10000);
    EXPECT_EQ(play.ann.end_code(ann), -1);
    EXPECT_EQ(play.root.end_code(play.handle(1)), ECONNABORTED);
    play.w.cut_off(play.w.c, play.w.a);
    play.w.cut_off(play.w.c, play.w.b);
    EXPECT_EQ(play.bob.end_code(bob), ECONNABORTED);
    play.expect_nothing_left();
}

// ---- hostile ----

TEST(Mesh, AnAccuserWhomNobodyConfirmsGoesItself_Invariant4) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.join(play.bob);
    // ann's daemon says that there is no way to bob, the younger; bob's does not say so.
    play.w.cut_off(play.w.b, play.w.c);
    play.w.run();
    play.w.pass(5100);
    EXPECT_EQ(play.ann.end_code(ann), ECONNABORTED);
    EXPECT_EQ(play.bob.end_code(bob), -1);
    play.expect_nothing_left();
}

TEST(Mesh, AFeedWithoutTheSecretIsRefused) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann);
    const auto n_readers = play.w.b.engine.readers_of(play.ann.id(), ann).size();
    proto::Envelope message;
    proto::FeedOpen& open = *message.mutable_feed_open();
    open.set_feed(77);
    open.set_secret(std::string(kFeedSecretBytes, 'x'));
    open.set_from(kRootNumber);
    open.set_feedback_label(5);
    open.mutable_stream()->set_cell_bytes(1408);
    open.mutable_stream()->set_cells_log2(10);
    open.mutable_stream()->set_socket_type(SOCK_RDM);
    to_proto(Endpoint{play.w.c.address(), 7471}, *open.mutable_data_address());
    play.w.b.sessions->on_message(3, message);
    ASSERT_EQ(play.w.b.links.wires[3].size(), 1U);
    EXPECT_EQ(play.w.b.links.wires[3].front().feed_done().code(), ECONNREFUSED);
    play.w.run();
    EXPECT_EQ(play.w.b.engine.readers_of(play.ann.id(), ann).size(), n_readers);
    EXPECT_EQ(play.w.b.sessions->violations().at("feed_to_nobody"), 1U);
    EXPECT_EQ(play.ann.end_code(ann), -1);
    play.expect_nothing_left();
}

/// Captures a message on its way from one host to another.
template <class Wanted>
static proto::Envelope caught(World& w, TestHost& from, TestHost& to, Wanted wanted) {
    for (unsigned n = 0; n < 100000; ++n) {
        for (const proto::Envelope& message : from.links.wires[from.links.id_of(to)])
            if (wanted(message)) return message;
        if (!w.step()) break;
    }
    ADD_FAILURE() << "the message never came";
    return {};
}

TEST(Mesh, AMemberMaySpeakForItselfOnly) {
    MeshPlay play;
    const uint32_t ann = play.join(play.ann), bob = play.ask(play.bob);
    play.w.run();
    play.admit();
    // bob's daemon knows the secret now, and claims to be the root's.
    proto::Envelope stolen =
        caught(play.w, play.w.c, play.w.b, [](const proto::Envelope& message) { return message.has_feed_open(); });
    play.w.run();
    const auto n_readers = play.w.b.engine.readers_of(play.ann.id(), ann).size();
    stolen.mutable_feed_open()->set_feed(78);
    stolen.mutable_feed_open()->set_feedback_label(79);
    stolen.mutable_feed_open()->set_from(kRootNumber);
    play.w.b.sessions->on_message(3, stolen);
    ASSERT_FALSE(play.w.b.links.wires[3].empty());
    EXPECT_EQ(play.w.b.links.wires[3].back().feed_done().code(), EACCES);
    // Nor does it aim anything at somebody else.
    stolen.mutable_feed_open()->set_from(1);
    to_proto(Endpoint{play.w.a.address(), 7471}, *stolen.mutable_feed_open()->mutable_data_address());
    play.w.b.sessions->on_message(3, stolen);
    play.w.run();
    EXPECT_EQ(play.w.b.engine.readers_of(play.ann.id(), ann).size(), n_readers);
    EXPECT_EQ(play.bob.end_code(bob), -1);
    play.expect_nothing_left();
}

TEST(Mesh, NonsenseAboutAFeedEndsThatPairOnly_Invariant4) {
    using Forge = void (*)(proto::Envelope&, uint64_t feed);
    const Forge forgeries[] = {
        [](proto::Envelope& m, uint64_t feed) { m.mutable_feed_live()->set_feed(feed); },
        [](proto::Envelope& m, uint64_t feed) {
            m.mutable_feed_close()->set_feed(feed);
            m.mutable_feed_close()->set_final(abi::position(1, 1500));
        },
        [](proto::Envelope& m, uint64_t feed) {
            m.mutable_feed_close()->set_feed(feed);
            m.mutable_feed_close()->set_code(-5);
        },
    };
    for (const Forge forge : forgeries) {
        MeshPlay play;
        const uint32_t ann = play.join(play.ann), bob = play.ask(play.bob);
        play.w.run();
        play.admit();
        const uint64_t feed =
            caught(play.w, play.w.c, play.w.b, [](const proto::Envelope& message) { return message.has_feed_live(); })
                .feed_live()
                .feed();
        play.w.run();
        ASSERT_EQ(play.bob.outcome(bob), 0);
        proto::Envelope forged;
        forge(forged, feed);
        play.w.b.sessions->on_message(3, forged);
        play.w.run();
        play.w.pass(5100);
        EXPECT_FALSE(play.w.b.sessions->violations().empty());
        EXPECT_EQ(play.bob.end_code(bob) == -1, play.ann.end_code(ann) != -1) << "one of the two has to go";
        EXPECT_EQ(play.root.facts(play.s).leaves, 1U);
        play.expect_nothing_left();
    }
}

TEST(Mesh, ARootThatMakesNoSenseEndsThatMemberOnly) {
    MeshPlay play;
    const uint32_t bob = play.join(play.bob), ann = play.ask(play.ann);
    const uint64_t join =
        caught(play.w, play.w.b, play.w.a, [](const proto::Envelope& message) { return message.has_join_request(); })
            .join_request()
            .join();
    play.w.run();
    play.admit();
    play.w.run();
    ASSERT_EQ(play.ann.outcome(ann), 0);
    proto::Envelope message;
    message.mutable_member_add()->set_join(join);
    message.mutable_member_add()->set_number(0);
    message.mutable_member_add()->set_direction(9);
    play.w.b.sessions->on_message(2, message);
    play.w.run();
    EXPECT_EQ(play.ann.end_code(ann), ECONNABORTED);
    EXPECT_EQ(play.bob.end_code(bob), -1);
    play.expect_nothing_left();
}

// ---- at every step ----

using Break = std::function<void(MeshPlay&)>;

/// Three members come, and something happens after the k-th message or completion; then everybody dies.
static void break_everywhere(const char* name, const Break& break_it) {
    for (unsigned seed = 1; seed <= 3; ++seed) {
        bool is_whole = false;
        for (unsigned k = 0; !is_whole; ++k) {
            MeshPlay play(seed);
            bool is_root_there = true;
            play.ask(play.ann), play.ask(play.bob), play.ask(play.cid);
            const auto act = [&] {
                if (play.root.app->sockets.contains(play.s) && is_root_there) play.admit();
            };
            is_whole = true;
            for (unsigned n = 0; play.w.step(); act())
                if (n++ == k) {
                    is_whole = false;
                    break;
                }
            break_it(play);
            is_root_there = play.root.app->sockets.contains(play.s);
            while (play.w.step())
                act();
            play.w.pass(200);
            play.expect_nothing_left(std::string(name) + " after step " + std::to_string(k) + " of seed " +
                                     std::to_string(seed));
            if (testing::Test::HasFailure()) return;
        }
    }
}

TEST(Mesh, DeathOfAMemberAtEveryStepLeavesNothing_Invariant6) {
    break_everywhere("ann dies", [](MeshPlay& play) { play.ann.die(); });
}
TEST(Mesh, DeathOfTheRootAtEveryStepLeavesNothing_Invariant6) {
    break_everywhere("the root dies", [](MeshPlay& play) { play.root.die(); });
}
TEST(Mesh, ClosesOfTheRootAtEveryStepLeaveNothing_Invariant6) {
    break_everywhere("the root closes", [](MeshPlay& play) { play.root.close(play.s); });
}
TEST(Mesh, ABreakBetweenMembersAtEveryStepLeavesNothing_Invariant6) {
    break_everywhere("ann and bob lose each other", [](MeshPlay& play) {
        play.w.cut(play.w.b, play.w.c);
        play.w.run();
        play.w.pass(35000);
    });
}
TEST(Mesh, ABreakTowardTheRootAtEveryStepLeavesNothing_Invariant6) {
    break_everywhere("bob loses the root", [](MeshPlay& play) { play.w.cut(play.w.a, play.w.c); });
}
TEST(Mesh, TimeoutsAtEveryStepLeaveNothing_Invariant6) {
    break_everywhere("nobody answers", [](MeshPlay& play) {
        play.w.now_ms += 60000;
        for (TestHost* host : play.w.hosts)
            host->sessions->tick();
    });
}
TEST(Mesh, AFailureAtEveryStepLeavesNothing_Invariant6) {
    for (unsigned host = 0; host < 3; ++host) {
        for (unsigned nth = 1; nth <= 40; ++nth) {
            MeshPlay play(nth);
            play.w.hosts[host]->engine.fail_at = nth;
            for (TestApp* app : {&play.ann, &play.bob, &play.cid}) {
                const Reply opened = app->try_open(XY_C_LEAF | XY_D_LEAF, SOCK_RDM, XY_PROTO_MESH);
                if (opened.error == 0) app->join(socket_in(opened), play.w.a.address(), kPort);
            }
            while (play.w.step())
                play.admit();
            play.w.pass(6000);
            play.expect_nothing_left("failure " + std::to_string(nth) + " at host " + std::to_string(host));
            if (testing::Test::HasFailure()) return;
        }
    }
}

}  // namespace xylem::session
