// SPDX-License-Identifier: Apache-2.0
// Any bytes as a received frame: taken or refused by name, and nothing is read or pointed to outside of them. Built
// with a libFuzzer main for long runs, and with replay.cc to run the corpus as a test.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "dataplane/packet/parse.h"

using namespace xylem;
using namespace xylem::packet;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void check_payload(const ParsedFrame& parsed) {
    if (parsed.header.type == FrameType::kStatus) {
        const auto status = decode_status(parsed.payload, parsed.payload_len);
        require(!status || status->consumed <= status->published);
    }
    if (parsed.header.type == FrameType::kNak) {
        std::array<NakRange, kMaxNakRanges> ranges;
        const size_t n = decode_nak(parsed.payload, parsed.payload_len, ranges.data());
        for (size_t i = 0; i < n; ++i)
            require(ranges[i].first >> 16 <= ranges[i].last_cell);
    }
}

void check_datagram(const ParsedDatagram& datagram, const uint8_t* begin, const uint8_t* end) {
    std::span<const uint8_t> payload;
    Drop why = Drop::not_ours;
    require(datagram.src.ip.is_set() && datagram.dst.ip.family == datagram.src.ip.family);
    require(datagram.ip >= begin && datagram.udp.data() > datagram.ip &&
            datagram.udp.data() + datagram.udp.size() <= end);
    if (!take_payload(datagram, &payload, &why)) return require(why == Drop::bad_length || why == Drop::bad_checksum);
    require(payload.data() >= begin && payload.data() + payload.size() <= end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
    const std::unique_ptr<uint8_t[]> frame(new uint8_t[size]);  // exactly as long as the input, for the sanitizers
    std::copy(input, input + size, frame.get());
    ParsedFrame parsed;
    ParsedDatagram other;
    Drop why = Drop::not_ours;
    const Parsed what = parse(frame.get(), size, 7471, &parsed, &other, &why);
    require((what == Parsed::kFrame) == parse_frame(frame.get(), size, 7471, &parsed, &why));
    if (what == Parsed::kDatagram) check_datagram(other, frame.get(), frame.get() + size);
    if (what != Parsed::kFrame) {
        require(static_cast<size_t>(why) < kDropCount);
        return 0;
    }
    require(parsed.payload >= frame.get() && parsed.payload + parsed.payload_len <= frame.get() + size);
    require(parsed.header.cell <= kMaxCell && parsed.src.ip.is_set());
    check_payload(parsed);
    return 0;
}
