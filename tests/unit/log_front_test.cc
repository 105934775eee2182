// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>

#include "control/config/log.h"
#include "control/config/service.h"

namespace xylem::log {
namespace {

TEST(Log, AnEventIsLevelAreaSentenceAndFields) {
    EXPECT_EQ(format_event(Level::kInfo, "session", "leaf joined",
                           {{"root", "10.0.0.1:5000"}, {"leaves", 3}, {"invited", true}}),
              "info session: leaf joined root=10.0.0.1:5000 leaves=3 invited=yes");
    EXPECT_EQ(format_event(Level::kWarn, "netlink", "gone", {}), "warn netlink: gone");
}

TEST(Log, ValuesWithBlanksAreQuoted) {
    EXPECT_EQ(format_event(Level::kError, "a", "b", {{"why", "no such \"host\""}, {"empty", ""}}),
              "error a: b why=\"no such \\\"host\\\"\" empty=\"\"");
}

TEST(Log, WhatAPeerSendsCannotMakeASecondLine) {
    const std::string line = format_event(Level::kInfo, "a", "b\nc", {{"text", "x\n2026 error: forged\x1b[2J"}});
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
    EXPECT_NE(line.find("\\x0a"), std::string::npos);
}

TEST(Log, LevelsBelowTheChosenOneAreNotWritten) {
    start(Level::kWarn);
    testing::internal::CaptureStderr();
    info("test", "quiet");
    warn("test", "loud", {{"n", 1}});
    const std::string written = testing::internal::GetCapturedStderr();
    start(Level::kInfo);
    EXPECT_EQ(written.find("quiet"), std::string::npos);
    EXPECT_NE(written.find("Z warn test: loud n=1\n"), std::string::npos) << written;
}

TEST(Service, WithoutAServiceManagerNothingHappens) {
    unsetenv("NOTIFY_SOCKET");
    config::notify_ready();
    config::notify_stopping();
}

}  // namespace
}  // namespace xylem::log
