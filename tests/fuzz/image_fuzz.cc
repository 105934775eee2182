// SPDX-License-Identifier: Apache-2.0
// Any order of any frames and events into an image: positions only grow, ranges stay inside the window, and a reader
// that follows the rules always gets on or is told that the sender is hostile.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "dataplane/log/image.h"
#include "tests/unit/reference_reader.h"

using namespace xylem;
using namespace xylem::log;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

/// Takes values off the input; 0 when it is used up.
struct Input {
    const uint8_t* at;
    size_t left;
    uint8_t byte() { return left == 0 ? 0 : (--left, *at++); }
    uint64_t word() {
        uint64_t value = 0;
        for (int i = 0; i < 8; ++i)
            value = value << 8 | byte();
        return value;
    }
    /// Mostly near `base`, sometimes anywhere.
    uint64_t near(uint64_t base) {
        const uint8_t how = byte();
        if (how < 200) return base + how % 80 - 8;
        return how < 240 ? base + how * 100ULL : word() >> (how % 32);
    }
};

struct Run {
    explicit Run(uint32_t flags)
        : image(std::move(*Image::create({.geometry = kGeometry, .flags = flags, .reorder_time = 20}))) {}
    static constexpr abi::Geometry kGeometry{256, 6};

    void frame(Input& input) {
        alignas(8) std::array<uint8_t, 65536> bytes{};
        for (size_t i = 0; i < 32; ++i)
            bytes[i * 8] = input.byte();
        DataFrame frame{
            input.near(image.published() >> 16), input.byte() * 8U, input.byte() * 8U, false, false, bytes.data()};
        const uint8_t flags = input.byte();
        frame.starts_at_boundary = (flags & 1) != 0;
        frame.ends_cell = (flags & 2) != 0;
        image.accept(frame, now);
    }

    void event(Input& input) {
        const Position position = input.near(image.published() >> 16) << 16 | (input.byte() & 31) * 8U;
        switch (input.byte() % 6) {
            case 0:
                if (!image.is_live()) {
                    image.go_live(position % 256 == position % 65536 && position >> 16 < kLast ? position : 0, now);
                    reader.emplace(image.fd(), kGeometry, image.start());
                }
                break;
            case 1:
                image.note_end(position);
                break;
            case 2:
                image.set_final(position, now);
                break;
            case 3:
                image.set_oldest_needed(position);
                break;
            case 4:
                now += input.byte();
                image.on_timer(now);
                break;
            default:
                for (unsigned i = 0; reader && i < 20000 && reader->step(); ++i)
                    require(i < 19999);
        }
    }

    void check() {
        require(image.published() >= last_published || !image.is_live() || !was_live);
        last_published = image.published();
        was_live = image.is_live();
        NakRange ranges[64];
        const unsigned n = image.missing(ranges, 64);
        for (unsigned i = 0; i < n; ++i) {
            require(ranges[i].first >> 16 <= ranges[i].last_cell && ranges[i].first >= image.published());
            require(ranges[i].last_cell < (image.oldest_needed() >> 16) + kGeometry.cells());
        }
    }

    static constexpr uint64_t kLast = (1ULL << 48) - 1;
    Image image;
    std::optional<test::ReferenceReader> reader;
    Position last_published = 0;
    bool was_live = false;
    uint64_t now = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
    Input input{bytes, std::min<size_t>(size, 4096)};
    Run run((input.byte() & 1) != 0 ? abi::kImageReliable : 0);
    while (input.left > 0) {
        if (input.byte() % 4 != 0)
            run.frame(input);
        else
            run.event(input);
        run.check();
    }
    return 0;
}
