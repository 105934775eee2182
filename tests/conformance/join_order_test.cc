// SPDX-License-Identifier: Apache-2.0
// docs/winsock.md W-051: the order in which a join's checks are made, by two faults in one call.
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "tests/conformance/scene.h"

namespace xylem::conformance {
namespace {

/// The call as it is made; faults change it.
struct Call {
    int s = -1;
    Address name;
    JoinWish wish;
};

/// A fault of an argument.
struct Wrong {
    const char* what;
    int error;
    void (*make)(Call& call);
};

/// A leaf's socket in a state that a join fails in.
struct State {
    const char* what;
    int error;
};

/// In the order of W-051.
const Wrong kWrongs[] = {
    {"bad flags", EINVAL, [](Call& call) { call.wish.flags = 0; }},
    {"a short name", EFAULT, [](Call& call) { call.name.length = 4; }},
    {"caller data too long", EFAULT, [](Call& call) { call.wish.caller = std::string(XY_CONNECT_DATA_MAX + 1, 'x'); }},
    {"another family", EAFNOSUPPORT, [](Call& call) { call.name.storage.ss_family = AF_INET6; }},
    {"address 0", EADDRNOTAVAIL, [](Call& call) { call.name = Address::of("0.0.0.0", 7000); }},
    {"port 0", EADDRNOTAVAIL, [](Call& call) { call.name = call.name.with_port(0); }},
    {"a bad flow spec", EINVAL,
     [](Call& call) {
         call.wish.has_qos = true;
         call.wish.qos.sending.service_type = 0x7FFF;
     }},
};
constexpr size_t kBadFlowSpec = 6;  // its place

class JoinOrder : public testing::Test {
  protected:
    Done join_with(int s, const std::vector<const Wrong*>& wrongs) {
        Call call{s, at_.name, {}};
        for (auto wrong = wrongs.rbegin(); wrong != wrongs.rend(); ++wrong)
            (*wrong)->make(call);
        return leaf_.join(call.s, call.name, call.wish);
    }
    int open() { return open_leaf(leaf_, {SOCK_RDM | SOCK_NONBLOCK}); }
    /// Every argument fault that comes after `s`'s state is hidden by it, every one before it shows.
    void expect_between(int s, const State& state, size_t n_before) {
        for (size_t i = 0; i < std::size(kWrongs); ++i) {
            const int expected = i < n_before ? kWrongs[i].error : state.error;
            EXPECT_THAT(join_with(s, {&kWrongs[i]}), Fails(expected)) << state.what << " and " << kWrongs[i].what;
        }
    }

    Party root_ = on_host(0, "root"), leaf_ = on_host(1, "leaf");
    Bound at_ = listening_root(root_);
};

TEST_F(JoinOrder, W_051_ArgumentsAmongThemselves) {
    XY_ROW("A-19");
    const int s = open();
    for (size_t i = 0; i < std::size(kWrongs); ++i) {
        EXPECT_THAT(join_with(s, {&kWrongs[i]}), Fails(kWrongs[i].error)) << kWrongs[i].what;
        for (size_t j = i + 1; j < std::size(kWrongs); ++j)
            EXPECT_THAT(join_with(s, {&kWrongs[i], &kWrongs[j]}), Fails(kWrongs[i].error))
                << kWrongs[i].what << " and " << kWrongs[j].what;
    }
}

TEST_F(JoinOrder, W_051_ClosedDescriptorFirstOfAll) {
    XY_ROW("A-19");
    const int s = open();
    must(leaf_.close(s), "close");
    expect_between(s, {"a closed descriptor", ENOTSOCK}, 0);
}

TEST_F(JoinOrder, W_051_ListeningLeafWithTheInvalid) {
    XY_ROW("A-19");
    const Bound listener = listening_leaf(leaf_, {SOCK_RDM | SOCK_NONBLOCK});
    expect_between(listener.s, {"a listening leaf", EINVAL}, 0);
}

TEST_F(JoinOrder, W_051_PendingJoinAfterTheArguments) {
    XY_ROW("A-19");
    const int s = open();
    must(leaf_.join(s, at_.name), "join");
    expect_between(s, {"a pending join", EALREADY}, kBadFlowSpec);
}

TEST_F(JoinOrder, W_051_SessionAfterTheArguments) {
    XY_ROW("A-19");
    const Edge edge = ask(at_, leaf_, {SOCK_RDM | SOCK_NONBLOCK});
    expect_between(edge.s, {"a session", EISCONN}, kBadFlowSpec);
}

TEST_F(JoinOrder, W_051_AddressInUseLast) {
    XY_ROW("A-19");
    const Bound owner = bound_leaf(leaf_);
    const int s = open();
    must(leaf_.bind(s, Address::of("0.0.0.0", owner.name.port())), "bind");
    expect_between(s, {"an address in use", EADDRINUSE}, std::size(kWrongs));
    EXPECT_THAT(join_with(s, {}), Fails(EADDRINUSE));
}

/// xy_join_leaf from inside a condition function: what is decided there is not yet over.
TEST_F(JoinOrder, W_051_ConditionFunctionBeforeTheArguments) {
    XY_ROW("A-19");
    must(leaf_.join(open(), at_.name), "join");
    struct Codes {
        int closed, flags, name;
    };
    const auto codes = root_.run([s = at_.s] {
        calls::await_poll(s, POLLIN, kPatienceMs);
        Codes out{};
        const auto condition = [](const xy_request*, xy_data* callee, void* arg) {
            auto& told = *static_cast<Codes*>(arg);
            const int leaf = xy_socket(AF_INET, SOCK_RDM, XY_PROTO_TREE, kLeaf);
            const auto code = [](int fd, unsigned flags) {
                return done(xy_join_leaf(fd, nullptr, 0, nullptr, nullptr, nullptr, nullptr, flags)).error;
            };
            told = {code(-1, 0), code(leaf, 0), code(leaf, XY_BOTH)};
            callee->len = 0;
            return XY_ACCEPT;
        };
        xy_accept(s, nullptr, nullptr, condition, &out);
        return out;
    });
    EXPECT_EQ(codes.closed, ENOTSOCK);
    EXPECT_EQ(codes.flags, EINPROGRESS);
    EXPECT_EQ(codes.name, EINPROGRESS);
}

}  // namespace
}  // namespace xylem::conformance
