// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "control/cli/bench_message.h"
#include "control/cli/failure.h"
#include "control/cli/options.h"
#include "control/cli/sockaddr.h"
#include "dataplane/base/address_text.h"

namespace xylem::cli {
namespace {

Result<Options> parse(std::vector<const char*> words) {
    words.insert(words.begin(), "xylem");
    return parse_options(static_cast<int>(words.size()), words.data());
}

std::vector<std::byte> message(size_t bytes, uint64_t sequence) {
    std::vector<std::byte> out(bytes);
    fill_message(out, sequence);
    return out;
}

TEST(Options, RootWaitsForOneReliableLeafUnlessTold) {
    const auto options = parse({"root", "127.0.0.1:7000"});
    ASSERT_TRUE(options);
    EXPECT_EQ(options->command, Command::kRoot);
    EXPECT_EQ(options->type, SOCK_RDM);
    EXPECT_EQ(options->leaves, 1U);
    EXPECT_EQ(to_string(options->address), "127.0.0.1:7000");
}

TEST(Options, InvitedLeavesCountAmongThoseWaitedFor) {
    const auto invited = parse({"root", "127.0.0.1:7000", "--invite", "127.0.0.1:1,127.0.0.1:2"});
    const auto both = parse({"root", "127.0.0.1:7000", "--invite", "127.0.0.1:1,127.0.0.1:2", "--leaves", "5"});
    const auto fewer = parse({"root", "127.0.0.1:7000", "--invite", "127.0.0.1:1,127.0.0.1:2", "--leaves", "1"});
    ASSERT_TRUE(invited && both);
    EXPECT_EQ(invited->leaves, 2U);
    EXPECT_EQ(both->leaves, 5U);
    ASSERT_FALSE(fewer);
    EXPECT_NE(fewer.error().what.find("--leaves 1"), std::string::npos);
}

TEST(Options, SizesHaveSuffixesOfPowersOf1024) {
    const auto options = parse({"root", "127.0.0.1:7000", "--rate", "2M", "--message-bytes", "4K"});
    ASSERT_TRUE(options);
    EXPECT_EQ(options->rate, 2U << 20);
    EXPECT_EQ(options->message_bytes, 4096U);
}

TEST(Options, WrongUsageNamesTheOperand) {
    struct Case {
        std::vector<const char*> words;
        const char* named;
    };
    const Case cases[] = {{{"frob"}, "frob"},
                          {{"leaf", "--bogus"}, "--bogus"},
                          {{"leaf"}, "ADDR:PORT"},
                          {{"root", "1.2.3.4"}, "1.2.3.4"},
                          {{"root", "1.2.3.4:0"}, "1.2.3.4:0"},
                          {{"root", "::1:70"}, "::1:70"},
                          {{"root", "1.2.3.4:5", "--type", "tcp"}, "tcp"},
                          {{"root", "1.2.3.4:5", "--invite", "[::1]:7"}, "[::1]:7"},
                          {{"root", "1.2.3.4:5", "--rate", "0"}, "--rate 0"},
                          {{"bench", "send", "1.2.3.4:5", "--messages", "1", "--message-bytes", "8"}, "8"}};
    for (const Case& wrong : cases) {
        const auto options = parse(wrong.words);
        ASSERT_FALSE(options) << wrong.named;
        EXPECT_NE(options.error().what.find(wrong.named), std::string::npos) << options.error().what;
        EXPECT_EQ(options.error().what.find('\n'), std::string::npos) << options.error().what;
    }
}

TEST(Options, EndpointSurvivesTheWayThroughASocketAddress) {
    for (const char* text : {"192.0.2.7:7000", "[2001:db8::7]:65535"}) {
        const auto endpoint = parse_endpoint(text);
        ASSERT_TRUE(endpoint) << text;
        EXPECT_EQ(to_string(to_socket_address(*endpoint).storage), text);
    }
}

TEST(Failure, SentenceNamesStepOperandReasonAndCure) {
    const Error error = failure(Step::kBind, "192.0.2.1:7000", EADDRINUSE);
    EXPECT_EQ(error.code, EADDRINUSE);
    EXPECT_NE(error.what.find("192.0.2.1:7000"), std::string::npos);
    EXPECT_NE(error.what.find(std::strerror(EADDRINUSE)), std::string::npos);
    EXPECT_NE(error.what.find("choose another"), std::string::npos);
}

TEST(BenchMessage, SumIsCrc32c) {
    const std::string digits = "123456789";
    EXPECT_EQ(crc32c(std::as_bytes(std::span(digits))), 0xE3069283U);
}

TEST(BenchMessage, MessagesInOrderAreFlawless) {
    MessageChecker checker;
    for (uint64_t i = 0; i < 100; ++i)
        checker.check(message(16 + i, i));
    EXPECT_EQ(checker.n_messages(), 100U);
    EXPECT_EQ(checker.n_missing(), 0U);
    EXPECT_EQ(checker.n_corrupt(), 0U);
}

TEST(BenchMessage, SinkCountsWhatIsMissing) {
    MessageChecker checker;
    checker.check(message(64, 0));
    checker.check(message(64, 3));
    EXPECT_EQ(checker.n_missing(), 2U);
}

TEST(BenchMessage, SinkFindsEveryFlippedByteRepetitionAndCut) {
    const auto good = message(64, 0);
    for (size_t i = 0; i < good.size(); ++i) {
        MessageChecker checker;
        auto bad = good;
        bad[i] ^= std::byte{1};
        checker.check(bad);
        EXPECT_EQ(checker.n_corrupt(), 1U) << "byte " << i;
    }
    MessageChecker checker;
    checker.check(good);
    checker.check(good);
    checker.check(std::span(good).first(63));
    EXPECT_EQ(checker.n_corrupt(), 2U);
}

}  // namespace
}  // namespace xylem::cli
