// SPDX-License-Identifier: Apache-2.0
// A host that sends and receives datagrams of groups, one stage call at a time. Its port is the test's: it takes as
// many frames as it is told.
#pragma once
#include "dataplane/base/address_text.h"
#include "dataplane/packet/udp_frame.h"
#include "dataplane/stage/group_transmit.h"
#include "tests/engine/stage_world.h"
#include "tests/unit/group_writer.h"

namespace xylem::test {

inline constexpr Geometry kGroupGeometry{1408, 6};
inline constexpr uint32_t kWirePort = 0, kLocalPort = ~0U, kBudget = 32;
inline constexpr uint64_t kOrigin = abi::group_origin(7, 3);

inline Endpoint endpoint(const char* ip, uint16_t port) { return {*parse_ip(ip), port}; }

/// What left the host, as bytes.
struct SentFrames {
    static uint16_t take(void* self, rte_mbuf** burst, uint16_t n) {
        auto* sent = static_cast<SentFrames*>(self);
        n = static_cast<uint16_t>(std::min<size_t>(n, sent->n_taken_at_once));
        for (uint16_t i = 0; i < n; ++i) {
            const auto* at = rte_pktmbuf_mtod(burst[i], const uint8_t*);
            sent->frames.emplace_back(at, at + burst[i]->data_len);
            rte_pktmbuf_free(burst[i]);
        }
        return n;
    }
    std::vector<std::vector<uint8_t>> frames;
    size_t n_taken_at_once = 64;
};

inline std::string payload_of(const std::vector<uint8_t>& frame, Endpoint* dest = nullptr) {
    packet::ParsedFrame ours;
    packet::ParsedDatagram datagram;
    std::span<const uint8_t> payload;
    Drop why;
    EXPECT_EQ(packet::parse(frame.data(), frame.size(), kDataPort, &ours, &datagram, &why), packet::Parsed::kDatagram);
    EXPECT_TRUE(packet::take_payload(datagram, &payload, &why));
    if (dest != nullptr) *dest = datagram.dst;
    return {payload.begin(), payload.end()};
}

/// A sending host with one GROUP stream, one wired port, and images.
class StageGroupTest : public testing::Test {
  protected:
    struct GroupImage {
        explicit GroupImage(log::Image made) : image(std::move(made)) {}
        engine::Image image;
        std::unique_ptr<ReferenceReader> reading;
    };

    void SetUp() override {
        std::printf("seed %u\n", seed_);
        stream_.geometry = kGroupGeometry;
        stream_.is_reliable = false;
        stream_.datagrams = std::make_unique<stage::GroupSender>();
        stream_.facts = &app_->own().sockets[0];
        stream_.log.emplace(std::move(*log::TxLog::create(kGroupGeometry)));
        writer_ = std::make_unique<GroupWriter>(stream_.log->fd(), kGroupGeometry);
        ASSERT_TRUE(stream_.log->seal());
        worker().start_stream(stream_);
    }
    void TearDown() override {
        egress_.discard();
        worker().remove_stream(stream_);
        for (auto& image : images_)
            worker().remove_image(image->image);
        EXPECT_EQ(context().groups.size(), 0U);
        EXPECT_EQ(context().touched.size(), 0U);
        EXPECT_EQ(pool_.n_free(), pool_.size());
    }

    engine::Worker& worker() { return host_.worker; }
    stage::Context& context() { return host_.context(); }
    uint64_t drops(Drop drop) { return host_.drops(drop); }

    stage::GroupRoute route_to(const char* group, uint16_t udp_port, bool is_wired = true) {
        const Endpoint dest = endpoint(group, udp_port);
        packet::Path path = sample_path(dest.ip.is_v6());
        path.dst = dest;
        stage::GroupRoute route;
        route.dest = dest;
        route.port = is_wired ? kWirePort : kLocalPort;
        route.egress = is_wired ? &egress_ : nullptr;
        route.is_up = true;
        route.max_payload_bytes = 1472;
        route.header = packet::UdpTemplate(path);
        route.sender.origin = kOrigin;
        return route;
    }
    void set(uint32_t index, const stage::GroupRoute& route) { worker().set_destination(stream_, index, route); }
    GroupImage& join(const char* group, uint16_t udp_port, uint32_t port = kWirePort,
                     const Geometry& g = kGroupGeometry) {
        auto memory = log::Image::create({.geometry = g, .flags = abi::kImageGroup, .n_prefault_cells = 0});
        memory->go_live(0, 0);
        images_.push_back(std::make_unique<GroupImage>(std::move(*memory)));
        GroupImage& joined = *images_.back();
        joined.image.group = endpoint(group, udp_port);
        joined.image.group_port = port;
        joined.reading = std::make_unique<ReferenceReader>(joined.image.image.fd(), g, 0);
        worker().add_image(joined.image);
        return joined;
    }
    static std::vector<Received> read(GroupImage& image) {
        image.reading->drain();
        EXPECT_FALSE(image.reading->is_hostile);
        return {image.reading->messages.begin(), image.reading->messages.end()};
    }
    /// One poll.
    unsigned poll() {
        const unsigned n = stage::transmit(stream_, kBudget, context());
        stage::update_limit(stream_);
        while (stage::RxImage* image = context().touched.front()) {
            context().touched.remove(*image);
            stage::settle(*image, context());
        }
        egress_.flush();
        return n;
    }
    void poll_all() {
        for (int i = 0; i < 200 && (poll() != 0 || i < 2); ++i) {
        }
    }
    void send(uint32_t index, const std::string& payload) {
        writer_->send_to(index, payload);
        writer_->commit();
    }
    /// Invariant 1: each record went on the wire, to this host, both, or was dropped by name.
    uint64_t n_gone() {
        uint64_t n = out_.frames.size() + egress_.n_held();
        for (const Drop drop : {Drop::unknown_destination, Drop::path_down, Drop::too_long, Drop::no_member})
            n += drops(drop);
        return n;
    }

    const unsigned seed_ = std::random_device{}();
    std::mt19937_64 random_{seed_};
    uint64_t now_ = 0;
    dpdk::MbufPool pool_ = make_pool(1023);
    Wire unused_{random_, now_, pool_.get()};
    std::unique_ptr<engine::Waker> waker_ = std::move(*engine::Waker::start());
    std::unique_ptr<engine::App> app_ = std::move(*engine::App::create(7));
    Host host_{*waker_, unused_, unused_, pool_.get()};
    SentFrames out_;
    stage::Egress egress_{&out_, &SentFrames::take, pool_.get()};
    engine::Stream stream_;
    std::unique_ptr<GroupWriter> writer_;
    std::vector<std::unique_ptr<GroupImage>> images_;
};

}  // namespace xylem::test
