// SPDX-License-Identifier: Apache-2.0
// One thing that a file or a flag says, before anybody has judged it. Both readers (flags.h, toml_reader.h) end here,
// so that a key has one parser, one range check and one wording of its errors wherever it was written.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace xylem::config {

/// `std::monostate`: a TOML type that no key takes (a date, a float, a mixed array).
using Value = std::variant<std::monostate, bool, int64_t, std::string, std::vector<int64_t>, std::vector<std::string>>;

struct Setting {
    std::string key;    ///< name in the file
    Value value;        ///< a flag's value is always a string (or list of strings, or true)
    std::string where;  ///< "xylemd.toml:12: signal_port" or "--signal-port": how errors name it
    bool is_flag = false;
};

/// One [[peer]] entry.
struct PeerEntry {
    std::vector<Setting> settings;
    std::string where;  ///< "xylemd.toml:30: [[peer]]"
};

}  // namespace xylem::config
