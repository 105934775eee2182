// SPDX-License-Identifier: Apache-2.0
// Errors of the public API as one sentence: what was tried, on which operand, why it failed, and the cure where one is
// known.
#pragma once
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace xylem::cli {

/// What was being done when an xy_ call failed.
enum class Step {
    kAttach,
    kSocket,
    kBind,
    kListen,
    kInvite,
    kAccept,
    kJoin,
    kQos,
    kSend,
    kReceive,
    kShutdown,
    kStatus
};

/// The error of a failed step: `operand` is the address or path it was about, `code` the errno.
Error failure(Step step, std::string_view operand, int code);

/// What a leaf's or a session's end with this errno means ("its host was lost", …).
std::string end_text(int code);

/// Ctrl-C, as an error.
Error interrupted();

}  // namespace xylem::cli
