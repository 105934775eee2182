// SPDX-License-Identifier: Apache-2.0
// The engine through its one door, with two ports that swallow everything: which port a replica's frames take.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataplane/engine/engine.h"
#include "tests/engine/control_loop.h"
#include "tests/unit/log_writer.h"

namespace xylem::engine {
namespace {

constexpr Geometry kGeometry{1408, 7};

class EnginePortsTest : public testing::Test {
  protected:
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
        n_sent_before_ = {n_total_sent(0), n_total_sent(1)};
        const AppMemory memory = *engine_->add_app();
        kick_fd_ = memory.kick_fd;
        app_ = mmap(nullptr, sizeof(abi::AppSegment), PROT_READ | PROT_WRITE, MAP_SHARED, memory.app_fd, 0);
        ASSERT_NE(app_, MAP_FAILED);
        socket_fd_ = *engine_->open_socket(memory.app, 0);
        stream_ = *engine_->add_stream({.app = memory.app, .geometry = kGeometry, .is_reliable = false});
        writer_ = std::make_unique<test::LogWriter>(*engine_->make_log(stream_), kGeometry, 0);
        ASSERT_TRUE(engine_->log_mapped(stream_));
    }
    void TearDown() override {
        munmap(app_, sizeof(abi::AppSegment));
        close(socket_fd_);
    }

    static bool wait(const std::function<bool()>& is_done) { return run_until(*engine_, is_done); }
    Replica* add_replica(const Path& path) {
        Replica* made = nullptr;
        engine_->add_replica(stream_, {.label = 77 << 16 | 1, .feedback_label = engine_->reserve_label(), .path = path},
                             [&](Replica* replica, Position) { made = replica; });
        EXPECT_TRUE(wait([&] { return made != nullptr; }));
        return made;
    }
    /// One frame to every replica of the stream.
    void send() {
        writer_->send(std::string(100, 'x'));
        writer_->commit();
        auto* app = static_cast<abi::AppSegment*>(app_);
        app->bell[0].fetch_or(1);
        app->summary.fetch_or(1);
        const uint64_t one = 1;
        ASSERT_EQ(write(kick_fd_, &one, sizeof one), 8);
        ASSERT_TRUE(wait([&] { return engine_->counters(stream_).cursor >= writer_->position(); }));
    }
    static uint64_t n_total_sent(size_t port) { return engine_->ports().at(port).tx_pkts; }
    uint64_t n_sent(size_t port) const { return n_total_sent(port) - n_sent_before_.at(port); }
    static Path path_over(uint32_t port) {
        Path path{.port = port, .is_up = true};
        path.source.ip = path.dest.ip = IpAddress::v4(1);
        return path;
    }

    static Engine* engine_;
    std::vector<uint64_t> n_sent_before_;
    Stream* stream_ = nullptr;
    std::unique_ptr<test::LogWriter> writer_;
    void* app_ = nullptr;
    int kick_fd_ = -1, socket_fd_ = -1;
};

Engine* EnginePortsTest::engine_ = nullptr;

TEST_F(EnginePortsTest, FramesTakeThePortOfThePath) {
    Replica* near = add_replica(path_over(0));
    Replica* replica = add_replica({});
    send();
    EXPECT_TRUE(wait([&] { return n_sent(0) == 1; }));
    EXPECT_EQ(engine_->counters(replica).skipped_frames, 1U);
    EXPECT_EQ(engine_->counters(replica).sent_bytes, 0U);
    const uint64_t frame_bytes = engine_->counters(near).sent_bytes;
    EXPECT_GT(frame_bytes, 100U);

    engine_->set_path(replica, path_over(1));  // the first that it has
    send();
    EXPECT_TRUE(wait([&] { return n_sent(1) == 1; }));
    EXPECT_TRUE(wait([&] { return n_sent(0) == 2; }));
    EXPECT_EQ(engine_->counters(replica).sent_bytes, frame_bytes);

    engine_->set_path(replica, path_over(0));  // the route has changed
    send();
    EXPECT_TRUE(wait([&] { return n_sent(0) == 4; }));
    EXPECT_EQ(n_sent(1), 1U);
    EXPECT_EQ(engine_->counters(replica).sent_bytes, 2 * frame_bytes);

    engine_->set_path(replica, path_over(2));  // there is no such port
    send();
    EXPECT_TRUE(wait([&] { return n_sent(0) == 5; }));
    EXPECT_EQ(engine_->counters(replica).skipped_frames, 2U);
    EXPECT_EQ(engine_->counters(near).sent_bytes, 4 * frame_bytes);
    EXPECT_EQ(engine_->worker_counters().tx_pkts, n_total_sent(0) + n_total_sent(1));
    EXPECT_EQ(engine_->worker_counters().held_pkts, 0U);
}

TEST_F(EnginePortsTest, ManyReplicasMoveToOnePort) {
    std::vector<Replica*> replicas;
    for (int i = 0; i < 40; ++i)
        replicas.push_back(add_replica(path_over(0)));
    send();
    EXPECT_TRUE(wait([&] { return n_sent(0) == 40; }));
    for (Replica* replica : replicas)
        engine_->set_path(replica, path_over(1));
    send();
    EXPECT_TRUE(wait([&] { return n_sent(1) == 40; }));
    for (Replica* replica : replicas)
        engine_->remove_replica(replica, {});
    send();
    EXPECT_EQ(n_sent(0), 40U);
    EXPECT_EQ(n_sent(1), 40U);
}

}  // namespace
}  // namespace xylem::engine
