// SPDX-License-Identifier: Apache-2.0
// What most plays begin with: sockets that are bound and listen, and joins that succeed. All of it throws when it does
// not come about.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/conformance/party.h"

/// A row of strength R says which reading of the documents it follows.
#define XY_ROW(reading) \
    SCOPED_TRACE("the documents are silent or disagree: reading " reading " of docs/winsock.md, section 6")

namespace xylem::conformance {

inline constexpr unsigned kRoot = XY_C_ROOT | XY_D_ROOT;
inline constexpr unsigned kLeaf = XY_C_LEAF | XY_D_LEAF;

inline constexpr Kind kNonblocking{SOCK_RDM | SOCK_NONBLOCK};

inline Party on_host(size_t i, const char* name) { return {host(i), name}; }

/// A socket of a party, bound to its host's address.
struct Bound {
    Party& party;
    int s;
    Address name;
};

/// XY_D_ROOT where the protocol's data plane is rooted.
unsigned root_roles(const Kind& kind);
int open_leaf(Party& party, const Kind& kind = {});
Bound bound_root(Party& party, const Kind& kind = {});
Bound bound_leaf(Party& party, const Kind& kind = {});
Bound listening_root(Party& party, const Kind& kind = {}, int backlog = 16);
Bound listening_leaf(Party& party, const Kind& kind = {}, int backlog = 16);
/// An address of the party's host where nobody listens.
Address unused_address(Party& party);

/// A joined leaf: the root's descriptor of it, and its own socket.
struct Edge {
    int at_root;
    Party& leaf;
    int s;
};
/// A leaf that asks and is accepted. Its socket is made blocking (as `kind` says).
Edge ask(const Bound& root, Party& leaf, const Kind& kind = {}, const JoinWish& wish = {});
/// A listening leaf that is invited and accepts.
Edge invite(const Bound& root, const Bound& listener, const JoinWish& wish = {});

/// What the party receives on `s`: waits until all of `wanted` have come, and then for what must not come.
std::vector<std::string> hear(Party& party, int s, std::vector<std::string> wanted);

}  // namespace xylem::conformance
