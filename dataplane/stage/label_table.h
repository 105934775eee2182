// SPDX-License-Identifier: Apache-2.0
// From a label on the wire to what it names: the low bits index the table, the rest must match. A label names at most
// one image (data comes in for it) and at most one replica (its feedback comes in). The worker alone touches the
// entries; control picks the labels.
#pragma once
#include <cstdint>
#include <memory>

namespace xylem::stage {

struct RxImage;
struct Replica;

class LabelTable {
  public:
    static constexpr unsigned kIndexBits = 16;

    struct Entry {
        uint64_t label = 0;  // 0: free
        RxImage* image = nullptr;
        Replica* replica = nullptr;
    };

    LabelTable() : entries_(std::make_unique<Entry[]>(1U << kIndexBits)) {}

    const Entry* find(uint64_t label) const {
        const Entry& entry = entries_[label & ((1U << kIndexBits) - 1)];
        return entry.label == label && label != 0 ? &entry : nullptr;
    }
    void set_image(uint64_t label, RxImage* image) { at(label).image = image; }
    void set_replica(uint64_t label, Replica* replica) { at(label).replica = replica; }
    void clear(uint64_t label) { entries_[label & ((1U << kIndexBits) - 1)] = {}; }

  private:
    Entry& at(uint64_t label) {
        Entry& entry = entries_[label & ((1U << kIndexBits) - 1)];
        entry.label = label;
        return entry;
    }
    std::unique_ptr<Entry[]> entries_;
};

}  // namespace xylem::stage
