// SPDX-License-Identifier: Apache-2.0
// Reads a configuration file into settings (toml++ stays behind this header).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "control/config/setting.h"
#include "dataplane/base/result.h"

namespace xylem::config {

struct FileSettings {
    std::vector<Setting> settings;
    std::vector<PeerEntry> peers;
};

/// Error: EINVAL with "PATH:LINE: …", one line.
Result<FileSettings> parse_toml(std::string_view text, const std::string& path);

/// Error: the errno of opening or reading, or parse_toml's.
Result<FileSettings> read_toml_file(const std::string& path);

}  // namespace xylem::config
