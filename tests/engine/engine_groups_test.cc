// SPDX-License-Identifier: Apache-2.0
// Datagrams of groups through the engine's one door, with ports that swallow everything and with none: applications of
// this process write logs and read images as the shim does, while the worker and the waker run.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "dataplane/base/address_text.h"
#include "dataplane/base/fd_list.h"
#include "dataplane/engine/engine.h"
#include "tests/unit/group_writer.h"
#include "tests/unit/reference_reader.h"

namespace xylem::engine {
namespace {

using test::GroupWriter;
using test::Received;
using test::ReferenceReader;

constexpr Geometry kGeometry{1408, 7};
constexpr auto kDeadline = std::chrono::seconds(20);

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
    static bool wait(const std::function<bool()>& is_done) {
        const auto end = std::chrono::steady_clock::now() + kDeadline;
        while (!is_done()) {
            if (std::chrono::steady_clock::now() > end) return false;
            pollfd at{engine_->event_fd(), POLLIN, 0};
            if (poll(&at, 1, 1) == 1) engine_->run_events();
        }
        return true;
    }
    static void complete(const std::function<void(Done)>& call) {
        bool is_done = false;
        call([&] { is_done = true; });
        EXPECT_TRUE(wait([&] { return is_done; }));
    }
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

}  // namespace
}  // namespace xylem::engine
