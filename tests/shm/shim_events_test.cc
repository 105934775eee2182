// SPDX-License-Identifier: Apache-2.0
// Descriptors that tell the truth in poll, and network events (W-130 … W-154).
#include <sys/eventfd.h>

#include <atomic>

#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimEvents = ShimTest;

TEST_F(ShimEvents, ADescriptorIsReadableExactlyWhenSomethingIsThere) {
    const Pair p = make_pair(SOCK_RDM);

    for (int i = 0; i < 200; ++i) {
        ASSERT_FALSE(is_readable(p.leaf, 0)) << i;
        send_text(p.root, "x");
        ASSERT_TRUE(is_readable(p.leaf, 10000)) << i;
        ASSERT_EQ(receive_text(p.leaf), "x");
    }
}

TEST_F(ShimEvents, ABlockingSocketUnderPollGoesQuietWithItsLastMessage) {
    const Pair p = make_pair(SOCK_RDM, true);

    for (int i = 0; i < 50; ++i) {
        send_text(p.root, "a");
        send_text(p.root, "b");
        ASSERT_TRUE(is_readable(p.leaf, 10000)) << i;
        ASSERT_EQ(receive_text(p.leaf), "a");
        ASSERT_TRUE(is_readable(p.leaf, 10000)) << i;
        ASSERT_EQ(receive_text(p.leaf), "b");
        ASSERT_FALSE(is_readable(p.leaf, 0)) << i;
    }
}

TEST_F(ShimEvents, TheRootsDescriptorTellsOfLeavesData) {
    const Pair p = make_pair(SOCK_RDM);
    set_blocking(p.root, false);
    ASSERT_EQ(receive_text(p.root), "errno EAGAIN");
    ASSERT_FALSE(is_readable(p.root, 0));

    send_text(p.leaf, "up");
    send_text(p.leaf, "and up");

    EXPECT_EQ(await_text(p.root), "up");
    EXPECT_EQ(await_text(p.root), "and up");
    EXPECT_EQ(receive_text(p.root), "errno EAGAIN");
    EXPECT_TRUE(eventually([&] { return !is_readable(p.root, 0) || receive_text(p.root) != "errno EAGAIN"; }));
}

TEST_F(ShimEvents, AListenerIsReadableWhileARequestIsQueued) {
    const int root = make_root(SOCK_RDM);
    EXPECT_FALSE(is_readable(root, 0));
    const int leaf = make_leaf(SOCK_RDM);
    const sockaddr_in name = address_of(kRootPort);

    EXPECT_EQ(xy_connect(leaf, as_sockaddr(name), sizeof name), 0);

    EXPECT_TRUE(is_readable(root, 10000));
    set_blocking(root, false);
    EXPECT_GE(xy_accept(root, nullptr, nullptr, nullptr, nullptr), 0);
    EXPECT_EQ(xy_accept(root, nullptr, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_FALSE(is_readable(root, 0));
}

TEST_F(ShimEvents, ReadIsRecordedOnceUntilTheNextReceive) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_READ), 0);
    EXPECT_FALSE(is_readable(p.leaf, 0));

    send_text(p.root, "one");
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    EXPECT_EQ(take_events(p.leaf).events, uint32_t{XY_FD_READ});
    send_text(p.root, "two");
    EXPECT_FALSE(is_readable(p.leaf, 20));
    EXPECT_EQ(take_events(p.leaf).events, 0U);  // W-145

    EXPECT_EQ(receive_text(p.leaf), "one");
    ASSERT_TRUE(is_readable(p.leaf, 10000));  // W-147: still something to read
    EXPECT_EQ(take_events(p.leaf).events, uint32_t{XY_FD_READ});
    EXPECT_EQ(receive_text(p.leaf), "two");
    EXPECT_EQ(receive_text(p.leaf), "errno EAGAIN");
    EXPECT_TRUE(eventually([&] { return !is_readable(p.leaf, 0) || take_events(p.leaf).events != 0; }));
    EXPECT_FALSE(is_readable(p.leaf, 0));
}

TEST_F(ShimEvents, CloseAloneIsToldThoughTheLastMessageIsUnfinished) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_CLOSE), 0);
    send_text(p.root, "whole");
    ASSERT_TRUE(eventually([&] { return receive_text(p.leaf) == "whole"; }));
    ASSERT_FALSE(is_readable(p.leaf, 0));

    daemon.locked([&] {
        FakeImage& image = *daemon.nth(1).image;
        const uint32_t offset = abi::offset_of(image.published);
        FakeDaemon::put_record(image.cell(0) + offset, 3, abi::kRecordMessage, abi::kRecordBegin, "cut");
        image.published += 16;
        image.header().published = image.published;
        image.header().final = image.published;
        daemon.end(daemon.nth(1), 0);
    });

    ASSERT_TRUE(is_readable(p.leaf, 10000));
    const xy_events events = take_events(p.leaf);
    EXPECT_EQ(events.events, uint32_t{XY_FD_CLOSE});
    EXPECT_EQ(events.error[XY_FD_CLOSE_BIT], 0);
}

TEST_F(ShimEvents, CloseAloneComesWithTheLastReceiveAndDoesNotSpin_W165) {
    const Pair p = make_pair(SOCK_RDM);
    send_text(p.root, "one");
    send_text(p.root, "two");
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_CLOSE), 0);
    ASSERT_EQ(xy_close(p.root), 0);

    // A look that finds messages to be read first leaves the descriptor quiet.
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    EXPECT_EQ(take_events(p.leaf).events, 0U);
    EXPECT_FALSE(is_readable(p.leaf, 20));
    EXPECT_EQ(receive_text(p.leaf), "one");
    EXPECT_FALSE(is_readable(p.leaf, 20));
    EXPECT_EQ(receive_text(p.leaf), "two");

    ASSERT_TRUE(is_readable(p.leaf, 10000));
    EXPECT_EQ(take_events(p.leaf).events, uint32_t{XY_FD_CLOSE});
}

TEST_F(ShimEvents, AQosChangeIsRecordedOncePerChangeAndNeverMissed_W148) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_QOS), 0);
    const auto change = [&] {
        daemon.locked([&] {
            daemon.nth(1).facts->qos_code = XY_QOS_ADMISSION_FAILURE;
            daemon.nth(1).facts->qos_changes = daemon.nth(1).facts->qos_changes + 1;
        });
    };
    for (int i = 0; i < 50; ++i) {
        change();
        ASSERT_TRUE(is_readable(p.leaf, 10000)) << i;
        ASSERT_EQ(take_events(p.leaf).events, uint32_t{XY_FD_QOS});
        ASSERT_EQ(take_events(p.leaf).events, 0U);
        change();  // before it is enabled again
        ASSERT_FALSE(is_readable(p.leaf, 0)) << i;
        xy_qos qos;
        ASSERT_EQ(xy_ioctl(p.leaf, XY_SIO_GET_QOS, nullptr, 0, &qos, sizeof qos, nullptr), 0);
        ASSERT_TRUE(is_readable(p.leaf, 10000)) << i;
        ASSERT_EQ(take_events(p.leaf).events, uint32_t{XY_FD_QOS});
        ASSERT_EQ(xy_ioctl(p.leaf, XY_SIO_GET_QOS, nullptr, 0, &qos, sizeof qos, nullptr), 0);
        ASSERT_FALSE(is_readable(p.leaf, 0)) << i;
    }
}

TEST_F(ShimEvents, ScopeAndLoopbackOfATreeAreChecked_W293_W296) {
    const Pair p = make_pair(SOCK_RDM);
    const int value = 1;
    const long too_long = 1;
    for (const unsigned code : {XY_SIO_MULTICAST_SCOPE, XY_SIO_MULTIPOINT_LOOPBACK}) {
        EXPECT_EQ(xy_ioctl(p.root, code, nullptr, 0, nullptr, 0, nullptr), -1);
        EXPECT_EQ(errno, EFAULT);
        EXPECT_EQ(xy_ioctl(p.root, code, &value, 3, nullptr, 0, nullptr), -1);
        EXPECT_EQ(errno, EFAULT);
        EXPECT_EQ(xy_ioctl(p.root, code, &too_long, sizeof too_long, nullptr, 0, nullptr), -1);
        EXPECT_EQ(errno, EFAULT);
    }
    EXPECT_EQ(xy_ioctl(p.root, XY_SIO_MULTIPOINT_LOOPBACK, &value, sizeof value, nullptr, 0, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);
    EXPECT_EQ(xy_ioctl(p.root, XY_SIO_MULTICAST_SCOPE, &value, sizeof value, nullptr, 0, nullptr), 0);
    size_t returned = 7;
    char unused[4];
    EXPECT_EQ(xy_ioctl(p.root, XY_SIO_MULTICAST_SCOPE, &value, sizeof value, unused, sizeof unused, &returned), 0);
    EXPECT_EQ(returned, 0U);  // W-295
}

TEST_F(ShimEvents, RegisteringMakesTheSocketNonblockingForAsLongAsItLasts) {
    const Pair p = make_pair(SOCK_RDM, true);
    const int blocking = 0;

    EXPECT_EQ(xy_event_select(p.leaf, -1, XY_FD_READ), 0);
    EXPECT_EQ(receive_text(p.leaf), "errno EAGAIN");
    EXPECT_EQ(xy_ioctl(p.leaf, XY_FIONBIO, &blocking, sizeof blocking, nullptr, 0, nullptr), -1);
    EXPECT_EQ(errno, EINVAL);  // W-141
    EXPECT_EQ(xy_event_select(p.leaf, -1, 0), 0);
    EXPECT_EQ(xy_ioctl(p.leaf, XY_FIONBIO, &blocking, sizeof blocking, nullptr, 0, nullptr), 0);
    EXPECT_EQ(xy_event_select(p.leaf, -1, 1 << 9), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST_F(ShimEvents, ConnectIsReportedOnTheSocketThatJoinedWithTheCalleeData) {
    const int root = make_root(SOCK_RDM), leaf = make_leaf(SOCK_RDM);
    ASSERT_EQ(xy_event_select(leaf, -1, XY_FD_CONNECT | XY_FD_WRITE), 0);
    char answer[32] = {};
    xy_data callee{answer, sizeof answer};
    const sockaddr_in name = address_of(kRootPort);
    ASSERT_EQ(xy_join_leaf(leaf, as_sockaddr(name), sizeof name, nullptr, &callee, nullptr, nullptr, XY_BOTH), leaf);
    EXPECT_EQ(take_events(leaf).events, 0U);
    EXPECT_EQ(xy_join_leaf(leaf, as_sockaddr(name), sizeof name, nullptr, nullptr, nullptr, nullptr, XY_BOTH), -1);
    EXPECT_EQ(errno, EALREADY);  // W-111

    const auto welcome = [](const xy_request*, xy_data* data, void*) {
        memcpy(data->buf, "welcome", 7);
        data->len = 7;
        return XY_ACCEPT;
    };
    ASSERT_GE(xy_accept(root, nullptr, nullptr, welcome, nullptr), 0);

    ASSERT_TRUE(is_readable(leaf, 10000));
    const xy_events events = take_events(leaf);
    EXPECT_EQ(events.events, uint32_t{XY_FD_CONNECT | XY_FD_WRITE});  // W-139
    EXPECT_EQ(events.error[XY_FD_CONNECT_BIT], 0);
    EXPECT_EQ(std::string(answer, callee.len), "welcome");
    EXPECT_FALSE(is_readable(leaf, 0));
    EXPECT_EQ(take_events(leaf).events, 0U);
}

TEST_F(ShimEvents, ARefusedJoinIsReportedWithItsErrorAndMayBeTriedAgain) {
    const int leaf = make_leaf(SOCK_RDM);
    ASSERT_EQ(xy_event_select(leaf, -1, XY_FD_CONNECT), 0);
    const sockaddr_in name = address_of(kRootPort);

    ASSERT_EQ(xy_join_leaf(leaf, as_sockaddr(name), sizeof name, nullptr, nullptr, nullptr, nullptr, XY_BOTH), leaf);
    ASSERT_TRUE(is_readable(leaf, 10000));
    const xy_events events = take_events(leaf);
    EXPECT_EQ(events.events, uint32_t{XY_FD_CONNECT});
    EXPECT_EQ(events.error[XY_FD_CONNECT_BIT], ECONNREFUSED);

    const int root = make_root(SOCK_RDM);
    EXPECT_GE(join(root, leaf), 0);  // W-117
    ASSERT_TRUE(is_readable(leaf, 10000));
    EXPECT_EQ(take_events(leaf).error[XY_FD_CONNECT_BIT], 0);
}

TEST_F(ShimEvents, ASecondInvitationIsQuietUntilItIsDecided) {
    const int root = make_root(SOCK_RDM);
    ASSERT_EQ(xy_event_select(root, -1, XY_FD_CONNECT), 0);
    for (int i = 0; i < 2; ++i) {
        const int listener = make_leaf(SOCK_RDM);
        const sockaddr_in name = address_of(static_cast<uint16_t>(6000 + i));
        ASSERT_EQ(xy_bind(listener, as_sockaddr(name), sizeof name), 0);
        ASSERT_EQ(xy_listen(listener, 1), 0);
        ASSERT_GE(xy_join_leaf(root, as_sockaddr(name), sizeof name, nullptr, nullptr, nullptr, nullptr, XY_BOTH), 0);
        EXPECT_FALSE(is_readable(root, 20)) << i;
        ASSERT_GE(xy_accept(listener, nullptr, nullptr, nullptr, nullptr), 0);
        ASSERT_TRUE(is_readable(root, 10000)) << i;
        EXPECT_EQ(take_events(root).events, uint32_t{XY_FD_CONNECT});  // W-138
    }
}

TEST_F(ShimEvents, WriteIsRecordedAtTheJoinAndAfterASendThatFoundNoRoom) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.root, -1, XY_FD_WRITE), 0);
    ASSERT_TRUE(is_readable(p.root, 10000));
    EXPECT_EQ(take_events(p.root).events, uint32_t{XY_FD_WRITE});
    daemon.pause_worker(true);
    EXPECT_EQ(send_text(p.root, std::string(5000, 'x')), 5000);
    EXPECT_EQ(take_events(p.root).events, 0U);
    while (send_text(p.root, std::string(5000, 'x')) == 5000) {
    }
    EXPECT_EQ(take_events(p.root).events, 0U);

    daemon.pause_worker(false);
    while (receive_text(p.leaf) != "errno EAGAIN") {
    }

    EXPECT_TRUE(is_readable(p.root, 10000));
    EXPECT_EQ(take_events(p.root).events, uint32_t{XY_FD_WRITE});
    EXPECT_EQ(take_events(p.root).events, 0U);
}

TEST_F(ShimEvents, CloseIsRecordedAfterAllWasRead) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_READ | XY_FD_CLOSE), 0);
    send_text(p.root, "last words");
    xy_close(p.root);

    ASSERT_TRUE(is_readable(p.leaf, 10000));
    EXPECT_EQ(take_events(p.leaf).events, uint32_t{XY_FD_READ});  // W-165
    EXPECT_EQ(take_events(p.leaf).events, 0U);
    EXPECT_EQ(receive_text(p.leaf), "last words");
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    const xy_events events = take_events(p.leaf);
    EXPECT_EQ(events.events, uint32_t{XY_FD_CLOSE});  // W-166: no FD_READ
    EXPECT_EQ(events.error[XY_FD_CLOSE_BIT], 0);
    EXPECT_FALSE(is_readable(p.leaf, 0));
    EXPECT_EQ(receive_text(p.leaf), "errno ESHUTDOWN");
    EXPECT_EQ(take_events(p.leaf).events, 0U);
    EXPECT_FALSE(is_readable(p.leaf, 0));
}

TEST_F(ShimEvents, ASessionThatBreaksBeforeAnythingWasLookedAtTellsCloseAlone_W166) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_READ | XY_FD_CLOSE), 0);
    daemon.locked([&] {
        FakeSocket& leaf = daemon.nth(1);
        leaf.image->reader = nullptr;  // and with its reader the image
        leaf.image.reset();
        daemon.end(leaf, ECONNRESET);
    });

    ASSERT_TRUE(is_readable(p.leaf, 10000));
    const xy_events events = take_events(p.leaf);
    EXPECT_EQ(events.events, static_cast<uint32_t>(XY_FD_CLOSE));
    EXPECT_EQ(events.error[XY_FD_CLOSE_BIT], ECONNRESET);
    EXPECT_EQ(receive_text(p.leaf), "errno ECONNRESET");
    EXPECT_EQ(take_events(p.leaf).events, 0U);
}

TEST_F(ShimEvents, ADaemonThatGoesBeforeAnythingWasLookedAtTellsCloseAlone_W166) {
    const Pair p = make_pair(SOCK_RDM);
    ASSERT_EQ(xy_event_select(p.leaf, -1, XY_FD_READ | XY_FD_CLOSE), 0);

    daemon.die();

    ASSERT_TRUE(is_readable(p.leaf, 10000));
    const xy_events events = take_events(p.leaf);
    EXPECT_EQ(events.events, static_cast<uint32_t>(XY_FD_CLOSE));
    EXPECT_EQ(events.error[XY_FD_CLOSE_BIT], ENETDOWN);
}

TEST_F(ShimEvents, TheLeafsDescriptorAtTheRootInheritsTheRegistration) {
    const int root = make_root(SOCK_RDM), a = make_leaf(SOCK_RDM), b = make_leaf(SOCK_RDM);
    ASSERT_EQ(xy_event_select(root, -1, XY_FD_ACCEPT | XY_FD_CLOSE), 0);
    const int branch_a = join(root, a), branch_b = join(root, b);

    xy_close(a);

    ASSERT_TRUE(is_readable(branch_a, 10000));
    EXPECT_EQ(take_events(branch_a).events, uint32_t{XY_FD_CLOSE});  // W-095, W-100
    EXPECT_FALSE(is_readable(branch_b, 20));
    EXPECT_EQ(take_events(branch_b).events, 0U);
}

TEST_F(ShimEvents, AcceptIsRecordedAgainForTheNextRequestUnlessTheFirstWasDeferred) {
    const int root = make_root(SOCK_RDM), a = make_leaf(SOCK_RDM), b = make_leaf(SOCK_RDM);
    ASSERT_EQ(xy_event_select(root, -1, XY_FD_ACCEPT), 0);
    const sockaddr_in name = address_of(kRootPort);
    xy_connect(a, as_sockaddr(name), sizeof name);
    ASSERT_TRUE(is_readable(root, 10000));
    EXPECT_EQ(take_events(root).events, uint32_t{XY_FD_ACCEPT});

    const auto defer = [](const xy_request*, xy_data*, void*) { return XY_DEFER; };
    EXPECT_EQ(xy_accept(root, nullptr, nullptr, defer, nullptr), -1);
    EXPECT_EQ(errno, EBUSY);
    xy_connect(b, as_sockaddr(name), sizeof name);
    EXPECT_FALSE(is_readable(root, 20));  // W-152
    EXPECT_EQ(take_events(root).events, 0U);

    EXPECT_GE(xy_accept(root, nullptr, nullptr, nullptr, nullptr), 0);
    EXPECT_TRUE(is_readable(root, 10000));
    EXPECT_EQ(take_events(root).events, uint32_t{XY_FD_ACCEPT});
}

TEST_F(ShimEvents, AnEventfdOfTheApplicationsIsSignalledOncePerRecord) {
    const Pair p = make_pair(SOCK_RDM);
    const int event = eventfd(0, EFD_CLOEXEC);
    ASSERT_EQ(xy_event_select(p.leaf, event, XY_FD_READ | XY_FD_CLOSE), 0) << strerror(errno);
    EXPECT_FALSE(is_readable(event, 0));

    send_text(p.root, "one");
    ASSERT_TRUE(is_readable(event, 10000));
    EXPECT_EQ(take_events(p.leaf, event).events, uint32_t{XY_FD_READ});
    EXPECT_FALSE(is_readable(event, 20));
    EXPECT_EQ(receive_text(p.leaf), "one");
    send_text(p.root, "two");
    ASSERT_TRUE(is_readable(event, 10000));
    EXPECT_EQ(take_events(p.leaf, event).events, uint32_t{XY_FD_READ});
    EXPECT_EQ(receive_text(p.leaf), "two");

    daemon.die();
    ASSERT_TRUE(is_readable(event, 10000));
    const xy_events events = take_events(p.leaf, event);
    EXPECT_EQ(events.events, uint32_t{XY_FD_CLOSE});
    EXPECT_EQ(events.error[XY_FD_CLOSE_BIT], ENETDOWN);
    close(event);
}

TEST_F(ShimEvents, PollMixesSocketsAndOtherDescriptors) {
    const Pair p = make_pair(SOCK_RDM);
    const int other = eventfd(0, EFD_CLOEXEC);
    pollfd fds[3] = {{p.leaf, POLLIN, 0}, {other, POLLIN, 0}, {p.root, POLLOUT, 0}};
    EXPECT_EQ(xy_poll(fds, 3, 0), 1);
    EXPECT_EQ(fds[2].revents, POLLOUT);
    EXPECT_EQ(xy_poll(fds, 2, 10), 0);

    std::thread sender([&] { send_text(p.root, "x"); });
    EXPECT_EQ(xy_poll(fds, 2, 10000), 1);
    sender.join();
    EXPECT_EQ(fds[0].revents, POLLIN);
    EXPECT_EQ(receive_text(p.leaf), "x");
    std::thread writer([&] { eventfd_write(other, 1); });
    EXPECT_EQ(xy_poll(fds, 2, 10000), 1);
    writer.join();
    EXPECT_EQ(fds[1].revents, POLLIN);
    close(other);
}

TEST_F(ShimEvents, PollForWritingWakesWhenThereIsRoom) {
    const Pair p = make_pair(SOCK_RDM, true);
    set_blocking(p.root, false);
    daemon.pause_worker(true);
    while (send_text(p.root, std::string(5000, 'x')) == 5000) {
    }
    pollfd out{p.root, POLLOUT, 0};
    EXPECT_EQ(xy_poll(&out, 1, 0), 0);

    std::thread reader([&] {
        daemon.pause_worker(false);
        for (int i = 0; i < 8; ++i)
            receive_text(p.leaf);
    });

    EXPECT_EQ(xy_poll(&out, 1, 10000), 1);
    reader.join();
}

TEST_F(ShimEvents, LooksAtASocketDoNotWaitBehindASendThatWaitsForRoom) {
    const Pair p = make_pair(SOCK_RDM, true);
    ASSERT_EQ(xy_event_select(p.root, -1, XY_FD_WRITE), 0);
    daemon.pause_worker(true);
    while (send_text(p.root, std::string(5000, 'x')) == 5000) {
    }
    struct xy_stats full {
        .size = sizeof full
    };
    ASSERT_EQ(xy_stats(p.root, &full), 0);
    ASSERT_EQ(xy_event_select(p.root, -1, 0), 0);
    set_blocking(p.root, true);
    std::atomic<bool> is_sent{false};
    std::thread blocked([&] {
        EXPECT_EQ(send_text(p.root, std::string(20000, 'y')), 20000);
        is_sent = true;
    });
    struct xy_stats stats {
        .size = sizeof stats
    };
    const auto has_begun = [&] { return xy_stats(p.root, &stats) == 0 && stats.sent_bytes > full.sent_bytes; };
    ASSERT_TRUE(eventually(has_begun));
    pollfd out{p.root, POLLOUT, 0};

    // Each of these hung here until the send was over, which it never is while the worker rests.
    for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ(xy_poll(&out, 1, 0), 0);
        EXPECT_EQ(xy_stats(p.root, &stats), 0);
    }
    ASSERT_EQ(xy_event_select(p.root, -1, XY_FD_WRITE), 0);
    EXPECT_EQ(take_events(p.root).events, 0U);

    EXPECT_FALSE(is_sent);
    EXPECT_EQ(stats.sent_messages, full.sent_messages);
    daemon.pause_worker(false);
    for (std::string got; got.substr(0, 1) != "y";)
        got = receive_text(p.leaf);
    blocked.join();
}

}  // namespace
}  // namespace xylem::test
