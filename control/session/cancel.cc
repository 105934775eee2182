// SPDX-License-Identifier: Apache-2.0
// A blocking join that its thread gave up (xy_cancel, W-240 … W-244).
#include <cerrno>

#include "control/session/scope.h"

namespace xylem::session {

Reply Sessions::cancel_join(App& app, uint32_t id) {
    Scope scope(*this);
    return Reply(find(app, id) == nullptr ? ENOTSOCK : EOPNOTSUPP);
}

}  // namespace xylem::session
