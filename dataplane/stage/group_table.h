// SPDX-License-Identifier: Apache-2.0
// From (port, group, UDP port) to the image of that group: a table of chains through the images, so that joining and
// leaving allocate nothing. The worker alone touches it. Applications choose the groups: the hash is keyed, so that
// they cannot choose one chain for all.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>

#include "dataplane/stage/rx_image.h"

namespace xylem::stage {

class GroupTable {
  public:
    GroupTable() : buckets_(std::make_unique<RxImage*[]>(1U << kBits)) {
        std::random_device random;
        for (uint64_t& key : keys_)
            key = static_cast<uint64_t>(random()) << 32 | random();
    }

    RxImage* find(const Endpoint& group, uint32_t port) const {
        if (n_ == 0) return nullptr;
        RxImage* image = buckets_[bucket_of(group, port)];
        while (image != nullptr && (image->group_port != port || image->group != group))
            image = image->next_in_bucket;
        return image;
    }
    void add(RxImage& image) {
        RxImage*& first = buckets_[bucket_of(image.group, image.group_port)];
        image.next_in_bucket = first;
        first = &image;
        ++n_;
    }
    void remove(RxImage& image) {
        RxImage** at = &buckets_[bucket_of(image.group, image.group_port)];
        while (*at != nullptr && *at != &image)
            at = &(*at)->next_in_bucket;
        if (*at == nullptr) return;
        *at = image.next_in_bucket;
        --n_;
    }
    size_t size() const { return n_; }

  private:
    static constexpr unsigned kBits = 14;

    size_t bucket_of(const Endpoint& group, uint32_t port) const {
        uint64_t words[2];
        std::memcpy(words, group.ip.bytes.data(), sizeof words);
        uint64_t hash = mix(words[0] ^ keys_[0]);
        hash = mix((hash ^ words[1]) + keys_[1]);
        hash = mix((hash ^ (static_cast<uint64_t>(port) << 16 | group.port)) + keys_[2]);
        return hash >> (64 - kBits);
    }
    /// The finalizer of SplitMix64.
    static uint64_t mix(uint64_t x) {
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
        x = (x ^ x >> 27) * 0x94D049BB133111EB;
        return x ^ x >> 31;
    }

    std::unique_ptr<RxImage*[]> buckets_;
    uint64_t keys_[3];
    size_t n_ = 0;
};

}  // namespace xylem::stage
