// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.A: protocol entries and the creation of sockets.
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <tuple>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

constexpr unsigned kPairs[] = {XY_C_ROOT | XY_D_ROOT, XY_C_ROOT | XY_D_LEAF, XY_C_LEAF | XY_D_ROOT,
                               XY_C_LEAF | XY_D_LEAF};

bool has(const xy_protocol& entry, uint32_t capability) { return (entry.capabilities & capability) != 0; }

Kind kind_of(const xy_protocol& entry) { return {entry.type, entry.protocol, entry.family}; }

/// Makes a socket and closes it again.
Done create(Party& party, const Kind& kind, unsigned flags) {
    const Done made = party.socket(kind, flags);
    if (made.value >= 0) must(party.close(static_cast<int>(made.value)), "close");
    return made;
}

std::string describe(const xy_protocol& entry, unsigned flags) {
    return std::string(entry.name) + ", flags " + std::to_string(flags);
}

TEST(Creation, W_001_PlaneBitsStandWithMultipointOnly) {
    Party party = on_host(0, "party");
    const Protocols protocols = party.protocols();
    EXPECT_GT(protocols.count, 0);
    for (const xy_protocol& entry : protocols) {
        const bool has_plane = has(entry, XY_CAP_ROOTED_CONTROL) || has(entry, XY_CAP_ROOTED_DATA);
        EXPECT_TRUE(has(entry, XY_CAP_MULTIPOINT) || !has_plane) << entry.name;
    }
}

TEST(Creation, W_002_ControlPlaneBitSaysWhetherThereAreControlRoots) {
    Party party = on_host(0, "party");
    for (const xy_protocol& entry : party.protocols()) {
        const Done made = create(party, kind_of(entry), XY_C_ROOT | XY_D_LEAF);
        EXPECT_EQ(made.value >= 0, has(entry, XY_CAP_ROOTED_CONTROL)) << entry.name;
    }
}

TEST(Creation, W_003_DataPlaneBitSaysWhetherThereAreDataRoots) {
    Party party = on_host(0, "party");
    for (const xy_protocol& entry : party.protocols()) {
        const Done made = create(party, kind_of(entry), XY_C_LEAF | XY_D_ROOT);
        EXPECT_EQ(made.value >= 0, has(entry, XY_CAP_ROOTED_DATA)) << entry.name;
    }
}

/// The third argument of xy_socket tells the two entries of a transport apart.
TEST(Creation, W_004_TransportWithBothDataPlanesHasAnEntryForEach) {
    Party party = on_host(0, "party");
    std::set<std::tuple<int, int, bool>> rooted_control;
    for (const xy_protocol& entry : party.protocols())
        if (has(entry, XY_CAP_ROOTED_CONTROL))
            rooted_control.emplace(entry.family, entry.type, has(entry, XY_CAP_ROOTED_DATA));
    for (const int family : {AF_INET, AF_INET6})
        for (const int type : {SOCK_DGRAM, SOCK_RDM})
            for (const bool is_rooted : {true, false})
                EXPECT_EQ(rooted_control.count({family, type, is_rooted}), 1U)
                    << "family " << family << ", type " << type << ", rooted data " << is_rooted;
}

TEST(Creation, W_005_CreationFlagsHaveTheirNumbers) {
    static_assert(XY_C_ROOT == 0x02 && XY_C_LEAF == 0x04 && XY_D_ROOT == 0x08 && XY_D_LEAF == 0x10);
    Party party = on_host(0, "party");
    EXPECT_THAT(create(party, {}, 0x02 | 0x08), Succeeds());
    EXPECT_THAT(create(party, {}, 0x04 | 0x10), Succeeds());
}

TEST(Creation, W_006_ControlRootNeedsARootedControlPlane) {
    Party party = on_host(0, "party");
    for (const xy_protocol& entry : party.protocols()) {
        const Done made = create(party, kind_of(entry), XY_C_ROOT | XY_D_LEAF);
        if (has(entry, XY_CAP_ROOTED_CONTROL))
            EXPECT_THAT(made, Succeeds()) << entry.name;
        else
            EXPECT_THAT(made, Fails(EINVAL)) << entry.name;
    }
}

TEST(Creation, W_007_DataRootNeedsARootedDataPlane) {
    Party party = on_host(0, "party");
    for (const xy_protocol& entry : party.protocols()) {
        const Done made = create(party, kind_of(entry), XY_C_LEAF | XY_D_ROOT);
        if (has(entry, XY_CAP_ROOTED_DATA))
            EXPECT_THAT(made, Succeeds()) << entry.name;
        else
            EXPECT_THAT(made, Fails(EINVAL)) << entry.name;
    }
}

TEST(Creation, W_008_LeavesAreLegalInEveryPlane) {
    XY_ROW("A-01");
    Party party = on_host(0, "party");
    for (const xy_protocol& entry : party.protocols())
        EXPECT_THAT(create(party, kind_of(entry), kLeaf), Succeeds()) << entry.name;
}

/// There are no ordinary sockets here: 0 is as illegal as the other eleven.
TEST(Creation, W_009_OneRolePerPlane) {
    Party party = on_host(0, "party");
    const std::set<unsigned> legal(std::begin(kPairs), std::end(kPairs));
    for (unsigned flags = 0; flags < 0x20; flags += 2)
        EXPECT_EQ(create(party, {}, flags).value >= 0, legal.contains(flags)) << "flags " << flags;
}

TEST(Creation, W_010_IllegalCombinationIsInvalid) {
    XY_ROW("A-02");
    Party party = on_host(0, "party");
    const std::set<unsigned> legal(std::begin(kPairs), std::end(kPairs));
    for (unsigned flags = 0; flags < 0x20; flags += 2)
        if (!legal.contains(flags)) {
            EXPECT_THAT(create(party, {}, flags), Fails(EINVAL)) << "flags " << flags;
        }
    EXPECT_THAT(create(party, {}, kLeaf | 0x20), Fails(EINVAL)) << "an unknown flag";
    EXPECT_THAT(create(party, {}, kLeaf | 0x80000000U), Fails(EINVAL)) << "an unknown flag";
}

TEST(Creation, W_011_LegalPairsAreThoseOfThePlanes) {
    Party party = on_host(0, "party");
    for (const xy_protocol& entry : party.protocols()) {
        for (const unsigned flags : kPairs) {
            const bool is_legal = ((flags & XY_C_ROOT) == 0 || has(entry, XY_CAP_ROOTED_CONTROL)) &&
                                  ((flags & XY_D_ROOT) == 0 || has(entry, XY_CAP_ROOTED_DATA));
            EXPECT_EQ(create(party, kind_of(entry), flags).value >= 0, is_legal) << describe(entry, flags);
        }
    }
}

TEST(Creation, W_012_NewSocketsAreBlocking) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listener = listening_root(root);
    auto accepting = root.start_accept(listener.s);
    EXPECT_TRUE(accepting.is_waiting());
    EXPECT_THAT(leaf.join(open_leaf(leaf), listener.name), Succeeds());
    EXPECT_THAT(accepting.result(), Succeeds());
}

TEST(Creation, W_013_MultipointBitSaysWhetherTheFlagsWork) {
    Party party = on_host(0, "party");
    for (const xy_protocol& entry : party.protocols()) {
        const bool is_multipoint = has(entry, XY_CAP_MULTIPOINT);
        EXPECT_EQ(create(party, kind_of(entry), kLeaf).value >= 0, is_multipoint) << entry.name;
        for (const unsigned flags : kPairs)
            EXPECT_TRUE(is_multipoint || create(party, kind_of(entry), flags).error == EINVAL)
                << describe(entry, flags);
    }
}

TEST(Creation, W_015_FirstMatchingEntryIsUsed) {
    Party party = on_host(0, "party");
    const Protocols protocols = party.protocols();
    std::set<std::tuple<int, int>> seen;
    for (const xy_protocol& entry : protocols) {
        if (!seen.emplace(entry.family, entry.type).second) continue;
        const Kind first{entry.type, 0, entry.family};
        EXPECT_EQ(create(party, first, XY_C_LEAF | XY_D_ROOT).value >= 0, has(entry, XY_CAP_ROOTED_DATA)) << entry.name;
        EXPECT_EQ(create(party, first, XY_C_ROOT | XY_D_LEAF).value >= 0, has(entry, XY_CAP_ROOTED_CONTROL))
            << entry.name;
    }
}

TEST(Creation, W_016_WrongKindsHaveTheirErrors) {
    Party party = on_host(0, "party");
    EXPECT_THAT(create(party, {.family = AF_UNIX}, kLeaf), Fails(EAFNOSUPPORT));
    EXPECT_THAT(create(party, {.family = -1}, kLeaf), Fails(EAFNOSUPPORT));
    EXPECT_THAT(create(party, {.protocol = 99}, kLeaf), Fails(EPROTONOSUPPORT));
    EXPECT_THAT(create(party, {.protocol = -1}, kLeaf), Fails(EPROTONOSUPPORT));
    EXPECT_THAT(create(party, {.type = SOCK_RDM, .protocol = XY_PROTO_GROUP}, kLeaf), Fails(EPROTOTYPE));
    EXPECT_THAT(create(party, {.type = SOCK_STREAM, .protocol = XY_PROTO_GROUP}, kLeaf), Fails(EPROTOTYPE));
    EXPECT_THAT(create(party, {.type = SOCK_PACKET}, kLeaf), Fails(ESOCKTNOSUPPORT));
    EXPECT_THAT(create(party, {}, 0), Fails(EINVAL));
}

TEST(Creation, W_016_WithoutADaemonTheNetworkIsDown) {
    Party party({"/nonexistent/xylemd.sock", "127.0.0.1"}, "party");
    EXPECT_THAT(create(party, {}, kLeaf), Fails(ENETDOWN));
}

TEST(Creation, W_016_DescriptorTableFull) {
    Party party = on_host(0, "party");
    must(create(party, {}, kLeaf), "a socket");
    const Done last = party.run([] {
        rlimit limit{64, 128};
        setrlimit(RLIMIT_NOFILE, &limit);
        Done made;
        for (int i = 0; i <= 64; ++i)
            if ((made = done(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, kLeaf))).value < 0) break;
        return made;
    });
    EXPECT_THAT(last, Fails(EMFILE));
    party.run([] {
        rlimit limit{128, 128};
        setrlimit(RLIMIT_NOFILE, &limit);
    });
    EXPECT_THAT(create(party, {}, kLeaf), Succeeds()) << "there is room again";
}

TEST(Creation, W_016_SocketsOfAnApplicationAreLimited) {
    Party party = on_host(0, "party");
    const Done last = party.run([] {
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        Done made;
        do
            made = done(xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, kLeaf));
        while (made.value >= 0);
        return made;
    });
    EXPECT_THAT(last, Fails(EMFILE));
    EXPECT_THAT(party.run([] { return done(xy_close(16)); }), Succeeds());
    EXPECT_THAT(create(party, {}, kLeaf), Succeeds()) << "there is room again";
}

TEST(Creation, W_018_OrdinarySocketCannotJoin) {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    const Bound listener = listening_root(root);
    EXPECT_THAT(leaf.socket({}, 0), Fails(EINVAL)) << "no socket without roles can be made";
    const Address name = listener.name;
    const Joined joined = leaf.run([name] {
        const int foreign = ::socket(AF_INET, SOCK_DGRAM, 0);
        const Joined out = calls::join(foreign, name, {});
        close(foreign);
        return out;
    });
    EXPECT_THAT(joined, Fails(ENOTSOCK));
    EXPECT_TRUE(root.is_quiet(listener.s));
}

}  // namespace
}  // namespace xylem::conformance
