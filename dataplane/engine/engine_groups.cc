// SPDX-License-Identifier: Apache-2.0
// GROUP: destinations of a stream, and the images that datagrams come into.
#include <algorithm>
#include <cerrno>

#include "dataplane/engine/engine_impl.h"

namespace xylem::engine {

namespace {

constexpr uint32_t kMaxPacketBytes = 65535;

/// Of the 16 bytes an IPv4 address uses 4; the rest is zero wherever addresses are compared.
IpAddress normal(const IpAddress& ip) { return ip.is_v4() ? IpAddress::v4(ip.v4_be()) : ip; }

abi::GroupReceived received_from(const Endpoint& source, uint8_t family, uint64_t origin) {
    abi::GroupReceived from{};
    std::copy(source.ip.bytes.begin(), source.ip.bytes.end(), from.address);
    from.port = source.port;
    from.family = family;
    from.origin = origin;
    return from;
}

}  // namespace

stage::GroupRoute EngineImpl::route_to(const GroupDestination& destination, const Stream& stream) {
    const Path& path = destination.path;
    stage::GroupRoute route;
    route.dest = {normal(destination.dest.ip), destination.dest.port};
    route.port = destination.port;
    const Endpoint source{normal(path.source.ip), path.source.port};
    route.sender = received_from(source, route.dest.ip.family, abi::group_origin(stream.app, stream.socket));
    if (destination.port == kLocalPort || !destination.reaches_wire || path.ttl == 0) return route;
    route.egress = egress_of(destination.port);
    route.is_up = path.is_up;
    if (!path.is_up) return route;
    route.header = packet::UdpTemplate({path.source_mac, path.dest_mac, source, route.dest, path.tos, path.ttl});
    const uint32_t headers = route.dest.ip.is_v6() ? packet::kIpv6UdpBytes : packet::kIpv4UdpBytes;
    const uint32_t mtu = std::min({path.mtu, ports_[destination.port].port->mtu(), kMaxPacketBytes});
    route.max_payload_bytes = mtu > headers ? mtu - headers : 0;
    return route;
}

Result<void> EngineImpl::set_destination(Stream* stream, uint32_t index, const GroupDestination& destination) {
    if (!stream->datagrams) return Error{EINVAL, "only datagram streams of groups have destinations"};
    if (index >= abi::kMaxDestinations)
        return Error{EINVAL, "destination " + std::to_string(index) + ": a socket has at most " +
                                 std::to_string(abi::kMaxDestinations)};
    if (destination.port != kLocalPort && !has_port(destination.port))
        return Error{EINVAL, "there is no port " + std::to_string(destination.port)};
    const IpAddress &to = destination.dest.ip, &from = destination.path.source.ip;
    const bool needs_source = destination.port != kLocalPort && destination.path.is_up;
    if (!to.is_set() || (from.family != to.family && (from.is_set() || needs_source)))
        return Error{EINVAL, "a destination and its source address are of one family"};
    post(
        [=, route = route_to(destination, *stream)](Worker& worker) { worker.set_destination(*stream, index, route); });
    return {};
}

Result<Image*> EngineImpl::add_group_image(const GroupImageSpec& spec) {
    const Endpoint group{normal(spec.group.ip), spec.group.port};
    if (!group.ip.is_multicast()) return Error{EINVAL, "not the address of a group"};
    if (group.port == 0 || group.port == data_port_)
        return Error{EINVAL, "UDP port " + std::to_string(group.port) + " takes no datagrams of a group"};
    if (spec.port != kLocalPort && !has_port(spec.port))
        return Error{EINVAL, "there is no port " + std::to_string(spec.port)};
    if (groups_.contains({spec.port, group})) return Error{EEXIST, "the group has an image on this port already"};
    log::ImageConfig config;
    config.geometry = spec.geometry;
    config.flags = abi::kImageGroup;
    auto memory = log::Image::create(config);
    if (!memory) return memory.error();
    memory->go_live(0, 0);
    if (auto steered = steer(group, spec.port); !steered) return steered.error();
    auto* image = new Image(std::move(*memory));
    images_.insert(image);
    image->readable.id = waker_->next_id();
    image->group = group;
    image->group_port = spec.port;
    post([image](Worker& worker) { worker.add_image(*image); });
    return image;
}

Result<void> EngineImpl::steer(const Endpoint& group, uint32_t port) {
    if (port != kLocalPort)
        if (auto added = ports_[port].port->add_group(group.ip, group.port); !added) return added;
    groups_.insert({port, group});
    return {};
}

/// At once, so that the group may be joined anew before the worker has taken its image out.
void EngineImpl::stop_steering(const Endpoint& group, uint32_t port) {
    groups_.erase({port, group});
    if (port != kLocalPort) (void)ports_[port].port->remove_group(group.ip, group.port);
}

}  // namespace xylem::engine
