// SPDX-License-Identifier: Apache-2.0
// The table of configuration keys: type, unit, limits and meaning of each, and how it gets into a Config and out again.
// Everything that lists keys (flags, effective configuration, xylemd.toml.example, docs/configuration.md,
// xylemd.toml(5)) is made from it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "control/config/config.h"
#include "control/config/setting.h"
#include "dataplane/base/result.h"

namespace xylem::config {

enum class KeyType : uint8_t { kBoolean, kInteger, kText, kTexts, kIntegers };

struct Key {
    std::string_view name;
    std::string_view flag;      ///< "--signal-port", or empty: file only
    std::string_view flag_arg;  ///< what --help calls the flag's value
    KeyType type;
    std::string_view unit;           ///< of the value: "ms", "TCP port", …
    std::string_view limits;         ///< in words; for integers made from min and max when empty
    int64_t min, max;                ///< integers and elements of integer lists
    std::string_view default_words;  ///< instead of show(Config{}), where the default is not one value
    std::string_view about;          ///< one or two sentences
    /// Takes over a value that has the right type and range. The error's sentence lacks the place: apply() puts it in
    /// front.
    Result<void> (*set)(Config&, const Value&);
    /// The value in TOML syntax.
    std::string (*show)(const Config&);
};

std::span<const Key> keys();

/// The key of that name, or null.
const Key* find_key(std::string_view name);

/// The limits of `key` in words.
std::string limits_of(const Key& key);

/// The default of `key` as documentation shows it.
std::string default_of(const Key& key);

/// Checks one setting's name, type and limits, and takes it over. Flags' strings are converted to the key's type.
Result<void> apply(Config& config, const Setting& setting);

/// Checks and takes over one [[peer]] entry.
Result<void> apply_peer(Config& config, const PeerEntry& entry);

/// What can only be judged when everything is known (memif ports need lab_ports).
Result<void> check_together(const Config& config);

/// Text of xylemd.toml.example: every key, commented out, with meaning, unit, default and limits.
std::string example_text();

/// Text of docs/configuration.md.
std::string reference_text();

/// Text of docs/man/xylemd.toml.5.
std::string manual_text();

}  // namespace xylem::config
