// SPDX-License-Identifier: Apache-2.0
// Reads the daemon's command line (CLI11 stays behind this header).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "control/config/setting.h"
#include "dataplane/base/result.h"

namespace xylem::config {

struct Flags {
    std::vector<Setting> settings;
    std::optional<std::string> config_path;  ///< of --config
    std::string answer_only;                 ///< text of --help or --version
};

/// Error: EINVAL with one line naming the flag.
Result<Flags> read_flags(int argc, const char* const* argv);

}  // namespace xylem::config
