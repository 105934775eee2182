// SPDX-License-Identifier: Apache-2.0
#include "control/signalling/codec.h"

#include <google/protobuf/stubs/logging.h>

namespace xylem::signalling {
namespace {

uint32_t load_length(const char* bytes) {
    uint32_t length = 0;
    for (size_t i = 0; i < kLengthBytes; i++)
        length = length << 8 | static_cast<uint8_t>(bytes[i]);
    return length;
}

// A peer's malformed text would otherwise become a line of the library's own on standard error.
void silence_library() {
    static const auto former = google::protobuf::SetLogHandler(nullptr);
    (void)former;
}

}  // namespace

bool append_frame(const proto::Envelope& envelope, std::string& out) {
    size_t length = envelope.ByteSizeLong();
    if (length > kMaxEnvelopeBytes) return false;
    for (size_t i = 0; i < kLengthBytes; i++)
        out.push_back(static_cast<char>(length >> 8 * (kLengthBytes - 1 - i)));
    return envelope.AppendPartialToString(&out);
}

FrameReader::FrameReader() { silence_library(); }

void FrameReader::feed(std::span<const uint8_t> chunk) {
    if (failure_ != FrameStatus::incomplete) return;
    held_.erase(0, taken_bytes_);
    taken_bytes_ = 0;
    held_.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
}

FrameStatus FrameReader::next(proto::Envelope& envelope) {
    if (failure_ != FrameStatus::incomplete) return failure_;
    if (held_bytes() < kLengthBytes) return FrameStatus::incomplete;
    const char* frame = held_.data() + taken_bytes_;
    size_t length = load_length(frame);
    if (length > kMaxEnvelopeBytes) return fail(FrameStatus::oversized);
    if (held_bytes() < kLengthBytes + length) return FrameStatus::incomplete;
    if (!envelope.ParseFromArray(frame + kLengthBytes, static_cast<int>(length))) return fail(FrameStatus::malformed);
    if (envelope.kind_case() == proto::Envelope::KIND_NOT_SET) return fail(FrameStatus::empty);
    taken_bytes_ += kLengthBytes + length;
    return FrameStatus::complete;
}

FrameStatus FrameReader::fail(FrameStatus status) {
    held_.clear();
    taken_bytes_ = 0;
    return failure_ = status;
}

proto::Address to_proto(const Endpoint& endpoint) {
    proto::Address address;
    if (endpoint.ip.is_set()) address.set_ip(endpoint.ip.bytes.data(), endpoint.ip.is_v4() ? 4 : 16);
    address.set_port(endpoint.port);
    return address;
}

std::optional<Endpoint> from_proto(const proto::Address& address) {
    const std::string& ip = address.ip();
    if ((ip.size() != 4 && ip.size() != 16) || address.port() > UINT16_MAX) return std::nullopt;
    Endpoint endpoint;
    endpoint.ip.family = ip.size() == 4 ? IpAddress::kV4 : IpAddress::kV6;
    std::memcpy(endpoint.ip.bytes.data(), ip.data(), ip.size());
    endpoint.port = static_cast<uint16_t>(address.port());
    return endpoint;
}

proto::FlowSpec to_proto(const xy_flowspec& flowspec) {
    proto::FlowSpec out;
    out.set_token_rate(flowspec.token_rate);
    out.set_token_bucket_size(flowspec.token_bucket_size);
    out.set_peak_bandwidth(flowspec.peak_bandwidth);
    out.set_latency(flowspec.latency);
    out.set_delay_variation(flowspec.delay_variation);
    out.set_service_type(flowspec.service_type);
    out.set_max_sdu_size(flowspec.max_sdu_size);
    out.set_minimum_policed_size(flowspec.minimum_policed_size);
    return out;
}

xy_flowspec from_proto(const proto::FlowSpec& flowspec) {
    return xy_flowspec{
        .token_rate = flowspec.token_rate(),
        .token_bucket_size = flowspec.token_bucket_size(),
        .peak_bandwidth = flowspec.peak_bandwidth(),
        .latency = flowspec.latency(),
        .delay_variation = flowspec.delay_variation(),
        .service_type = flowspec.service_type(),
        .max_sdu_size = flowspec.max_sdu_size(),
        .minimum_policed_size = flowspec.minimum_policed_size(),
        .reserved = 0,
    };
}

proto::Qos to_proto(const xy_qos& qos) {
    proto::Qos out;
    *out.mutable_sending() = to_proto(qos.sending);
    *out.mutable_receiving() = to_proto(qos.receiving);
    return out;
}

xy_qos from_proto(const proto::Qos& qos) {
    xy_qos out{};
    out.sending = from_proto(qos.sending());
    out.receiving = from_proto(qos.receiving());
    return out;
}

}  // namespace xylem::signalling
