// SPDX-License-Identifier: Apache-2.0
// The daemon's structured log: one line per event on standard error, `time level area: sentence key=value …`.
// Invariant: an event is one line whatever a peer or an app put into its values: control characters are escaped, values
// with blanks are quoted. Never used by workers (STYLE: hot path).
#pragma once
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "control/config/config.h"

namespace xylem::log {

using Level = config::LogLevel;

/// One `key=value`. Made in place from strings, booleans and numbers: {"leaves", 3}.
struct Field {
    Field(std::string_view key, std::string_view value) : key(key), value(value) {}
    Field(std::string_view key, const char* value) : key(key), value(value) {}
    Field(std::string_view key, const std::string& value) : key(key), value(value) {}
    template <class Number>
    requires std::integral<Number> || std::floating_point<Number> Field(std::string_view key, Number number)
        : key(key) {
        if constexpr (std::same_as<Number, bool>)
            value = number ? "yes" : "no";
        else
            value = std::to_string(number);
    }

    std::string_view key;
    std::string value;
};
using Fields = std::initializer_list<Field>;

/// Sets what is written; before the first call events of level info and graver are. Thread: before others log.
void start(Level level);

/// Whether an event of that level would be written.
bool enabled(Level level);

/// Writes one event. Any thread; never throws.
void write(Level level, std::string_view area, std::string_view sentence, Fields fields);

/// The line without its time (the pure part of write()).
std::string format_event(Level level, std::string_view area, std::string_view sentence, Fields fields);

inline void error(std::string_view area, std::string_view sentence, Fields fields = {}) {
    write(Level::kError, area, sentence, fields);
}
inline void warn(std::string_view area, std::string_view sentence, Fields fields = {}) {
    write(Level::kWarn, area, sentence, fields);
}
inline void info(std::string_view area, std::string_view sentence, Fields fields = {}) {
    write(Level::kInfo, area, sentence, fields);
}
inline void debug(std::string_view area, std::string_view sentence, Fields fields = {}) {
    write(Level::kDebug, area, sentence, fields);
}

}  // namespace xylem::log
