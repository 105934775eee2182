// SPDX-License-Identifier: Apache-2.0
#include "control/config/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <memory>

namespace xylem::log {
namespace {

constexpr std::string_view kLevelNames[] = {"error", "warn", "info", "debug"};

std::atomic<Level> max_level{Level::kInfo};  // relaxed: a level that changes a moment late hurts nobody

spdlog::logger& logger() {
    static spdlog::logger the_logger = [] {
        auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        sink->set_formatter(
            std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %v", spdlog::pattern_time_type::utc));
        spdlog::logger made("xylem", std::move(sink));
        made.set_level(spdlog::level::trace);  // our own level decides
        made.flush_on(spdlog::level::trace);
        return made;
    }();
    return the_logger;
}

void append_escaped(std::string& line, std::string_view text, bool is_quoted) {
    static constexpr char kHex[] = "0123456789abcdef";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F) {
            line += "\\x";
            line += kHex[byte >> 4];
            line += kHex[byte & 15];
        } else {
            if (is_quoted && (c == '"' || c == '\\')) line += '\\';
            line += c;
        }
    }
}

bool needs_quotes(std::string_view value) {
    return value.empty() || value.find_first_of(" \"\\=\t\n") != std::string_view::npos;
}

}  // namespace

void start(Level level) { max_level.store(level, std::memory_order_relaxed); }

bool enabled(Level level) { return level <= max_level.load(std::memory_order_relaxed); }

std::string format_event(Level level, std::string_view area, std::string_view sentence, Fields fields) {
    std::string line(kLevelNames[static_cast<unsigned>(level)]);
    line.append(" ").append(area).append(": ");
    append_escaped(line, sentence, false);
    for (const Field& field : fields) {
        const bool is_quoted = needs_quotes(field.value);
        line.append(" ").append(field.key).append(is_quoted ? "=\"" : "=");
        append_escaped(line, field.value, is_quoted);
        if (is_quoted) line += '"';
    }
    return line;
}

void write(Level level, std::string_view area, std::string_view sentence, Fields fields) {
    if (!enabled(level)) return;
    try {
        logger().log(spdlog::level::info, spdlog::string_view_t(format_event(level, area, sentence, fields)));
    } catch (...) {  // out of memory or no standard error: an event less, but the daemon goes on
    }
}

}  // namespace xylem::log
