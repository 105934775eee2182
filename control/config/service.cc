// SPDX-License-Identifier: Apache-2.0
#include "control/config/service.h"

#include <systemd/sd-daemon.h>

namespace xylem::config {

void notify_ready() { sd_notify(0, "READY=1"); }

void notify_stopping() { sd_notify(0, "STOPPING=1"); }

}  // namespace xylem::config
