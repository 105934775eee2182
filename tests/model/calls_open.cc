// SPDX-License-Identifier: Apache-2.0
// Making, binding, listening, names and options (W-005 … W-016, W-042, W-061, W-070, W-105, W-141, W-304).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/model/world.h"

namespace xylem::model {

void World::make(const Op& op) {
    const bool is_root = op.r[0] % 5 < 2;
    // A socket of another type is there to be refused.
    const int types[] = {SOCK_RDM, SOCK_STREAM, SOCK_DGRAM};
    const int type = op.r[0] / 5 % 20 == 0 ? types[op.r[0] / 100 % 3] : type_;
    const bool is_nonblocking = op.r[2] % 4 != 0;
    const unsigned worker = op.r[1] % kWorkers;
    const int flags = is_root ? XY_C_ROOT | XY_D_ROOT : XY_C_LEAF | XY_D_LEAF;
    const Reply reply = ask_worker(
        worker,
        request_for(Call::kSocket, -1, family_, type | (is_nonblocking ? SOCK_NONBLOCK : 0), XY_PROTO_TREE, flags));
    check(nullptr, is_root ? "socket(c_root) s" + std::to_string(op.uid) : "socket(c_leaf) s" + std::to_string(op.uid),
          reply, {0});
    Node& s = add_node(op.uid, worker, static_cast<int>(reply.result), is_root ? Node::Role::kRoot : Node::Role::kLeaf);
    s.type = type;
    s.is_nonblocking = is_nonblocking;
}

void World::make_badly(const Op& op) {
    struct Case {
        int family, type, protocol;
        unsigned flags;
        int error;
    };
    static const Case kCases[] = {
        {AF_UNIX, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF, EAFNOSUPPORT},
        {-1, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF, EAFNOSUPPORT},
        {AF_INET, SOCK_RAW, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF, ESOCKTNOSUPPORT},
        {AF_INET, SOCK_SEQPACKET, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF, ESOCKTNOSUPPORT},
        {AF_INET, SOCK_RDM, 3, XY_C_LEAF | XY_D_LEAF, EPROTONOSUPPORT},
        {AF_INET, SOCK_RDM, -1, XY_C_LEAF | XY_D_LEAF, EPROTONOSUPPORT},
        {AF_INET, SOCK_STREAM, XY_PROTO_GROUP, XY_C_LEAF | XY_D_LEAF, EPROTOTYPE},
        {AF_INET, SOCK_RDM, XY_PROTO_TREE, 0, EINVAL},
        {AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT, EINVAL},
        {AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_D_LEAF, EINVAL},
        {AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_C_LEAF | XY_D_LEAF, EINVAL},
        {AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_ROOT | XY_D_ROOT | XY_D_LEAF, EINVAL},
        {AF_INET, SOCK_RDM, XY_PROTO_TREE, XY_C_LEAF | XY_D_LEAF | 0x20, EINVAL},
        {AF_INET, SOCK_RDM, XY_PROTO_MESH, XY_C_ROOT | XY_D_ROOT, EINVAL},
        {AF_INET, SOCK_DGRAM, XY_PROTO_GROUP, XY_C_ROOT | XY_D_LEAF, EINVAL},
    };
    const Case& c = kCases[op.r[0] % std::size(kCases)];
    const Reply reply = ask_worker(
        op.r[1] % kWorkers, request_for(Call::kSocket, -1, c.family, c.type, c.protocol, static_cast<int>(c.flags)));
    check(nullptr, "socket(bad)", reply, {c.error});
}

bool World::is_held(const Address& address) const {
    return std::any_of(nodes_.begin(), nodes_.end(),
                       [&](const auto& entry) { return entry.second->owns_address && entry.second->local == address; });
}

void World::bind(Node& s, const Op& op) {
    Address wanted;
    wanted.is_wildcard = op.r[0] % 6 == 0;
    wanted.port = op.r[1] % 7 == 0 ? 0 : static_cast<uint16_t>(first_port_ + op.r[1] / 7 % kPortsPerWorld);
    Request request = request_for(Call::kBind, s.fd);
    put_address(request, wanted);
    int error = 0;
    switch (op.r[2] % 24) {
        case 0:
            request.address_bytes = 4;
            error = EFAULT;
            break;
        case 1:
            request.address.ss_family = family_ == AF_INET ? AF_INET6 : AF_INET;
            error = EAFNOSUPPORT;
            break;
        case 2:  // documentation addresses are nobody's
            reinterpret_cast<unsigned char*>(&request.address)[family_ == AF_INET ? 4 : 8] = 0x31;
            error = s.is_handle() || s.local ? EINVAL : EADDRNOTAVAIL;
            break;
        default:
            if (s.is_handle() || s.local)
                error = EINVAL;
            else if (wanted.port != 0 && is_held(wanted))
                error = EADDRINUSE;
    }
    const Reply reply = ask(s, request);
    if (check(&s, "bind(" + text_of(wanted) + ")", reply, {error}) != 0) return;
    s.local = wanted;
    s.owns_address = true;
    check_local(s);
}

// getsockname tells what was bound, and what the system has chosen.
void World::check_local(Node& s) {
    const Reply reply = ask(s, request_for(Call::kName, s.fd, 0));
    if (check(&s, "getsockname()", reply, {0}) != 0) return;
    const Address told = address_of(reply);
    if (told.port == 0) fail("getsockname tells port 0");
    if (s.local->port == 0) {
        if (is_held(told)) fail("the system chose an address that is taken");
        s.local->port = told.port;
    }
    if (told != *s.local) fail("getsockname tells " + text_of(told) + ", the model says " + text_of(*s.local));
}

void World::listen(Node& s, const Op& op) {
    const int backlogs[] = {1, 2, 3, 5, 0, -7, 1'000'000};
    const int backlog = backlogs[op.r[0] % std::size(backlogs)];
    std::set<int> allowed{0};
    if (s.is_handle() || !s.local || (s.is_leaf() && s.has_ended()) || (s.is_root() && s.is_finishing))
        allowed = {EINVAL};
    else if (s.is_leaf() && s.edge != nullptr)
        allowed = {EISCONN};
    if (s.is_leaf() && s.has_ended()) allowed = {EINVAL, EISCONN};
    settle(s);
    Request request = request_for(Call::kListen, s.fd, backlog);
    if (allowed.contains(0)) {
        request.patience = Patience::kNap;  // a join that was refused is not told to have been yet
        request.passing[0] = EISCONN;
    }
    if (check(&s, "listen(" + std::to_string(backlog) + ")", ask(s, request), allowed) != 0) return;
    s.is_listening = true;
    s.has_been_member = true;
    s.backlog = static_cast<unsigned>(std::clamp(backlog, 1, 1024));
    while (s.queue.size() > s.backlog) {  // W-070
        Edge* surplus = s.queue.back();
        s.queue.pop_back();
        refuse(*surplus);
    }
}

void World::names(Node& s) {
    if (s.local && !s.is_handle())
        check_local(s);
    else if (!s.is_handle())
        check(&s, "getsockname()", ask(s, request_for(Call::kName, s.fd, 0)), {EINVAL});
    settle(s);
    const Reply reply = ask(s, request_for(Call::kName, s.fd, 1));
    const bool was_joined = !s.is_root() && s.is_joined();
    std::set<int> allowed{ENOTCONN};
    if (was_joined) allowed = {0};
    if (was_joined && !s.is_live()) allowed = {0, ENOTCONN};
    if (check(&s, "getpeername()", reply, allowed) != 0) return;
    const Address told = address_of(reply), peer = s.is_handle() ? s.edge->leaf_address : s.edge->root_address;
    if (told != peer) fail("getpeername tells " + text_of(told) + ", the model says " + text_of(peer));
}

void World::options(Node& s, const Op& op) {
    struct Known {
        int level, name;
        int64_t value;
    };
    const int role_direction = !s.is_leaf() || !s.is_joined() ? -1 : static_cast<int>(s.edge->direction);
    const Known known[] = {{SOL_SOCKET, SO_TYPE, s.type},
                           {SOL_SOCKET, SO_DOMAIN, family_},
                           {SOL_SOCKET, SO_PROTOCOL, XY_PROTO_TREE},
                           {SOL_SOCKET, SO_ACCEPTCONN, s.is_listening ? 1 : 0},
                           {XY_SOL, XY_OPT_RELIABILITY, s.type == SOCK_DGRAM ? 0 : 1},
                           {XY_SOL, XY_OPT_DIRECTION, role_direction}};
    const Known& k = known[op.r[0] % std::size(known)];
    settle(s);
    const Reply reply = ask(s, request_for(Call::kGetOption, s.fd, k.level, k.name));
    check(&s, "getsockopt(" + std::to_string(k.name) + ")", reply, {0});
    int32_t value = 0;
    std::memcpy(&value, reply.data.data(), std::min(sizeof value, reply.data.size()));
    if (k.value >= 0 && value != k.value && !(k.name == SO_ACCEPTCONN && s.is_finishing))
        fail("option " + std::to_string(k.name) + " is " + std::to_string(value) + ", the model says " +
             std::to_string(k.value));
    Request wrong = request_for(Call::kSetOption, s.fd, op.r[1] % 2 != 0 ? XY_SOL : SOL_SOCKET, 7000);
    wrong.data = "abcd";
    check(&s, "setsockopt(unknown)", ask(s, wrong), {ENOPROTOOPT});
}

void World::set_blocking(Node& s, const Op& op) {
    const int value = op.r[0] % 3 != 0 ? 1 : 0;
    const int error = value == 0 && s.mask != 0 ? EINVAL : 0;
    if (check(&s, "FIONBIO(" + std::to_string(value) + ")", ask(s, request_for(Call::kSetBlocking, s.fd, value)),
              {error}) == 0)
        s.is_nonblocking = value != 0;
}

void World::set_linger(Node& s, const Op& op) {
    const struct linger value { static_cast<int>(op.r[0] % 2), 0 };
    Request request = request_for(Call::kSetOption, s.fd, SOL_SOCKET, SO_LINGER);
    request.data.assign(reinterpret_cast<const char*>(&value), sizeof value);
    check(&s, value.l_onoff != 0 ? "linger(0)" : "linger(off)", ask(s, request), {0});
    s.linger_s = value.l_onoff != 0 ? 0 : -1;
}

}  // namespace xylem::model
