// SPDX-License-Identifier: Apache-2.0
// The open descriptors of this process: libraries keep theirs to themselves, and some of them we need.
#pragma once
#include <vector>

namespace xylem {

/// All open descriptors of this process, ascending. They may be closed by other threads before the caller looks at
/// them.
std::vector<int> list_fds();

}  // namespace xylem
