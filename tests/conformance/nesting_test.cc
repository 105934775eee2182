// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.P: calls from within a condition function, and signals.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>

#include "tests/conformance/scene.h"
#include "tests/conformance/watch.h"

namespace xylem::conformance {
namespace {

struct Nesting : testing::Test {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listening = listening_root(root);
};

/// What calls from within a condition function returned.
struct Nested {
    Done join, socket, bind, send, option, receive, accept;
    int outer = -1;
};

TEST_F(Nesting, W_247_ACallbackMayCallAllButJoin) {
    XY_ROW("A-04");
    const Edge edge = ask(listening, leaf);
    const Bound listener = listening_leaf(leaf);
    leaf.start_join(open_leaf(leaf), listening.name);
    ASSERT_EQ(polled(root, listening.s, POLLIN), POLLIN);
    leaf.start_join(open_leaf(leaf), listening.name);
    const Address here = root.address(), there = listener.name;
    const Nested nested = root.run([s = listening.s, here, there] {
        struct Within {
            int s;
            Address here, there;
            Nested out;
        } within{s, here, there, {}};
        const auto condition = [](const xy_request*, xy_data* callee, void* arg) -> int {
            callee->len = 0;
            auto& w = *static_cast<Within*>(arg);
            w.out.socket = done(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, kRoot));
            const int made = static_cast<int>(w.out.socket.value);
            w.out.bind = done(xy_bind(made, w.here.get(), w.here.length));
            w.out.join = calls::join(made, w.there, {});
            w.out.send = done(xy_send(w.s, "down", 4, 0));
            int type = 0;
            socklen_t length = sizeof type;
            w.out.option = done(xy_getsockopt(w.s, SOL_SOCKET, SO_TYPE, &type, &length));
            w.out.receive = calls::receive(w.s, 10, XY_MSG_DONTWAIT);
            calls::await_poll(w.s, POLLIN, kPatienceMs);  // the second request
            w.out.accept = done(xy_accept(w.s, nullptr, nullptr, nullptr, nullptr));
            xy_close(made);
            return XY_ACCEPT;
        };
        within.out.outer = xy_accept(s, nullptr, nullptr, condition, &within);
        return within.out;
    });
    EXPECT_THAT(nested.join, Fails(EINPROGRESS));
    EXPECT_THAT(nested.socket, Succeeds());
    EXPECT_THAT(nested.bind, Returns(0));
    EXPECT_THAT(nested.send, Returns(4));
    EXPECT_THAT(nested.option, Returns(0));
    EXPECT_THAT(nested.receive, Fails(EAGAIN));
    EXPECT_THAT(nested.accept, Succeeds());
    EXPECT_GE(nested.outer, 0);
    EXPECT_EQ(leaf.receive(edge.s).text, "down");
}

std::atomic<pthread_t> g_blocked;
std::atomic<int> g_n_signals;

TEST_F(Nesting, W_248_ASignalAloneEndsNoCall) {
    XY_ROW("W-248");
    leaf.run([] {
        struct sigaction action {};
        action.sa_handler = [](int) { ++g_n_signals; };
        sigaction(SIGALRM, &action, nullptr);  // without SA_RESTART
    });
    const int s = open_leaf(leaf);
    auto joining = leaf.start([s, name = listening.name] {
        g_blocked = pthread_self();
        return calls::join(s, name, {});
    });
    EXPECT_TRUE(joining.is_waiting());
    for (int i = 1; i <= 3; ++i) {
        leaf.run([] { pthread_kill(g_blocked, SIGALRM); });
        while (leaf.run([] { return g_n_signals.load(); }) < i) {
        }
    }
    EXPECT_TRUE(joining.is_waiting());
    must(root.accept(listening.s), "accept");
    EXPECT_THAT(joining.result(), Returns(s));
}

}  // namespace
}  // namespace xylem::conformance
