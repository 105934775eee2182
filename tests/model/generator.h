// SPDX-License-Identifier: Apache-2.0
// Random steps: mostly such as make sense for a socket in its state, and often enough such as do not.
#pragma once
#include "tests/model/world.h"

namespace xylem::model {

/// Its own, so that a seed gives the same sequences everywhere.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next();
    uint32_t below(uint32_t n) { return static_cast<uint32_t>(next() >> 32) % n; }
    bool one_in(uint32_t n) { return below(n) == 0; }

  private:
    uint64_t state_;
};

Op next_op(const World& world, Random& random, uint32_t uid);

}  // namespace xylem::model
