// SPDX-License-Identifier: Apache-2.0
// Datagrams of groups, stage by stage: what an application writes into its log, what comes out of the ports, what comes
// in, and under which name it is dropped (Invariant 2). The port is the test's: it takes as many frames as it is told.
#include "dataplane/stage/group_transmit.h"

#include "dataplane/base/address_text.h"
#include "dataplane/packet/udp_frame.h"
#include "tests/engine/stage_world.h"
#include "tests/unit/group_writer.h"

namespace xylem::test {
namespace {

constexpr Geometry kGeometry{1408, 6};
constexpr uint32_t kWirePort = 0, kLocalPort = ~0U, kBudget = 32;
constexpr uint64_t kOrigin = abi::group_origin(7, 3);

Endpoint endpoint(const char* ip, uint16_t port) { return {*parse_ip(ip), port}; }

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

std::string payload_of(const std::vector<uint8_t>& frame, Endpoint* dest = nullptr) {
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
        stream_.geometry = kGeometry;
        stream_.is_reliable = false;
        stream_.datagrams = std::make_unique<stage::GroupSender>();
        stream_.facts = &app_->own().sockets[0];
        stream_.log.emplace(std::move(*log::TxLog::create(kGeometry)));
        writer_ = std::make_unique<GroupWriter>(stream_.log->fd(), kGeometry);
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
    GroupImage& join(const char* group, uint16_t udp_port, uint32_t port = kWirePort, const Geometry& g = kGeometry) {
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

    std::mt19937_64 random_{std::random_device{}()};
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

TEST_F(StageGroupTest, EachRecordIsOneDatagramToItsDestination) {
    set(0, route_to("239.1.2.3", 5555));
    set(63, route_to("ff15::7", 5556));
    send(0, "one");
    send(63, "two");
    send(0, "");
    poll_all();
    ASSERT_EQ(out_.frames.size(), 3U);
    Endpoint dest;
    EXPECT_EQ(payload_of(out_.frames[0], &dest), "one");
    EXPECT_EQ(dest, endpoint("239.1.2.3", 5555));
    EXPECT_EQ(udp_residue(out_.frames[0], false), 0);
    EXPECT_EQ(payload_of(out_.frames[1], &dest), "two");
    EXPECT_EQ(dest, endpoint("ff15::7", 5556));
    EXPECT_EQ(udp_residue(out_.frames[1], true), 0);
    EXPECT_EQ(payload_of(out_.frames[2]), "");
    EXPECT_EQ(context().drops.total(), 0U);
    EXPECT_EQ(stream_.frames.get(), 3U);
    EXPECT_EQ(stream_.pulled_bytes.get(), writer_->written_bytes());
}

TEST_F(StageGroupTest, DestinationAndGroupAskedForBeforeTheCommitAreUsed) {
    GroupImage* image = nullptr;
    send(0, "committed after control had asked");
    poll();  // the worker sees the commit in the middle of a poll, before it takes the commands
    EXPECT_EQ(n_gone(), 0U);
    context().is_up_to_date = false;  // more commands than the ring holds are under way
    poll();
    EXPECT_EQ(n_gone(), 0U);
    set(0, route_to("239.1.2.3", 5555));
    image = &join("239.1.2.3", 5555);
    context().is_up_to_date = true;
    poll_all();
    EXPECT_EQ(out_.frames.size(), 1U);
    EXPECT_EQ(read(*image).size(), 1U);
}

TEST_F(StageGroupTest, FullQueueHoldsAndLosesNothing) {
    set(0, route_to("239.1.2.3", 5555));
    GroupImage& here = join("239.1.2.3", 5555);
    out_.n_taken_at_once = 0;
    for (int i = 0; i < 300; ++i)
        send(0, std::to_string(i));
    poll_all();
    EXPECT_TRUE(stream_.datagrams->is_paused);
    EXPECT_EQ(out_.frames.size(), 0U);
    EXPECT_EQ(read(here).size(), stage::Egress::kBurst);  // what is held here was sent here
    EXPECT_EQ(poll(), 0U);                                // nothing to do, so that the worker may sleep
    for (int i = 0; i < 1000 && out_.frames.size() < 300; ++i) {
        out_.n_taken_at_once = random_() % 3;
        poll();
    }
    out_.n_taken_at_once = 64;
    poll_all();
    EXPECT_FALSE(stream_.datagrams->is_paused);
    const std::vector<Received> all = read(here);
    ASSERT_EQ(out_.frames.size(), 300U);
    ASSERT_EQ(all.size(), 300U);
    for (size_t i = 0; i < 300; ++i) {
        EXPECT_EQ(payload_of(out_.frames[i]), std::to_string(i));
        EXPECT_EQ(all[i].payload, std::to_string(i));  // once, though the wire was asked many times
    }
    EXPECT_EQ(context().drops.total(), 0U);
}

TEST_F(StageGroupTest, EmptyPoolHoldsAndLosesNothing) {
    set(0, route_to("239.1.2.3", 5555));
    std::vector<rte_mbuf*> taken;
    while (rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_.get()))
        taken.push_back(mbuf);
    for (int i = 0; i < 100; ++i)
        send(0, std::to_string(i));
    poll_all();
    EXPECT_TRUE(stream_.datagrams->is_paused);
    rte_pktmbuf_free_bulk(taken.data(), static_cast<unsigned>(taken.size()));
    poll_all();
    EXPECT_EQ(out_.frames.size(), 100U);
}

TEST_F(StageGroupTest, PathThatGoesDownEndsTheWaitingUnderItsName) {
    stage::GroupRoute route = route_to("239.1.2.3", 5555);
    set(0, route);
    GroupImage& here = join("239.1.2.3", 5555);
    out_.n_taken_at_once = 0;
    for (int i = 0; i < 100; ++i)
        send(0, std::to_string(i));
    poll_all();
    ASSERT_TRUE(stream_.datagrams->is_paused);
    route.is_up = false;
    set(0, route);
    poll_all();
    EXPECT_EQ(drops(Drop::path_down), 100U - stage::Egress::kBurst);
    EXPECT_EQ(stream_.position, writer_->position());
    EXPECT_EQ(read(here).size(), 100U);  // on this host there is a way
    EXPECT_EQ(n_gone(), 100U);
}

TEST_F(StageGroupTest, WhatCannotBeSentIsDroppedUnderItsName) {
    stage::GroupRoute narrow = route_to("239.1.2.3", 5555);
    narrow.max_payload_bytes = 100;
    set(0, narrow);
    set(1, route_to("239.1.2.4", 5555, false));
    send(0, std::string(100, 'x'));
    send(0, std::string(101, 'x'));
    send(1, "to nobody");
    send(2, "not set");
    send(64, "no such index");
    send(~0U, "no such index");
    poll_all();
    EXPECT_EQ(out_.frames.size(), 1U);
    EXPECT_EQ(drops(Drop::too_long), 1U);
    EXPECT_EQ(drops(Drop::no_member), 1U);
    EXPECT_EQ(drops(Drop::unknown_destination), 3U);
    EXPECT_EQ(n_gone(), 6U);
    EXPECT_EQ(stream_.hostile_words.get(), 0U);
}

TEST_F(StageGroupTest, OnlyTheImageOfThatGroupPortAndPortGetsIt) {
    set(0, route_to("239.1.2.3", 5555));
    set(1, route_to("239.1.2.3", 5555, false));
    GroupImage &right = join("239.1.2.3", 5555), &local = join("239.1.2.3", 5555, kLocalPort);
    GroupImage &other_udp_port = join("239.1.2.3", 5556), &other_group = join("239.1.2.4", 5555);
    GroupImage& other_port = join("239.1.2.3", 5555, 1);
    send(0, "wired");
    send(1, "local");
    poll_all();
    ASSERT_EQ(read(right).size(), 1U);
    EXPECT_EQ(read(right)[0].payload, "wired");
    EXPECT_EQ(read(right)[0].from.origin, kOrigin);
    ASSERT_EQ(read(local).size(), 1U);
    EXPECT_EQ(read(local)[0].payload, "local");
    for (GroupImage* none : {&other_udp_port, &other_group, &other_port})
        EXPECT_EQ(read(*none).size(), 0U);
    EXPECT_EQ(out_.frames.size(), 1U);
}

TEST_F(StageGroupTest, DatagramLongerThanACellOfItsImageIsDroppedThere) {
    set(0, route_to("239.1.2.3", 5555));
    GroupImage& narrow = join("239.1.2.3", 5555, kWirePort, {256, 6});
    send(0, std::string(256 - 8 - 32, 'f'));
    send(0, std::string(256 - 8 - 32 + 1, 'g'));
    poll_all();
    EXPECT_EQ(out_.frames.size(), 2U);
    EXPECT_EQ(read(narrow).size(), 1U);
    EXPECT_EQ(drops(Drop::image_too_small), 1U);
    EXPECT_EQ(narrow.image.received_bytes.get(), 256U);
}

TEST_F(StageGroupTest, LimitFollowsTheCursorAndTheEndIsReached) {
    set(0, route_to("239.1.2.3", 5555));
    EXPECT_EQ(stream_.limit, abi::cell_start(64));
    for (int i = 0; i < 20; ++i)
        send(0, std::string(1200, 'x'));
    worker().finish_stream(stream_, writer_->position());
    poll();
    EXPECT_FALSE(stage::take_finished(stream_));
    poll_all();
    EXPECT_EQ(stream_.limit, abi::cell_start(64 + abi::cell_of(writer_->position())));
    EXPECT_EQ(stream_.facts->limit.load(), stream_.limit);
    EXPECT_TRUE(stage::take_finished(stream_));
    send(0, "after the end");
    poll_all();
    EXPECT_EQ(out_.frames.size(), 20U);
}

TEST_F(StageGroupTest, BudgetBoundsWhatOnePollSends) {
    set(0, route_to("239.1.2.3", 5555));
    for (int i = 0; i < 100; ++i)
        send(0, "x");
    poll();  // samples
    for (size_t n = kBudget; n <= 96; n += kBudget) {
        poll();
        EXPECT_EQ(out_.frames.size(), n);
    }
}

// ---- hostile logs: Invariant 3 ----

TEST_F(StageGroupTest, RecordThatIsNoDatagramCostsTheRestOfItsCell) {
    set(0, route_to("239.1.2.3", 5555));
    using abi::RecordHeader;
    const uint8_t whole = abi::kRecordBegin | abi::kRecordEnd;
    const RecordHeader bad[] = {{7, abi::kRecordMessage, whole, 0},   {1400, abi::kRecordMessage, whole, 0},
                                {~0U, abi::kRecordMessage, whole, 0}, {~7U, abi::kRecordMessage, whole, 0},
                                {16, abi::kRecordGap, whole, 0},      {16, abi::kRecordMessage, abi::kRecordBegin, 0},
                                {16, abi::kRecordMessage, 0xFF, 0}};
    uint64_t n_bad = 0;
    for (const RecordHeader& header : bad) {
        send(0, "before");
        const Position at = writer_->position();
        send(0, std::string(40, 'b'));
        writer_->overwrite(at, header);
        send(0, "in the same cell, lost");
        writer_->close_cell();
        writer_->commit();
        send(0, "in the next cell");
        poll_all();
        EXPECT_EQ(drops(Drop::malformed_record), ++n_bad);
        EXPECT_EQ(stream_.hostile_words.get(), n_bad);
        ASSERT_EQ(out_.frames.size(), 2 * n_bad);
        EXPECT_EQ(payload_of(out_.frames.back()), "in the next cell");
        writer_->close_cell();
        writer_->commit();
    }
}

TEST_F(StageGroupTest, RandomLogsHurtOnlyTheirOwnStream) {
    for (uint32_t i = 0; i < abi::kMaxDestinations; i += 2)
        set(i, route_to("239.1.2.3", static_cast<uint16_t>(5000 + i), i % 4 == 0));
    GroupImage &wired = join("239.1.2.3", 5000), &local = join("239.1.2.3", 5002, kLocalPort);
    for (int round = 0; round < 3000; ++round) {
        for (int i = 0; i < 20 && writer_->has_room_for_one(stream_.limit); ++i) {
            writer_->send_to(random_() % 66, std::string(random_() % 200, 'h'));
            if (random_() % 8 == 0) writer_->close_cell();
        }
        writer_->commit();
        for (int i = 0; i < 8; ++i)
            writer_->overwrite(random_() % (64 * kGeometry.cell_stride()), random_());
        if (round % 3 == 0) writer_->used()[random_() % 64] = static_cast<uint16_t>(random_());
        if (round % 5 == 0) writer_->header().commit.store(random_() % (stream_.limit + 100) & ~7ULL);
        out_.n_taken_at_once = random_() % 65;
        poll();
        EXPECT_LE(stream_.position, stream_.committed.get());
        EXPECT_LT(abi::offset_of(stream_.position), kGeometry.cell_bytes);
        for (const std::vector<uint8_t>& frame : out_.frames)
            EXPECT_EQ(udp_residue(frame, false), 0);
        out_.frames.clear();
        read(wired);
        read(local);
        wired.reading->messages.clear();
        local.reading->messages.clear();
    }
    out_.n_taken_at_once = 64;
    EXPECT_GT(stream_.hostile_words.get(), 0U);
    EXPECT_GT(drops(Drop::malformed_record), 0U);
    EXPECT_GT(wired.image.received_bytes.get(), 0U);
    EXPECT_GT(abi::cell_of(stream_.position), 1000U);  // it went on and on
}

// ---- what comes in ----

class GroupIngressTest : public StageGroupTest {
  protected:
    static std::vector<uint8_t> frame_to(const char* group, uint16_t udp_port, const std::string& payload) {
        packet::Path path = sample_path(parse_ip(group)->is_v6());
        path.src.port = 4000;
        path.dst = endpoint(group, udp_port);
        const packet::UdpTemplate header(path);
        std::vector<uint8_t> frame(header.header_bytes());
        frame.insert(frame.end(), payload.begin(), payload.end());
        header.write(frame.data(), static_cast<uint32_t>(payload.size()));
        return frame;
    }
    void take_in(const std::vector<uint8_t>& frame, uint32_t port = kWirePort) {
        rte_mbuf* mbuf = rte_pktmbuf_alloc(pool_.get());
        std::copy(frame.begin(), frame.end(), rte_pktmbuf_mtod(mbuf, uint8_t*));
        mbuf->data_len = static_cast<uint16_t>(frame.size());
        const uint64_t drops_before = context().drops.total();
        stage::ingress(&mbuf, 1, {port, kIfindex, kDataPort}, worker().labels(), context());
        EXPECT_LE(context().drops.total(), drops_before + 1);  // one door
        rte_pktmbuf_free(mbuf);
        poll();
    }
};

TEST_F(GroupIngressTest, DatagramIsStoredWithItsSender) {
    GroupImage &v4 = join("239.1.2.3", 5555), &v6 = join("ff15::7", 5555);
    take_in(frame_to("239.1.2.3", 5555, "four"));
    take_in(frame_to("ff15::7", 5555, "six"));
    take_in(frame_to("ff15::7", 5555, ""));
    ASSERT_EQ(read(v4).size(), 1U);
    ASSERT_EQ(read(v6).size(), 2U);
    const Received four = read(v4)[0], six = read(v6)[0];
    EXPECT_EQ(four.payload, "four");
    EXPECT_EQ(four.from.family, IpAddress::kV4);
    EXPECT_EQ(four.from.port, 4000);
    EXPECT_EQ(four.from.ifindex, kIfindex);
    EXPECT_EQ(four.from.origin, 0U);
    EXPECT_TRUE(std::equal(four.from.address, four.from.address + 16, sample_path(false).src.ip.bytes.begin()));
    EXPECT_EQ(six.payload, "six");
    EXPECT_EQ(six.from.family, IpAddress::kV6);
    EXPECT_TRUE(std::equal(six.from.address, six.from.address + 16, sample_path(true).src.ip.bytes.begin()));
    EXPECT_EQ(v4.image.published.get(), v4.image.image.published());
    EXPECT_EQ(context().drops.total(), 0U);
}

TEST_F(GroupIngressTest, OnlyWhatIsJoinedOnThatPortIsTaken) {
    GroupImage& joined = join("239.1.2.3", 5555);
    take_in(frame_to("239.1.2.4", 5555, "another group"));
    take_in(frame_to("239.1.2.3", 5556, "another UDP port"));
    take_in(frame_to("239.1.2.3", 5555, "another port"), 1);
    EXPECT_EQ(drops(Drop::not_ours), 3U);
    worker().remove_image(joined.image);
    take_in(frame_to("239.1.2.3", 5555, "left"));
    EXPECT_EQ(drops(Drop::not_ours), 4U);
    EXPECT_EQ(read(joined).size(), 0U);
}

TEST_F(GroupIngressTest, BrokenFramesAreDroppedUnderTheirNames) {
    GroupImage& joined = join("239.1.2.3", 5555);
    const std::vector<uint8_t> good = frame_to("239.1.2.3", 5555, std::string(60, 'g'));
    const auto broken = [&](size_t at, uint8_t value) {
        std::vector<uint8_t> bytes = good;
        bytes[at] = value;
        take_in(bytes);
    };
    broken(39, 7);     // a UDP length below its header
    broken(38, 1);     // one beyond the packet
    broken(25, 0x5A);  // the header's sum
    broken(20, 0x20);  // more fragments
    take_in({good.begin(), good.end() - 1});
    EXPECT_EQ(drops(Drop::bad_length), 2U);
    EXPECT_EQ(drops(Drop::bad_checksum), 1U);
    EXPECT_EQ(drops(Drop::fragment), 1U);
    EXPECT_EQ(drops(Drop::truncated), 1U);
    std::vector<uint8_t> unfinished = good;
    unfinished[40] ^= 0xFF;  // as a kernel sends over veth
    take_in(unfinished);
    std::vector<uint8_t> tagged = good;
    tagged.insert(tagged.begin() + 12, {0x81, 0x00, 0x00, 0x05});
    take_in(tagged);
    EXPECT_EQ(read(joined).size(), 2U);
}

TEST_F(GroupIngressTest, ManyGroupsComeAndGo) {
    std::map<std::string, GroupImage*> by_name;
    for (int i = 0; i < 1500; ++i) {
        const std::string group = i % 3 == 0 ? "ff15::" + std::to_string(i / 100) + ":" + std::to_string(i % 100)
                                             : "239.7." + std::to_string(i / 100) + "." + std::to_string(i % 100);
        by_name[group] = &join(group.c_str(), static_cast<uint16_t>(5000 + i % 2), kWirePort, {256, 6});
    }
    EXPECT_EQ(context().groups.size(), 1500U);
    const auto send_to_all = [&] {
        for (const auto& [group, image] : by_name)
            take_in(frame_to(group.c_str(), image->image.group.port, group));
    };
    send_to_all();
    size_t n_left = 0;
    for (const auto& [group, image] : by_name)
        if (n_left++ % 2 == 0) worker().remove_image(image->image);
    EXPECT_EQ(context().groups.size(), 750U);
    send_to_all();
    n_left = 0;
    for (const auto& [group, image] : by_name) {
        const std::vector<Received> all = read(*image);
        ASSERT_EQ(all.size(), n_left++ % 2 == 0 ? 1U : 2U) << group;
        EXPECT_EQ(all[0].payload, group);
    }
    EXPECT_EQ(drops(Drop::not_ours), 750U);
}

TEST_F(GroupIngressTest, LappedReaderGoesOnAndTheOthersHaveEverything) {
    GroupImage& joined = join("239.1.2.3", 5555);
    ReferenceReader slow(joined.image.image.fd(), kGeometry, 0);
    constexpr size_t kDatagrams = 5000;
    for (size_t i = 0; i < kDatagrams; ++i) {
        take_in(frame_to("239.1.2.3", 5555, std::to_string(i) + std::string(i % 1000, ' ')));
        if (i % 16 == 0) joined.reading->drain();
    }
    const std::vector<Received> all = read(joined);
    ASSERT_EQ(all.size(), kDatagrams);
    EXPECT_EQ(joined.reading->n_laps, 0U);
    slow.drain();
    EXPECT_GT(slow.n_laps, 0U);
    ASSERT_GT(slow.messages.size(), 60U);
    for (size_t i = 0; i < slow.messages.size(); ++i)
        EXPECT_EQ(std::stoul(Received(slow.messages[i]).payload), kDatagrams - slow.messages.size() + i);
}

}  // namespace
}  // namespace xylem::test
