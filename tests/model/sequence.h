// SPDX-License-Identifier: Apache-2.0
// One sequence: made from a seed, run in a world, and shrunk when the product and the model disagree.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tests/model/world.h"

namespace xylem::model {

/// Where a sequence runs: its channels to the workers, and ports that no other world uses.
struct Place {
    std::array<int, kWorkers> channels{};
    uint16_t first_port = 0;
};

struct Outcome {
    std::vector<Op> ops;
    std::string script;
    std::optional<std::string> disagreement;
    uint64_t n_calls = 0;
};

/// Makes the steps of sequence `number` while it runs them. `limit`: at most so many steps.
Outcome run_sequence(const Place& place, uint64_t seed, uint64_t number, Coverage& coverage);

/// The shortest that it finds within a few seconds which still disagrees.
Outcome shrink(const Place& place, uint64_t seed, uint64_t number, const Outcome& failed);

}  // namespace xylem::model
