// SPDX-License-Identifier: Apache-2.0
#include "tests/model/generator.h"

#include <initializer_list>

namespace xylem::model {

uint64_t Random::next() {  // splitmix64
    uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

namespace {

constexpr size_t kMaxNodes = 12;

Kind any(Random& random, std::initializer_list<Kind> kinds) {
    return kinds.begin()[random.below(static_cast<uint32_t>(kinds.size()))];
}

// What a program would do next with such a socket.
Kind sensible(const Node& s, Random& random) {
    if (!s.queue.empty() && !random.one_in(3)) return Kind::kAccept;
    if (s.is_handle()) return any(random, {Kind::kEnumerate, Kind::kNames, Kind::kClose, Kind::kSelect, Kind::kPoll});
    if (s.is_root()) {
        if (!s.local) return any(random, {Kind::kBind, Kind::kBind, Kind::kJoin, Kind::kSelect});
        if (!s.is_listening && random.one_in(2))
            return any(random, {Kind::kListen, Kind::kListen, Kind::kJoin, Kind::kBlockingJoin});
        if (s.n_live() != 0)
            return any(random, {Kind::kSend, Kind::kSend, Kind::kSend, Kind::kReceive, Kind::kReceive, Kind::kEnumerate,
                                Kind::kLeafStats, Kind::kJoin, Kind::kClose, Kind::kShutdown, Kind::kSendDisconnect});
        return any(random, {Kind::kJoin, Kind::kBlockingJoin, Kind::kEnumerate, Kind::kSelect, Kind::kReceive});
    }
    if (s.is_listening)
        return any(random, {Kind::kAccept, Kind::kEnumerate, Kind::kListen, Kind::kSelect, Kind::kPoll});
    if (s.is_joined() && !s.has_ended())
        return any(random, {Kind::kSend, Kind::kSend, Kind::kReceive, Kind::kReceive, Kind::kReceive, Kind::kEnumerate,
                            Kind::kClose, Kind::kShutdown, Kind::kSendDisconnect, Kind::kStats});
    if (s.has_ended())
        return any(random, {Kind::kReceive, Kind::kReceive, Kind::kEnumerate, Kind::kReceiveDisconnect, Kind::kClose});
    if (s.pending != nullptr) return any(random, {Kind::kEnumerate, Kind::kClose, Kind::kJoin, Kind::kPoll});
    return any(random,
               {Kind::kJoin, Kind::kJoin, Kind::kJoin, Kind::kBlockingJoin, Kind::kBind, Kind::kSelect, Kind::kListen});
}

const Node* pick(const World& world, Random& random) {
    auto at = world.nodes().begin();
    std::advance(at, random.below(static_cast<uint32_t>(world.nodes().size())));
    return at->second.get();
}

// Whom a join is for: as a rule one that listens in the other role.
uint32_t pick_target(const World& world, Random& random, const Node& s) {
    const Node* any_node = pick(world, random);
    if (random.one_in(8)) return any_node->id;
    uint32_t found = 0, n = 0;
    for (const auto& [id, node] : world.nodes())
        if (node->is_listening && node->is_root() != s.is_root() && random.below(++n) == 0) found = id;
    return found;
}

}  // namespace

Op next_op(const World& world, Random& random, uint32_t uid) {
    Op op;
    op.uid = uid;
    for (uint32_t& r : op.r)
        r = static_cast<uint32_t>(random.next() >> 33);
    const size_t n = world.nodes().size();
    if (n == 0 || (n < 5 && random.one_in(3)) || (n < kMaxNodes && random.one_in(15))) {
        op.kind = random.one_in(20) ? Kind::kMakeBadly : Kind::kMake;
        return op;
    }
    const Node& s = *pick(world, random);
    op.s = s.id;
    constexpr auto kFirst = static_cast<uint32_t>(Kind::kBind), kEnd = static_cast<uint32_t>(Kind::kCount);
    op.kind = random.one_in(4) ? static_cast<Kind>(kFirst + random.below(kEnd - kFirst)) : sensible(s, random);
    if (op.kind == Kind::kClose && !random.one_in(3)) op.kind = Kind::kEnumerate;
    op.t = pick_target(world, random, s);
    return op;
}

}  // namespace xylem::model
