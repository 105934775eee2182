// SPDX-License-Identifier: Apache-2.0
// Scenes with a nonblocking join that nobody has decided.
#pragma once
#include <cerrno>

#include "tests/conformance/scene.h"

namespace xylem::conformance {

/// A leaf whose join is pending: the root has not decided.
struct PendingLeaf {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    Bound at = listening_root(root);
    int s = open_leaf(leaf, kNonblocking);

    PendingLeaf() {
        must(leaf.select(s, XY_FD_CONNECT | XY_FD_CLOSE), "select");
        must(leaf.join(s, at.name), "join");
    }
    void await_request() {
        root.run([s = at.s] { calls::await_readable(s, kPatienceMs); });
    }
    int outcome() {
        const Events events = leaf.await(s, XY_FD_CONNECT);
        must(events, "FD_CONNECT");
        return events.error_of[XY_FD_CONNECT_BIT];
    }
};

/// A root whose invitation is pending: the leaf has not decided.
struct PendingRoot {
    Party root = on_host(0, "root"), leaf = on_host(1, "leaf");
    Bound at = bound_root(root, kNonblocking), listener = listening_leaf(leaf);
    int f = -1;

    PendingRoot() {
        must(root.select(at.s, XY_FD_CONNECT | XY_FD_CLOSE), "select");
        f = must(root.join(at.s, listener.name), "join");
    }
    void await_request() {
        leaf.run([s = listener.s] { calls::await_readable(s, kPatienceMs); });
    }
    int outcome() {
        const Events events = root.await(at.s, XY_FD_CONNECT);
        must(events, "FD_CONNECT");
        return events.error_of[XY_FD_CONNECT_BIT];
    }
};

/// What accept says of a request whose end is on its way.
inline Accepted accept_ended(Party& party, int s) {
    Accepted accepted;
    do
        accepted = party.accept(s, answer_of(XY_DEFER));
    while (accepted.error == EBUSY);
    return accepted;
}

}  // namespace xylem::conformance
