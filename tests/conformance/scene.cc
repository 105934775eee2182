// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/scene.h"

namespace xylem::conformance {

unsigned root_roles(const Kind& kind) { return XY_C_ROOT | (kind.protocol == XY_PROTO_TREE ? XY_D_ROOT : XY_D_LEAF); }

int open_leaf(Party& party, const Kind& kind) { return must(party.socket(kind, kLeaf), "a leaf's socket"); }

namespace {

Bound bound(Party& party, const Kind& kind, unsigned roles) {
    const int s = must(party.socket(kind, roles), "a socket");
    must(party.bind(s, party.address()), "bind");
    return {party, s, party.name_of(s)};
}

}  // namespace

Bound bound_root(Party& party, const Kind& kind) { return bound(party, kind, root_roles(kind)); }
Bound bound_leaf(Party& party, const Kind& kind) { return bound(party, kind, kLeaf); }

Bound listening_root(Party& party, const Kind& kind, int backlog) {
    const Bound out = bound_root(party, kind);
    must(party.listen(out.s, backlog), "listen");
    return out;
}

Bound listening_leaf(Party& party, const Kind& kind, int backlog) {
    const Bound out = bound_leaf(party, kind);
    must(party.listen(out.s, backlog), "listen");
    return out;
}

Address unused_address(Party& party) {
    const Bound gone = bound_leaf(party);
    must(party.close(gone.s), "close");
    return gone.name;
}

namespace {

/// Ends a join that was started as the socket's mode has it.
void finish_join(Party& party, int s, const Joined& started, bool is_nonblocking) {
    must(started, "the join");
    if (!is_nonblocking) return;
    const Events events = party.await(s, XY_FD_CONNECT);
    must(events, "FD_CONNECT");
    if (const int error = events.error_of[XY_FD_CONNECT_BIT]) must({-1, error}, "the join");
}

}  // namespace

Edge ask(const Bound& root, Party& leaf, const Kind& kind, const JoinWish& wish) {
    const bool is_nonblocking = (kind.type & SOCK_NONBLOCK) != 0;
    const int s = open_leaf(leaf, kind);
    if (is_nonblocking) must(leaf.select(s, XY_FD_CONNECT), "select");
    auto joining = leaf.start_join(s, root.name, wish);
    const int at_root = must(root.party.accept(root.s), "accept");
    finish_join(leaf, s, joining.result(), is_nonblocking);
    if (is_nonblocking) must(leaf.select(s, 0), "select");
    return {at_root, leaf, s};
}

Edge invite(const Bound& root, const Bound& listener, const JoinWish& wish) {
    auto joining = root.party.start_join(root.s, listener.name, wish);
    const int s = must(listener.party.accept(listener.s), "accept");
    const Joined joined = joining.result();
    return {must(joined, "the join"), listener.party, s};
}

std::vector<std::string> hear(Party& party, int s, std::vector<std::string> wanted) {
    std::vector<std::string> heard;
    while (!wanted.empty() || !party.is_quiet(s)) {
        const Received received = party.receive(s);
        must(received, "a message");
        heard.emplace_back(received.text.view());
        std::erase(wanted, heard.back());
    }
    return heard;
}

}  // namespace xylem::conformance
