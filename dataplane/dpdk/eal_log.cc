// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/eal_log.h"

#include <rte_log.h>

#include <cstdio>
#include <cstring>
#include <mutex>

namespace xylem::dpdk {
namespace {

constexpr size_t kMaxLine = 512;

struct LogState {
    std::mutex lock;
    EalLogSink sink = nullptr;
    char line[kMaxLine];
    size_t length = 0;
    std::string complaint;
};

LogState& state() {
    static LogState only;
    return only;
}

void end_line(LogState& log) {
    log.line[log.length] = '\0';
    const unsigned level = static_cast<unsigned>(rte_log_cur_msg_loglevel());
    if (log.length != 0) {
        if (level <= RTE_LOG_ERR && log.complaint.empty()) log.complaint = log.line;
        if (log.sink != nullptr) log.sink(level, log.line);
    }
    log.length = 0;
}

ssize_t write_log(void*, const char* text, size_t length) {
    LogState& log = state();
    const std::lock_guard guard(log.lock);
    for (size_t i = 0; i < length; ++i) {
        if (text[i] == '\n')
            end_line(log);
        else if (log.length + 1 < kMaxLine)
            log.line[log.length++] = text[i];
    }
    return static_cast<ssize_t>(length);
}

}  // namespace

void capture_eal_log(EalLogSink sink) {
    state().sink = sink;
    static FILE* stream = nullptr;
    if (stream == nullptr) {
        stream = fopencookie(nullptr, "w", cookie_io_functions_t{nullptr, write_log, nullptr, nullptr});
        if (stream != nullptr) setvbuf(stream, nullptr, _IOLBF, kMaxLine);
    }
    if (stream != nullptr) rte_openlog_stream(stream);
}

void forget_eal_complaint() {
    const std::lock_guard guard(state().lock);
    state().complaint.clear();
}

std::string eal_complaint() {
    const std::lock_guard guard(state().lock);
    return state().complaint;
}

}  // namespace xylem::dpdk
