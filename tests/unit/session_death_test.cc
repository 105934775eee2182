// SPDX-License-Identifier: Apache-2.0
// Death at every step (invariant 6): a join of each kind is broken after its k-th message or completion, for every k
// and in many orders; afterwards neither engine holds anything. And the n-th thing that can fail fails, for every n.
#include <cerrno>

#include "tests/unit/session_world.h"

namespace xylem::session {

constexpr uint16_t kPort = 5000;

/// Two roots' worth of everything: two leaves ask, one of them on the root's own host, and two are invited.
struct Play {
    explicit Play(unsigned seed) {
        w.random.seed(seed);
        s = root.root(kPort);
        x = leaf.listening_leaf(6000);
        y = local.listening_leaf(6001);
        l1 = leaf.leaf();
        l2 = other.leaf();
        l3 = local.leaf();
        leaf.join(l1, w.a.address(), kPort);
        other.join(l2, w.a.address(), kPort);
        local.join(l3, w.a.address(), kPort);
        f = socket_of(root.join(s, w.b.address(), 6000));
    }
    static uint32_t socket_of(const Reply& reply) { return reply.error == 0 ? socket_in(reply) : ~0U; }

    /// What applications do when they can.
    void act() {
        if (is_root_there && root.app->sockets.contains(s)) {
            while (true) {
                auto accepted = root.accept(s);
                if (accepted->error == EAGAIN) break;
            }
            if (!has_second_invite && root.facts(s).connect_done > 0) {
                has_second_invite = true;
                root.join(s, w.a.address(), 6001);
            }
        }
        if (is_leaf_there && leaf.app->sockets.contains(x)) leaf.accept(x);
        if (is_local_there) local.accept(y);
    }
    bool step() {
        const bool did = w.step();
        act();
        return did;
    }
    unsigned run_to_rest() {
        unsigned n = 0;
        while (step())
            ++n;
        return n;
    }
    void die_all() {
        root.die();
        leaf.die();
        other.die();
        local.die();
        is_root_there = is_leaf_there = is_local_there = false;
    }
    void expect_nothing_left(const std::string& what) {
        w.run();
        w.pass(200);
        EXPECT_EQ(w.leftovers(), "") << what;
        EXPECT_TRUE(w.a.network.watches.empty() && w.b.network.watches.empty()) << what;
        EXPECT_EQ(w.a.sessions->n_engine_objects() + w.b.sessions->n_engine_objects(), 0U) << what;
    }

    World w;
    TestApp root{w.a}, local{w.a}, leaf{w.b}, other{w.b};
    uint32_t s, x, y, l1, l2, l3, f;
    bool has_second_invite = false, is_root_there = true, is_leaf_there = true, is_local_there = true;
};

using Break = std::function<void(Play&)>;

static void break_everywhere(const char* name, const Break& break_it) {
    for (unsigned seed = 1; seed <= 4; ++seed) {
        unsigned n_steps = 0;
        {
            Play whole(seed);
            n_steps = whole.run_to_rest();
            ASSERT_GT(n_steps, 20U);
            ASSERT_EQ(whole.leaf.outcome(whole.l1), 0);
            ASSERT_EQ(whole.local.outcome(whole.l3), 0);
            ASSERT_EQ(whole.root.facts(whole.s).leaves, 5U);
            whole.die_all();
            whole.expect_nothing_left("the whole play");
        }
        for (unsigned k = 0; k <= n_steps; ++k) {
            Play play(seed);
            for (unsigned n = 0; n < k; ++n)
                play.step();
            break_it(play);
            play.run_to_rest();
            const std::string what =
                std::string(name) + " after step " + std::to_string(k) + " of seed " + std::to_string(seed);
            play.die_all();
            play.expect_nothing_left(what);
            if (testing::Test::HasFailure()) return;
        }
    }
}

TEST(Death, OfALeafsApplicationAtEveryStepLeavesNothing_Invariant6) {
    break_everywhere("leaf dies", [](Play& play) {
        play.is_leaf_there = false;
        play.leaf.die();
    });
}

TEST(Death, OfTheRootsApplicationAtEveryStepLeavesNothing_Invariant6) {
    break_everywhere("root dies", [](Play& play) {
        play.is_root_there = false;
        play.root.die();
        play.w.run();
        play.w.pass(100);
        EXPECT_EQ(play.root.s().status_json(0).find("c_root"), std::string::npos);
    });
}

TEST(Death, OfTheConnectionAtEveryStepLeavesNothing_Invariant6) {
    break_everywhere("connection breaks", [](Play& play) {
        play.w.cut();
        play.w.run();
        for (const auto& [socket, app] : {std::pair{play.l1, &play.leaf}, std::pair{play.l2, &play.other}}) {
            if (app->phase(socket) == abi::Phase::kJoining) continue;
            EXPECT_TRUE(app->end_code(socket) > 0 || app->outcome(socket) != 0);
        }
    });
}

TEST(Death, ClosesOfTheRootAtEveryStepLeaveNothing_Invariant6) {
    break_everywhere("root closes", [](Play& play) { play.root.close(play.s); });
}

TEST(Death, ClosesOfALeafAtEveryStepLeaveNothing_Invariant6) {
    break_everywhere("leaf closes", [](Play& play) {
        play.leaf.close(play.l1);
        play.leaf.close(play.x);
    });
}

TEST(Death, ClosesOfAHandleAtEveryStepLeaveNothing_Invariant6) {
    break_everywhere("handle closes", [](Play& play) { play.root.close(play.f); });
}

TEST(Death, TimeoutsAtEveryStepLeaveNothing_Invariant6) {
    break_everywhere("nobody answers", [](Play& play) {
        play.w.now_ms += 60000;
        play.w.a.sessions->tick();
        play.w.b.sessions->tick();
    });
}

TEST(Death, AFailureAtEveryStepLeavesNothing_Invariant6) {
    for (bool is_at_root : {true, false}) {
        for (unsigned nth = 1; nth <= 30; ++nth) {
            Play play(nth);
            (is_at_root ? play.w.a : play.w.b).engine.fail_at = nth;
            play.run_to_rest();
            play.die_all();
            play.expect_nothing_left("failure " + std::to_string(nth));
        }
    }
}

TEST(Death, OrderOfCompletionsDoesNotMatter_Invariant5) {
    for (unsigned seed = 1; seed <= 300; ++seed) {
        Play play(seed);
        play.run_to_rest();
        EXPECT_EQ(play.leaf.outcome(play.l1), 0) << seed;
        EXPECT_EQ(play.other.outcome(play.l2), 0) << seed;
        EXPECT_EQ(play.local.outcome(play.l3), 0) << seed;
        EXPECT_EQ(play.root.facts(play.s).leaves, 5U) << seed;
        EXPECT_EQ(play.w.b.engine.n_images_made, 1U) << seed << ": one image per host";
        EXPECT_TRUE(play.w.a.sessions->violations().empty() && play.w.b.sessions->violations().empty());
    }
}

}  // namespace xylem::session
