// SPDX-License-Identifier: Apache-2.0
// GROUP: nonrooted sessions, plain UDP over IP multicast (W-090 … W-093, W-290 … W-295, W-310 … W-313).
#include <cerrno>

#include "control/session/scope.h"

namespace xylem::session {

Reply Sessions::destination(App& app, uint32_t id, const abi::AddressBody&) {
    Scope scope(*this);
    return Reply(find(app, id) == nullptr ? ENOTSOCK : EOPNOTSUPP);
}

}  // namespace xylem::session
