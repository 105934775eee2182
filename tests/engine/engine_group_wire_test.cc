// SPDX-License-Identifier: Apache-2.0
// Datagrams of groups between the engine and a kernel's UDP sockets, over a veth pair whose other end lies in a network
// namespace of its own. XY_PORT_KIND says which kind of port the engine has: af_xdp or af_packet. Needs root.
#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "dataplane/base/address_text.h"
#include "dataplane/engine/engine.h"
#include "tests/engine/control_loop.h"
#include "tests/engine/kernel_peer.h"
#include "tests/unit/group_writer.h"
#include "tests/unit/reference_reader.h"

namespace xylem::engine {
namespace {

using test::address_of;
using test::GroupWriter;
using test::KernelSocket;
using test::Peer;
using test::Received;
using test::ReferenceReader;

constexpr Geometry kGeometry{1536, 9};
constexpr uint16_t kOurPort = 4000, kGroupPort = 5555;
constexpr uint8_t kTtl = 7;
const char* const kHere[] = {"10.9.0.1", "fd09::1"};
const char* const kThere[] = {"10.9.0.2", "fd09::2"};
const char* const kGroups[] = {"239.9.1.2", "ff15::9"};

std::string port_kind() {
    const char* kind = getenv("XY_PORT_KIND");
    return kind != nullptr ? kind : "af_xdp";
}

class GroupWireTest : public testing::TestWithParam<int> {
  protected:
    static void SetUpTestSuite() {
        if (geteuid() != 0) return;
        ASSERT_EQ(unshare(CLONE_NEWNET), 0);
        peer_ = new Peer();
        const std::string there = peer_->path();
        for (const std::string& command :
             {std::string("ip link set lo up"), "ip link add here type veth peer name there netns " + there,
              std::string("ip address add 10.9.0.1/24 dev here"),
              std::string("ip address add fd09::1/64 dev here nodad"), std::string("ip link set here up")})
            ASSERT_EQ(system(command.c_str()), 0) << command;
        for (const char* command : {"ip link set lo up", "ip address add 10.9.0.2/24 dev there",
                                    "ip address add fd09::2/64 dev there nodad", "ip link set there up"})
            peer_->run(command);
        peer_->wait_until_ready();
        char directory[] = "/tmp/xylem-group-wire-XXXXXX";
        runtime_dir_ = mkdtemp(directory);
        EngineConfig config;
        config.ports = {*dpdk::parse_port_spec(port_kind() + ":here")};
        config.runtime_dir = runtime_dir_;
        auto started = start_engine(config);
        ASSERT_TRUE(started) << started.error().what;
        engine_ = started->release();
    }
    static void TearDownTestSuite() {
        delete engine_;
        delete peer_;
        if (!runtime_dir_.empty()) std::filesystem::remove_all(runtime_dir_);
    }
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "network namespaces and " << port_kind() << " ports need root";
        ASSERT_NE(engine_, nullptr);
        const AppMemory memory = *engine_->add_app();
        app_id_ = memory.app;
        kick_fd_ = memory.kick_fd;
        void* at = mmap(nullptr, sizeof(abi::AppSegment), PROT_READ | PROT_WRITE, MAP_SHARED, memory.app_fd, 0);
        ASSERT_NE(at, MAP_FAILED);
        app_ = static_cast<abi::AppSegment*>(at);
        for (uint32_t socket = 0; socket < 2; ++socket)
            fds_[socket] = *engine_->open_socket(app_id_, socket);
        stream_ = *engine_->add_stream({.app = app_id_, .geometry = kGeometry, .is_group = true});
        writer_ = std::make_unique<GroupWriter>(*engine_->make_log(stream_), kGeometry);
        ASSERT_TRUE(engine_->log_mapped(stream_));
    }
    void TearDown() override {
        if (app_ == nullptr) return;
        if (image_ != nullptr) leave();
        writer_.reset();
        complete([&](Done done) { engine_->remove_stream(stream_, std::move(done)); });
        for (uint32_t socket = 0; socket < 2; ++socket) {
            engine_->close_socket(app_id_, socket);
            close(fds_[socket]);
        }
        complete([&](Done done) { engine_->remove_app(app_id_, std::move(done)); });
        munmap(app_, sizeof(abi::AppSegment));
    }

    static bool wait(const std::function<bool()>& is_done) { return run_until(*engine_, is_done); }
    static void complete(const std::function<void(Done)>& call) { run_to_completion(*engine_, call); }

    static bool is_v6() { return GetParam() == 1; }
    static const char* group() { return kGroups[GetParam()]; }

    GroupDestination destination(bool is_up = true) const {
        GroupDestination to;
        to.dest = {*parse_ip(group()), kGroupPort};
        to.path.is_up = is_up;
        to.path.source_mac = engine_->ports()[0].mac;
        to.path.source = {*parse_ip(kHere[GetParam()]), kOurPort};
        to.path.ttl = kTtl;
        return to;
    }
    void join() {
        auto image = engine_->add_group_image({{*parse_ip(group()), kGroupPort}, 0, kGeometry});
        ASSERT_TRUE(image) << image.error().what;
        image_ = *image;
        reader_ = engine_->add_reader(image_, {.app = app_id_, .socket = 1});
        engine_->reader_live(reader_, 0);
        reading_ = std::make_unique<ReferenceReader>(engine_->image_fd(image_), kGeometry, 0);
    }
    void leave() {
        reading_.reset();
        complete([&](Done done) { engine_->remove_reader(reader_, std::move(done)); });
        complete([&](Done done) { engine_->remove_image(image_, std::move(done)); });
        image_ = nullptr;
    }
    void send(const std::string& payload) {
        writer_->send_to(0, payload);
        writer_->commit();
        app_->bell[0].fetch_or(1);
        app_->summary.fetch_or(1);
        const uint64_t one = 1;
        ASSERT_EQ(write(kick_fd_, &one, sizeof one), 8);
    }
    bool is_all_taken() const { return engine_->counters(stream_).cursor == writer_->position(); }
    bool has_read(size_t n) {
        reading_->drain();
        return reading_->messages.size() >= n;
    }
    static std::string numbered(size_t n) {
        std::string payload = std::to_string(n) + " ";
        const size_t longest = is_v6() ? 1452 : 1472;
        payload.resize(std::max(payload.size(), n * 37 % (longest + 1)), static_cast<char>('a' + n % 26));
        return payload;
    }

    static Engine* engine_;
    static Peer* peer_;
    static std::string runtime_dir_;
    AppId app_id_ = 0;
    int kick_fd_ = -1, fds_[2] = {-1, -1};
    abi::AppSegment* app_ = nullptr;
    Stream* stream_ = nullptr;
    std::unique_ptr<GroupWriter> writer_;
    Image* image_ = nullptr;
    Reader* reader_ = nullptr;
    std::unique_ptr<ReferenceReader> reading_;
};

Engine* GroupWireTest::engine_ = nullptr;
Peer* GroupWireTest::peer_ = nullptr;
std::string GroupWireTest::runtime_dir_;

constexpr size_t kDatagrams = 10'000, kUnderWay = 200;

TEST_P(GroupWireTest, EveryDatagramReachesAKernelMemberAndTheOneHere) {
    const KernelSocket member(*peer_, group(), kGroupPort);
    ASSERT_TRUE(engine_->set_destination(stream_, 0, destination()));
    join();
    for (size_t n = 0; n < kDatagrams; n += kUnderWay) {
        for (size_t i = n; i < n + kUnderWay; ++i)
            send(numbered(i));
        for (size_t i = n; i < n + kUnderWay; ++i) {
            std::string payload;
            sockaddr_storage from{};
            int ttl = 0;
            ASSERT_TRUE(member.receive(&payload, &from, &ttl)) << i;
            ASSERT_TRUE(payload == numbered(i)) << i << ": " << payload.substr(0, 10);
            socklen_t length;
            const sockaddr_storage expected = address_of(kHere[GetParam()], kOurPort, &length);
            EXPECT_EQ(std::memcmp(&from, &expected, length), 0);
            EXPECT_EQ(ttl, kTtl);
        }
        ASSERT_TRUE(wait([&] { return has_read(n + kUnderWay); }));
    }
    for (size_t i = 0; i < kDatagrams; ++i) {
        const Received received(reading_->messages[i]);
        ASSERT_TRUE(received.payload == numbered(i)) << i;
        EXPECT_EQ(received.from.origin, abi::group_origin(app_id_, 0));
    }
    EXPECT_EQ(reading_->messages.size(), kDatagrams);  // none came back from the wire
}

TEST_P(GroupWireTest, EveryDatagramOfAKernelSenderReachesTheReader) {
    const KernelSocket sender(*peer_, group(), 4321);
    join();
    for (size_t n = 0; n < kDatagrams; ++n) {
        sender.send(group(), kGroupPort, numbered(n));
        ASSERT_TRUE(n + 1 < kUnderWay || wait([&] { return has_read(n + 1 - kUnderWay); })) << n;
    }
    ASSERT_TRUE(wait([&] { return has_read(kDatagrams); }));
    for (size_t i = 0; i < kDatagrams; ++i) {
        const Received received(reading_->messages[i]);
        ASSERT_TRUE(received.payload == numbered(i)) << i;
        EXPECT_EQ(received.from.origin, 0U);
        EXPECT_EQ(received.from.ifindex, if_nametoindex("here"));
        EXPECT_EQ(received.from.port, 4321);
        EXPECT_EQ(received.from.family, is_v6() ? AF_INET6 : AF_INET);
        const IpAddress source = *parse_ip(kThere[GetParam()]);
        EXPECT_EQ(std::memcmp(received.from.address, source.bytes.data(), 16), 0);
    }
}

TEST_P(GroupWireTest, OnlyWhatIsJoinedAndWholeComesToUs) {
    const KernelSocket sender(*peer_, group(), 4321);
    join();
    const uint64_t n_before = engine_->worker_counters().rx_pkts;
    sender.send(group(), kGroupPort + 1, "another UDP port");
    sender.send(group(), kGroupPort, std::string(4000, 'f'));  // in fragments
    sender.send(group(), kGroupPort, "ours");
    ASSERT_TRUE(wait([&] { return has_read(1); }));
    EXPECT_EQ(Received(reading_->messages[0]).payload, "ours");
    EXPECT_EQ(engine_->worker_counters().rx_pkts, n_before + 1);
    leave();
    sender.send(group(), kGroupPort, "nobody has joined");
    join();  // at once, and again after it was left before the worker knew
    engine_->remove_reader(reader_, {});
    engine_->remove_image(image_, {});
    reading_.reset();
    join();
    sender.send(group(), kGroupPort, "ours again");
    ASSERT_TRUE(wait([&] { return has_read(1); }));
    EXPECT_EQ(Received(reading_->messages[0]).payload, "ours again");
}

TEST_P(GroupWireTest, LinkThatIsDownStallsNobody) {
    const KernelSocket member(*peer_, group(), kGroupPort);
    ASSERT_TRUE(engine_->set_destination(stream_, 0, destination()));
    join();
    peer_->run("ip link set there down");
    ASSERT_TRUE(engine_->set_destination(stream_, 0, destination(false)));  // as control does when it hears of it
    for (size_t i = 0; i < kUnderWay; ++i)
        send(numbered(i));
    EXPECT_TRUE(wait([&] { return is_all_taken(); }));
    EXPECT_TRUE(wait([&] { return has_read(kUnderWay); }));
    peer_->run("ip link set there up");
    if (is_v6()) peer_->run("ip address replace fd09::2/64 dev there nodad");  // it went with the link
    peer_->wait_until_ready();
    ASSERT_TRUE(engine_->set_destination(stream_, 0, destination()));
    ASSERT_TRUE(wait([&] { return engine_->ports()[0].is_up; }));
    send("after it came up");
    std::string payload;
    sockaddr_storage from{};
    int ttl = 0;
    ASSERT_TRUE(member.receive(&payload, &from, &ttl));
    EXPECT_EQ(payload, "after it came up");
}

// Invariant 6
TEST_P(GroupWireTest, PortThatTakesNoMoreGroupsSaysSoAndGoesOn) {
    constexpr size_t kMany = 1200;  // more than the socket filter of af_packet holds
    const rlimit roomy{8192, 8192};
    setrlimit(RLIMIT_NOFILE, &roomy);
    const KernelSocket sender(*peer_, group(), 4321);
    join();
    std::vector<Image*> images;
    int code = 0;
    while (images.size() < kMany && code == 0) {
        const auto udp_port = static_cast<uint16_t>(10'000 + images.size());
        auto image = engine_->add_group_image({{*parse_ip(group()), udp_port}, 0, {256, 6}});
        code = image ? 0 : image.error().code;
        if (image) images.push_back(*image);
    }
    EXPECT_EQ(code, port_kind() == "af_packet" ? ENOSPC : 0);
    EXPECT_GE(images.size(), 300U);
    sender.send(group(), kGroupPort, "the first is still joined");
    ASSERT_TRUE(wait([&] { return has_read(1); }));
    sender.send(group(), static_cast<uint16_t>(10'000 + images.size() - 1), "and so is the last");
    EXPECT_TRUE(wait([&] { return engine_->published(images.back()) != 0; }));
    for (Image* image : images)
        engine_->remove_image(image, {});
    const auto again = engine_->add_group_image({{*parse_ip(group()), 10'000}, 0, {256, 6}});
    ASSERT_TRUE(again) << again.error().what;
    complete([&](Done done) { engine_->remove_image(*again, std::move(done)); });
}

INSTANTIATE_TEST_SUITE_P(Families, GroupWireTest, testing::Values(0, 1),
                         [](const auto& family) { return family.param == 0 ? "IPv4" : "IPv6"; });

}  // namespace
}  // namespace xylem::engine
