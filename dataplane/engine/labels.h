// SPDX-License-Identifier: Apache-2.0
// Which labels are taken: low bits index the worker's table (index 0 is never given out), the rest is random, so that
// nobody guesses one.
#pragma once
#include <sys/random.h>

#include <cstdint>
#include <vector>

#include "dataplane/stage/label_table.h"

namespace xylem::engine {

class Labels {
  public:
    Labels() {
        for (uint32_t index = (1U << stage::LabelTable::kIndexBits) - 1; index > 0; --index)
            free_.push_back(index);
    }
    /// 0: all are taken.
    uint64_t reserve() {
        if (free_.empty()) return 0;
        const uint32_t index = free_.back();
        free_.pop_back();
        uint64_t random = 0;
        while (random >> stage::LabelTable::kIndexBits == 0)
            if (getrandom(&random, sizeof random, 0) != sizeof random) random = 0;
        return (random >> stage::LabelTable::kIndexBits) << stage::LabelTable::kIndexBits | index;
    }
    void release(uint64_t label) {
        free_.push_back(static_cast<uint32_t>(label & ((1U << stage::LabelTable::kIndexBits) - 1)));
    }

  private:
    std::vector<uint32_t> free_;
};

}  // namespace xylem::engine
