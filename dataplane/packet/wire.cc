// SPDX-License-Identifier: Apache-2.0
#include "dataplane/packet/wire.h"

#include <cassert>

#include "dataplane/packet/byte_order.h"

namespace xylem::packet {
namespace {

bool is_known_type(uint8_t type) { return type >= 1 && type <= 4; }

bool is_possible_position(uint64_t position) { return position % 8 == 0; }

}  // namespace

void encode_header(const Header& header, uint8_t* out) {
    out[0] = static_cast<uint8_t>(kWireVersion << 4 | static_cast<uint8_t>(header.type));
    out[1] = header.flags;
    store_be<uint16_t>(out + 2, header.offset);
    store_be<uint64_t>(out + 4, header.label);
    store_be<uint16_t>(out + 12, static_cast<uint16_t>(header.cell >> 32));
    store_be<uint32_t>(out + 14, static_cast<uint32_t>(header.cell));
    store_be<uint32_t>(out + 18, header.packet_number);
}

bool decode_header(const uint8_t* bytes, size_t len, Header* out, Drop* why) {
    if (len < kHeaderBytes) {
        *why = Drop::truncated;
        return false;
    }
    if (bytes[0] >> 4 != kWireVersion) {
        *why = Drop::bad_version;
        return false;
    }
    const uint8_t type = bytes[0] & 0x0F;
    if (!is_known_type(type)) {
        *why = Drop::wrong_type;
        return false;
    }
    out->type = static_cast<FrameType>(type);
    out->flags = bytes[1];
    out->offset = load_be<uint16_t>(bytes + 2);
    out->label = load_be<uint64_t>(bytes + 4);
    out->cell = static_cast<uint64_t>(load_be<uint16_t>(bytes + 12)) << 32 | load_be<uint32_t>(bytes + 14);
    out->packet_number = load_be<uint32_t>(bytes + 18);
    return true;
}

void encode_status(const Status& status, uint8_t* out) {
    store_be<uint64_t>(out, status.consumed);
    store_be<uint64_t>(out + 8, status.published);
    store_be<uint32_t>(out + 16, status.highest_packet_number);
    store_be<uint32_t>(out + 20, status.window_cells);
    store_be<uint32_t>(out + 24, 0);
}

std::optional<Status> decode_status(const uint8_t* payload, size_t len) {
    if (len != kStatusBytes) return std::nullopt;
    Status status;
    status.consumed = load_be<uint64_t>(payload);
    status.published = load_be<uint64_t>(payload + 8);
    status.highest_packet_number = load_be<uint32_t>(payload + 16);
    status.window_cells = load_be<uint32_t>(payload + 20);
    if (!is_possible_position(status.consumed) || !is_possible_position(status.published)) return std::nullopt;
    if (status.consumed > status.published) return std::nullopt;
    return status;
}

size_t encode_nak(const NakRange* ranges, size_t n, uint8_t* out) {
    assert(n >= 1 && n <= kMaxNakRanges);
    for (size_t i = 0; i < n; ++i, out += kNakRangeBytes) {
        store_be<uint64_t>(out, ranges[i].first);
        store_be<uint64_t>(out + 8, ranges[i].last_cell);
    }
    return n * kNakRangeBytes;
}

size_t decode_nak(const uint8_t* payload, size_t len, NakRange* out) {
    const size_t n = len / kNakRangeBytes;
    if (len % kNakRangeBytes != 0 || n == 0 || n > kMaxNakRanges) return 0;
    for (size_t i = 0; i < n; ++i, payload += kNakRangeBytes) {
        out[i] = {load_be<uint64_t>(payload), load_be<uint64_t>(payload + 8)};
        if (!is_possible_position(out[i].first) || out[i].last_cell > kMaxCell) return 0;
        if (out[i].first >> 16 > out[i].last_cell) return 0;
    }
    return n;
}

}  // namespace xylem::packet
