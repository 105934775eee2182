// SPDX-License-Identifier: Apache-2.0
// Signalling messages as bytes: a frame is a length (uint32, big-endian) and that many bytes of Envelope. Pure.
// Invariant: what a peer sends is hostile. A reader holds no more than one frame beyond what it was fed, decides about
// a length before its bytes arrive, and after an error yields nothing more.
#pragma once
#include <xylem/qos.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "control/signalling/messages.pb.h"
#include "dataplane/base/address.h"

namespace xylem::signalling {

/// The longest Envelope, without its length.
inline constexpr size_t kMaxEnvelopeBytes = 65536;
inline constexpr size_t kLengthBytes = 4;

/// Appends `envelope` as a frame to `out`. False, and `out` as it was: the envelope is longer than a frame may be.
bool append_frame(const proto::Envelope& envelope, std::string& out);

/// What FrameReader::next() found. From `oversized` on: the stream is broken for good.
enum class FrameStatus : uint8_t {
    incomplete,  ///< no whole frame is there: feed more
    complete,    ///< an envelope was taken out
    oversized,   ///< a length above kMaxEnvelopeBytes
    malformed,   ///< the bytes are no Envelope
    empty,       ///< an Envelope without a message that this version knows
};

/// Takes a stream of bytes apart, in whatever chunks it comes.
class FrameReader {
  public:
    FrameReader();
    /// Takes over a copy of `chunk`.
    void feed(std::span<const uint8_t> chunk);
    /// The next envelope. `envelope` is valid only with `complete`.
    FrameStatus next(proto::Envelope& envelope);
    /// Bytes fed and not yet taken.
    size_t held_bytes() const { return held_.size() - taken_bytes_; }

  private:
    FrameStatus fail(FrameStatus status);

    std::string held_;
    size_t taken_bytes_ = 0;
    FrameStatus failure_ = FrameStatus::incomplete;
};

proto::Address to_proto(const Endpoint& endpoint);
/// Nothing: `address` has not 4 or 16 bytes, or a port above 65535.
std::optional<Endpoint> from_proto(const proto::Address& address);

proto::FlowSpec to_proto(const xy_flowspec& flowspec);
xy_flowspec from_proto(const proto::FlowSpec& flowspec);
/// Provider-specific data does not travel.
proto::Qos to_proto(const xy_qos& qos);
xy_qos from_proto(const proto::Qos& qos);

}  // namespace xylem::signalling
