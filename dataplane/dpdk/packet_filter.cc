// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/packet_filter.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>

#include <initializer_list>

namespace xylem::dpdk {
namespace {

constexpr unsigned kEtherType = 12, kIp = 14;
constexpr unsigned kV4Fragment = kIp + 6, kV4Protocol = kIp + 9, kV4Destination = kIp + 16, kV4UdpPort = kIp + 22;
constexpr unsigned kV6NextHeader = kIp + 6, kV6Destination = kIp + 24, kV6UdpPort = kIp + 42;
constexpr uint32_t kWholeFrame = 0x40000;
constexpr uint32_t kPortCell = 4;  // the words of the address lie in 0 to 3

/// Classic jumps are forward and 8 bits wide, so a failed test jumps over the few instructions up to the next test, and
/// every refusal returns on the spot.
class Program {
  public:
    void load(uint16_t width, uint32_t offset) { add(BPF_LD | BPF_ABS | width, 0, 0, offset); }
    void give(uint32_t bytes) { add(BPF_RET | BPF_K, 0, 0, bytes); }
    void refuse_unless(uint32_t value) {
        add(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, value);
        give(0);
    }
    void refuse_if(uint16_t comparison, uint32_t value) {
        add(BPF_JMP | BPF_K | comparison, 0, 1, value);
        give(0);
    }
    void skip_unless(uint32_t value, size_t n_instructions) {
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, static_cast<uint8_t>(n_instructions), value);
    }
    /// Keeps a word of the frame in a cell of the program's own memory: what many tests look at is fetched once, which
    /// is what most of a program's room in the kernel would go to.
    void keep(uint16_t width, uint32_t offset, uint32_t cell) {
        load(width, offset);
        add(BPF_ST, 0, 0, cell);
    }
    /// Appends what a joined group needs: all kept words of the address, then the kept port.
    void give_if_group(const Endpoint& group) {
        const uint32_t n_words = group.ip.is_v4() ? 1 : 4;
        for (uint32_t i = 0; i < n_words; ++i) {
            uint32_t word_be;
            std::memcpy(&word_be, group.ip.bytes.data() + 4 * i, sizeof word_be);
            add(BPF_LD | BPF_MEM, 0, 0, i);
            skip_unless(ntohl(word_be), 2 * (n_words - i - 1) + 3);
        }
        add(BPF_LD | BPF_MEM, 0, 0, kPortCell);
        skip_unless(group.port, 1);
        give(kWholeFrame);
    }
    void append(const Program& other) { code.insert(code.end(), other.code.begin(), other.code.end()); }
    std::vector<sock_filter> code;

  private:
    void add(unsigned operation, uint8_t when_true, uint8_t when_false, uint32_t value) {
        code.push_back({static_cast<uint16_t>(operation), when_true, when_false, value});
    }
};

void give_ours(Program& program, uint32_t destination_off, uint32_t port_off, uint16_t data_udp_port, uint8_t family,
               const std::vector<Endpoint>& groups) {
    program.load(BPF_H, port_off);
    program.skip_unless(data_udp_port, 1);
    program.give(kWholeFrame);
    program.keep(BPF_H, port_off, kPortCell);
    for (uint32_t i = 0; i < (family == IpAddress::kV4 ? 1 : 4); ++i)
        program.keep(BPF_W, destination_off + 4 * i, i);
    for (const Endpoint& group : groups)
        if (group.ip.family == family) program.give_if_group(group);
    program.give(0);
}

}  // namespace

std::vector<sock_filter> build_packet_filter(uint16_t data_udp_port, const std::vector<Endpoint>& groups,
                                             unsigned max_frame_bytes) {
    constexpr uint32_t kAncillary = static_cast<uint32_t>(SKF_AD_OFF);
    Program program;
    program.load(BPF_B, kAncillary + SKF_AD_PKTTYPE);
    program.refuse_if(BPF_JGE, PACKET_OTHERHOST);  // also outgoing and looped back
    program.load(BPF_B, kAncillary + SKF_AD_VLAN_TAG_PRESENT);
    program.refuse_unless(0);
    program.code.push_back({BPF_LD | BPF_W | BPF_LEN, 0, 0, 0});
    program.refuse_if(BPF_JGT, max_frame_bytes);

    Program v4;
    v4.load(BPF_B, kIp);
    v4.refuse_unless(0x45);
    v4.load(BPF_H, kV4Fragment);
    v4.refuse_if(BPF_JSET, 0x3FFF);
    v4.load(BPF_B, kV4Protocol);
    v4.refuse_unless(IPPROTO_UDP);
    give_ours(v4, kV4Destination, kV4UdpPort, data_udp_port, IpAddress::kV4, groups);

    Program v6;
    v6.load(BPF_B, kV6NextHeader);
    v6.refuse_unless(IPPROTO_UDP);
    give_ours(v6, kV6Destination, kV6UdpPort, data_udp_port, IpAddress::kV6, groups);

    program.load(BPF_H, kEtherType);
    program.skip_unless(ETH_P_IP, 1);
    program.code.push_back({BPF_JMP | BPF_JA, 0, 0, 3});  // to v4
    program.refuse_unless(ETH_P_IPV6);
    program.code.push_back({BPF_JMP | BPF_JA, 0, 0, static_cast<uint32_t>(v4.code.size())});
    program.append(v4);
    program.append(v6);
    return program.code;
}

}  // namespace xylem::dpdk
