// SPDX-License-Identifier: Apache-2.0
// Side chats: private data between a root and one leaf, on the root's descriptor of that leaf (W-099).
#include <cerrno>

#include "control/session/scope.h"

namespace xylem::session {

Reply Sessions::side_chat(App& app, uint32_t id) {
    Scope scope(*this);
    return Reply(find(app, id) == nullptr ? ENOTSOCK : EOPNOTSUPP);
}

}  // namespace xylem::session
