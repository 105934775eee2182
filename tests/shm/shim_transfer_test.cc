// SPDX-License-Identifier: Apache-2.0
// Messages and bytes between a root and its leaves, through the shim and a fake daemon.
#include <random>

#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

using ShimTransfer = ShimTest;

TEST_F(ShimTransfer, AMessageGoesFromTheRootToTheLeaf) {
    const Pair p = make_pair(SOCK_RDM);

    EXPECT_EQ(send_text(p.root, "sap"), 3) << strerror(errno);

    EXPECT_EQ(await_text(p.leaf), "sap");
    EXPECT_EQ(receive_text(p.leaf), "errno EAGAIN");
}

TEST_F(ShimTransfer, AnEmptyMessageIsAMessage) {
    const Pair p = make_pair(SOCK_RDM);

    EXPECT_EQ(xy_send(p.root, nullptr, 0, 0), 0);
    EXPECT_EQ(send_text(p.root, "next"), 4);

    EXPECT_EQ(await_text(p.leaf), "");
    EXPECT_EQ(await_text(p.leaf), "next");
}

std::string pattern(uint32_t seed, size_t bytes) {
    std::string text(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i)
        text[i] = static_cast<char>(seed * 31 + i * 7 + (i >> 8));
    return text;
}

TEST_F(ShimTransfer, MessagesOfEverySizeWrapTheLogAndArriveWhole) {
    const Pair p = make_pair(SOCK_RDM, true);
    constexpr uint32_t kMessages = 800;
    const size_t max = (64 / 4 - 1) * (1408 - 8);
    const auto size_of = [&](uint32_t i) {
        return std::mt19937(i)() % (i % 3 == 0 ? max + 1 : i % 3 == 1 ? 100 : 3000);
    };

    std::thread sender([&] {
        for (uint32_t i = 0; i < kMessages; ++i)
            ASSERT_EQ(send_text(p.root, pattern(i, size_of(i))), static_cast<ssize_t>(size_of(i))) << strerror(errno);
    });
    uint32_t n_intact = 0;
    for (uint32_t i = 0; i < kMessages; ++i)
        n_intact += receive_text(p.leaf) == pattern(i, size_of(i));
    sender.join();

    EXPECT_EQ(n_intact, kMessages);
}

TEST_F(ShimTransfer, AStreamKeepsEveryByteInOrder) {
    const Pair p = make_pair(SOCK_STREAM, true);
    const std::string all = pattern(7, 2 << 20);

    std::thread sender([&] {
        std::mt19937 random(1);
        for (size_t at = 0; at < all.size();) {
            const ssize_t n =
                xy_send(p.root, all.data() + at, std::min<size_t>(random() % 20000 + 1, all.size() - at), 0);
            ASSERT_GT(n, 0) << strerror(errno);
            at += n;
        }
        ASSERT_EQ(xy_shutdown(p.root, SHUT_WR), 0);
    });
    std::string got;
    for (std::string piece = receive_text(p.leaf); !piece.empty(); piece = receive_text(p.leaf))
        got += piece;
    sender.join();

    EXPECT_TRUE(got == all) << got.size() << " of " << all.size() << " bytes";
}

TEST_F(ShimTransfer, TheRootReadsEveryLeafAndLearnsWhoSent) {
    const int root = make_root(SOCK_RDM);
    const int a = make_leaf(SOCK_RDM), b = make_leaf(SOCK_RDM);
    const int branch_a = join(root, a), branch_b = join(root, b);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(send_text(a, "from a"), 6) << strerror(errno);
        EXPECT_EQ(send_text(b, "from b"), 6) << strerror(errno);
    }

    int n_right = 0;
    std::string order;
    for (int i = 0; i < 6; ++i) {
        char text[16];
        sockaddr_in from{}, peer{};
        socklen_t from_bytes = sizeof from, peer_bytes = sizeof peer;
        const ssize_t n = xy_recvfrom(root, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &from_bytes);
        ASSERT_EQ(n, 6) << strerror(errno);
        const int branch = text[5] == 'a' ? branch_a : branch_b;
        ASSERT_EQ(xy_getpeername(branch, reinterpret_cast<sockaddr*>(&peer), &peer_bytes), 0);
        n_right += from.sin_port == peer.sin_port;
        order += text[5];
    }

    EXPECT_EQ(n_right, 6);
    EXPECT_EQ(std::count(order.begin(), order.end(), 'a'), 3);
}

TEST_F(ShimTransfer, ANonblockingSendIsWholeOrNotAtAll) {
    const Pair p = make_pair(SOCK_RDM);
    daemon.pause_worker(true);
    set_blocking(p.root, false);

    uint32_t n = 0;
    while (send_text(p.root, pattern(n, 5000)) == 5000)
        ++n;
    const int error = errno;
    daemon.pause_worker(false);
    uint32_t n_whole = 0;
    for (; n_whole < n && await_text(p.leaf) == pattern(n_whole, 5000); ++n_whole) {
    }

    EXPECT_EQ(error, EAGAIN);
    EXPECT_EQ(n_whole, n);
    EXPECT_GT(n, 10U);
    EXPECT_EQ(receive_text(p.leaf), "errno EAGAIN");
    EXPECT_TRUE(eventually([&] { return send_text(p.root, "again") == 5; }));
}

TEST_F(ShimTransfer, ALongMessageGoesThroughAFullLogWhenBlocking) {
    const Pair p = make_pair(SOCK_RDM, true);
    daemon.pause_worker(true);
    set_blocking(p.root, false);
    while (send_text(p.root, pattern(1, 1000)) == 1000) {
    }
    set_blocking(p.root, true);

    std::thread sender([&] { EXPECT_EQ(send_text(p.root, pattern(2, 20000)), 20000) << strerror(errno); });
    daemon.pause_worker(false);
    std::string got = receive_text(p.leaf);
    while (got == pattern(1, 1000))
        got = receive_text(p.leaf);
    sender.join();

    EXPECT_TRUE(got == pattern(2, 20000)) << got.substr(0, 40);
}

TEST_F(ShimTransfer, ATooLongMessageIsRefused) {
    const Pair p = make_pair(SOCK_RDM);

    EXPECT_EQ(send_text(p.root, std::string((64 / 4 - 1) * 1400 + 1, 'x')), -1);
    EXPECT_EQ(errno, EMSGSIZE);
}

TEST_F(ShimTransfer, AMessageLongerThanTheBufferStaysUntilItFits) {
    const Pair p = make_pair(SOCK_RDM);
    send_text(p.root, std::string(100, 'm'));
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    char small[50];

    EXPECT_EQ(xy_recv(p.leaf, small, sizeof small, 0), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    EXPECT_EQ(receive_text(p.leaf, XY_MSG_PEEK).size(), 100U);
    EXPECT_EQ(xy_recv(p.leaf, small, sizeof small, XY_MSG_PARTIAL), 50);
    EXPECT_EQ(receive_text(p.leaf).size(), 50U);
    EXPECT_EQ(receive_text(p.leaf), "errno EAGAIN");
}

TEST_F(ShimTransfer, ABestEffortMessageLongerThanTheBufferLosesItsTail) {
    const Pair p = make_pair(SOCK_DGRAM);
    send_text(p.root, std::string(100, 'm'));
    send_text(p.root, "next");
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    char small[50] = {};

    EXPECT_EQ(xy_recv(p.leaf, small, sizeof small, 0), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    EXPECT_EQ(small[49], 'm');
    EXPECT_EQ(await_text(p.leaf), "next");
}

TEST_F(ShimTransfer, BatchesSendAndReceiveInOrder) {
    const Pair p = make_pair(SOCK_RDM);
    std::vector<std::string> texts;
    std::vector<xy_msg> out, in(20);
    for (int i = 0; i < 10; ++i)
        texts.push_back("message " + std::to_string(i));
    for (std::string& t : texts)
        out.push_back({.size = sizeof(xy_msg), .flags = 0, .buf = t.data(), .len = t.size()});
    char buffers[20][32];
    for (int i = 0; i < 20; ++i)
        in[i] = {.size = sizeof(xy_msg), .flags = 0, .buf = buffers[i], .len = sizeof buffers[i]};

    EXPECT_EQ(xy_send_batch(p.root, out.data(), 10, 0), 10);
    ASSERT_TRUE(eventually([&] { return daemon.locked([&] { return daemon.nth(1).image->published > 200; }); }));
    const int n = xy_recv_batch(p.leaf, in.data(), 20, 0);

    ASSERT_EQ(n, 10);
    for (int i = 0; i < n; ++i)
        EXPECT_EQ(std::string(buffers[i], in[i].received), texts[i]);
    EXPECT_EQ(xy_recv_batch(p.leaf, in.data(), 20, 0), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ShimTransfer, ReservedSpaceIsSentWhereItLies) {
    const Pair p = make_pair(SOCK_RDM);
    xy_span span, other;

    ASSERT_EQ(xy_reserve(p.root, 100, &span), 0) << strerror(errno);
    EXPECT_EQ(xy_reserve(p.root, 10, &other), -1);
    EXPECT_EQ(errno, EALREADY);
    EXPECT_EQ(send_text(p.root, "x"), -1);
    EXPECT_EQ(errno, EALREADY);
    memcpy(span.data, "in place", 8);
    EXPECT_EQ(xy_commit(p.root, &span, 8), 0);
    ASSERT_EQ(xy_reserve(p.root, 100, &span), 0);
    EXPECT_EQ(xy_commit(p.root, &span, 0), 0);
    EXPECT_EQ(xy_reserve(p.root, 1401, &span), -1);
    EXPECT_EQ(errno, EMSGSIZE);

    EXPECT_EQ(await_text(p.leaf), "in place");
    EXPECT_EQ(receive_text(p.leaf), "errno EAGAIN");
}

TEST_F(ShimTransfer, ReservationsFillManyCells) {
    const Pair p = make_pair(SOCK_RDM, true);

    std::thread sender([&] {
        for (uint32_t i = 0; i < 300; ++i) {
            xy_span span;
            const std::string text = pattern(i, i * 5 % 1401);
            ASSERT_EQ(xy_reserve(p.root, 1400, &span), 0) << strerror(errno);
            memcpy(span.data, text.data(), text.size());
            ASSERT_EQ(xy_commit(p.root, &span, text.size()), 0) << strerror(errno);
        }
    });
    uint32_t n_intact = 0, n_sent = 0;
    for (uint32_t i = 0; i < 300; ++i) {
        const std::string text = pattern(i, i * 5 % 1401);
        if (text.empty()) continue;
        ++n_sent;
        n_intact += receive_text(p.leaf) == text;
    }
    sender.join();

    EXPECT_EQ(n_intact, n_sent);
}

TEST_F(ShimTransfer, BorrowedSpansGoBackInAnyOrder) {
    const Pair p = make_pair(SOCK_RDM);
    for (const char* text : {"one", "two", "three"})
        send_text(p.root, text);
    xy_span spans[3];
    for (xy_span& span : spans) {
        ASSERT_TRUE(is_readable(p.leaf, 10000));
        ASSERT_EQ(xy_borrow(p.leaf, &span), 0) << strerror(errno);
    }
    const auto consumed = [&] { return daemon.locked([&] { return daemon.nth(1).app->consumed.load(); }); };

    EXPECT_EQ(std::string(static_cast<char*>(spans[2].data), spans[2].len), "three");
    EXPECT_EQ(xy_release(p.leaf, &spans[2]), 0);
    EXPECT_EQ(xy_release(p.leaf, &spans[1]), 0);
    EXPECT_EQ(consumed(), 0U);
    EXPECT_EQ(xy_release(p.leaf, &spans[0]), 0);
    EXPECT_EQ(consumed(), 16U + 16U + 16U);
    EXPECT_EQ(xy_release(p.leaf, &spans[0]), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST_F(ShimTransfer, WhatIsLostIsToldBeforeTheNextMessage) {
    const Pair p = make_pair(SOCK_DGRAM);
    send_text(p.root, "first");
    EXPECT_EQ(await_text(p.leaf), "first");
    daemon.locked([&] { daemon.nth(1).image->lose_cells = 3; });
    for (int i = 0; i < 20; ++i)
        send_text(p.root, std::string(1000, static_cast<char>('a' + i)));
    char buffer[2000];
    xy_msg message{.size = sizeof message, .flags = 0, .buf = buffer, .len = sizeof buffer};

    ASSERT_TRUE(eventually([&] { return xy_recv_batch(p.leaf, &message, 1, 0) == 1; }));

    EXPECT_EQ(message.received, 1000U);
    EXPECT_GT(message.lost_bytes, 3U * 1000);
    struct xy_stats stats {
        .size = sizeof stats
    };
    ASSERT_EQ(xy_stats(p.leaf, &stats), 0);
    EXPECT_EQ(stats.lost_bytes, message.lost_bytes);
    EXPECT_EQ(stats.lost_gaps, 1U);
}

TEST_F(ShimTransfer, ALappedReaderGoesOnAndKnowsWhatItLost) {
    const Pair p = make_pair(SOCK_DGRAM);
    uint32_t n_sent = 0;
    for (; n_sent < 300; ++n_sent)
        ASSERT_TRUE(eventually([&] { return send_text(p.root, pattern(n_sent, 1000), XY_MSG_DONTWAIT) == 1000; }));
    ASSERT_TRUE(eventually([&] {
        return daemon.locked(
            [&] { return daemon.nth(1).image->published == daemon.nth(0).log->at<abi::LogHeader>()->commit; });
    }));
    char buffer[2000];
    xy_msg message{.size = sizeof message, .flags = 0, .buf = buffer, .len = sizeof buffer};

    ASSERT_EQ(xy_recv_batch(p.leaf, &message, 1, 0), 1) << strerror(errno);
    uint32_t n_received = 1;
    std::string last(buffer, message.received);
    for (std::string text = receive_text(p.leaf); text != "errno EAGAIN"; text = receive_text(p.leaf), ++n_received)
        last = text;

    EXPECT_GT(message.lost_bytes, 100U * 1000);
    EXPECT_EQ(last, pattern(299, 1000));
    EXPECT_LE(n_received, 64U * 1408 / 1008 + 1);
    EXPECT_GT(n_received, 50U);
}

TEST_F(ShimTransfer, FionreadTellsTheNextMessage) {
    const Pair p = make_pair(SOCK_RDM);
    send_text(p.root, std::string(3000, 'x'));
    ASSERT_TRUE(is_readable(p.leaf, 10000));
    int bytes = 0;

    const auto next = [&] {
        EXPECT_EQ(xy_ioctl(p.leaf, XY_FIONREAD, nullptr, 0, &bytes, sizeof bytes, nullptr), 0);
        return bytes;
    };

    EXPECT_TRUE(eventually([&] { return next() == 3000; }));
}

TEST_F(ShimTransfer, SendsThatCannotBeAreRefusedByName) {
    const int root = make_root(SOCK_RDM);
    EXPECT_EQ(send_text(root, "x"), -1);
    EXPECT_EQ(errno, ENOTCONN);  // W-037
    const int leaf = make_leaf(SOCK_RDM);
    EXPECT_EQ(send_text(leaf, "x"), -1);
    EXPECT_EQ(errno, ENOTCONN);
    EXPECT_EQ(receive_text(leaf), "errno EINVAL");  // W-305
    const int branch = join(root, leaf, XY_RECEIVER_ONLY);
    EXPECT_EQ(send_text(leaf, "x"), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);  // W-252
    EXPECT_EQ(send_text(branch, "x"), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);  // W-099
    EXPECT_EQ(send_text(root, "x", MSG_OOB), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    EXPECT_EQ(xy_send(root, nullptr, 3, 0), -1);
    EXPECT_EQ(errno, EFAULT);
    EXPECT_EQ(xy_shutdown(root, SHUT_WR), 0);
    EXPECT_EQ(send_text(root, "x"), -1);
    EXPECT_EQ(errno, ESHUTDOWN);  // W-174
}

TEST_F(ShimTransfer, AGracefulEndComesAfterTheLastMessage) {
    const Pair p = make_pair(SOCK_RDM, true);
    send_text(p.root, "last");

    EXPECT_EQ(xy_close(p.root), 0);

    EXPECT_EQ(receive_text(p.leaf), "last");
    EXPECT_EQ(receive_text(p.leaf), "errno ESHUTDOWN");  // W-169
}

TEST_F(ShimTransfer, AMessageThatIsNeverFinishedDoesNotHoldTheEndBack) {
    const Pair p = make_pair(SOCK_RDM, true);
    daemon.pause_worker(true);
    set_blocking(p.root, false);
    size_t n_whole = 0;
    while (send_text(p.root, pattern(1, 1000)) == 1000)
        ++n_whole;
    set_blocking(p.root, true);
    const timeval timeout{0, 20000};
    ASSERT_EQ(xy_setsockopt(p.root, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout), 0);
    daemon.pause_worker(false);
    ASSERT_EQ(receive_text(p.leaf), pattern(1, 1000));  // room for a part of the next
    daemon.pause_worker(true);
    ASSERT_EQ(send_text(p.root, pattern(2, 20000)), -1);
    ASSERT_EQ(errno, EAGAIN);
    daemon.pause_worker(false);
    for (size_t i = 1; i < n_whole; ++i)
        ASSERT_EQ(receive_text(p.leaf), pattern(1, 1000)) << i;

    std::thread closer([&] { EXPECT_EQ(xy_close(p.root), 0); });

    EXPECT_EQ(receive_text(p.leaf), "errno ESHUTDOWN");
    closer.join();
    pollfd in{p.leaf, POLLIN, 0};
    EXPECT_EQ(xy_poll(&in, 1, 10000), 1);
}

int set_boundary(int s, uint32_t bytes) {
    return xy_setsockopt(s, XY_SOL, XY_OPT_RM_MESSAGE_BOUNDARY, &bytes, sizeof bytes);
}

TEST_F(ShimTransfer, AMessageMayComeInSeveralSends) {
    const Pair p = make_pair(SOCK_RDM, true);
    for (const size_t bytes : {10UL, 1400UL, 5000UL}) {
        const std::string text = pattern(static_cast<unsigned>(bytes), bytes);
        ASSERT_EQ(set_boundary(p.root, static_cast<uint32_t>(bytes)), 0);
        EXPECT_EQ(send_text(p.root, text.substr(0, 3)), 3);
        EXPECT_EQ(set_boundary(p.root, 4), -1);
        EXPECT_EQ(errno, EALREADY);
        xy_span span;
        EXPECT_EQ(xy_reserve(p.root, 1, &span), -1);
        EXPECT_EQ(errno, EALREADY);
        EXPECT_EQ(send_text(p.root, ""), 0);
        EXPECT_EQ(send_text(p.root, text + "x"), -1);
        EXPECT_EQ(errno, EMSGSIZE);
        EXPECT_EQ(receive_text(p.leaf, XY_MSG_DONTWAIT), "errno EAGAIN") << "it is not whole";
        EXPECT_EQ(send_text(p.root, text.substr(3, 4)), 4);
        EXPECT_EQ(send_text(p.root, text.substr(7)), static_cast<ssize_t>(bytes - 7));
        EXPECT_EQ(receive_text(p.leaf), text);
        EXPECT_EQ(send_text(p.root, "next"), 4);  // its boundary was for one message
        EXPECT_EQ(receive_text(p.leaf), "next");
    }
    struct xy_stats stats {};
    stats.size = sizeof stats;
    ASSERT_EQ(xy_stats(p.root, &stats), 0);
    EXPECT_EQ(stats.sent_messages, 6U);
    EXPECT_EQ(set_boundary(p.root, 100), 0);
    EXPECT_EQ(set_boundary(p.root, 0), 0);
    EXPECT_EQ(send_text(p.root, "whole"), 5);
    EXPECT_EQ(receive_text(p.leaf), "whole");
    EXPECT_EQ(set_boundary(p.root, 1 << 30), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    EXPECT_EQ(set_boundary(p.branch, 4), -1);
    EXPECT_EQ(errno, EINVAL);
    const uint16_t narrow = 4;
    EXPECT_EQ(xy_setsockopt(p.root, XY_SOL, XY_OPT_RM_MESSAGE_BOUNDARY, &narrow, sizeof narrow), -1);
    EXPECT_EQ(errno, EINVAL);
}

TEST_F(ShimTransfer, StreamsHaveNoMessageBoundary) {
    const Pair p = make_pair(SOCK_STREAM, true);
    EXPECT_EQ(set_boundary(p.root, 4), -1);
    EXPECT_EQ(errno, ENOPROTOOPT);
}

// xy_cancel and SO_SNDTIMEO in the middle of a long message: it was not sent, and what is sent next is whole.
TEST_F(ShimTransfer, AMessageThatWasBrokenOffIsNeitherDeliveredNorLost) {
    const Pair p = make_pair(SOCK_RDM, true);
    for (const bool is_cancelled : {true, false}) {
        const timeval timeout{0, is_cancelled ? 0 : 20000};
        ASSERT_EQ(xy_setsockopt(p.root, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout), 0);
        set_blocking(p.root, false);
        daemon.pause_worker(true);
        size_t n_whole = 0;
        while (send_text(p.root, pattern(1, 1000)) == 1000)
            ++n_whole;
        set_blocking(p.root, true);
        daemon.pause_worker(false);
        ASSERT_EQ(receive_text(p.leaf), pattern(1, 1000));  // room for a part of the next
        daemon.pause_worker(true);
        struct xy_stats before {};
        before.size = sizeof before;
        ASSERT_EQ(xy_stats(p.root, &before), 0);
        std::thread sender([&] {
            EXPECT_EQ(send_text(p.root, pattern(2, 20000)), -1);
            EXPECT_EQ(errno, is_cancelled ? EINTR : EAGAIN);
        });
        if (is_cancelled) {
            EXPECT_TRUE(eventually([&] { return xy_cancel(sender.native_handle()) == 0; }));
        }
        sender.join();
        struct xy_stats stats {};
        stats.size = sizeof stats;
        ASSERT_EQ(xy_stats(p.root, &stats), 0);
        EXPECT_EQ(stats.sent_messages, before.sent_messages);
        daemon.pause_worker(false);
        for (size_t i = 1; i < n_whole; ++i)
            ASSERT_EQ(receive_text(p.leaf), pattern(1, 1000)) << i;

        ASSERT_EQ(send_text(p.root, pattern(3, 20000)), 20000);

        xy_msg message{};
        std::vector<char> buffer(1 << 16);
        message.size = sizeof message;
        message.buf = buffer.data(), message.len = buffer.size();
        ASSERT_EQ(xy_recv_batch(p.leaf, &message, 1, 0), 1);
        EXPECT_EQ(std::string(buffer.data(), message.received), pattern(3, 20000));
        EXPECT_EQ(message.lost_bytes, 0U);
        ASSERT_EQ(xy_stats(p.leaf, &stats), 0);
        EXPECT_EQ(stats.lost_bytes, 0U);
        EXPECT_EQ(stats.lost_gaps, 0U);
    }
}

TEST_F(ShimTransfer, AnAbortComesAfterWhatWasPublished) {
    const Pair p = make_pair(SOCK_RDM, true);
    send_text(p.root, "last");
    ASSERT_TRUE(is_readable(p.leaf, 10000));

    daemon.locked([&] { daemon.end(daemon.nth(1), ECONNRESET); });

    EXPECT_EQ(receive_text(p.leaf), "last");
    EXPECT_EQ(receive_text(p.leaf), "errno ECONNRESET");
}

TEST_F(ShimTransfer, ALeafThatWritesNonsenseIsHeardNoMoreAndHoldsNobodyUp) {
    const Pair p = make_pair(SOCK_RDM);
    set_blocking(p.root, false);
    const int other = make_leaf(SOCK_RDM);
    const int its_branch = join(p.root, other);
    ASSERT_EQ(send_text(p.leaf, "first"), 5);
    ASSERT_EQ(await_text(p.root), "first");

    daemon.pause_worker(true);
    ASSERT_EQ(send_text(p.leaf, "second"), 6);
    daemon.locked([&] {
        FakeSocket& leaf = daemon.nth(1);
        char* second = leaf.log->at<char>(abi::log_cells_off(leaf.geometry)) + abi::record_bytes(5);
        FakeDaemon::put_record(second, 6, 77, abi::kRecordBegin | abi::kRecordEnd, "second");
    });
    daemon.pause_worker(false);
    ASSERT_EQ(send_text(p.leaf, "third"), 5);
    ASSERT_EQ(send_text(other, "of another"), 10);
    EXPECT_EQ(await_text(p.root), "of another");

    const auto is_passed_over = [&] {
        receive_text(p.root);
        return daemon.locked([&] {
            FakeSocket& root = daemon.nth(0);
            const FakeImage& image = *root.slots.begin()->second;
            const auto& slot = root.inbox_app->at<abi::InboxApp>()->slots[image.slot];
            return image.published > abi::position(0, 32) && slot.consumed.load() == image.published;
        });
    };
    EXPECT_TRUE(eventually(is_passed_over));
    EXPECT_EQ(receive_text(p.root), "errno EAGAIN");
    for (const int s : {its_branch, other, p.branch, p.leaf, p.root})
        EXPECT_EQ(xy_close(s), 0);
}

}  // namespace
}  // namespace xylem::test
