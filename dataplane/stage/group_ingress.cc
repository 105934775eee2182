// SPDX-License-Identifier: Apache-2.0
#include "dataplane/stage/group_ingress.h"

#include <xylem/abi/record.h>

#include <algorithm>

namespace xylem::stage {

void take_datagram(const packet::ParsedDatagram& datagram, const InPort& port, Context& context) {
    RxImage* image = context.groups.find(datagram.dst, port.index);
    if (image == nullptr) return context.drops.add(Drop::not_ours);
    std::span<const uint8_t> payload;
    Drop why;
    if (!packet::take_payload(datagram, &payload, &why)) return context.drops.add(why);
    abi::GroupReceived from{};
    std::copy(datagram.src.ip.bytes.begin(), datagram.src.ip.bytes.end(), from.address);
    from.port = datagram.src.port;
    from.family = datagram.src.ip.family;
    from.ifindex = port.ifindex;
    store_datagram(*image, from, payload, context);
}

void store_datagram(RxImage& image, const abi::GroupReceived& from, std::span<const uint8_t> payload,
                    Context& context) {
    const std::span prefix(reinterpret_cast<const uint8_t*>(&from), sizeof from);
    if (!image.image.append(prefix, payload)) [[unlikely]]
        return context.drops.add(Drop::image_too_small);
    image.received_bytes.add(abi::record_bytes(static_cast<uint32_t>(prefix.size() + payload.size())));
    context.touched.add(image);
}

}  // namespace xylem::stage
