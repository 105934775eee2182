// SPDX-License-Identifier: Apache-2.0
// The waker: descriptors tell the truth, no wake-up is lost, and nothing that an application does to its end stops
// another's.
#include "dataplane/engine/waker.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "dataplane/base/fd_list.h"

namespace xylem::engine {
namespace {

using abi::Position;

constexpr int kDeadlineMs = 10'000;

/// A socket's descriptor and the words around it, as an application has them.
class WakerSocket {
  public:
    WakerSocket(Waker& waker, SocketKey key) : waker_(waker), key_(key) {
        auto made = waker.add_socket(key, &facts, &app);
        EXPECT_TRUE(made);
        fd_ = *made;
        image.id = waker.next_id();
        log.id = waker.next_id();
        facts.leaves.store(1);
        facts.read_end.store(abi::kNoPosition);
        header->final.store(abi::kNoPosition);
        waker.read_from_image(key, header.get(), &image);
    }
    ~WakerSocket() {
        waker_.remove_socket(key_);
        if (fd_ >= 0) close(fd_);
    }
    WakerSocket(const WakerSocket&) = delete;
    WakerSocket& operator=(const WakerSocket&) = delete;

    void arm(uint8_t interests) { ASSERT_EQ(send(fd_, &interests, 1, MSG_NOSIGNAL), 1); }
    bool is_readable(int timeout_ms = 0) const {
        pollfd at{fd_, POLLIN, 0};
        return poll(&at, 1, timeout_ms) == 1 && (at.revents & POLLIN) != 0;
    }
    void drain() {
        char bytes[64];
        while (recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
        }
    }
    void close_own() {
        close(fd_);
        fd_ = -1;
    }
    /// The worker's part: publish, and wake whoever sleeps on it.
    void publish(Position at, bool has_slept = false) {
        header->published.store(at, std::memory_order_release);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (image.is_armed.load(std::memory_order_relaxed)) waker_.wake(image);
        waker_.flush(has_slept);
    }
    /// Until the waker has seen what was armed. False: not in time.
    static bool wait_for(const std::atomic<bool>& armed) {
        for (int i = 0; i < kDeadlineMs && !armed.load(); ++i)
            poll(nullptr, 0, 1);
        return armed.load();
    }

    int fd() const { return fd_; }

    abi::EngineSocket facts{};
    abi::AppSocket app{};
    std::unique_ptr<abi::ImageHeader> header = std::make_unique<abi::ImageHeader>();
    Armable image, log;

  private:
    Waker& waker_;
    const SocketKey key_;
    int fd_ = -1;
};

class WakerTest : public testing::Test {
  protected:
    void SetUp() override {
        n_fds_ = list_fds().size();
        waker_ = std::move(*Waker::start());
    }
    void TearDown() override {
        waker_.reset();
        EXPECT_EQ(list_fds().size(), n_fds_);  // Invariant 6
    }
    size_t n_fds_ = 0;
    std::unique_ptr<Waker> waker_;
};

TEST_F(WakerTest, ArmedReaderIsWokenByWhatIsPublished) {
    WakerSocket socket(*waker_, 1);
    socket.arm(abi::kWantRead);
    ASSERT_TRUE(WakerSocket::wait_for(socket.image.is_armed));
    EXPECT_FALSE(socket.is_readable());
    socket.publish(64);
    EXPECT_TRUE(socket.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, WhatHoldsAlreadyIsAnsweredAtOnce) {
    WakerSocket socket(*waker_, 1);
    socket.publish(64);
    socket.arm(abi::kWantRead);
    EXPECT_TRUE(socket.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, UnarmedDescriptorStaysQuiet) {
    WakerSocket quiet(*waker_, 1), loud(*waker_, 2);
    loud.arm(abi::kWantRead);
    quiet.publish(64);
    loud.publish(64);
    ASSERT_TRUE(loud.is_readable(kDeadlineMs));  // the waker has been round
    EXPECT_FALSE(quiet.is_readable());
}

TEST_F(WakerTest, OneArmingIsOneByte) {
    WakerSocket socket(*waker_, 1);
    socket.arm(abi::kWantRead);
    socket.publish(64);
    ASSERT_TRUE(socket.is_readable(kDeadlineMs));
    socket.drain();
    socket.publish(128);
    WakerSocket other(*waker_, 2);
    other.publish(64);
    other.arm(abi::kWantRead);
    ASSERT_TRUE(other.is_readable(kDeadlineMs));
    EXPECT_FALSE(socket.is_readable());
}

TEST_F(WakerTest, WhatWasSeenAlreadyDoesNotWake) {
    WakerSocket socket(*waker_, 1);
    socket.publish(64);
    socket.app.seen.store(64);  // half a message: nothing that could be taken
    socket.arm(abi::kWantRead);
    ASSERT_TRUE(WakerSocket::wait_for(socket.image.is_armed));
    EXPECT_FALSE(socket.is_readable());
    socket.publish(72);
    EXPECT_TRUE(socket.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, EachInterestIsAboutItsOwnWords) {
    const std::pair<uint8_t, void (*)(WakerSocket&)> interests[] = {
        {abi::kWantAccept, [](WakerSocket& s) { s.facts.backlog.store(1); }},
        {abi::kWantConnect, [](WakerSocket& s) { s.facts.connect_done.store(1); }},
        {abi::kWantClose, [](WakerSocket& s) { s.facts.close_error.store(ECONNRESET), s.facts.has_ended.store(1); }},
        {abi::kWantRead, [](WakerSocket& s) { s.facts.close_error.store(ECONNRESET), s.facts.has_ended.store(1); }},
        {abi::kWantQos, [](WakerSocket& s) { s.facts.qos_changes.store(1); }},
        {abi::kWantDelivered, [](WakerSocket& s) { s.facts.has_delivered.store(1); }},
    };
    SocketKey key = 1;
    for (const auto& [interest, happen] : interests) {
        WakerSocket socket(*waker_, key);
        socket.arm(interest);
        waker_->check(key);
        WakerSocket other(*waker_, 1000 + key);  // the waker has served ours when it has answered this one
        other.publish(8);
        other.arm(abi::kWantRead);
        ASSERT_TRUE(other.is_readable(kDeadlineMs));
        ASSERT_FALSE(socket.is_readable()) << int{interest};
        happen(socket);
        waker_->check(key);
        EXPECT_TRUE(socket.is_readable(kDeadlineMs)) << int{interest};
        ++key;
    }
}

TEST_F(WakerTest, GracefulEndWaitsUntilEverythingIsThere) {
    WakerSocket socket(*waker_, 1);
    socket.publish(64);
    socket.header->final.store(128);
    socket.facts.has_ended.store(1);
    socket.arm(abi::kWantClose);
    ASSERT_TRUE(WakerSocket::wait_for(socket.image.is_armed));
    EXPECT_FALSE(socket.is_readable());
    socket.publish(128);  // not read: it may be half a message, which only the shim can tell
    EXPECT_TRUE(socket.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, AChangeBetweenRecordingAndArmingIsTold) {
    WakerSocket socket(*waker_, 1);
    socket.facts.qos_changes.store(2);
    socket.app.qos_seen.store(1);
    socket.arm(abi::kWantQos);
    ASSERT_TRUE(socket.is_readable(kDeadlineMs));
    socket.drain();
    socket.app.qos_seen.store(2);
    socket.arm(abi::kWantQos | abi::kWantRead);
    ASSERT_TRUE(WakerSocket::wait_for(socket.image.is_armed));
    EXPECT_FALSE(socket.is_readable());
}

TEST_F(WakerTest, AReaderThatWasSentAwayIsAtItsEndWhereTheImageGoesOn) {
    WakerSocket socket(*waker_, 1);
    socket.publish(128);
    socket.app.consumed.store(64);
    socket.app.seen.store(128);
    socket.arm(abi::kWantRead);
    ASSERT_TRUE(WakerSocket::wait_for(socket.image.is_armed));
    EXPECT_FALSE(socket.is_readable());
    socket.facts.read_end.store(64);
    socket.facts.has_ended.store(1);
    waker_->check(1);
    EXPECT_TRUE(socket.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, WriterIsWokenWhenAQuarterOfTheLogIsFree) {
    WakerSocket socket(*waker_, 1);
    std::atomic<Position> commit{abi::cell_start(60)};
    socket.facts.limit.store(abi::cell_start(64));
    waker_->write_to_log(1, &commit, 64, &socket.log);
    socket.arm(abi::kWantWrite);
    ASSERT_TRUE(WakerSocket::wait_for(socket.log.is_armed));
    EXPECT_FALSE(socket.is_readable());
    socket.facts.limit.store(abi::cell_start(60 + 16 + 2));
    std::atomic_thread_fence(std::memory_order_seq_cst);
    ASSERT_TRUE(socket.log.is_armed.load());
    waker_->wake(socket.log);
    waker_->flush(false);
    EXPECT_TRUE(socket.is_readable(kDeadlineMs));
    waker_->write_to_log(1, nullptr, 0, nullptr);
}

TEST_F(WakerTest, OneImageWakesAllItsReaders) {
    WakerSocket first(*waker_, 1), second(*waker_, 2), third(*waker_, 3);
    waker_->read_from_image(2, first.header.get(), &first.image);
    waker_->read_from_image(3, first.header.get(), &first.image);
    for (WakerSocket* socket : {&first, &second, &third}) {
        first.image.is_armed.store(false);
        socket->arm(abi::kWantRead);
        ASSERT_TRUE(WakerSocket::wait_for(first.image.is_armed));
    }
    first.publish(64);
    for (WakerSocket* socket : {&first, &second, &third})
        EXPECT_TRUE(socket->is_readable(kDeadlineMs));
}

// Invariant 3: an application's descriptor can neither stop the waker nor another application's descriptor.
TEST_F(WakerTest, FloodedAndStuffedDescriptorsStopNobody) {
    WakerSocket hostile(*waker_, 1), honest(*waker_, 2);
    std::atomic<bool> must_stop{false};
    std::thread flood([&] {
        const std::vector<uint8_t> bytes(4096, abi::kWantRead | abi::kWantClose | 0xC0);
        while (!must_stop.load())
            [[maybe_unused]] const ssize_t n =
                send(hostile.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    });
    hostile.publish(8);  // always something to read: the waker's answers fill the buffer that nobody reads
    for (Position at = 8; at <= 800; at += 8) {
        honest.arm(abi::kWantRead);
        honest.publish(at);
        ASSERT_TRUE(honest.is_readable(kDeadlineMs)) << at;
        honest.drain();
        honest.app.consumed.store(at);
    }
    must_stop.store(true);
    flood.join();
}

TEST_F(WakerTest, ShutDownAndClosedDescriptorsStopNobody) {
    WakerSocket closed(*waker_, 1), cut(*waker_, 2), honest(*waker_, 3);
    closed.arm(abi::kWantRead);
    cut.arm(abi::kWantRead);
    ASSERT_TRUE(WakerSocket::wait_for(closed.image.is_armed));
    ASSERT_TRUE(WakerSocket::wait_for(cut.image.is_armed));
    closed.close_own();
    ASSERT_EQ(shutdown(cut.fd(), SHUT_RDWR), 0);
    closed.publish(8);
    cut.publish(8);
    honest.arm(abi::kWantRead);
    honest.publish(8);
    EXPECT_TRUE(honest.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, ApplicationThatMakesItsEndBlockingBlocksNobody) {
    WakerSocket socket(*waker_, 1), honest(*waker_, 2);
    ASSERT_EQ(fcntl(socket.fd(), F_SETFL, 0), 0);
    const int bytes = 1;
    setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    socket.publish(8);
    for (Position at = 8; at <= 8000; at += 8) {
        socket.arm(abi::kWantRead);  // answered each time, never read
        honest.arm(abi::kWantRead);
        honest.publish(at);
        ASSERT_TRUE(honest.is_readable(kDeadlineMs));
        honest.drain();
        honest.app.consumed.store(at);
    }
}

TEST_F(WakerTest, WorkerThatHasSleptWakesAFewByItselfAndLeavesManyToTheThread) {
    std::vector<std::unique_ptr<WakerSocket>> sockets;
    for (SocketKey key = 1; key <= 12; ++key)
        sockets.push_back(std::make_unique<WakerSocket>(*waker_, key));
    WakerSocket& first = *sockets[0];
    Position at = 0;
    for (int round = 0; round < 200; ++round) {
        const size_t n = round % 2 == 0 ? 2 : sockets.size();  // few, many
        for (size_t i = 1; i < sockets.size(); ++i)
            waker_->read_from_image(static_cast<SocketKey>(i + 1), i < n ? first.header.get() : nullptr,
                                    i < n ? &first.image : nullptr);
        for (size_t i = 0; i < n; ++i) {
            sockets[i]->app.consumed.store(at);
            first.image.is_armed.store(false);
            sockets[i]->arm(abi::kWantRead);
            ASSERT_TRUE(WakerSocket::wait_for(first.image.is_armed));
        }
        first.publish(at += 8, true);
        for (size_t i = 0; i < n; ++i) {
            ASSERT_TRUE(sockets[i]->is_readable(kDeadlineMs)) << "round " << round << ", socket " << i;
            sockets[i]->drain();
        }
    }
}

TEST_F(WakerTest, RemovedSocketHangsUpAndItsObjectIsLeftAlone) {
    int fd;
    {
        WakerSocket socket(*waker_, 1);
        socket.arm(abi::kWantRead);
        ASSERT_TRUE(WakerSocket::wait_for(socket.image.is_armed));
        fd = dup(socket.fd());
        waker_->wake(socket.image);  // under way while it is removed
        waker_->remove_socket(1);
    }
    waker_->flush(false);
    pollfd at{fd, POLLIN, 0};
    EXPECT_EQ(poll(&at, 1, kDeadlineMs), 1);
    EXPECT_NE(at.revents & POLLHUP, 0);
    close(fd);
    WakerSocket next(*waker_, 1);  // the same key again
    next.arm(abi::kWantRead);
    next.publish(8);
    EXPECT_TRUE(next.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, ImageThatIsTakenAwayWhileArmedIsNotLookedAtAgain) {
    WakerSocket socket(*waker_, 1);
    socket.arm(abi::kWantRead);
    ASSERT_TRUE(WakerSocket::wait_for(socket.image.is_armed));
    waker_->read_from_image(1, nullptr, nullptr);
    socket.publish(64);
    socket.header.reset();
    socket.facts.close_error.store(ECONNRESET);
    socket.facts.has_ended.store(1);
    waker_->check(1);
    EXPECT_TRUE(socket.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, MoreWakeUpsThanTheRingHoldsAreNotLost) {
    WakerSocket last(*waker_, 1);
    last.arm(abi::kWantRead);
    ASSERT_TRUE(WakerSocket::wait_for(last.image.is_armed));
    Armable nobody;
    nobody.id = waker_->next_id();
    for (int i = 0; i < 100'000; ++i)
        waker_->wake(nobody);
    last.publish(8);
    EXPECT_TRUE(last.is_readable(kDeadlineMs));
}

TEST_F(WakerTest, NoWakeUpIsLostInARace) {
    WakerSocket sockets[] = {{*waker_, 1}, {*waker_, 2}};
    constexpr Position kRounds = 20'000;
    // Each reader arms, waits, and tells that it has read; the worker publishes the next as soon as both have.
    std::vector<std::thread> readers;
    std::atomic<bool> is_lost{false};
    for (WakerSocket& socket : sockets)
        readers.emplace_back([&] {
            for (Position at = 0; at < kRounds * 8 && !is_lost.load();) {
                socket.arm(abi::kWantRead);
                if (!socket.is_readable(kDeadlineMs)) is_lost.store(true);
                socket.drain();
                at = socket.header->published.load(std::memory_order_acquire);
                socket.app.consumed.store(at, std::memory_order_release);
            }
        });
    for (Position at = 8; at <= kRounds * 8 && !is_lost.load(); at += 8)
        for (WakerSocket& socket : sockets) {
            while (socket.app.consumed.load(std::memory_order_acquire) < at - 8 && !is_lost.load())
                sched_yield();
            socket.publish(at, at % 16 == 0);
        }
    for (std::thread& reader : readers)
        reader.join();
    EXPECT_FALSE(is_lost.load());
}

}  // namespace
}  // namespace xylem::engine
