// SPDX-License-Identifier: Apache-2.0
#include "control/config/value_parsers.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace xylem::config {

std::optional<int64_t> parse_integer(std::string_view text) {
    int64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

Result<std::vector<unsigned>> parse_lcores(std::string_view text) {
    const Error wrong{EINVAL,
                      toml_text(text) + " is no CPU: write the number of one, 0 to " + std::to_string(kMaxLcore)};
    std::vector<unsigned> lcores;
    while (!text.empty()) {
        const size_t comma = text.find(',');
        const std::string_view part = text.substr(0, comma);
        const size_t dash = part.find('-', 1);
        const auto first = parse_integer(part.substr(0, dash));
        const auto last = dash == part.npos ? first : parse_integer(part.substr(dash + 1));
        if (!first || !last || *first < 0 || *last < *first || *last > kMaxLcore) return wrong;
        for (int64_t cpu = *first; cpu <= *last; ++cpu) {
            if (std::find(lcores.begin(), lcores.end(), cpu) != lcores.end()) return wrong;
            lcores.push_back(static_cast<unsigned>(cpu));
        }
        if (comma == text.npos) break;
        text.remove_prefix(comma + 1);
        if (text.empty()) return wrong;
    }
    return lcores;
}

std::string lcores_text(const std::vector<unsigned>& lcores) {
    std::string out;
    for (size_t i = 0; i < lcores.size();) {
        size_t end = i + 1;
        while (end < lcores.size() && lcores[end] == lcores[end - 1] + 1)
            ++end;
        if (!out.empty()) out += ',';
        out += std::to_string(lcores[i]);
        if (end - i > 1) out += "-" + std::to_string(lcores[end - 1]);
        i = end;
    }
    return out;
}

std::string toml_text(std::string_view text) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7F) {
            out.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
        } else {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
    }
    return out += '"';
}

}  // namespace xylem::config
