// SPDX-License-Identifier: Apache-2.0
// What GROUP sockets write into their logs: one record per datagram, behind the index of where it goes.
#include <xylem/abi/group.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/shm/shim_fixture.h"

namespace xylem::test {
namespace {

class ShimGroupTest : public ShimTest {
  protected:
    struct Datagram {
        abi::Position at;
        uint32_t destination;
        std::string text;
    };

    /// The n-th socket that was made, joined.
    int join(unsigned flags = XY_BOTH, uint16_t port = 5000) {
        const int s = open();
        const sockaddr_in group = address_of(port, "239.7.7.7");
        EXPECT_EQ(xy_join_leaf(s, as_sockaddr(group), sizeof group, nullptr, nullptr, nullptr, nullptr, flags), s)
            << strerror(errno);
        return s;
    }
    static int open() {
        const int s = xy_socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, XY_PROTO_GROUP, XY_C_LEAF | XY_D_LEAF);
        EXPECT_GE(s, 0) << strerror(errno);
        return s;
    }
    static ssize_t send_to(int s, const std::string& text, uint16_t port, const char* host = "10.0.0.9") {
        const sockaddr_in to = address_of(port, host);
        return xy_sendto(s, text.data(), text.size(), 0, as_sockaddr(to), sizeof to);
    }
    /// All that the n-th socket has committed; a record that is no whole datagram fails the test.
    std::vector<Datagram> log_of(size_t n) {
        return daemon.locked([&] {
            std::vector<Datagram> all;
            FakeSocket& s = daemon.nth(n);
            if (s.log == nullptr) return all;
            const abi::Position end = s.log->at<abi::LogHeader>()->commit;
            const auto* used = s.log->at<uint16_t>(abi::log_used_off());
            for (abi::Position p = 0; p < end;) {
                const uint64_t cell = abi::cell_of(p);
                if (cell < abi::cell_of(end) && abi::offset_of(p) >= used[cell]) {
                    p = abi::cell_start(cell + 1);
                    continue;
                }
                const char* at = s.log->at<char>(abi::log_cells_off(s.geometry) + cell * s.geometry.cell_stride()) +
                                 abi::offset_of(p);
                abi::RecordHeader header;
                abi::GroupSend prefix;
                memcpy(&header, at, sizeof header);
                memcpy(&prefix, at + sizeof header, sizeof prefix);
                EXPECT_EQ(header.flags, abi::kRecordBegin | abi::kRecordEnd);
                EXPECT_GE(header.length, sizeof prefix);
                EXPECT_LE(abi::offset_of(p) + abi::record_bytes(header.length), s.geometry.cell_bytes);
                all.push_back({p, prefix.destination,
                               std::string(at + sizeof header + sizeof prefix, header.length - sizeof prefix)});
                p += abi::record_bytes(header.length);
                if (abi::offset_of(p) >= s.geometry.cell_bytes) p = abi::cell_start(cell + 1);
            }
            return all;
        });
    }
};

TEST_F(ShimGroupTest, ADatagramIsOneRecordToTheGroup_W312) {
    const int s = join();
    EXPECT_EQ(send_text(s, "hello"), 5);
    EXPECT_EQ(xy_send(s, nullptr, 0, 0), 0);
    EXPECT_EQ(send_to(s, "same", 5000, "239.7.7.7"), 4);
    const auto log = log_of(0);
    ASSERT_EQ(log.size(), 3U);
    EXPECT_EQ(log[0].text, "hello");
    EXPECT_EQ(log[1].text, "") << "a datagram may be empty";
    EXPECT_EQ(log[2].text, "same");
    for (const Datagram& d : log)
        EXPECT_EQ(d.destination, 0U);
}

TEST_F(ShimGroupTest, OneThatDoesNotFitTheRestOfACellOpensTheNext) {
    const int s = join();
    const std::string text(600, 'x');
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(send_text(s, text), 600);
    const auto log = log_of(0);
    ASSERT_EQ(log.size(), 5U);  // two in a cell of 1408 bytes
    for (size_t i = 0; i < log.size(); ++i) {
        EXPECT_EQ(abi::cell_of(log[i].at), i / 2);
        EXPECT_EQ(log[i].text, text);
    }
}

TEST_F(ShimGroupTest, WhatIsLongerThanThePathAllowsIsNotWritten) {
    const int s = join();
    EXPECT_EQ(send_text(s, std::string(1000, 'x')), 1000);
    EXPECT_EQ(send_text(s, std::string(1001, 'x')), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    xy_span span{};
    EXPECT_EQ(xy_reserve(s, 1001, &span), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    // A path that becomes shorter counts from then on.
    daemon.locked([&] {
        daemon.nth(0).max_datagram_bytes = 500;
        ++daemon.nth(0).facts->destinations_changed;
    });
    EXPECT_EQ(send_text(s, std::string(501, 'x')), -1);
    EXPECT_EQ(errno, EMSGSIZE);
    EXPECT_EQ(send_text(s, std::string(500, 'x')), 500);
    EXPECT_EQ(log_of(0).size(), 2U);
}

TEST_F(ShimGroupTest, EachAddressIsAskedForOnce_W305_W313) {
    const int s = open();
    EXPECT_EQ(send_text(s, "nowhere"), -1);
    EXPECT_EQ(errno, ENOTCONN);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(send_to(s, "nine", 6000, "10.0.0.9"), 4);
        EXPECT_EQ(send_to(s, "eight", 6000, "10.0.0.8"), 5);
    }
    EXPECT_EQ(send_text(s, "still nowhere"), -1);
    EXPECT_EQ(errno, ENOTCONN);
    EXPECT_EQ(daemon.locked([&] { return daemon.nth(0).n_asked; }), 2U);
    // What lies in the padding of an address is no other address.
    sockaddr_in to = address_of(6000, "10.0.0.9");
    memset(to.sin_zero, 0x5A, sizeof to.sin_zero);
    EXPECT_EQ(xy_sendto(s, "x", 1, 0, as_sockaddr(to), sizeof to), 1);
    EXPECT_EQ(daemon.locked([&] { return daemon.nth(0).n_asked; }), 2U);
    const auto log = log_of(0);
    ASSERT_EQ(log.size(), 7U);
    EXPECT_EQ(log[0].destination, log[6].destination);
    EXPECT_NE(log[0].destination, log[1].destination);
    EXPECT_NE(log[0].destination, 0U);
    sockaddr_in6 other{};
    other.sin6_family = AF_INET6;
    EXPECT_EQ(xy_sendto(s, "x", 1, 0, reinterpret_cast<sockaddr*>(&other), sizeof other), -1);
    EXPECT_EQ(errno, EAFNOSUPPORT);
    EXPECT_EQ(xy_sendto(s, "x", 1, 0, as_sockaddr(to), 4), -1);
    EXPECT_EQ(errno, EFAULT);
}

TEST_F(ShimGroupTest, ReservationsAndBatchesGoToTheGroup) {
    const int s = join();
    xy_span span{};
    ASSERT_EQ(xy_reserve(s, 100, &span), 0);
    memcpy(span.data, "reserved", 8);
    ASSERT_EQ(xy_commit(s, &span, 8), 0);
    char one[] = "one", two[] = "two!";
    xy_msg messages[2]{};
    messages[0].size = sizeof messages[0];
    messages[0].buf = one, messages[0].len = 3;
    messages[1].buf = two, messages[1].len = 4;
    EXPECT_EQ(xy_send_batch(s, messages, 2, 0), 2);
    const auto log = log_of(0);
    ASSERT_EQ(log.size(), 3U);
    EXPECT_EQ(log[0].text, "reserved");
    EXPECT_EQ(log[1].text, "one");
    EXPECT_EQ(log[2].text, "two!");
}

TEST_F(ShimGroupTest, AFullLogIsEAGAINAndLosesNothing) {
    const int s = join();
    daemon.pause_worker(true);
    const std::string text(900, 'x');
    size_t n = 0;
    while (send_text(s, text) == 900)
        ++n;
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(n, 64U) << "one in a cell";
    EXPECT_EQ(log_of(0).size(), n);
}

TEST_F(ShimGroupTest, OneWayMembersDoNotDoTheOther_W252_W253) {
    const int sender = join(XY_SENDER_ONLY), receiver = join(XY_RECEIVER_ONLY);
    EXPECT_EQ(receive_text(sender), "errno EOPNOTSUPP");
    EXPECT_EQ(send_text(receiver, "x"), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    EXPECT_EQ(send_to(receiver, "x", 1), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    const int membership = join(XY_BOTH, 0);
    EXPECT_EQ(send_text(membership, "x"), -1);
    EXPECT_EQ(errno, EDESTADDRREQ);  // W-046
}

TEST_F(ShimGroupTest, AJoinIgnoresUserDataAndIsNoConnection_W188_W311) {
    const int s = open();
    const sockaddr_in group = address_of(5000, "239.7.7.7"), host = address_of(5000, "10.0.0.9");
    EXPECT_EQ(xy_connect(s, as_sockaddr(host), sizeof host), -1);
    EXPECT_EQ(errno, EADDRNOTAVAIL);
    xy_data bad{nullptr, 5}, much{s != 0 ? const_cast<char*>("x") : nullptr, 1 << 20};
    EXPECT_EQ(xy_join_leaf(s, as_sockaddr(group), sizeof group, &much, &bad, nullptr, nullptr, XY_BOTH), s);
    EXPECT_EQ(xy_join_leaf(s, as_sockaddr(group), sizeof group, nullptr, nullptr, nullptr, nullptr, XY_BOTH), -1);
    EXPECT_EQ(errno, EISCONN);
    EXPECT_EQ(xy_listen(s, 1), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
    EXPECT_EQ(xy_accept(s, nullptr, nullptr, nullptr, nullptr), -1);
    EXPECT_EQ(errno, EOPNOTSUPP);
}

TEST_F(ShimGroupTest, LoopbackAndScopeAreCheckedAndTakenAtAnyTime_W293_W294_W295) {
    const int s = open();
    int value = 1;
    char out[16];
    size_t returned = 99;
    for (const unsigned code : {XY_SIO_MULTIPOINT_LOOPBACK, XY_SIO_MULTICAST_SCOPE}) {
        EXPECT_EQ(xy_ioctl(s, code, &value, sizeof value, out, sizeof out, &returned), 0);
        EXPECT_EQ(returned, 0U);
        EXPECT_EQ(xy_ioctl(s, code, &value, sizeof value, nullptr, 0, nullptr), 0);
        EXPECT_EQ(xy_ioctl(s, code, &value, 3, nullptr, 0, nullptr), -1);
        EXPECT_EQ(errno, EFAULT);
        EXPECT_EQ(xy_ioctl(s, code, nullptr, sizeof value, nullptr, 0, nullptr), -1);
        EXPECT_EQ(errno, EFAULT);
    }
    for (const int wrong : {-1, 256}) {
        EXPECT_EQ(xy_ioctl(s, XY_SIO_MULTICAST_SCOPE, &wrong, sizeof wrong, nullptr, 0, nullptr), -1);
        EXPECT_EQ(errno, EINVAL);
    }
}

}  // namespace
}  // namespace xylem::test
