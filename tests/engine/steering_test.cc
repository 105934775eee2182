// SPDX-License-Identifier: Apache-2.0
// What is ours: the XDP program (run by the kernel on made-up frames, which needs root) and the socket filter of
// af_packet ports (put on a local datagram socket, which needs nothing) must agree on every kind of frame.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "dataplane/base/address_text.h"
#include "dataplane/dpdk/packet_filter.h"
#include "dataplane/xdp/steer_abi.h"
#include "dataplane/xdp/xylem_steer.skel.h"

namespace xylem {
namespace {

constexpr uint16_t kDataPort = 7471, kGroupPort = 5555, kOtherPort = 53;
constexpr unsigned kMaxFrame = 1514;
using Frame = std::vector<uint8_t>;

void put(Frame& frame, size_t at, uint16_t value) {
    frame[at] = static_cast<uint8_t>(value >> 8);
    frame[at + 1] = static_cast<uint8_t>(value);
}

Frame udp4(const char* destination, uint16_t port) {
    Frame frame(64);
    put(frame, 12, 0x0800);
    frame[14] = 0x45;
    frame[14 + 9] = 17;
    std::memcpy(&frame[14 + 16], parse_ip(destination)->bytes.data(), 4);
    put(frame, 36, port);
    return frame;
}

Frame udp6(const char* destination, uint16_t port) {
    Frame frame(84);
    put(frame, 12, 0x86DD);
    frame[14] = 0x60;
    frame[14 + 6] = 17;
    std::memcpy(&frame[14 + 24], parse_ip(destination)->bytes.data(), 16);
    put(frame, 56, port);
    return frame;
}

Frame with(Frame frame, size_t at, uint8_t value) {
    frame[at] = value;
    return frame;
}

Frame cut(Frame frame, size_t length) {
    frame.resize(length);
    return frame;
}

Frame tagged(Frame frame) {
    frame.insert(frame.begin() + 12, {0x81, 0x00, 0x00, 0x05});
    return frame;
}

struct Case {
    const char* what;
    Frame frame;
    xylem_steer_verdict verdict;  // NO_SOCKET: ours, since no socket is in the map here
};

std::vector<Case> cases() {
    return {
        {"IPv4 UDP to the data port", udp4("10.0.0.2", kDataPort), XYLEM_STEER_NO_SOCKET},
        {"IPv6 UDP to the data port", udp6("fd00::2", kDataPort), XYLEM_STEER_NO_SOCKET},
        {"another port", udp4("10.0.0.2", kOtherPort), XYLEM_STEER_PASS},
        {"another port over IPv6", udp6("fd00::2", kOtherPort), XYLEM_STEER_PASS},
        {"TCP to the same number", with(udp4("10.0.0.2", kDataPort), 23, 6), XYLEM_STEER_PASS},
        {"TCP over IPv6", with(udp6("fd00::2", kDataPort), 20, 6), XYLEM_STEER_PASS},
        {"a first fragment", with(udp4("10.0.0.2", kDataPort), 20, 0x20), XYLEM_STEER_PASS_FRAGMENT},
        {"a later fragment", with(udp4("10.0.0.2", kDataPort), 21, 0x40), XYLEM_STEER_PASS_FRAGMENT},
        {"don't fragment is no fragment", with(udp4("10.0.0.2", kDataPort), 20, 0x40), XYLEM_STEER_NO_SOCKET},
        {"an IPv6 fragment", with(udp6("fd00::2", kDataPort), 20, 44), XYLEM_STEER_PASS_FRAGMENT},
        {"an IPv6 extension header", with(udp6("fd00::2", kDataPort), 20, 0), XYLEM_STEER_PASS},
        {"IPv4 options", with(udp4("10.0.0.2", kDataPort), 14, 0x46), XYLEM_STEER_PASS},
        {"a VLAN tag", tagged(udp4("10.0.0.2", kDataPort)), XYLEM_STEER_PASS},
        {"ARP", with(udp4("10.0.0.2", kDataPort), 13, 0x06), XYLEM_STEER_PASS},
        {"a joined IPv4 group", udp4("239.1.2.3", kGroupPort), XYLEM_STEER_NO_SOCKET},
        {"a joined IPv4 group, other port", udp4("239.1.2.3", kGroupPort + 1), XYLEM_STEER_PASS},
        {"another IPv4 group", udp4("239.1.2.4", kGroupPort), XYLEM_STEER_PASS},
        {"a joined IPv6 group", udp6("ff05::7", kGroupPort), XYLEM_STEER_NO_SOCKET},
        {"another IPv6 group that differs in the last word", udp6("ff05::8", kGroupPort), XYLEM_STEER_PASS},
        {"another IPv6 group that differs in the first word", udp6("ff06::7", kGroupPort), XYLEM_STEER_PASS},
        {"a UDP header cut short", cut(udp4("10.0.0.2", kDataPort), 14 + 20 + 2), XYLEM_STEER_PASS},
        {"an IPv6 header cut short", cut(udp6("fd00::2", kDataPort), 14 + 30), XYLEM_STEER_PASS},
    };
}

std::vector<Endpoint> joined_groups() {
    return {{*parse_ip("239.9.9.9"), 1}, {*parse_ip("239.1.2.3"), kGroupPort}, {*parse_ip("ff05::7"), kGroupPort}};
}

class PacketFilterTest : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends_), 0); }
    void TearDown() override {
        close(ends_[0]);
        close(ends_[1]);
    }
    void attach(const std::vector<Endpoint>& groups) {
        auto code = dpdk::build_packet_filter(kDataPort, groups, kMaxFrame);
        const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
        ASSERT_EQ(setsockopt(ends_[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
    }
    bool passes(const Frame& frame) {
        uint8_t received[2048];
        send(ends_[0], frame.data(), frame.size(), 0);
        return recv(ends_[1], received, sizeof received, 0) == static_cast<ssize_t>(frame.size());
    }
    int ends_[2];
};

TEST_F(PacketFilterTest, LetsInExactlyWhatIsOurs) {
    attach(joined_groups());
    for (const Case& one : cases())
        EXPECT_EQ(passes(one.frame), one.verdict == XYLEM_STEER_NO_SOCKET) << one.what;
}

TEST_F(PacketFilterTest, WithoutGroupsOnlyTheDataPortPasses) {
    attach({});
    EXPECT_TRUE(passes(udp4("10.0.0.2", kDataPort)));
    EXPECT_TRUE(passes(udp6("fd00::2", kDataPort)));
    EXPECT_FALSE(passes(udp4("239.1.2.3", kGroupPort)));
}

TEST_F(PacketFilterTest, FrameThatDoesNotFitTheRingIsRefused) {
    attach({});
    Frame frame = udp4("10.0.0.2", kDataPort);
    frame.resize(kMaxFrame);
    EXPECT_TRUE(passes(frame));
    frame.resize(kMaxFrame + 1);
    EXPECT_FALSE(passes(frame));
}

class XdpProgramTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "running an XDP program needs root";
        libbpf_set_print(nullptr);
        size_t n_bytes;
        const void* bytes = xylem_steer_bpf__elf_bytes(&n_bytes);
        object_ = bpf_object__open_mem(bytes, n_bytes, nullptr);
        ASSERT_NE(object_, nullptr);
        ASSERT_EQ(bpf_object__load(object_), 0);
        program_ = bpf_program__fd(bpf_object__next_program(object_, nullptr));
    }
    void TearDown() override { bpf_object__close(object_); }
    int map(const char* name) { return bpf_object__find_map_fd_by_name(object_, name); }
    void configure() {
        const uint32_t only = 0;
        const uint8_t joined = 1;
        for (const Endpoint& group : joined_groups()) {
            xylem_steer_group key{};
            std::memcpy(key.address, group.ip.bytes.data(), 16);
            key.port_be = htons(group.port);
            key.family = group.ip.is_v4() ? 4 : 6;
            ASSERT_EQ(bpf_map_update_elem(map(XYLEM_STEER_GROUPS), &key, &joined, BPF_ANY), 0);
        }
        const xylem_steer_config config{htons(kDataPort), 0, 3};
        ASSERT_EQ(bpf_map_update_elem(map(XYLEM_STEER_CONFIG), &only, &config, BPF_ANY), 0);
    }
    uint64_t count(uint32_t verdict) {
        std::vector<uint64_t> per_cpu(static_cast<size_t>(libbpf_num_possible_cpus()));
        uint64_t sum = 0;
        bpf_map_lookup_elem(map(XYLEM_STEER_COUNTERS), &verdict, per_cpu.data());
        for (const uint64_t n : per_cpu)
            sum += n;
        return sum;
    }
    /// The verdict that the program counted for this frame; it must be exactly one, and the frame must pass.
    uint32_t verdict_on(const Frame& frame) {
        std::vector<uint64_t> before;
        for (uint32_t v = 0; v < XYLEM_STEER_N_VERDICTS; ++v)
            before.push_back(count(v));
        LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(),
                    .data_size_in = static_cast<uint32_t>(frame.size()));
        EXPECT_EQ(bpf_prog_test_run_opts(program_, &run), 0);
        EXPECT_EQ(run.retval, static_cast<uint32_t>(XDP_PASS));
        uint32_t found = XYLEM_STEER_N_VERDICTS;
        for (uint32_t v = 0; v < XYLEM_STEER_N_VERDICTS; ++v)
            if (count(v) != before[v]) found = found == XYLEM_STEER_N_VERDICTS ? v : XYLEM_STEER_N_VERDICTS + 1;
        return found;
    }
    bpf_object* object_ = nullptr;
    int program_ = -1;
};

TEST_F(XdpProgramTest, EveryFrameHasTheRightVerdict) {
    configure();
    for (const Case& one : cases())
        EXPECT_EQ(verdict_on(one.frame), one.verdict) << one.what;
}

TEST_F(XdpProgramTest, EverythingPassesUntilItIsConfigured) {
    EXPECT_EQ(verdict_on(udp4("10.0.0.2", kDataPort)), XYLEM_STEER_PASS);
    EXPECT_EQ(verdict_on(udp4("10.0.0.2", 0)), XYLEM_STEER_PASS);
}

}  // namespace
}  // namespace xylem
