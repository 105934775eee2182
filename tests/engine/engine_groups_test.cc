// SPDX-License-Identifier: Apache-2.0
// Datagrams of groups through the engine's one door, with ports that swallow everything and with none: applications of
// this process write logs and read images as the shim does, while the worker and the waker run.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "dataplane/base/address_text.h"
#include "dataplane/base/fd_list.h"
#include "dataplane/engine/engine.h"
#include "tests/engine/control_loop.h"
#include "tests/unit/group_writer.h"
#include "tests/unit/reference_reader.h"

namespace xylem::engine {
namespace {

using test::GroupWriter;
using test::Received;
using test::ReferenceReader;

constexpr Geometry kGeometry{1408, 7};

Endpoint endpoint(const char* ip, uint16_t port) { return {*parse_ip(ip), port}; }

Path path_to_groups(const char* source, uint16_t port) {
    Path path{.is_up = true};
    path.source = endpoint(source, port);
    return path;
}

GroupDestination destination(const char* group, uint16_t udp_port, uint32_t port) {
    const bool is_v6 = parse_ip(group)->is_v6();
    return {
        .dest = endpoint(group, udp_port), .port = port, .path = path_to_groups(is_v6 ? "fd00::1" : "10.0.0.1", 4000)};
}

class EngineGroupsTest : public testing::Test, protected EngineEvents {
  protected:
    struct Socket {
        uint32_t id = 0;
        int fd = -1;
        Stream* stream = nullptr;
        std::unique_ptr<GroupWriter> writer;
        Reader* reader = nullptr;
        std::unique_ptr<ReferenceReader> reading;
    };

    static void SetUpTestSuite() {
        EngineConfig config;
        config.ports = {*dpdk::parse_port_spec("null"), *dpdk::parse_port_spec("null")};
        config.ports[1].text = "null again";  // it names the port's memory
        auto started = start_engine(config);
        ASSERT_TRUE(started) << started.error().what;
        engine_ = started->release();
    }
    static void TearDownTestSuite() {
        delete engine_;
        engine_ = nullptr;
    }
    void SetUp() override {
        engine_->set_listener(this);
        n_fds_ = list_fds().size();
        memory_ = *engine_->add_app();
        app_ = map<abi::AppSegment>(memory_.app_fd, PROT_READ | PROT_WRITE);
        facts_ = map<const abi::EngineSegment>(memory_.engine_fd, PROT_READ);
    }
    /// Invariant 6: nothing is left behind.
    void TearDown() override {
        for (auto& socket : sockets_)
            remove(*socket);
        for (Image* image : images_)
            complete([&](Done done) { engine_->remove_image(image, std::move(done)); });
        complete([&](Done done) { engine_->remove_app(memory_.app, std::move(done)); });
        munmap(app_, sizeof(abi::AppSegment));
        munmap(const_cast<abi::EngineSegment*>(facts_), sizeof(abi::EngineSegment));
        EXPECT_EQ(list_fds().size(), n_fds_);
        engine_->set_listener(nullptr);
    }
    void stream_finished(Stream* stream) override { finished_.push_back(stream); }
    void reader_finished(Reader*) override {}

    template <class T>
    static T* map(int fd, int protection) {
        void* at = mmap(nullptr, sizeof(T), protection, MAP_SHARED, fd, 0);
        EXPECT_NE(at, MAP_FAILED);
        return static_cast<T*>(at);
    }
    static bool wait(const std::function<bool()>& is_done) { return run_until(*engine_, is_done); }
    static void complete(const std::function<void(Done)>& call) { run_to_completion(*engine_, call); }
    static uint64_t drops(const char* name) {
        for (const DropCount& drop : engine_->drops())
            if (drop.name == name) return drop.count;
        ADD_FAILURE() << "no drop " << name;
        return 0;
    }

    Socket& add_sender(const Geometry& geometry = kGeometry) {
        sockets_.push_back(std::make_unique<Socket>());
        Socket& socket = *sockets_.back();
        socket.id = next_socket_++;
        socket.fd = *engine_->open_socket(memory_.app, socket.id);
        socket.stream =
            *engine_->add_stream({.app = memory_.app, .socket = socket.id, .geometry = geometry, .is_group = true});
        socket.writer = std::make_unique<GroupWriter>(*engine_->make_log(socket.stream), geometry);
        EXPECT_TRUE(engine_->log_mapped(socket.stream));
        return socket;
    }
    Image* add_image(const char* group, uint16_t udp_port, uint32_t port, const Geometry& geometry = kGeometry) {
        auto image = engine_->add_group_image({endpoint(group, udp_port), port, geometry});
        EXPECT_TRUE(image) << image.error().what;
        images_.push_back(*image);
        return *image;
    }
    Socket& add_reader(Image* image, const Geometry& geometry = kGeometry) {
        sockets_.push_back(std::make_unique<Socket>());
        Socket& socket = *sockets_.back();
        socket.id = next_socket_++;
        socket.fd = *engine_->open_socket(memory_.app, socket.id);
        socket.reader = engine_->add_reader(image, {.app = memory_.app, .socket = socket.id});
        const Position start = engine_->published(image);
        engine_->reader_live(socket.reader, start);
        socket.reading = std::make_unique<ReferenceReader>(engine_->image_fd(image), geometry, start);
        return socket;
    }
    void remove(Socket& socket) {
        socket.reading.reset();
        socket.writer.reset();
        if (socket.reader != nullptr)
            complete([&](Done done) { engine_->remove_reader(socket.reader, std::move(done)); });
        if (socket.stream != nullptr)
            complete([&](Done done) { engine_->remove_stream(socket.stream, std::move(done)); });
        engine_->close_socket(memory_.app, socket.id);
        close(socket.fd);
    }
    /// As the shim after a commit.
    void commit(Socket& socket) {
        socket.writer->commit();
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (facts_->sockets[socket.id].is_watched.load() != 0) return;
        app_->bell[socket.id / 64].fetch_or(1ULL << socket.id % 64);
        app_->summary.fetch_or(1ULL << socket.id / 64);
        const uint64_t one = 1;
        EXPECT_EQ(write(memory_.kick_fd, &one, sizeof one), 8);
    }
    void send(Socket& socket, uint32_t index, const std::string& payload) {
        ASSERT_TRUE(wait([&] {
            return socket.writer->has_room_for_one(facts_->sockets[socket.id].limit.load(std::memory_order_acquire));
        }));
        socket.writer->send_to(index, payload);
        commit(socket);
    }
    static bool is_all_taken(const Socket& socket) {
        return engine_->counters(socket.stream).cursor == socket.writer->position();
    }
    static std::vector<Received> read_all(Socket& socket) {
        socket.reading->drain();
        EXPECT_FALSE(socket.reading->is_hostile);
        return {socket.reading->messages.begin(), socket.reading->messages.end()};
    }

    static Engine* engine_;
    AppMemory memory_{};
    abi::AppSegment* app_ = nullptr;
    const abi::EngineSegment* facts_ = nullptr;
    std::vector<std::unique_ptr<Socket>> sockets_;
    std::vector<Image*> images_;
    std::vector<Stream*> finished_;
    uint32_t next_socket_ = 62;  // over the border of a doorbell's word
    size_t n_fds_ = 0;
};

Engine* EngineGroupsTest::engine_ = nullptr;

TEST_F(EngineGroupsTest, DatagramReachesThePortAndEveryReaderHere) {
    const uint64_t n_sent_before = engine_->ports()[0].tx_pkts;
    Image* image = add_image("239.1.2.3", 5555, 0);
    Socket &first = add_reader(image), &second = add_reader(image), &sender = add_sender();
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, destination("239.1.2.3", 5555, 0)));
    send(sender, 0, "hello");
    send(sender, 0, "");
    for (Socket* reader : {&first, &second}) {
        ASSERT_TRUE(wait([&] { return read_all(*reader).size() == 2; }));
        const std::vector<Received> all = read_all(*reader);
        EXPECT_EQ(all[0].payload, "hello");
        EXPECT_EQ(all[1].payload, "");
        EXPECT_EQ(all[0].from.origin, abi::group_origin(memory_.app, sender.id));
        EXPECT_EQ(all[0].from.ifindex, 0U);
        EXPECT_EQ(all[0].from.port, 4000);
        EXPECT_EQ(all[0].from.family, AF_INET);
        EXPECT_EQ(IpAddress::v4(*reinterpret_cast<const uint32_t*>(all[0].from.address)), *parse_ip("10.0.0.1"));
    }
    EXPECT_TRUE(wait([&] { return engine_->ports()[0].tx_pkts == n_sent_before + 2; }));
    EXPECT_TRUE(is_all_taken(sender));
    const StreamCounters counters = engine_->counters(sender.stream);
    EXPECT_EQ(counters.frames, 2U);
    EXPECT_EQ(counters.pulled_bytes, sender.writer->written_bytes());
    EXPECT_EQ(counters.hostile_words, 0U);
}

TEST_F(EngineGroupsTest, PortsAndUdpPortsOfOneGroupAreApart) {
    struct Place {
        uint16_t udp_port;
        uint32_t port;
    };
    Socket& sender = add_sender();
    std::vector<Socket*> readers;
    for (const Place place : {Place{5555, 0}, Place{5556, 0}, Place{5555, 1}, Place{5555, kLocalPort}}) {
        const auto index = static_cast<uint32_t>(readers.size());
        readers.push_back(&add_reader(add_image("ff15::7", place.udp_port, place.port)));
        ASSERT_TRUE(engine_->set_destination(sender.stream, index, destination("ff15::7", place.udp_port, place.port)));
    }
    for (uint32_t i = 0; i < 4; ++i)
        send(sender, i, std::to_string(i));
    for (uint32_t i = 0; i < 4; ++i) {
        ASSERT_TRUE(wait([&] { return !read_all(*readers[i]).empty(); }));
        ASSERT_EQ(read_all(*readers[i]).size(), 1U);
        EXPECT_EQ(read_all(*readers[i])[0].payload, std::to_string(i));
    }
}

TEST_F(EngineGroupsTest, ScopeZeroAndLocalStayOnThisHost) {
    const uint64_t n_sent_before = engine_->ports()[0].tx_pkts;
    Socket &sender = add_sender(), &wired = add_reader(add_image("239.1.2.3", 5555, 0));
    Socket& local = add_reader(add_image("239.1.2.3", 5555, kLocalPort));
    GroupDestination near = destination("239.1.2.3", 5555, 0);
    near.reaches_wire = false;
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, near));
    near.reaches_wire = true;
    near.path.ttl = 0;
    ASSERT_TRUE(engine_->set_destination(sender.stream, 1, near));
    near = {.dest = near.dest, .port = kLocalPort};  // no path at all
    ASSERT_TRUE(engine_->set_destination(sender.stream, 2, near));
    for (uint32_t i = 0; i < 3; ++i)
        send(sender, i, std::to_string(i));
    ASSERT_TRUE(wait([&] { return is_all_taken(sender); }));
    EXPECT_TRUE(wait([&] { return read_all(wired).size() == 2 && read_all(local).size() == 1; }));
    EXPECT_EQ(engine_->ports()[0].tx_pkts, n_sent_before);
}

// Invariant 5
TEST_F(EngineGroupsTest, WhatIsSentRightAfterAJoinArrives) {
    Socket& sender = add_sender();
    for (int i = 0; i < 500; ++i) {
        const auto udp_port = static_cast<uint16_t>(1024 + i);
        auto image = engine_->add_group_image({endpoint("239.1.2.3", udp_port), kLocalPort, kGeometry});
        ASSERT_TRUE(image);
        ASSERT_TRUE(engine_->set_destination(sender.stream, static_cast<uint32_t>(i) % abi::kMaxDestinations,
                                             destination("239.1.2.3", udp_port, kLocalPort)));
        send(sender, static_cast<uint32_t>(i) % abi::kMaxDestinations, "x");  // while the commands are under way
        ASSERT_TRUE(wait([&] { return is_all_taken(sender); }));
        ASSERT_EQ(engine_->counters(*image).received_bytes, 48U) << i;
        engine_->remove_image(*image, {});
    }
}

TEST_F(EngineGroupsTest, MoreCommandsThanTheRingHoldsDelayButLoseNothing) {
    constexpr int kCommands = 20'000;
    Socket& sender = add_sender();
    for (int i = 0; i < kCommands; ++i)
        engine_->next_position(sender.stream, [](Position) {});
    images_.push_back(*engine_->add_group_image({endpoint("239.1.2.3", 5555), 0, kGeometry}));
    ASSERT_TRUE(engine_->set_destination(sender.stream, 5, destination("239.1.2.3", 5555, 0)));
    send(sender, 5, "x");
    ASSERT_TRUE(wait([&] { return is_all_taken(sender); }));
    EXPECT_EQ(engine_->counters(images_[0]).received_bytes, 48U);
}

TEST_F(EngineGroupsTest, DestinationThatChangesIsFollowed) {
    Socket &sender = add_sender(), &first = add_reader(add_image("239.1.2.3", 5555, 0));
    Socket& second = add_reader(add_image("239.1.2.4", 5555, 1));
    const uint64_t n_down = drops("path_down");
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, destination("239.1.2.3", 5555, 0)));
    send(sender, 0, "to the first");
    GroupDestination down = destination("239.1.2.4", 5555, 1);
    down.path = {};
    ASSERT_TRUE(wait([&] { return is_all_taken(sender); }));
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, down));
    send(sender, 0, "to the second, no way");
    ASSERT_TRUE(wait([&] { return is_all_taken(sender); }));
    EXPECT_EQ(drops("path_down"), n_down + 1);
    const uint64_t n_sent_before = engine_->ports()[1].tx_pkts;
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, destination("239.1.2.4", 5555, 1)));
    send(sender, 0, "to the second");
    EXPECT_TRUE(wait([&] { return engine_->ports()[1].tx_pkts == n_sent_before + 1; }));
    EXPECT_TRUE(wait([&] { return read_all(second).size() == 2; }));
    EXPECT_EQ(read_all(first).size(), 1U);
}

TEST_F(EngineGroupsTest, LongestDatagramIsThatOfThePathAndThePort) {
    Socket& sender = add_sender({2048, 7});
    const uint64_t n_too_long = drops("too_long"), n_sent_before = engine_->ports()[0].tx_pkts;
    GroupDestination narrow = destination("239.1.2.3", 5555, 0);
    narrow.path.mtu = 600;
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, narrow));
    narrow.path.mtu = 9000;  // more than the port's 1500
    ASSERT_TRUE(engine_->set_destination(sender.stream, 1, narrow));
    ASSERT_TRUE(engine_->set_destination(sender.stream, 2, destination("ff15::7", 5555, 0)));
    narrow.path.mtu = 20;
    ASSERT_TRUE(engine_->set_destination(sender.stream, 3, narrow));
    const std::pair<uint32_t, size_t> longest[] = {{0, 572}, {1, 1472}, {2, 1452}, {3, 0}};
    for (const auto& [index, bytes] : longest) {
        send(sender, index, std::string(bytes, 'x'));
        send(sender, index, std::string(bytes + 1, 'x'));
    }
    ASSERT_TRUE(wait([&] { return is_all_taken(sender); }));
    EXPECT_EQ(drops("too_long"), n_too_long + 4);
    EXPECT_TRUE(wait([&] { return engine_->ports()[0].tx_pkts == n_sent_before + 4; }));
}

TEST_F(EngineGroupsTest, SleepingMemberAndSleepingSenderAreWoken) {
    Socket &sender = add_sender(), &member = add_reader(add_image("239.1.2.3", 5555, 0));
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, destination("239.1.2.3", 5555, 0)));
    engine_->facts(memory_.app, sender.id).leaves.store(1);
    for (size_t i = 1; i <= 20; ++i) {
        const uint8_t want_read = abi::kWantRead, want_write = abi::kWantWrite;
        ASSERT_EQ(::send(member.fd, &want_read, 1, 0), 1);
        send(sender, 0, "wake up");
        pollfd at{member.fd, POLLIN, 0};
        ASSERT_EQ(poll(&at, 1, 10'000), 1) << i;
        char bytes[8];
        ASSERT_GT(recv(member.fd, bytes, sizeof bytes, MSG_DONTWAIT), 0);
        ASSERT_TRUE(wait([&] { return read_all(member).size() == i; }));
        app_->sockets[member.id].consumed.store(member.reading->position());
        while (sender.writer->has_room_for_one(facts_->sockets[sender.id].limit.load()))
            sender.writer->send_to(1, std::string(1300, 'x'));  // to nowhere
        commit(sender);
        ASSERT_EQ(::send(sender.fd, &want_write, 1, 0), 1);
        at.fd = sender.fd;
        ASSERT_EQ(poll(&at, 1, 10'000), 1) << i;
        ASSERT_GT(recv(sender.fd, bytes, sizeof bytes, MSG_DONTWAIT), 0);
    }
}

TEST_F(EngineGroupsTest, SocketWithAnInboxReadsSeveralGroups) {
    Socket& sender = add_sender();
    const uint32_t socket = next_socket_++;
    const int fd = *engine_->open_socket(memory_.app, socket);
    const InboxMemory memory = *engine_->make_inbox(memory_.app, socket);
    auto* inbox = map<const abi::InboxEngine>(memory.engine_fd, PROT_READ);
    auto* own = map<abi::InboxApp>(memory.app_fd, PROT_READ | PROT_WRITE);
    std::vector<Reader*> readers;
    for (uint32_t slot = 0; slot < 3; ++slot) {
        const auto udp_port = static_cast<uint16_t>(5000 + slot);
        readers.push_back(engine_->add_reader(add_image("239.1.2.3", udp_port, 0),
                                              {.app = memory_.app, .socket = socket, .slot = slot}));
        engine_->reader_live(readers.back(), 0);
        ASSERT_TRUE(engine_->set_destination(sender.stream, slot, destination("239.1.2.3", udp_port, 0)));
    }
    std::vector<uint32_t> ready;
    for (const uint32_t slot : {2U, 0U, 1U, 2U}) {
        send(sender, slot, "x");
        const size_t n = ready.size();
        ASSERT_TRUE(wait([&] { return inbox->head.load(std::memory_order_acquire) > n; }));
        ready.push_back(inbox->ring[n].load());
        own->slots[ready.back()].acked.fetch_add(1);
        own->tail.store(static_cast<uint32_t>(n + 1));
    }
    EXPECT_EQ(ready, (std::vector<uint32_t>{2, 0, 1, 2}));
    for (Reader* reader : readers)
        complete([&](Done done) { engine_->remove_reader(reader, std::move(done)); });
    munmap(const_cast<abi::InboxEngine*>(inbox), sizeof *inbox);
    munmap(own, sizeof *own);
    engine_->close_socket(memory_.app, socket);
    close(fd);
}

TEST_F(EngineGroupsTest, EndIsToldWhenTheCursorIsThere) {
    Socket& sender = add_sender();
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, destination("239.1.2.3", 5555, 0)));
    for (int i = 0; i < 100; ++i)
        send(sender, 0, std::string(1000, 'x'));
    engine_->finish_stream(sender.stream, engine_->committed(sender.stream));
    EXPECT_TRUE(wait([&] { return !finished_.empty(); }));
    EXPECT_TRUE(is_all_taken(sender));
    EXPECT_EQ(finished_, std::vector<Stream*>{sender.stream});
}

// Invariant 6
TEST_F(EngineGroupsTest, WhatIsRemovedInTheMiddleOfTrafficLeavesNothing) {
    Socket& sender = add_sender();
    ASSERT_TRUE(engine_->set_destination(sender.stream, 0, destination("239.1.2.3", 5555, 0)));
    const size_t n_fds_before = list_fds().size();
    for (int i = 0; i < 200; ++i) {
        auto image = engine_->add_group_image({endpoint("239.1.2.3", 5555), 0, kGeometry});
        ASSERT_TRUE(image) << image.error().what;  // though the last one is still on its way out
        for (int n = 0; n < 5; ++n)
            send(sender, 0, "x");
        engine_->remove_image(*image, {});
    }
    complete([&](Done done) { engine_->next_position(sender.stream, [done](Position) { done(); }); });
    EXPECT_EQ(list_fds().size(), n_fds_before);
}

TEST_F(EngineGroupsTest, RefusesWhatCannotBe) {
    const auto image_error = [&](const GroupImageSpec& spec) {
        auto image = engine_->add_group_image(spec);
        return image ? 0 : image.error().code;
    };
    const Endpoint group = endpoint("239.1.2.3", 5555);
    add_image("239.1.2.3", 5555, 0);
    EXPECT_EQ(image_error({group, 0, kGeometry}), EEXIST);
    EXPECT_EQ(image_error({group, 2, kGeometry}), EINVAL);
    EXPECT_EQ(image_error({group, 1, {100, 2}}), EINVAL);
    EXPECT_EQ(image_error({{group.ip, 0}, 1, kGeometry}), EINVAL);
    EXPECT_EQ(image_error({{group.ip, EngineConfig{}.data_port}, 1, kGeometry}), EINVAL);
    EXPECT_EQ(image_error({endpoint("10.0.0.1", 5555), 1, kGeometry}), EINVAL);
    EXPECT_EQ(image_error({{}, 1, kGeometry}), EINVAL);

    Socket& sender = add_sender();
    const auto error = [&](Stream* stream, uint32_t index, const GroupDestination& to) {
        auto set = engine_->set_destination(stream, index, to);
        return set ? 0 : set.error().code;
    };
    const GroupDestination good = destination("239.1.2.3", 5555, 0);
    EXPECT_EQ(error(sender.stream, abi::kMaxDestinations - 1, good), 0);
    EXPECT_EQ(error(sender.stream, abi::kMaxDestinations, good), EINVAL);
    GroupDestination bad = good;
    bad.port = 2;
    EXPECT_EQ(error(sender.stream, 0, bad), EINVAL);
    bad = good;
    bad.dest.ip = *parse_ip("ff15::7");
    EXPECT_EQ(error(sender.stream, 0, bad), EINVAL);
    bad.path.source = {};
    EXPECT_EQ(error(sender.stream, 0, bad), EINVAL);
    bad.path.is_up = false;
    EXPECT_EQ(error(sender.stream, 0, bad), 0);
    EXPECT_EQ(error(sender.stream, 0, {}), EINVAL);
    const uint32_t socket = next_socket_++;
    Stream* other = *engine_->add_stream({.app = memory_.app, .socket = socket, .geometry = kGeometry});
    EXPECT_EQ(error(other, 0, good), EINVAL);
    complete([&](Done done) { engine_->remove_stream(other, std::move(done)); });
}

// Invariant 3
TEST_F(EngineGroupsTest, RandomWordsOfASenderHurtOnlyItself) {
    Socket &bad = add_sender(), &good = add_sender();
    Socket& member = add_reader(add_image("239.1.2.3", 5555, 0));
    add_image("239.1.2.4", 5555, 0);
    ASSERT_TRUE(engine_->set_destination(bad.stream, 0, destination("239.1.2.4", 5555, 0)));
    ASSERT_TRUE(engine_->set_destination(good.stream, 0, destination("239.1.2.3", 5555, 0)));
    std::mt19937_64 random(testing::UnitTest::GetInstance()->random_seed() + 1UL);
    size_t n_good = 0;
    for (int round = 0; round < 300; ++round) {
        for (int i = 0; i < 200; ++i) {
            bad.writer->overwrite(random() % (kGeometry.cells() * kGeometry.cell_stride()),
                                  random() % 2 != 0 ? random() : random() % 64 | 3ULL << 40);
            bad.writer->used()[random() % 128] = static_cast<uint16_t>(random());
            const Position limit = facts_->sockets[bad.id].limit.load();
            bad.writer->header().commit.store(random() % 4 == 0 ? random() : limit - (random() % 99'999 & ~7ULL));
        }
        app_->bell[bad.id / 64].fetch_or(1ULL << bad.id % 64);
        app_->summary.fetch_or(1ULL << bad.id / 64);
        send(good, 0, std::to_string(n_good++));
        ASSERT_TRUE(wait([&] { return read_all(member).size() == n_good; }));
    }
    for (size_t i = 0; i < n_good; ++i)
        EXPECT_EQ(Received(member.reading->messages[i]).payload, std::to_string(i));
    EXPECT_EQ(engine_->counters(good.stream).hostile_words, 0U);
    EXPECT_GT(engine_->counters(bad.stream).hostile_words, 0U);
}

}  // namespace
}  // namespace xylem::engine
