// SPDX-License-Identifier: Apache-2.0
// Tells the service manager (systemd, Type=notify) how far the daemon is. Without $NOTIFY_SOCKET both do nothing.
#pragma once

namespace xylem::config {

/// Apps may attach.
void notify_ready();

/// The daemon has begun its clean stop.
void notify_stopping();

}  // namespace xylem::config
