// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md 1.F, and what 1.B and 1.C say of nonrooted sessions: GROUP.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

constexpr Kind kGroup{SOCK_DGRAM, XY_PROTO_GROUP};
constexpr Kind kNonblockingGroup{SOCK_DGRAM | SOCK_NONBLOCK, XY_PROTO_GROUP};

/// A group that no other test uses.
Address new_group() {
    static unsigned n = 0;
    ++n;
    return Address::of("239.77." + std::to_string(n / 250) + "." + std::to_string(n % 250 + 1),
                       static_cast<uint16_t>(20000 + n));
}

/// Whether the kernel of the party's host is a member.
bool is_kernel_member(const Party& party, const Address& group) {
    char hex[9];
    const auto& name = reinterpret_cast<const sockaddr_in&>(group.storage);
    std::snprintf(hex, sizeof hex, "%08X", name.sin_addr.s_addr);
    std::ifstream table("/proc/" + std::to_string(party.at().daemon) + "/net/igmp");
    for (std::string word; table >> word;)
        if (word == hex) return true;
    return false;
}

/// A member that lets others of its host have the same port.
int join_group(Party& party, const Address& group, unsigned flags = XY_BOTH) {
    const int s = open_leaf(party, kGroup);
    must(party.run([s] {
        const int is_shared = 1;
        return done(xy_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &is_shared, sizeof is_shared));
    }),
         "SO_REUSEADDR");
    must(party.join(s, group, {.flags = flags}), "join");
    return s;
}

TEST(Group, W_022_NobodyIsSpecial) {
    const Address group = new_group();
    Party ann = on_host(0, "ann"), bob = on_host(1, "bob");
    const int a = join_group(ann, group), b = join_group(bob, group);
    EXPECT_THAT(ann.socket(kGroup, XY_C_ROOT | XY_D_LEAF), Fails(EINVAL)) << "there are no roots";
    must(ann.send(a, "from ann"), "send");
    EXPECT_EQ(bob.receive(b).text, "from ann");
    must(ann.close(a), "close");
    must(bob.send(b, "still here"), "send");
    Party cid = on_host(2, "cid");
    const int c = join_group(cid, group);
    must(cid.send(c, "from cid"), "send");
    const auto heard = hear(bob, b, {"from cid"});  // the first member is not missed
    EXPECT_THAT(heard, testing::Contains("from cid").Times(1));
}

TEST(Group, W_026_EveryMemberSendsToAllOthers) {
    const Address group = new_group();
    Party ann = on_host(0, "ann"), bob = on_host(1, "bob"), cid = on_host(2, "cid");
    Party* const parties[] = {&ann, &bob, &cid};
    int sockets[3];
    for (int i = 0; i < 3; ++i)
        sockets[i] = join_group(*parties[i], group);
    for (int i = 0; i < 3; ++i)
        must(parties[i]->send(sockets[i], parties[i]->name()), "send");
    for (int i = 0; i < 3; ++i) {
        std::vector<std::string> others{"ann", "bob", "cid"};
        others.erase(others.begin() + i);
        const auto heard = hear(*parties[i], sockets[i], others);
        for (const std::string& other : others)
            EXPECT_THAT(heard, testing::Contains(other).Times(1)) << parties[i]->name();
    }
}

TEST(Group, W_027_MembersHearWhoDidNotJoin) {
    const Address group = new_group();
    Party member = on_host(0, "member"), stranger = on_host(1, "stranger");
    const int m = join_group(member, group), s = open_leaf(stranger, kGroup);
    EXPECT_THAT(stranger.send_to(s, "from outside", group), Returns(12));
    EXPECT_EQ(member.receive(m).text, "from outside");
}

TEST(Group, W_030_PlaneIsTheProtocolsAndNotTheFlags) {
    const Address group = new_group();
    Party root = on_host(0, "root"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const Bound at = listening_root(root);
    const Edge in_tree[] = {ask(at, ann), ask(at, bob)};
    const int in_group[] = {join_group(ann, group), join_group(bob, group)};
    must(ann.send(in_tree[0].s, "in the tree"), "send");
    EXPECT_EQ(root.receive(at.s).text, "in the tree");
    must(ann.send(in_group[0], "in the group"), "send");
    EXPECT_EQ(bob.receive(in_group[1]).text, "in the group");
    EXPECT_TRUE(bob.is_quiet(in_tree[1].s)) << "a tree's leaf sends to the root only";
}

TEST(Group, W_043_ReceiverIsBoundToTheGroupsPort) {
    XY_ROW("A-17");
    const Address group = new_group();
    Party receiver = on_host(0, "receiver"), sender = on_host(1, "sender");
    const int r = join_group(receiver, group, XY_RECEIVER_ONLY);
    EXPECT_EQ(receiver.name_of(r).port(), group.port());
    const int s = join_group(sender, group, XY_SENDER_ONLY);
    EXPECT_NE(sender.name_of(s).port(), group.port()) << "a sender has a port of its own";
    must(sender.send(s, "to the port"), "send");
    EXPECT_EQ(receiver.receive(r).text, "to the port");
}

TEST(Group, W_046_PortZeroMeansTheMembershipAlone) {
    XY_ROW("A-36");
    const Address group = new_group();
    Party receiver = on_host(0, "receiver"), sender = on_host(1, "sender");
    const int r = open_leaf(receiver, kGroup), s = open_leaf(sender, kGroup);
    must(receiver.bind(r, Address::of("0.0.0.0", group.port())), "bind");
    EXPECT_THAT(receiver.join(r, group.with_port(0)), Returns(r));
    must(sender.send_to(s, "to the bound port", group), "send");
    EXPECT_EQ(receiver.receive(r).text, "to the bound port");
}

TEST(Group, W_090_JoinReturnsTheMembersOwnSocket) {
    Party member = on_host(0, "member");
    const int blocking = open_leaf(member, kGroup), nonblocking = open_leaf(member, kNonblockingGroup);
    EXPECT_THAT(member.join(blocking, new_group()), Returns(blocking));
    EXPECT_THAT(member.join(nonblocking, new_group()), Returns(nonblocking));
}

TEST(Group, W_091_JoinIsCompleteWithTheMembership) {
    const Address group = new_group();
    Party member = on_host(1, "member");
    const int s = open_leaf(member, kNonblockingGroup);
    must(member.select(s, XY_FD_CONNECT), "select");
    EXPECT_THAT(member.join(s, group), Returns(s));
    const Events events = member.await(s, XY_FD_CONNECT);
    EXPECT_THAT(events, Succeeds());
    EXPECT_EQ(events.error_of[XY_FD_CONNECT_BIT], 0) << "though nobody else is in the group";
    EXPECT_EQ(is_kernel_member(member, group), is_network());
}

TEST(Group, W_092_ClosingIsLeaving) {
    const Address group = new_group();
    Party leaver = on_host(0, "leaver"), stayer = on_host(0, "stayer"), sender = on_host(1, "sender");
    const int gone = join_group(leaver, group), stays = join_group(stayer, group);
    const int s = join_group(sender, group, XY_SENDER_ONLY);
    must(sender.send(s, "to both"), "send");
    EXPECT_EQ(leaver.receive(gone).text, "to both");
    EXPECT_EQ(stayer.receive(stays).text, "to both");
    EXPECT_THAT(leaver.close(gone), Succeeds());
    must(sender.send(s, "to one"), "send");
    EXPECT_EQ(stayer.receive(stays).text, "to one");
    const int again = join_group(leaver, group);
    EXPECT_TRUE(leaver.is_quiet(again)) << "what was sent meanwhile is not for it";
    EXPECT_EQ(is_kernel_member(stayer, group), is_network());
    must(leaver.close(again), "close");
    must(stayer.close(stays), "close");
    EXPECT_FALSE(is_kernel_member(stayer, group)) << "the last one takes the membership along";
}

TEST(Group, W_093_SenderAnnouncesNothing) {
    const Address group = new_group();
    Party sender = on_host(0, "sender"), receiver = on_host(1, "receiver");
    const int s = join_group(sender, group, XY_SENDER_ONLY);
    EXPECT_FALSE(is_kernel_member(sender, group));
    const int r = join_group(receiver, group, XY_RECEIVER_ONLY);
    EXPECT_EQ(is_kernel_member(receiver, group), is_network());
    must(sender.send(s, "to the others"), "send");
    EXPECT_EQ(receiver.receive(r).text, "to the others");
}

/// Of the kernel's sockets, on the loopback of the test's host.
TEST(Group, W_310_KernelsOwnMembershipOptionsStillWork) {
    const Address group = new_group();
    Party party = on_host(0, "party");
    join_group(party, group);
    EXPECT_THAT(party.run([group] {
        const int s = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const in_addr loopback{htonl(INADDR_LOOPBACK)};
        ip_mreq membership{};
        membership.imr_multiaddr = reinterpret_cast<const sockaddr_in&>(group.storage).sin_addr;
        membership.imr_interface = loopback;
        Address any = Address::of("0.0.0.0", 0);
        must(done(::bind(s, any.get(), any.length)), "bind");
        ::getsockname(s, any.get(), &any.length);
        must(done(::setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership)), "membership");
        must(done(::setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback)), "interface");
        const Address name = group.with_port(any.port());
        must(done(::sendto(s, "x", 1, 0, name.get(), name.length)), "sendto");
        char byte = 0;
        const bool has_come = calls::await_readable(s, kPatienceMs) && ::recv(s, &byte, 1, 0) == 1;
        ::close(s);
        return has_come ? Done{byte, 0} : Done{-1, ETIME};
    }),
                Returns('x'));
}

TEST(Group, W_311_OneGroupPerSocket) {
    XY_ROW("A-06");
    const Address group = new_group(), other = new_group();
    Party member = on_host(0, "member"), sender = on_host(1, "sender");
    const int m = join_group(member, group), s = open_leaf(sender, kGroup);
    EXPECT_THAT(member.join(m, other), Fails(EISCONN));
    EXPECT_THAT(member.join(m, group), Fails(EISCONN));
    must(sender.send_to(s, "to another group", other), "send");
    EXPECT_TRUE(member.is_quiet(m));
    must(sender.send_to(s, "to the group", group), "send");
    EXPECT_EQ(member.receive(m).text, "to the group");
}

TEST(Group, W_312_SendAndSendtoReachTheSession) {
    XY_ROW("A-07");
    const Address group = new_group();
    Party sender = on_host(0, "sender"), receiver = on_host(1, "receiver");
    const int s = join_group(sender, group), r = join_group(receiver, group);
    EXPECT_THAT(sender.send(s, "without a name"), Returns(14));
    EXPECT_EQ(receiver.receive(r).text, "without a name");
    EXPECT_THAT(sender.send_to(s, "with the group's", group), Returns(16));
    EXPECT_EQ(receiver.receive(r).text, "with the group's");
}

TEST(Group, W_313_JoiningFiltersNothing) {
    XY_ROW("A-07");
    const Address group = new_group(), other = new_group();
    Party member = on_host(0, "member"), ann = on_host(1, "ann"), bob = on_host(2, "bob");
    const int m = join_group(member, group), elsewhere = join_group(bob, other);
    for (Party* party : {&ann, &bob}) {
        const int s = open_leaf(*party, kGroup);
        must(party->send_to(s, party->name(), group), "send");
        const Received received = member.receive(m);
        EXPECT_EQ(received.text, party->name());
        EXPECT_EQ(received.from.port(), party->name_of(s).port());
    }
    EXPECT_THAT(member.send_to(m, "elsewhere", other), Returns(9)) << "another address is no error";
    EXPECT_EQ(bob.receive(elsewhere).text, "elsewhere");
}

}  // namespace
}  // namespace xylem::conformance
