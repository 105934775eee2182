// SPDX-License-Identifier: Apache-2.0
#include "dataplane/base/port_spec.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace xylem::dpdk {
namespace {

TEST(PortSpec, KindsWithoutOperandsParse) {
    EXPECT_EQ(parse_port_spec("local")->kind, PortKind::kLocal);
    EXPECT_EQ(parse_port_spec("null")->kind, PortKind::kNull);
}

TEST(PortSpec, InterfaceKindsKeepTheNameAndTheText) {
    const auto spec = parse_port_spec("af_xdp:eth7");
    ASSERT_TRUE(spec);
    EXPECT_EQ(spec->kind, PortKind::kAfXdp);
    EXPECT_EQ(spec->interface, "eth7");
    EXPECT_EQ(spec->text, "af_xdp:eth7");
    EXPECT_EQ(parse_port_spec("af_packet:eth0.12")->interface, "eth0.12");
}

TEST(PortSpec, MemifReadsEveryKey) {
    const auto spec =
        parse_port_spec("memif:/run/x.sock,role=client,ip=10.9.0.2/24,peer=10.9.0.1,signal_peer=127.0.0.1:7470");
    ASSERT_TRUE(spec);
    EXPECT_EQ(spec->kind, PortKind::kMemif);
    EXPECT_EQ(spec->memif_path, "/run/x.sock");
    EXPECT_EQ(spec->memif_role, MemifRole::kClient);
    EXPECT_EQ(spec->prefix_len, 24);
    EXPECT_EQ(spec->ip.bytes[3], 2);
    EXPECT_EQ(spec->peer.bytes[3], 1);
    EXPECT_EQ(spec->signal_peer.port, 7470);
    EXPECT_TRUE(spec->signal_peer.ip.is_loopback());
}

TEST(PortSpec, MemifTakesIpv6) {
    const auto spec = parse_port_spec("memif:/s,role=server,ip=fd00::1/64,peer=fd00::2,signal_peer=[::1]:9");
    ASSERT_TRUE(spec);
    EXPECT_TRUE(spec->ip.is_v6());
    EXPECT_TRUE(spec->signal_peer.ip.is_loopback());
}

TEST(PortSpec, EveryBadTextIsNamedInItsError) {
    const char* const bad_texts[] = {"",
                                     "locale",
                                     "local:",
                                     "null:x",
                                     "af_xdp",
                                     "af_xdp:",
                                     "af_xdp:a/b",
                                     "af_xdp:a b",
                                     "af_xdp:a,b",
                                     "af_packet:..",
                                     "af_packet:sixteencharacter",
                                     "pci",
                                     "memif",
                                     "memif:",
                                     "memif:/s",
                                     "memif:/s,role=boss",
                                     "memif:/s,role=server,ip=1.2.3.4",
                                     "memif:/s,role=server,ip=1.2.3.4/33",
                                     "memif:/s,role=server,ip=1.2.3.4/24",
                                     "memif:/s,ip=1.2.3.4/24,peer=1.2.3.5,signal_peer=1.1.1.1:1",
                                     "memif:/s,role=server,ip=1.2.3.4/24,peer=fd00::1,signal_peer=1.1.1.1:1",
                                     "memif:/s,role=server,ip=1.2.3.4/24,peer=1.2.3.5,signal_peer=1.1.1.1:0",
                                     "memif:/s,role=server,ip=1.2.3.4/24,peer=1.2.3.5,signal_peer=::1:5",
                                     "memif:/s,role=server,ip=1.2.3.4/24,peer=1.2.3.5",
                                     "memif:/s,role=server,colour=red",
                                     "memif:/s,role"};
    for (const char* text : bad_texts) {
        const auto spec = parse_port_spec(text);
        ASSERT_FALSE(spec) << text;
        EXPECT_EQ(spec.error().code, EINVAL);
        EXPECT_TRUE(spec.error().what.starts_with(std::string(text) + ": ")) << spec.error().what;
    }
}

TEST(PortSpec, MemifMacIsLocalAndFollowsTheAddress) {
    const auto spec = parse_port_spec("memif:/s,role=server,ip=10.9.0.1/24,peer=10.9.0.2,signal_peer=127.0.0.1:1");
    ASSERT_TRUE(spec);
    EXPECT_EQ(memif_mac(spec->ip).bytes[0] & 3, 2);
    EXPECT_NE(memif_mac(spec->ip), memif_mac(spec->peer));
}

}  // namespace
}  // namespace xylem::dpdk
