// SPDX-License-Identifier: Apache-2.0
// The options of reliable multicast at a session's sockets (docs/winsock.md, section 3).
#include <cerrno>

#include "control/session/rm_options.h"
#include "tests/unit/session_world.h"

namespace xylem::session {

constexpr uint16_t kPort = 5000;

struct Rm : testing::Test {
    World w;
    TestApp root{w.a}, leaf{w.b};
    uint32_t s = root.root(kPort), l = 0, f = 0;

    template <class T>
    int set(TestApp& app, uint32_t socket, int name, const T& value) {
        abi::OptionBody body{.level = XY_SOL, .name = name, .bytes = sizeof value, .reserved_zero = 0, .value = {}};
        std::memcpy(body.value, &value, sizeof value);
        return app.s().set_option(*app.app, socket, body).error;
    }
    int set(int name, uint32_t value) { return set(root, s, name, value); }
    template <class T>
    T get(TestApp& app, uint32_t socket, int name) {
        abi::OptionBody body{.level = XY_SOL, .name = name, .bytes = 256, .reserved_zero = 0, .value = {}};
        const auto held = body_in<abi::OptionBody>(app.s().get_option(*app.app, socket, body));
        T value{};
        EXPECT_EQ(held.bytes, sizeof value);
        std::memcpy(&value, held.value, sizeof value);
        return value;
    }
    uint32_t get(int name) { return get<uint32_t>(root, s, name); }
    int get_error(int name) {
        abi::OptionBody body{.level = XY_SOL, .name = name, .bytes = 256, .reserved_zero = 0, .value = {}};
        return root.s().get_option(*root.app, s, body).error;
    }
    void join() {
        l = leaf.leaf();
        ASSERT_EQ(leaf.join(l, w.a.address(), kPort).error, 0);
        w.run();
        auto accepted = root.accept(s);
        w.run();
        f = socket_in(*accepted);
    }
};

TEST(RmWindow, OneOfThreeComesFromTheOthers) {
    const auto complete = [](uint64_t rate, uint64_t ms, uint64_t bytes) {
        return complete_rate_window({rate, ms, bytes});
    };
    EXPECT_EQ((*complete(1'000'000, 500, 0)).window_bytes, 500'000U);
    EXPECT_EQ((*complete(1'000'000, 0, 500'000)).window_ms, 500U);
    EXPECT_EQ((*complete(0, 500, 500'000)).rate_bytes_s, 1'000'000U);
    EXPECT_TRUE(complete(1'000'000, 500, 500'000));
    EXPECT_TRUE(complete(1'000'000'000'000, 10'000'000, 0));
    for (const auto& [rate, ms, bytes] : std::initializer_list<std::array<uint64_t, 3>>{{1'000'000, 0, 0},
                                                                                        {0, 0, 0},
                                                                                        {0, 500, 0},
                                                                                        {1'000'000, 500, 400'000},
                                                                                        {1'000'000'000'001, 1, 0},
                                                                                        {1, 10'000'001, 0},
                                                                                        {~0ULL, ~0ULL, ~0ULL},
                                                                                        {0, 1, ~0ULL},
                                                                                        {1, 0, ~0ULL},
                                                                                        {0, 10'000'000, 1}}) {
        auto window = complete(rate, ms, bytes);
        ASSERT_FALSE(window) << rate << " " << ms << " " << bytes;
        EXPECT_EQ(window.error().code, EINVAL);
    }
}

TEST_F(Rm, TheWindowIsTheLogUntilTheFirstJoin) {
    auto window = get<xy_rm_rate_window>(root, s, XY_OPT_RM_RATE_WINDOW);
    EXPECT_EQ(window.rate_bytes_s, 0U);
    EXPECT_EQ(window.window_bytes, 1024U * 1408);
    EXPECT_EQ(set(root, s, XY_OPT_RM_RATE_WINDOW, xy_rm_rate_window{1'000'000, 2000, 0}), 0);
    window = get<xy_rm_rate_window>(root, s, XY_OPT_RM_RATE_WINDOW);
    EXPECT_EQ(window.rate_bytes_s, 1'000'000U);
    EXPECT_EQ(window.window_bytes, 2048U * 1408) << "rounded up to 2^k cells";
    EXPECT_EQ(window.window_ms, 2883U) << "the invariant holds";
    EXPECT_EQ(set(root, s, XY_OPT_RM_RATE_WINDOW, uint32_t{1}), EINVAL);
    EXPECT_EQ(set(root, s, XY_OPT_RM_RATE_WINDOW, xy_rm_rate_window{1, 0, 0}), EINVAL);
    join();
    EXPECT_EQ(set(root, s, XY_OPT_RM_RATE_WINDOW, xy_rm_rate_window{1'000'000, 4000, 0}), EINVAL);
    EXPECT_EQ(get<xy_rm_rate_window>(root, s, XY_OPT_RM_RATE_WINDOW).window_bytes, 2048U * 1408);
}

TEST_F(Rm, WhatHasNoMeaningHereIsRefused) {
    EXPECT_EQ(set(XY_OPT_RM_WINDOW_ADVANCE_METHOD, XY_RM_ADVANCE_BY_TIME), 0);
    EXPECT_EQ(set(XY_OPT_RM_WINDOW_ADVANCE_METHOD, XY_RM_ADVANCE_AS_CACHE), EOPNOTSUPP);
    EXPECT_EQ(set(XY_OPT_RM_WINDOW_ADVANCE_METHOD, 3), EINVAL);
    EXPECT_EQ(get(XY_OPT_RM_WINDOW_ADVANCE_METHOD), uint32_t{XY_RM_ADVANCE_BY_TIME});
    EXPECT_EQ(set(XY_OPT_RM_LATE_JOIN, 0), 0);
    EXPECT_EQ(set(XY_OPT_RM_LATE_JOIN, 75), ENOPROTOOPT);
    EXPECT_EQ(set(XY_OPT_RM_LATE_JOIN, 76), EINVAL);
    EXPECT_EQ(get(XY_OPT_RM_LATE_JOIN), 0U);
    for (const int name : {XY_OPT_RM_SEND_IF, XY_OPT_RM_ADD_RECEIVE_IF, XY_OPT_RM_DEL_RECEIVE_IF})
        EXPECT_EQ(set(name, 1), EOPNOTSUPP);
    for (const int name : {XY_OPT_RM_USE_FEC, XY_OPT_RM_FLUSHCACHE, XY_OPT_RM_MESSAGE_BOUNDARY})
        EXPECT_EQ(set(name, 1), ENOPROTOOPT);
    for (const int name : {XY_OPT_RM_SENDER_STATS, XY_OPT_RM_RECEIVER_STATS})
        EXPECT_EQ(set(name, 1), EINVAL);
    EXPECT_EQ(get_error(XY_OPT_RM_USE_FEC), ENOPROTOOPT);
    EXPECT_EQ(set(46, 1), ENOPROTOOPT);
}

TEST_F(Rm, WhatIsStoredIsReportedAndInherited) {
    EXPECT_EQ(get(XY_OPT_RM_WINDOW_ADVANCE_RATE), 15U);
    EXPECT_EQ(set(XY_OPT_RM_WINDOW_ADVANCE_RATE, 50), 0);
    EXPECT_EQ(set(XY_OPT_RM_WINDOW_ADVANCE_RATE, 51), EINVAL);
    EXPECT_EQ(set(XY_OPT_RM_WINDOW_ADVANCE_RATE, 0), EINVAL);
    EXPECT_EQ(get(XY_OPT_RM_WINDOW_ADVANCE_RATE), 50U);
    EXPECT_EQ(set(XY_OPT_RM_HIGH_SPEED_INTRANET, 7), 0);
    EXPECT_EQ(get(XY_OPT_RM_HIGH_SPEED_INTRANET), 1U);
    EXPECT_EQ(get(XY_OPT_RM_TTL), 64U);
    EXPECT_EQ(set(XY_OPT_RM_TTL, 256), EINVAL);
    EXPECT_EQ(set(XY_OPT_RM_TTL, 2), 0);
    EXPECT_EQ(get(XY_OPT_RM_TTL), 2U);
    join();
    EXPECT_EQ(set(root, f, XY_OPT_RM_TTL, 3U), EINVAL) << "it is the root's";
    EXPECT_EQ(set(leaf, l, XY_OPT_RM_TTL, 3U), EINVAL);
}

TEST_F(Rm, BothSidesCount) {
    EXPECT_EQ((get<xy_rm_sender_stats>(root, s, XY_OPT_RM_SENDER_STATS).data_bytes), 0U);
    join();
    root.commit(s, abi::position(4, 0));
    leaf.commit(l, abi::position(2, 0));
    w.carry();
    auto sent = get<xy_rm_sender_stats>(root, s, XY_OPT_RM_SENDER_STATS);
    EXPECT_GT(sent.data_bytes, 0U);
    EXPECT_GT(sent.total_bytes, 0U);
    EXPECT_EQ(sent.trailing_cell, 0U);
    EXPECT_EQ(sent.leading_cell, 4U);
    EXPECT_EQ(sent.space_bytes, 1020U * 1408);
    EXPECT_EQ((get<xy_rm_sender_stats>(leaf, l, XY_OPT_RM_SENDER_STATS).leading_cell), 2U);
    leaf.reader(l)->consumed = abi::position(3, 0);
    w.carry();
    EXPECT_EQ((get<xy_rm_sender_stats>(root, s, XY_OPT_RM_SENDER_STATS).trailing_cell), 3U);
    EXPECT_EQ((get<xy_rm_receiver_stats>(leaf, l, XY_OPT_RM_RECEIVER_STATS).trailing_cell), 3U);
    static_assert(sizeof(xy_rm_sender_stats) == 13 * 8 && sizeof(xy_rm_receiver_stats) == 18 * 8);
}

}  // namespace xylem::session
