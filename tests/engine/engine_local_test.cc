// SPDX-License-Identifier: Apache-2.0
// The engine through its one door, without ports: applications of this process write logs and read images as the shim
// does, while the worker and the waker run.
#include "dataplane/engine/engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xylem/abi/segment.h>

#include <deque>
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "dataplane/base/drops.h"
#include "dataplane/base/fd_list.h"
#include "tests/engine/control_loop.h"
#include "tests/unit/log_writer.h"
#include "tests/unit/reference_reader.h"

namespace xylem::engine {
namespace {

using test::LogWriter;
using test::ReferenceReader;

constexpr Geometry kGeometry{1408, 7};

/// A mapping as an application makes it.
template <class T>
class View {
  public:
    View(int fd, int protection) : at_(mmap(nullptr, sizeof(T), protection, MAP_SHARED, fd, 0)) {
        EXPECT_NE(at_, MAP_FAILED);
    }
    ~View() { munmap(at_, sizeof(T)); }
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    T* operator->() const { return static_cast<T*>(at_); }

  private:
    void* const at_;
};

struct AppView {
    explicit AppView(const AppMemory& memory)
        : id(memory.app),
          kick_fd(memory.kick_fd),
          app(memory.app_fd, PROT_READ | PROT_WRITE),
          engine(memory.engine_fd, PROT_READ) {}

    void ring(uint32_t socket) {
        app->bell[socket / 64].fetch_or(1ULL << socket % 64);
        app->summary.fetch_or(1ULL << socket / 64);
        if (engine->worker_sleeps.load() == 0) return;
        const uint64_t one = 1;
        EXPECT_EQ(write(kick_fd, &one, sizeof one), 8);
    }
    /// As the shim after a commit.
    void committed(uint32_t socket) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (engine->sockets[socket].is_watched.load() == 0) ring(socket);
    }

    const AppId id;
    const int kick_fd;
    View<abi::AppSegment> app;
    View<const abi::EngineSegment> engine;
};

struct Sending {
    uint32_t socket = 0;
    int fd = -1;
    Stream* stream = nullptr;
    std::unique_ptr<LogWriter> writer;
    std::vector<std::string> messages;
};

struct Receiving {
    AppView* app = nullptr;
    uint32_t socket = 0;
    int fd = -1;
    Image* image = nullptr;
    Reader* reader = nullptr;
    Replica* replica = nullptr;
    std::unique_ptr<ReferenceReader> reading;
    Position p0 = 0;
};

struct Events : EngineEvents {
    void stream_finished(Stream* stream) override { streams.insert(stream); }
    void reader_finished(Reader* reader) override { readers.insert(reader); }
    std::multiset<Stream*> streams;
    std::multiset<Reader*> readers;
};

class EngineLocalTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        EngineConfig config;
        config.memory_mb = 64;
        auto started = start_engine(config);
        ASSERT_TRUE(started) << started.error().what;
        engine_ = started->release();
    }
    static void TearDownTestSuite() {
        delete engine_;
        engine_ = nullptr;
    }
    void SetUp() override {
        engine_->set_listener(&events_);
        n_fds_ = list_fds().size();
    }
    /// Invariant 6: nothing is left behind.
    void TearDown() override {
        for (auto& leaf : leaves_)
            remove(*leaf);
        for (auto& sender : senders_)
            remove(*sender);
        for (auto& app : apps_)
            complete([&](Done done) { engine_->remove_app(app->id, std::move(done)); });
        EXPECT_EQ(list_fds().size(), n_fds_);
        EXPECT_EQ(n_memfds(), 0U);
        engine_->set_listener(nullptr);
    }

    static bool wait(const std::function<bool()>& is_done) { return run_until(*engine_, is_done); }
    static void complete(const std::function<void(Done)>& call) { run_to_completion(*engine_, call); }
    static size_t n_memfds() {
        size_t n = 0;
        for (const int fd : list_fds()) {
            std::error_code ignored;
            const auto link = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored);
            n += link.string().find("memfd:xylem") != std::string::npos ? 1 : 0;
        }
        return n;
    }

    AppView& add_app() {
        auto memory = engine_->add_app();
        EXPECT_TRUE(memory);
        apps_.push_back(std::make_unique<AppView>(*memory));
        return *apps_.back();
    }
    Sending& add_sender(AppView& app, bool is_reliable = true, const Geometry& geometry = kGeometry) {
        senders_.push_back(std::make_unique<Sending>());
        Sending& sender = *senders_.back();
        sender.socket = next_socket_++;
        sender.fd = *engine_->open_socket(app.id, sender.socket);
        sender.stream = *engine_->add_stream(
            {.app = app.id, .socket = sender.socket, .geometry = geometry, .is_reliable = is_reliable});
        sender.writer = std::make_unique<LogWriter>(*engine_->make_log(sender.stream), geometry, 0);
        EXPECT_TRUE(engine_->log_mapped(sender.stream));
        sender_apps_.push_back(&app);
        return sender;
    }
    Receiving& add_leaf(AppView& app, const ReaderSpec* spec = nullptr, const Geometry& geometry = kGeometry) {
        leaves_.push_back(std::make_unique<Receiving>());
        Receiving& leaf = *leaves_.back();
        leaf.app = &app;
        leaf.image = *engine_->add_image({.geometry = geometry, .flags = abi::kImageReliable});
        if (spec == nullptr) {
            leaf.socket = next_socket_++;
            leaf.fd = *engine_->open_socket(app.id, leaf.socket);
        }
        leaf.reader = engine_->add_reader(
            leaf.image, spec != nullptr ? *spec : ReaderSpec{.app = app.id, .socket = leaf.socket, .slot = kNoSlot});
        return leaf;
    }
    void join(Sending& sender, Receiving& leaf, const Geometry& geometry = kGeometry) {
        engine_->add_replica(sender.stream, {.local_image = leaf.image}, [&](Replica* replica, Position p0) {
            leaf.replica = replica;
            leaf.p0 = p0;
        });
        ASSERT_TRUE(wait([&] { return leaf.replica != nullptr; }));
        engine_->go_live(leaf.image, leaf.p0);
        engine_->reader_live(leaf.reader, leaf.p0);
        leaf.reading = std::make_unique<ReferenceReader>(engine_->image_fd(leaf.image), geometry, leaf.p0);
    }
    void remove(Receiving& leaf) {
        leaf.reading.reset();
        if (leaf.replica != nullptr)
            complete([&](Done done) { engine_->remove_replica(leaf.replica, std::move(done)); });
        if (leaf.reader != nullptr) complete([&](Done done) { engine_->remove_reader(leaf.reader, std::move(done)); });
        if (leaf.image != nullptr) complete([&](Done done) { engine_->remove_image(leaf.image, std::move(done)); });
        if (leaf.fd >= 0) {
            engine_->close_socket(leaf.app->id, leaf.socket);
            close(leaf.fd);
        }
        leaf = {};
    }
    void remove(Sending& sender) {
        sender.writer.reset();
        complete([&](Done done) { engine_->remove_stream(sender.stream, std::move(done)); });
        engine_->close_socket(app_of(sender).id, sender.socket);
        close(sender.fd);
    }
    AppView& app_of(const Sending& sender) {
        size_t i = 0;
        while (senders_[i].get() != &sender)
            ++i;
        return *sender_apps_[i];
    }

    /// Writes one message if there is room.
    bool write_one(Sending& sender) {
        AppView& app = app_of(sender);
        if (!sender.writer->has_room(3000, app.engine->sockets[sender.socket].limit.load())) return false;
        std::string message(random_() % 3000, static_cast<char>(random_()));
        sender.writer->send(message);
        sender.writer->commit();
        app.committed(sender.socket);
        sender.messages.push_back(std::move(message));
        return true;
    }
    static void read(Receiving& leaf, std::atomic<Position>& consumed) {
        leaf.reading->drain();
        consumed.store(leaf.reading->position());
        const View<const abi::ImageHeader> header(engine_->image_fd(leaf.image), PROT_READ);
        if (leaf.reading->position() >= header->kick_at.load()) leaf.app->ring(leaf.socket);
    }
    void read(Receiving& leaf) { read(leaf, leaf.app->app->sockets[leaf.socket].consumed); }
    /// Sends `n` messages to all of `leaves` and reads them there.
    void transfer(Sending& sender, size_t n, const std::vector<Receiving*>& leaves) {
        const size_t n_end = sender.messages.size() + n;
        EXPECT_TRUE(wait([&] {
            while (sender.messages.size() < n_end && write_one(sender)) {
            }
            bool is_done = sender.messages.size() == n_end;
            for (Receiving* leaf : leaves) {
                read(*leaf);
                is_done &= leaf->reading->position() >= sender.writer->position();
            }
            return is_done;
        }));
    }

    static Engine* engine_;
    Events events_;
    std::deque<std::unique_ptr<AppView>> apps_;
    std::deque<std::unique_ptr<Sending>> senders_;
    std::deque<AppView*> sender_apps_;
    std::deque<std::unique_ptr<Receiving>> leaves_;
    uint32_t next_socket_ = 60;  // over the border of a doorbell's word
    std::mt19937_64 random_{testing::UnitTest::GetInstance()->random_seed() + 1UL};
    size_t n_fds_ = 0;
};

Engine* EngineLocalTest::engine_ = nullptr;

TEST_F(EngineLocalTest, RecordsOfOneApplicationArriveAtAnother) {
    AppView &root = add_app(), &leaf_app = add_app();
    Sending& sender = add_sender(root);
    Receiving& leaf = add_leaf(leaf_app);
    join(sender, leaf);
    transfer(sender, 3000, {&leaf});
    EXPECT_TRUE(leaf.reading->messages == sender.messages);
    EXPECT_EQ(engine_->published(leaf.image), sender.writer->position());
    EXPECT_EQ(engine_->committed(sender.stream), sender.writer->position());
    EXPECT_EQ(engine_->counters(leaf.image).received_bytes, sender.writer->written_bytes());
    EXPECT_EQ(engine_->counters(sender.stream).hostile_words, 0U);
    EXPECT_EQ(engine_->counters(leaf.replica).sent_bytes, sender.writer->written_bytes());
}

// Invariant 5
TEST_F(EngineLocalTest, SecondReaderOfTheImageStartsWhereItIsTold) {
    AppView& app = add_app();
    Sending& sender = add_sender(app);
    Receiving& first = add_leaf(app);
    join(sender, first);
    transfer(sender, 500, {&first});
    Receiving second;  // shares the image
    second.app = &app;
    second.image = first.image;
    second.socket = next_socket_++;
    second.fd = *engine_->open_socket(app.id, second.socket);
    second.reader = engine_->add_reader(first.image, {.app = app.id, .socket = second.socket});
    bool is_told = false;
    engine_->next_position(sender.stream, [&](Position start) {
        second.p0 = start;
        is_told = true;
    });
    ASSERT_TRUE(wait([&] { return is_told; }));
    EXPECT_EQ(second.p0, sender.writer->position());
    engine_->reader_live(second.reader, second.p0);
    second.reading = std::make_unique<ReferenceReader>(engine_->image_fd(first.image), kGeometry, second.p0);
    transfer(sender, 500, {&first, &second});
    EXPECT_TRUE(first.reading->messages == sender.messages);
    EXPECT_TRUE(second.reading->messages ==
                std::vector<std::string>(sender.messages.begin() + 500, sender.messages.end()));
    EXPECT_EQ(engine_->consumed(second.reader) > second.p0, true);
    second.image = nullptr;
    remove(second);
}

TEST_F(EngineLocalTest, EndIsToldOnceToBothSides) {
    AppView& app = add_app();
    Sending& sender = add_sender(app);
    Receiving& leaf = add_leaf(app);
    join(sender, leaf);
    while (sender.messages.size() < 20)
        ASSERT_TRUE(write_one(sender));
    const Position final = sender.writer->position();
    ASSERT_TRUE(wait([&] { return engine_->published(leaf.image) == final; }));
    engine_->finish_stream(sender.stream, final);
    engine_->set_final(leaf.image, final);
    complete([&](Done done) { engine_->next_position(sender.stream, [done](Position) { done(); }); });
    EXPECT_EQ(events_.readers.count(leaf.reader), 0U);
    EXPECT_EQ(events_.streams.count(sender.stream), 0U);
    leaf.reading->drain();
    app.app->sockets[leaf.socket].consumed.store(leaf.reading->position());  // without ringing
    EXPECT_TRUE(
        wait([&] { return events_.readers.count(leaf.reader) != 0 && events_.streams.count(sender.stream) != 0; }));
    app.ring(leaf.socket);
    app.ring(sender.socket);
    complete([&](Done done) { engine_->next_position(sender.stream, [done](Position) { done(); }); });
    EXPECT_EQ(events_.readers.count(leaf.reader), 1U);
    EXPECT_EQ(events_.streams.count(sender.stream), 1U);
}

TEST_F(EngineLocalTest, SeveralImagesOfOneSocketAreReadByItsReadyRing) {
    AppView &root = add_app(), &leaves = add_app();
    const uint32_t socket = next_socket_++;
    const int fd = *engine_->open_socket(root.id, socket);
    const InboxMemory memory = *engine_->make_inbox(root.id, socket);
    const View<const abi::InboxEngine> inbox(memory.engine_fd, PROT_READ);
    const View<abi::InboxApp> own(memory.app_fd, PROT_READ | PROT_WRITE);
    std::map<uint32_t, Receiving*> by_slot;
    for (uint32_t slot : {3U, 0U, 4095U}) {
        const ReaderSpec spec{.app = root.id, .socket = socket, .slot = slot};
        Receiving& image = add_leaf(root, &spec);
        image.socket = socket;
        join(add_sender(leaves), image);
        by_slot[slot] = &image;
    }
    uint32_t tail = 0;
    const auto take_ready = [&] {
        if (inbox->head.load(std::memory_order_acquire) == tail) return false;
        const uint32_t slot = inbox->ring[tail++ % abi::kInboxSlots].load();
        own->tail.store(tail);
        own->slots[slot].acked.fetch_add(1);
        EXPECT_EQ(by_slot.count(slot), 1U);
        read(*by_slot[slot], own->slots[slot].consumed);
        return true;
    };
    EXPECT_TRUE(wait([&] {
        bool is_done = true;
        for (auto& sender : senders_) {
            if (sender->messages.size() < 1000) write_one(*sender);
            is_done &= sender->messages.size() == 1000;
        }
        while (take_ready()) {
        }
        size_t n_read = 0;
        for (auto& [slot, image] : by_slot)
            n_read += image->reading->messages.size();
        return is_done && n_read == 3000;
    }));
    for (size_t i = 0; i < 3; ++i)
        EXPECT_TRUE(leaves_[i]->reading->messages == senders_[i]->messages);
    // Its descriptor: armed, then woken by the next message.
    const uint8_t want = abi::kWantRead;
    ASSERT_EQ(send(fd, &want, 1, 0), 1);
    write_one(*senders_[1]);
    pollfd at{fd, POLLIN, 0};
    EXPECT_EQ(poll(&at, 1, 10'000), 1);
    for (auto& leaf : leaves_)
        remove(*leaf);
    engine_->close_socket(root.id, socket);
    close(fd);
}

TEST_F(EngineLocalTest, AReusedInboxSlotGoesOnWithItsCount) {
    AppView &root = add_app(), &leaves = add_app();
    const uint32_t socket = next_socket_++;
    const int fd = *engine_->open_socket(root.id, socket);
    const InboxMemory memory = *engine_->make_inbox(root.id, socket);
    const View<const abi::InboxEngine> inbox(memory.engine_fd, PROT_READ);
    const View<abi::InboxApp> own(memory.app_fd, PROT_READ | PROT_WRITE);
    const ReaderSpec spec{.app = root.id, .socket = socket, .slot = 7};
    uint32_t tail = 0, n_acked = 0;
    for (int generation = 0; generation < 3; ++generation) {
        Receiving& image = add_leaf(root, &spec);
        image.socket = socket;
        Sending& sender = add_sender(leaves);
        join(sender, image);
        for (size_t n = 1; n <= 20; ++n) {
            ASSERT_TRUE(write_one(sender));
            EXPECT_TRUE(wait([&] {
                while (inbox->head.load(std::memory_order_acquire) != tail) {
                    ++tail;
                    own->slots[7].acked.store(++n_acked);
                    read(image, own->slots[7].consumed);
                }
                return image.reading->messages.size() == n;
            })) << "leaf "
                << generation << ", message " << n;
        }
        remove(image);
    }
    engine_->close_socket(root.id, socket);
    close(fd);
}

TEST_F(EngineLocalTest, SleepingReaderIsWokenByTheFirstMessage) {
    AppView& app = add_app();
    Sending& sender = add_sender(app);
    Receiving& leaf = add_leaf(app);
    join(sender, leaf);
    for (int i = 0; i < 50; ++i) {
        const uint8_t want = abi::kWantRead;
        ASSERT_EQ(send(leaf.fd, &want, 1, 0), 1);
        ASSERT_TRUE(write_one(sender));
        pollfd at{leaf.fd, POLLIN, 0};
        ASSERT_EQ(poll(&at, 1, 10'000), 1) << i;
        char bytes[8];
        ASSERT_GT(recv(leaf.fd, bytes, sizeof bytes, MSG_DONTWAIT), 0);
        EXPECT_TRUE(wait([&] { return read(leaf), leaf.reading->position() == sender.writer->position(); }));
    }
}

TEST_F(EngineLocalTest, EveryLogByteCountsAsPulledOnce) {
    AppView& app = add_app();
    Sending& sender = add_sender(app);
    Receiving& leaf = add_leaf(app);
    join(sender, leaf);
    ASSERT_TRUE(wait([&] {
        if (sender.messages.size() < 3000) write_one(sender);
        read(leaf);
        return leaf.reading->messages.size() == 3000;
    }));
    complete([&](Done done) { engine_->next_position(sender.stream, [done](Position) { done(); }); });
    EXPECT_EQ(engine_->counters(sender.stream).pulled_bytes, sender.writer->written_bytes());
}

TEST_F(EngineLocalTest, WriterIsWokenWhenTheReaderGoesOn) {
    AppView& app = add_app();
    Sending& sender = add_sender(app);
    Receiving& leaf = add_leaf(app);
    join(sender, leaf);
    ASSERT_TRUE(wait([&] { return !write_one(sender); }));
    const uint8_t want = abi::kWantWrite;
    engine_->facts(app.id, sender.socket).leaves.store(1);
    ASSERT_EQ(send(sender.fd, &want, 1, 0), 1);
    pollfd at{sender.fd, POLLIN, 0};
    EXPECT_EQ(poll(&at, 1, 20), 0);
    ASSERT_TRUE(wait([&] { return read(leaf), leaf.reading->position() == sender.writer->position(); }));
    EXPECT_EQ(poll(&at, 1, 10'000), 1);
    EXPECT_TRUE(write_one(sender));
}

TEST_F(EngineLocalTest, IdleWorkerSleepsAndSaysSoToEveryWriter) {
    AppView& app = add_app();
    Sending& sender = add_sender(app);
    Receiving& leaf = add_leaf(app);
    join(sender, leaf);
    for (int i = 0; i < 5; ++i) {
        transfer(sender, 1, {&leaf});
        const WorkerCounters before = engine_->worker_counters();
        ASSERT_TRUE(wait([&] { return engine_->worker_counters().idle_sleeps >= before.idle_sleeps + 2; }));
        const WorkerCounters after = engine_->worker_counters();
        EXPECT_LT(after.polls - before.polls, 200'000U);  // it did not spin
        // While it sleeps, the writer must ring: otherwise nobody would see its commit.
        uint32_t is_watched = 1, n_sleeps = 1;
        ASSERT_TRUE(wait([&] {
            n_sleeps = app.engine->worker_sleeps.load();
            is_watched = app.engine->sockets[sender.socket].is_watched.load();
            return n_sleeps == 1 && app.engine->worker_sleeps.load() == 1 && is_watched == 0;
        }));
    }
}

// Invariant 3
TEST_F(EngineLocalTest, RandomWordsOfAnApplicationHurtOnlyItself) {
    AppView &enemy = add_app(), &honest = add_app();
    Sending &bad = add_sender(enemy), &good = add_sender(honest);
    Receiving &bad_leaf = add_leaf(enemy), &good_leaf = add_leaf(honest);
    join(bad, bad_leaf);
    join(good, good_leaf);
    for (int round = 0; round < 300; ++round) {
        for (int i = 0; i < 50; ++i) {
            bad.writer->used()[random_() % 128] = static_cast<uint16_t>(random_());
            bad.writer->header().commit.store(random_() % 2 == 0 ? random_()
                                                                 : engine_->facts(enemy.id, bad.socket).limit.load() -
                                                                       random_() % 99'999);
            abi::AppSocket& socket = enemy.app->sockets[random_() % 2 == 0 ? bad_leaf.socket : random_() % 4096];
            socket.consumed.store(random_());
            socket.seen.store(random_());
            enemy.app->bell[random_() % 64].store(random_());
            enemy.app->summary.store(~0ULL);
        }
        // The log's own description of itself, its records, the segment's head.
        std::memset(static_cast<void*>(&bad.writer->header()), static_cast<int>(random_()), 64);
        enemy.app->magic = static_cast<uint32_t>(random_());
        transfer(good, 10, {&good_leaf});
    }
    EXPECT_TRUE(good_leaf.reading->messages == good.messages);
    EXPECT_EQ(engine_->counters(good.stream).hostile_words, 0U);
    EXPECT_GT(engine_->counters(bad.stream).hostile_words, 0U);
}

// Invariant 6
// Invariant 3
TEST_F(EngineLocalTest, LogThatTheApplicationNeverMappedIsNotLookedAt) {
    AppView& app = add_app();
    const uint32_t socket = next_socket_++;
    const int fd = *engine_->open_socket(app.id, socket);
    Stream* stream = *engine_->add_stream({.app = app.id, .socket = socket, .geometry = kGeometry});
    const int log_fd = *engine_->make_log(stream);
    EXPECT_EQ(*engine_->make_log(stream), log_fd) << "an application may have had no room for the descriptor";
    EXPECT_EQ(ftruncate(log_fd, 0), -1);
    {
        const View<abi::LogHeader> header(log_fd, PROT_READ | PROT_WRITE);
        header->commit.store(abi::position(1, 8));
    }
    EXPECT_EQ(engine_->committed(stream), 0U);
    EXPECT_EQ(fcntl(log_fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    EXPECT_FALSE(engine_->log_mapped(stream)) << "the application has closed the seals";
    EXPECT_EQ(engine_->committed(stream), 0U);
    engine_->finish_stream(stream, 0);
    EXPECT_TRUE(wait([&] { return events_.streams.count(stream) == 1; }));
    complete([&](Done done) { engine_->remove_stream(stream, std::move(done)); });
    engine_->close_socket(app.id, socket);
    close(fd);
}

TEST_F(EngineLocalTest, WhatIsRemovedLeavesNoMemoryAndNoDescriptor) {
    AppView& app = add_app();
    const size_t n_memfds_before = n_memfds(), n_fds_before = list_fds().size();
    for (int i = 0; i < 30; ++i) {
        Receiving leaf;
        leaf.app = &app;
        leaf.socket = 5;
        leaf.fd = *engine_->open_socket(app.id, 5);
        const int sender_fd = *engine_->open_socket(app.id, 6);
        Stream* stream = *engine_->add_stream({.app = app.id, .socket = 6, .geometry = kGeometry});
        auto writer = std::make_unique<LogWriter>(*engine_->make_log(stream), kGeometry, 0);
        ASSERT_TRUE(engine_->log_mapped(stream));
        leaf.image = *engine_->add_image(
            {.geometry = kGeometry, .flags = abi::kImageReliable, .label = engine_->reserve_label()});
        leaf.reader = engine_->add_reader(leaf.image, {.app = app.id, .socket = 5});
        engine_->add_replica(stream, {.local_image = leaf.image},
                             [&](Replica* replica, Position) { leaf.replica = replica; });
        ASSERT_TRUE(wait([&] { return leaf.replica != nullptr; }));
        engine_->go_live(leaf.image, 0);
        engine_->reader_live(leaf.reader, 0);
        writer->send("abc");
        writer->commit();
        app.committed(6);
        const uint8_t want = abi::kWantRead | abi::kWantWrite;
        ASSERT_EQ(send(leaf.fd, &want, 1, 0), 1);
        remove(leaf);  // with a message under way
        writer.reset();
        complete([&](Done done) { engine_->remove_stream(stream, std::move(done)); });
        engine_->close_socket(app.id, 6);
        close(sender_fd);
    }
    EXPECT_EQ(n_memfds(), n_memfds_before);
    EXPECT_EQ(list_fds().size(), n_fds_before);
}

TEST_F(EngineLocalTest, MoreCommandsThanTheRingHoldsAreAllDone) {
    AppView& app = add_app();
    Sending& sender = add_sender(app);
    constexpr int kCommands = 20'000;
    int n_done = 0;
    for (int i = 0; i < kCommands; ++i)
        engine_->next_position(sender.stream, [&n_done, i](Position) {
            EXPECT_EQ(n_done, i);  // in order
            ++n_done;
        });
    EXPECT_TRUE(wait([&] { return n_done == kCommands; }));
}

TEST_F(EngineLocalTest, ReplicaOverAPortThatDoesNotExistIsOutOfStep) {
    AppView& app = add_app();
    Sending& sender = add_sender(app, false);
    Receiving& leaf = add_leaf(app);
    for (const uint32_t port : {0U, 7U, 8U, 1000U}) {
        Replica* nowhere = nullptr;
        ReplicaSpec spec;
        spec.label = 77 << 16 | 1;
        spec.feedback_label = engine_->reserve_label();
        spec.path = {.port = port, .is_up = true};
        spec.path.source.ip = spec.path.dest.ip = IpAddress::v4(1);
        engine_->add_replica(sender.stream, spec, [&](Replica* replica, Position) { nowhere = replica; });
        ASSERT_TRUE(wait([&] { return nowhere != nullptr; }));
        ASSERT_TRUE(write_one(sender));
        ASSERT_TRUE(wait([&] { return engine_->counters(nowhere).skipped_frames != 0; }));
        engine_->set_path(nowhere, spec.path);
        EXPECT_EQ(engine_->counters(nowhere).sent_bytes, 0U);
        complete([&](Done done) { engine_->remove_replica(nowhere, std::move(done)); });
    }
    join(sender, leaf);
    transfer(sender, 20, {&leaf});
}

TEST_F(EngineLocalTest, RefusesWhatCannotBeMade) {
    AppView& app = add_app();
    EXPECT_FALSE(engine_->add_stream({.app = app.id, .socket = 1, .geometry = {1400, 2}}));
    EXPECT_FALSE(engine_->add_image({.geometry = {7, 10}}));
    Sending& sender = add_sender(app);
    const auto second = engine_->make_log(sender.stream);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EALREADY);
    for (const DropCount& drop : engine_->drops())
        EXPECT_FALSE(drop.name.empty() || drop.sentence.empty());
    EXPECT_TRUE(engine_->ports().empty());
}

}  // namespace
}  // namespace xylem::engine
