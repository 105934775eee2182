// SPDX-License-Identifier: Apache-2.0
// Small parsers of values that are more than a number or a word. Errors are one sentence about the value; who calls
// puts the place in front.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace xylem::config {

/// A decimal integer, all of `text`.
std::optional<int64_t> parse_integer(std::string_view text);

/// "2,4-6" → 2 4 5 6. Empty text: empty list. No CPU twice, none above kMaxLcore.
Result<std::vector<unsigned>> parse_lcores(std::string_view text);
inline constexpr unsigned kMaxLcore = 1023;

/// The same list in that syntax, ranges folded.
std::string lcores_text(const std::vector<unsigned>& lcores);

/// `text` as a TOML string with its quotes.
std::string toml_text(std::string_view text);

}  // namespace xylem::config
