// SPDX-License-Identifier: Apache-2.0
// One command of an application to the call of session::Sessions that does it. Pure but for that call. The size of
// every request is checked here: what has another size is no command (the connection ends), so no handler reads beyond
// what came.
#pragma once
#include <cstddef>
#include <optional>
#include <span>

#include "control/session/sessions.h"

namespace xylem::api {

/// Runs the command; `respond` is called once, now or later. False: it is malformed (size, magic, version, an op that
/// there is not, kAttach again), and `respond` is not called.
[[nodiscard]] bool dispatch(session::Sessions& sessions, session::App& app, std::span<const std::byte> message,
                            const session::Respond& respond);

/// The header of a message, if it is one.
std::optional<abi::RequestHeader> header_of(std::span<const std::byte> message);

}  // namespace xylem::api
