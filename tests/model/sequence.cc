// SPDX-License-Identifier: Apache-2.0
#include "tests/model/sequence.h"

#include <chrono>

#include "tests/model/generator.h"

namespace xylem::model {

namespace {

constexpr std::chrono::seconds kShrinkFor{30};

struct Kind3 {
    int family, type;
};

Random random_of(uint64_t seed, uint64_t number) { return Random(seed * 0x9E3779B97F4A7C15ULL + number); }

Kind3 kind_of(Random& random) {
    const int types[] = {SOCK_RDM, SOCK_STREAM, SOCK_DGRAM, SOCK_RDM};
    const int family = random.one_in(4) ? AF_INET6 : AF_INET;
    return {family, types[random.below(4)]};
}

World world_of(const Place& place, uint64_t number, const Kind3& kind, Coverage& coverage) {
    return World(place.channels, place.first_port, kind.family, kind.type, number + 1, coverage);
}

// Runs the steps, then what `next` gives until it has no more.
template <class Next>
Outcome run(const Place& place, uint64_t number, const Kind3& kind, Coverage& coverage, int deadline_ms, Next next) {
    Outcome outcome;
    World world = world_of(place, number, kind, coverage);
    world.set_deadline(deadline_ms);
    try {
        Op op;
        while (next(world, op)) {
            outcome.ops.push_back(op);
            world.perform(op);
        }
        world.finish();
    } catch (const Mismatch& mismatch) {
        outcome.disagreement = mismatch.what();
        world.abandon();
    }
    outcome.script = world.script();
    outcome.n_calls = world.n_calls();
    return outcome;
}

Outcome replay(const Place& place, uint64_t seed, uint64_t number, const std::vector<Op>& ops) {
    Random random = random_of(seed, number);
    const Kind3 kind = kind_of(random);
    Coverage ignored;
    size_t at = 0;
    return run(place, number, kind, ignored, kShrinkDeadlineMs, [&](World&, Op& op) {
        if (at == ops.size()) return false;
        op = ops[at++];
        return true;
    });
}

}  // namespace

Outcome run_sequence(const Place& place, uint64_t seed, uint64_t number, Coverage& coverage) {
    Random random = random_of(seed, number);
    const Kind3 kind = kind_of(random);
    const uint32_t n_steps = 10 + random.below(51);
    uint32_t n = 0;
    return run(place, number, kind, coverage, kDeadlineMs, [&](World& world, Op& op) {
        if (n == n_steps) return false;
        op = next_op(world, random, ++n);
        return true;
    });
}

Outcome shrink(const Place& place, uint64_t seed, uint64_t number, const Outcome& failed) {
    const auto until = std::chrono::steady_clock::now() + kShrinkFor;
    Outcome best = failed;
    for (size_t piece = std::max<size_t>(best.ops.size() / 2, 1); piece != 0; piece /= 2) {
        for (size_t at = 0; at < best.ops.size() && std::chrono::steady_clock::now() < until;) {
            std::vector<Op> fewer = best.ops;
            const size_t end = std::min(at + piece, fewer.size());
            fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(at), fewer.begin() + static_cast<ptrdiff_t>(end));
            Outcome tried = replay(place, seed, number, fewer);
            if (tried.disagreement)
                best = std::move(tried);
            else
                at += piece;
        }
    }
    return best;
}

}  // namespace xylem::model
