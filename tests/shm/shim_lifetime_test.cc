// SPDX-License-Identifier: Apache-2.0
// Joins, closes, deaths, forks and cancelled calls.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimLifetime = ShimTest;

int join_at(int s, const sockaddr_in& name, unsigned flags = XY_BOTH, const xy_data* data = nullptr,
            xy_data* answer = nullptr) {
    return xy_join_leaf(s, as_sockaddr(name), sizeof name, data, answer, nullptr, nullptr, flags);
}

TEST_F(ShimLifetime, DataTravelsWithABlockingJoinBothWays) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    set_blocking(leaf, true);
    std::string question = "who is there?";
    char answer[64];
    const xy_data caller{question.data(), question.size()};
    xy_data callee{answer, sizeof answer};
    struct Seen {
        std::string data;
        pthread_t thread;
    } seen;

    int branch = -1;
    std::thread acceptor([&] {
        sockaddr_in from{};
        socklen_t bytes = sizeof from;
        branch = xy_accept(
            root, reinterpret_cast<sockaddr*>(&from), &bytes,
            [](const xy_request* request, xy_data* data, void* argument) {
                auto* s = static_cast<Seen*>(argument);
                s->data.assign(static_cast<char*>(request->caller_data.buf), request->caller_data.len);
                s->thread = pthread_self();
                EXPECT_EQ(request->caller->sa_family, AF_INET);
                memcpy(data->buf, "a root", 6);
                data->len = 6;
                return XY_ACCEPT;
            },
            &seen);
        EXPECT_NE(from.sin_port, 0);
        EXPECT_TRUE(pthread_equal(seen.thread, pthread_self()));  // W-190
    });
    const int joined = join_at(leaf, address_of(kRootPort), XY_BOTH, &caller, &callee);
    acceptor.join();

    EXPECT_EQ(joined, leaf);  // W-086
    EXPECT_GE(branch, 0);
    EXPECT_EQ(seen.data, question);
    EXPECT_EQ(std::string(answer, callee.len), "a root");
    EXPECT_EQ(join_at(leaf, address_of(kRootPort)), -1);
    EXPECT_EQ(errno, EISCONN);  // W-113
}

TEST_F(ShimLifetime, ARootInvitesALeafAndGetsANewDescriptor) {
    const int root = xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT);
    const int listener = xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF);
    const sockaddr_in name = address_of(6000);
    ASSERT_EQ(xy_bind(listener, as_sockaddr(name), sizeof name), 0);
    ASSERT_EQ(xy_listen(listener, 1), 0);

    int leaf = -1;
    std::thread acceptor([&] { leaf = xy_accept(listener, nullptr, nullptr, nullptr, nullptr); });
    const int branch = join_at(root, name);
    acceptor.join();

    ASSERT_GE(branch, 0) << strerror(errno);
    ASSERT_GE(leaf, 0);
    EXPECT_NE(branch, root);
    EXPECT_EQ(send_text(root, "hello"), 5) << strerror(errno);
    EXPECT_EQ(receive_text(leaf), "hello");
    EXPECT_EQ(join_at(branch, name), -1);
    EXPECT_EQ(errno, EISCONN);  // W-106
    EXPECT_EQ(join_at(listener, name), -1);
    EXPECT_EQ(errno, EINVAL);  // W-087
}

TEST_F(ShimLifetime, RejectedAndDeferredRequestsAreToldApart) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    set_blocking(leaf, true);
    std::thread joiner([&] {
        EXPECT_EQ(join_at(leaf, address_of(kRootPort)), -1);
        EXPECT_EQ(errno, ECONNREFUSED);  // W-193
    });

    const auto answer = [](const xy_request*, xy_data*, void* decision) { return *static_cast<int*>(decision); };
    int decision = XY_DEFER;
    EXPECT_EQ(xy_accept(root, nullptr, nullptr, answer, &decision), -1);
    EXPECT_EQ(errno, EBUSY);
    decision = 7;
    EXPECT_EQ(xy_accept(root, nullptr, nullptr, answer, &decision), -1);
    EXPECT_EQ(errno, EINVAL);  // W-195
    decision = XY_REJECT;
    EXPECT_EQ(xy_accept(root, nullptr, nullptr, answer, &decision), -1);
    EXPECT_EQ(errno, ECONNREFUSED);
    joiner.join();
}

TEST_F(ShimLifetime, AJoinInsideAConditionFunctionIsInProgress) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    join_at(leaf, address_of(kRootPort));
    int other = make_leaf(SOCK_RDM);

    const int branch = xy_accept(
        root, nullptr, nullptr,
        [](const xy_request*, xy_data*, void* argument) {
            EXPECT_EQ(join_at(*static_cast<int*>(argument), address_of(kRootPort)), -1);
            EXPECT_EQ(errno, EINPROGRESS);  // W-206
            return XY_ACCEPT;
        },
        &other);

    EXPECT_GE(branch, 0);
}

TEST_F(ShimLifetime, JoinChecksItsArgumentsInOrder) {
    const int leaf = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);
    char big[2000];
    const xy_data too_much{big, sizeof big};
    sockaddr_in6 other{};
    other.sin6_family = AF_INET6;
    const auto error = [](int result) { return result == -1 ? errno : 0; };

    EXPECT_EQ(error(join_at(12345, name)), ENOTSOCK);
    EXPECT_EQ(error(join_at(leaf, name, 0)), EINVAL);
    EXPECT_EQ(error(join_at(leaf, name, 8)), EINVAL);  // W-251
    EXPECT_EQ(error(xy_join_leaf(leaf, nullptr, 16, nullptr, nullptr, nullptr, nullptr, XY_BOTH)), EFAULT);
    EXPECT_EQ(error(xy_join_leaf(leaf, as_sockaddr(name), 4, nullptr, nullptr, nullptr, nullptr, XY_BOTH)), EFAULT);
    EXPECT_EQ(error(xy_join_leaf(leaf, as_sockaddr(name), 15, nullptr, nullptr, nullptr, nullptr, XY_BOTH)), EFAULT);
    EXPECT_EQ(error(join_at(leaf, name, XY_BOTH, &too_much)), EFAULT);  // W-182
    EXPECT_EQ(error(xy_join_leaf(leaf, reinterpret_cast<sockaddr*>(&other), sizeof other, nullptr, nullptr, nullptr,
                                 nullptr, XY_BOTH)),
              EAFNOSUPPORT);
    EXPECT_EQ(error(join_at(leaf, address_of(0))), EADDRNOTAVAIL);  // W-046
    EXPECT_EQ(error(join_at(leaf, address_of(1, "0.0.0.0"))), EADDRNOTAVAIL);
}

TEST_F(ShimLifetime, SocketsAreMadeOnlyAsTheirProtocolAllows) {
    const auto error = [](int family, int type, int protocol, unsigned flags) {
        const int s = xy_socket(family, type, protocol, flags);
        if (s >= 0) xy_close(s);
        return s >= 0 ? 0 : errno;
    };

    EXPECT_EQ(error(AF_UNIX, SOCK_RDM, 0, XY_C_ROOT | XY_D_ROOT), EAFNOSUPPORT);
    EXPECT_EQ(error(AF_INET, SOCK_RAW, 0, XY_C_ROOT | XY_D_ROOT), ESOCKTNOSUPPORT);
    EXPECT_EQ(error(AF_INET, SOCK_RDM, 17, XY_C_ROOT | XY_D_ROOT), EPROTONOSUPPORT);
    EXPECT_EQ(error(AF_INET, SOCK_RDM, XY_PROTO_GROUP, XY_C_LEAF | XY_D_LEAF), EPROTOTYPE);
    int n_tree = 0, n_mesh = 0, n_group = 0;
    for (unsigned flags = 0; flags < 64; ++flags) {
        n_tree += error(AF_INET, SOCK_RDM, XY_PROTO_TREE, flags) == 0;
        n_mesh += error(AF_INET, SOCK_RDM, XY_PROTO_MESH, flags) == 0;
        n_group += error(AF_INET, SOCK_DGRAM, XY_PROTO_GROUP, flags) == 0;
    }
    EXPECT_EQ(n_tree, 4);  // W-009 … W-011
    EXPECT_EQ(n_mesh, 2);
    EXPECT_EQ(n_group, 1);
}

TEST_F(ShimLifetime, AClosedNumberIsNotUsedAgainAtOnce) {
    const int s = make_leaf(SOCK_RDM);

    EXPECT_EQ(xy_close(s), 0);

    EXPECT_EQ(xy_close(s), -1);
    EXPECT_EQ(errno, ENOTSOCK);  // W-108
    for (int i = 0; i < 63; ++i) {
        const int other = make_leaf(SOCK_RDM);
        EXPECT_NE(other, s);
        xy_close(other);
    }
    EXPECT_EQ(send_text(s, "x"), -1);
    EXPECT_EQ(errno, ENOTSOCK);
}

TEST_F(ShimLifetime, ClosingWakesAThreadThatWaits) {
    const Pair p = make_pair(SOCK_RDM, true);
    std::atomic<bool> is_in{false};
    std::thread reader([&] {
        is_in = true;
        EXPECT_EQ(receive_text(p.leaf), "errno ENOTSOCK");
    });
    ASSERT_TRUE(eventually([&] { return is_in.load(); }));

    EXPECT_EQ(xy_close(p.leaf), 0);

    reader.join();
}

TEST_F(ShimLifetime, CancelEndsABlockingCallAndNothingElse) {
    const Pair p = make_pair(SOCK_RDM, true);
    EXPECT_EQ(xy_cancel(pthread_self()), -1);
    EXPECT_EQ(errno, EINVAL);  // W-241
    std::thread reader([&] {
        EXPECT_EQ(receive_text(p.leaf), "errno EINTR");
        EXPECT_EQ(receive_text(p.leaf), "afterwards");
    });

    EXPECT_TRUE(eventually([&] { return xy_cancel(reader.native_handle()) == 0; }));
    send_text(p.root, "afterwards");

    reader.join();
}

TEST_F(ShimLifetime, ACancelledJoinMayBeTriedAgainAtOnce) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    set_blocking(leaf, true);
    set_blocking(root, false);
    for (int i = 0; i < 3; ++i) {
        std::thread joiner([&] {
            EXPECT_EQ(join_at(leaf, address_of(kRootPort)), -1);
            EXPECT_EQ(errno, EINTR);  // W-205, W-240
        });
        ASSERT_TRUE(eventually([&] { return xy_cancel(joiner.native_handle()) == 0; }));
        joiner.join();
        EXPECT_EQ(xy_accept(root, nullptr, nullptr, nullptr, nullptr), -1);
        EXPECT_EQ(errno, EACCES);  // W-122
    }
    set_blocking(root, true);
    std::thread acceptor([&] { EXPECT_GE(xy_accept(root, nullptr, nullptr, nullptr, nullptr), 0); });
    EXPECT_EQ(join_at(leaf, address_of(kRootPort)), leaf);  // W-243
    acceptor.join();
}

TEST_F(ShimLifetime, ACancelledInvitationLeavesNoDescriptor) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort + 1);
    ASSERT_EQ(xy_bind(leaf, as_sockaddr(name), sizeof name), 0);
    ASSERT_EQ(xy_listen(leaf, 5), 0);
    set_blocking(root, true);
    for (int i = 0; i < 3; ++i) {
        std::thread joiner([&] {
            EXPECT_EQ(join_at(root, name), -1);
            EXPECT_EQ(errno, EINTR);
        });
        ASSERT_TRUE(eventually([&] { return xy_cancel(joiner.native_handle()) == 0; }));
        joiner.join();
        EXPECT_EQ(xy_accept(leaf, nullptr, nullptr, nullptr, nullptr), -1);
        EXPECT_EQ(errno, EACCES);
        EXPECT_EQ(daemon.locked([&] { return daemon.nth(daemon.n_sockets() - 1).fd; }), -1) << "F is closed";
    }
}

TEST_F(ShimLifetime, ACancelThatRacesTheAnswerGivesOneResult_W242) {
    const int root = make_root(SOCK_RDM);
    set_blocking(root, false);
    for (int i = 0; i < 100; ++i) {
        const int leaf = make_leaf(SOCK_RDM);
        set_blocking(leaf, true);
        int result = 0, error = 0;
        std::atomic<bool> is_over{false};
        std::thread joiner([&] {
            result = join_at(leaf, address_of(kRootPort));
            error = errno;
            is_over = true;
        });
        int branch = -1;
        ASSERT_TRUE(eventually([&] {
            branch = xy_accept(root, nullptr, nullptr, nullptr, nullptr);
            return branch >= 0;
        }));
        while (!is_over && xy_cancel(joiner.native_handle()) != 0) {
        }
        joiner.join();
        EXPECT_TRUE(result == leaf || (result == -1 && error == EINTR)) << result << " " << error;
        EXPECT_EQ(send_text(leaf, "x"), result == leaf ? 1 : -1);
        EXPECT_EQ(xy_close(leaf), 0);
        EXPECT_EQ(xy_close(branch), 0);
    }
}

TEST_F(ShimLifetime, ASignalDoesNotEndABlockingJoin_W248) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    set_blocking(leaf, true);
    struct sigaction action {};
    static std::atomic<int> n_signals;
    n_signals = 0;
    action.sa_handler = [](int) { ++n_signals; };
    sigaction(SIGALRM, &action, nullptr);
    std::thread joiner([&] { EXPECT_EQ(join_at(leaf, address_of(kRootPort)), leaf); });
    ASSERT_TRUE(is_readable(root, 10000));
    for (int i = 1; i <= 20; ++i) {
        pthread_kill(joiner.native_handle(), SIGALRM);
        ASSERT_TRUE(eventually([&] { return n_signals >= i; }));
    }
    EXPECT_GE(xy_accept(root, nullptr, nullptr, nullptr, nullptr), 0);
    joiner.join();
    signal(SIGALRM, SIG_DFL);
}

TEST_F(ShimLifetime, AnAcceptThatIsNotAnsweredYetHoldsNoOtherThreadUp) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM), other = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);
    ASSERT_EQ(xy_connect(leaf, as_sockaddr(name), sizeof name), 0);
    ASSERT_EQ(xy_connect(other, as_sockaddr(name), sizeof name), 0);
    daemon.hold(abi::Op::kAcceptDecide);
    int branch = -1;
    std::thread acceptor([&] { branch = xy_accept(root, nullptr, nullptr, nullptr, nullptr); });
    ASSERT_TRUE(eventually([&] { return daemon.n_held() == 1; }));

    for (int i = 0; i < 100; ++i) {  // as the one that reads, and as one that waits for it
        const int fresh = make_leaf(SOCK_RDM);
        EXPECT_EQ(xy_close(fresh), 0);
    }
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 100; ++i) {
                sockaddr_in bound{};
                socklen_t bytes = sizeof bound;
                EXPECT_EQ(xy_getsockname(root, reinterpret_cast<sockaddr*>(&bound), &bytes), 0);
                EXPECT_EQ(bound.sin_port, htons(kRootPort));
                EXPECT_EQ(xy_close(make_leaf(SOCK_RDM)), 0);
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(branch, -1);

    daemon.hold(abi::Op{});
    acceptor.join();
    EXPECT_GE(branch, 0);
    EXPECT_EQ(send_text(leaf, "x"), 1);
}

TEST_F(ShimLifetime, ManyAcceptsWaitAtTheSameTimeAndEachGetsItsOwnLeaf) {
    constexpr size_t kLeaves = 5;
    const int root = make_root(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);
    std::vector<std::thread> acceptors;
    std::vector<int> branches(kLeaves, -1);
    std::vector<in_port_t> ports(kLeaves);
    daemon.hold(abi::Op::kAcceptDecide);
    for (size_t i = 0; i < kLeaves; ++i) {
        const int leaf = make_leaf(SOCK_RDM);
        ASSERT_EQ(xy_connect(leaf, as_sockaddr(name), sizeof name), 0);
        acceptors.emplace_back([&, i] {
            sockaddr_in from{};
            socklen_t bytes = sizeof from;
            branches[i] = xy_accept(root, reinterpret_cast<sockaddr*>(&from), &bytes, nullptr, nullptr);
            ports[i] = from.sin_port;
        });
        ASSERT_TRUE(eventually([&] { return daemon.n_held() == i + 1; }));
    }
    daemon.hold(abi::Op{});
    for (std::thread& acceptor : acceptors)
        acceptor.join();
    for (size_t i = 0; i < kLeaves; ++i) {
        sockaddr_in peer{};
        socklen_t bytes = sizeof peer;
        ASSERT_EQ(xy_getpeername(branches[i], reinterpret_cast<sockaddr*>(&peer), &bytes), 0) << i;
        EXPECT_EQ(peer.sin_port, ports[i]) << i;
    }
}

TEST_F(ShimLifetime, ClosingTheListenerEndsAnAcceptThatIsNotAnswered_W172) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);
    ASSERT_EQ(xy_connect(leaf, as_sockaddr(name), sizeof name), 0);
    daemon.hold(abi::Op::kAcceptDecide);
    std::thread acceptor([&] {
        EXPECT_EQ(xy_accept(root, nullptr, nullptr, nullptr, nullptr), -1);
        EXPECT_EQ(errno, ENOTSOCK);
    });
    ASSERT_TRUE(eventually([&] { return daemon.n_held() == 1; }));

    EXPECT_EQ(xy_close(root), 0);

    acceptor.join();
    daemon.hold(abi::Op{});
}

TEST_F(ShimLifetime, ADaemonThatStandsStillDoesNotHoldACancelledThread) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);
    ASSERT_EQ(xy_connect(leaf, as_sockaddr(name), sizeof name), 0);
    for (const auto& [op, call] : std::initializer_list<std::pair<abi::Op, int (*)(int)>>{
             {abi::Op::kSocket, [](int) { return xy_socket(AF_INET, SOCK_RDM, 0, XY_C_LEAF | XY_D_LEAF); }},
             {abi::Op::kAcceptTake, [](int s) { return xy_accept(s, nullptr, nullptr, nullptr, nullptr); }},
             {abi::Op::kAcceptDecide, [](int s) { return xy_accept(s, nullptr, nullptr, nullptr, nullptr); }}}) {
        const size_t n_sockets = daemon.locked([&] { return daemon.n_open(); });
        daemon.hold(op);
        std::thread caller([&, call = call] {
            EXPECT_EQ(call(root), -1);
            EXPECT_EQ(errno, EINTR);
        });
        ASSERT_TRUE(eventually([&] { return daemon.n_held() == 1; }));
        ASSERT_TRUE(eventually([&] { return xy_cancel(caller.native_handle()) == 0; }));
        caller.join();

        daemon.hold(abi::Op{});  // it goes on: what it made for nobody is given back
        ASSERT_TRUE(eventually([&] {
            sockaddr_in bound{};
            socklen_t bytes = sizeof bound;
            EXPECT_EQ(xy_getsockname(root, reinterpret_cast<sockaddr*>(&bound), &bytes), 0);
            return daemon.locked([&] { return daemon.n_open(); }) == n_sockets;
        })) << static_cast<int>(op);
        if (op == abi::Op::kAcceptTake) {
            EXPECT_TRUE(is_readable(root, 10000)) << "the request is there again";
        }
    }
}

TEST_F(ShimLifetime, ADaemonThatDoesNotAnswerInTimeIsGone_W203) {
    ASSERT_EQ(setenv("XYLEM_ANSWER_MS", "200", 1), 0);
    xy_detach();
    attach();
    unsetenv("XYLEM_ANSWER_MS");
    const int root = make_root(SOCK_RDM);
    daemon.hold(abi::Op::kSocket);
    std::thread waiting([&] {
        char byte;
        EXPECT_EQ(xy_recv(root, &byte, 1, 0), -1);
        EXPECT_EQ(errno, ENETDOWN);
    });
    EXPECT_EQ(xy_socket(AF_INET, SOCK_RDM, 0, XY_C_LEAF | XY_D_LEAF), -1);
    EXPECT_EQ(errno, ENETDOWN);
    waiting.join();
    EXPECT_EQ(xy_listen(root, 3), -1);
    EXPECT_EQ(errno, ENETDOWN);
    EXPECT_EQ(xy_close(root), 0);
}

TEST_F(ShimLifetime, AnAcceptWaitsForAnAnswerAsLongAsTheDaemonLives) {
    ASSERT_EQ(setenv("XYLEM_ANSWER_MS", "200", 1), 0);
    xy_detach();
    attach();
    unsetenv("XYLEM_ANSWER_MS");
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);
    ASSERT_EQ(xy_connect(leaf, as_sockaddr(name), sizeof name), 0);
    daemon.hold(abi::Op::kAcceptDecide);
    std::thread acceptor([&] { EXPECT_GE(xy_accept(root, nullptr, nullptr, nullptr, nullptr), 0); });
    ASSERT_TRUE(eventually([&] { return daemon.n_held() == 1; }));
    const uint64_t n_commands = daemon.locked([&] { return daemon.n_commands(); });
    // Its questions whether the daemon lives are answered.
    ASSERT_TRUE(eventually([&] { return daemon.locked([&] { return daemon.n_commands(); }) >= n_commands + 3; }));

    daemon.hold(abi::Op{});

    acceptor.join();
}

class ShimLinger : public ShimTest {
  protected:
    Pair start(int seconds, bool is_nonblocking) {
        const Pair p = make_pair(SOCK_RDM, true);
        const linger on{1, seconds};
        EXPECT_EQ(xy_setsockopt(p.root, SOL_SOCKET, SO_LINGER, &on, sizeof on), 0);
        if (is_nonblocking) set_blocking(p.root, false);
        send_text(p.root, "last");
        return p;
    }
    bool is_lingering() {
        return daemon.locked([&] { return daemon.nth(0).is_lingering; });
    }
};

TEST_F(ShimLinger, ABlockingCloseWaitsUntilAllWasConfirmed_W170) {
    const Pair p = start(60, false);
    std::atomic<bool> is_closed{false};
    std::thread closer([&] {
        EXPECT_EQ(xy_close(p.root), 0);
        is_closed = true;
    });
    ASSERT_TRUE(eventually([&] { return is_lingering(); }));
    EXPECT_FALSE(is_closed);
    EXPECT_EQ(send_text(p.root, "more"), -1);
    EXPECT_EQ(errno, ESHUTDOWN);

    EXPECT_EQ(receive_text(p.leaf), "last");
    EXPECT_EQ(receive_text(p.leaf), "errno ESHUTDOWN");
    ASSERT_TRUE(eventually([&] { return daemon.locked([&] { return is_closed.load(); }); }));

    closer.join();
    EXPECT_FALSE(daemon.locked([&] { return daemon.nth(0).was_aborted; }));
    EXPECT_EQ(xy_close(p.root), -1);
    EXPECT_EQ(errno, ENOTSOCK);
}

TEST_F(ShimLinger, ItsTimeOverTheRestIsDropped_W170) {
    const Pair p = start(1, false);

    EXPECT_EQ(xy_close(p.root), 0);

    EXPECT_TRUE(daemon.locked([&] { return daemon.nth(0).was_aborted; }));
}

TEST_F(ShimLinger, ANonblockingCloseThatWouldWaitDoesNothing_W171) {
    const Pair p = start(60, true);

    EXPECT_EQ(xy_close(p.root), -1);

    EXPECT_EQ(errno, EWOULDBLOCK);
    EXPECT_EQ(send_text(p.root, "more"), 4) << "it is as it was";
    EXPECT_EQ(receive_text(p.leaf), "last");
    EXPECT_EQ(receive_text(p.leaf), "more");
    ASSERT_TRUE(eventually([&] { return xy_close(p.root) == 0; }));
    EXPECT_FALSE(daemon.locked([&] { return daemon.nth(0).was_aborted; }));
}

TEST_F(ShimLinger, ACancelledCloseCanBeMadeAgain) {
    const Pair p = start(60, false);
    std::thread closer([&] {
        EXPECT_EQ(xy_close(p.root), -1);
        EXPECT_EQ(errno, EINTR);
    });
    ASSERT_TRUE(eventually([&] { return xy_cancel(closer.native_handle()) == 0; }));
    closer.join();
    EXPECT_EQ(send_text(p.root, "more"), -1);
    EXPECT_EQ(errno, ESHUTDOWN) << "its end has begun";
    const linger off{0, 0};
    ASSERT_EQ(xy_setsockopt(p.root, SOL_SOCKET, SO_LINGER, &off, sizeof off), 0);

    EXPECT_EQ(xy_close(p.root), 0);

    EXPECT_EQ(receive_text(p.leaf), "last");
    EXPECT_EQ(receive_text(p.leaf), "errno ESHUTDOWN");
}

TEST_F(ShimLinger, ADaemonThatIsGoneIsNotWaitedFor) {
    const Pair p = start(60, false);
    std::thread closer([&] { EXPECT_EQ(xy_close(p.root), 0); });
    ASSERT_TRUE(eventually([&] { return is_lingering(); }));
    daemon.die();
    closer.join();
}

TEST_F(ShimLifetime, ASignalDoesNotEndABlockingCall) {
    const Pair p = make_pair(SOCK_RDM, true);
    struct sigaction action {};
    static std::atomic<int> n_signals;
    action.sa_handler = [](int) { ++n_signals; };
    sigaction(SIGUSR1, &action, nullptr);
    std::thread reader([&] { EXPECT_EQ(receive_text(p.leaf), "data"); });

    for (int i = 0; i < 20; ++i)
        pthread_kill(reader.native_handle(), SIGUSR1);
    ASSERT_TRUE(eventually([&] { return n_signals > 0; }));
    send_text(p.root, "data");

    reader.join();
}

TEST_F(ShimLifetime, AReceiveTimeoutIsEagain) {
    const Pair p = make_pair(SOCK_RDM, true);
    const timeval timeout{0, 20000};
    ASSERT_EQ(xy_setsockopt(p.leaf, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);

    EXPECT_EQ(receive_text(p.leaf), "errno EAGAIN");

    timeval read_back{};
    socklen_t bytes = sizeof read_back;
    EXPECT_EQ(xy_getsockopt(p.leaf, SOL_SOCKET, SO_RCVTIMEO, &read_back, &bytes), 0);
    EXPECT_EQ(read_back.tv_usec, 20000);
}

TEST_F(ShimLifetime, WhenTheDaemonDiesEverybodyIsTold) {
    const Pair p = make_pair(SOCK_RDM, true);
    ASSERT_EQ(xy_event_select(p.branch, -1, XY_FD_CLOSE), 0);
    send_text(p.root, "last");
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    ASSERT_EQ(receive_text(p.leaf), "last");
    std::thread reader([&] { EXPECT_EQ(receive_text(p.leaf), "errno ENETDOWN"); });

    daemon.die();

    reader.join();
    EXPECT_TRUE(is_readable(p.branch, 10000));
    EXPECT_EQ(take_events(p.branch).error[XY_FD_CLOSE_BIT], ENETDOWN);
    EXPECT_TRUE(eventually([&] { return send_text(p.root, "x") == -1 && errno == ENETDOWN; }));
    EXPECT_EQ(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF), -1);
    EXPECT_EQ(errno, ENETDOWN);
}

TEST_F(ShimLifetime, AnEventMaskAloneLearnsOfTheDaemonsDeath) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.branch, -1, XY_FD_CLOSE), 0);
    EXPECT_FALSE(is_readable(p.branch, 0));

    daemon.die();

    ASSERT_TRUE(is_readable(p.branch, 10000));
    const xy_events events = take_events(p.branch);
    EXPECT_EQ(events.events, uint32_t{XY_FD_CLOSE});
    EXPECT_EQ(events.error[XY_FD_CLOSE_BIT], ENETDOWN);
}

TEST_F(ShimLifetime, ARestartedDaemonServesNewSocketsWhileOldOnesStayDown) {
    setenv("XYLEM_SOCKET", daemon.path().c_str(), 1);
    const Pair old = make_pair(SOCK_RDM, true);
    daemon.die();
    FakeDaemon restarted({}, daemon.path());

    const Pair p = make_pair(SOCK_RDM, true);

    EXPECT_EQ(send_text(p.root, "again"), 5) << strerror(errno);
    EXPECT_EQ(receive_text(p.leaf), "again");
    EXPECT_EQ(receive_text(old.leaf), "errno ENETDOWN");
    EXPECT_EQ(xy_close(old.leaf), 0);
    EXPECT_EQ(xy_close(old.root), 0);
    unsetenv("XYLEM_SOCKET");
    xy_detach();
}

TEST_F(ShimLifetime, AForkedChildHasNoneOfItsParentsSockets) {
    const Pair p = make_pair(SOCK_RDM, true);
    send_text(p.root, "before");
    const pid_t child = fork();
    if (child == 0) {
        const bool is_right = send_text(p.root, "x") == -1 && errno == ENOTSOCK &&
                              receive_text(p.leaf) == "errno ENOTSOCK" && xy_close(p.branch) == -1 && errno == ENOTSOCK;
        _exit(is_right ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);

    EXPECT_EQ(status, 0);
    EXPECT_EQ(receive_text(p.leaf), "before");
    EXPECT_EQ(send_text(p.root, "after"), 5);
    EXPECT_EQ(receive_text(p.leaf), "after");
}

TEST_F(ShimLifetime, AForkedChildThatAttachesAnewHasSocketsOfItsOwn) {
    FakeDaemon another;
    const Pair p = make_pair(SOCK_RDM, true);
    send_text(p.root, "before");

    const pid_t child = fork();
    if (child == 0) {
        if (send_text(p.root, "x") != -1 || errno != ENOTSOCK) _exit(1);
        if (xy_attach(another.path().c_str()) != 0) _exit(2);
        if (send_text(p.root, "x") != -1 || errno != ENOTSOCK) _exit(3);
        const Pair own = make_pair(SOCK_RDM, true);
        if (send_text(own.root, "mine") != 4 || receive_text(own.leaf) != "mine") _exit(4);
        if (xy_close(own.leaf) != 0 || xy_close(own.branch) != 0 || xy_close(own.root) != 0) _exit(5);
        _exit(xy_detach() == 0 ? 0 : 6);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);

    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(receive_text(p.leaf), "before");
    EXPECT_EQ(send_text(p.root, "after"), 5);
    EXPECT_EQ(receive_text(p.leaf), "after");
    EXPECT_EQ(daemon.locked([&] { return daemon.n_open(); }), 3U);
}

TEST_F(ShimLifetime, AProgramThatIsExecutedHasNoneOfTheDescriptors) {
    const Pair p = make_pair(SOCK_RDM, true);
    send_text(p.root, "x");
    ASSERT_EQ(receive_text(p.leaf), "x");
    const std::string parent = "/proc/" + std::to_string(getpid()) + "/fd";
    // What is ours and open in the parent, and open in the program as well.
    const std::string script = "for fd in $(ls " + parent +
                               "); do [ \"$fd\" -gt 2 ] || continue; "
                               "case \"$(readlink " +
                               parent +
                               "/$fd)\" in *socket*|*memfd*|*eventfd*) "
                               "[ ! -e /proc/self/fd/$fd ] || exit 1;; esac; done";
    std::string command = script;
    char shell[] = "sh", option[] = "-c";
    char* arguments[] = {shell, option, command.data(), nullptr};
    pid_t child;
    ASSERT_EQ(posix_spawn(&child, "/bin/sh", nullptr, nullptr, arguments, environ), 0);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(send_text(p.root, "after"), 5);
    EXPECT_EQ(receive_text(p.leaf), "after");
}

// In a process of its own, that has made no socket yet: the fork handlers came with the first one only.
TEST_F(ShimLifetime, AForkedChildIsNotAttachedThoughItsParentMadeNoSocket) {
    const auto fork_and_go_on = [&] {
        const pid_t child = fork();
        if (child == 0) _exit(xy_attach("/nowhere/xylemd.sock") == -1 && errno == ENETDOWN ? 0 : 1);  // not EISCONN
        int status = -1;
        if (waitpid(child, &status, 0) != child || status != 0) _exit(1);
        const Pair p = make_pair(SOCK_RDM, true);
        _exit(send_text(p.root, "mine") == 4 && receive_text(p.leaf) == "mine" ? 0 : 2);
    };
    testing::FLAGS_gtest_death_test_style = "threadsafe";

    EXPECT_EXIT(fork_and_go_on(), testing::ExitedWithCode(0), "");
}

TEST_F(ShimLifetime, ThreadsThatSendAndReceiveWhileOthersCloseComeToNoHarm) {
    const int root = make_root(SOCK_RDM);
    for (int round = 0; round < 20; ++round) {
        const int leaf = make_leaf(SOCK_RDM);
        join(root, leaf);
        set_blocking(leaf, true);
        std::atomic<bool> must_stop{false};
        std::thread sender([&] {
            while (!must_stop)
                send_text(root, "x", XY_MSG_DONTWAIT);
        });
        std::thread readers[2];
        for (std::thread& reader : readers)
            reader = std::thread([&] {
                std::string text;
                do
                    text = receive_text(leaf);
                while (text == "x");
                EXPECT_EQ(text, "errno ENOTSOCK");
            });
        ASSERT_TRUE(eventually([&] {
            struct xy_stats stats {
                .size = sizeof stats
            };
            return xy_stats(leaf, &stats) == 0 && stats.received_messages > 10;
        }));
        EXPECT_EQ(xy_close(leaf), 0);
        for (std::thread& reader : readers)
            reader.join();
        must_stop = true;
        sender.join();
    }
}

TEST_F(ShimLifetime, NoDaemonIsENetDown) {
    xy_detach();

    EXPECT_EQ(xy_attach("/nonexistent/xylemd.sock"), -1);
    EXPECT_EQ(errno, ENETDOWN);
    attach();
    EXPECT_EQ(xy_attach("/nonexistent/other.sock"), -1);
    EXPECT_EQ(errno, EISCONN);
}

TEST_F(ShimLifetime, AbortiveCloseIsToldToTheDaemon) {
    const Pair p = make_pair(SOCK_RDM);
    const linger abort{1, 0};
    ASSERT_EQ(xy_setsockopt(p.leaf, SOL_SOCKET, SO_LINGER, &abort, sizeof abort), 0);

    xy_close(p.leaf);

    EXPECT_TRUE(daemon.locked([&] { return daemon.nth(1).was_aborted; }));
}

TEST_F(ShimLifetime, StatusAndProtocolsFillWhatFits) {
    char json[8] = "xxxxxxx";
    xy_protocol entries[2] = {{.size = sizeof(xy_protocol)}, {}};

    EXPECT_EQ(xy_status(nullptr, 0), 15);
    EXPECT_EQ(xy_status(json, 4), 15);
    EXPECT_EQ(std::string(json), "{\"sexxx");
    EXPECT_EQ(xy_enum_protocols(entries, 2), 14);
    EXPECT_EQ(entries[1].type, SOCK_STREAM);
    EXPECT_NE(entries[0].capabilities & XY_CAP_MULTIPOINT, 0U);
}

TEST(Protocols, AGroupHasNoRootedPlaneAndCarriesNoData_W001_W002_W003) {
    xy_protocol entries[64]{};
    entries[0].size = sizeof entries[0];
    const int n = xy_enum_protocols(entries, 64);
    int n_groups = 0;
    for (int i = 0; i < n; ++i) {
        if (entries[i].protocol != XY_PROTO_GROUP) continue;
        ++n_groups;
        EXPECT_EQ(entries[i].type, SOCK_DGRAM);
        EXPECT_EQ(entries[i].capabilities, static_cast<uint32_t>(XY_CAP_MULTIPOINT));
        EXPECT_EQ(entries[i].max_message, entries[i].family == AF_INET ? 1472U : 1452U);
    }
    EXPECT_EQ(n_groups, 2);
}

}  // namespace
}  // namespace xylem::test
