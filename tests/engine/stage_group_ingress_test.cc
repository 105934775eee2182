// SPDX-License-Identifier: Apache-2.0
// Datagrams that come in: which image gets them, and under which name the rest is dropped (Invariant 2).
#include "tests/engine/stage_group_world.h"

namespace xylem::test {
namespace {

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
    ReferenceReader slow(joined.image.image.fd(), kGroupGeometry, 0);
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
