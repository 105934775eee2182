// SPDX-License-Identifier: Apache-2.0
// The decisions of signalling as pure functions and values: is a Hello acceptable, which of two connections stays, when
// is a peer silent, which errno does a join see. Time is passed in.
//
// Which connection stays. The dialer sends Hello, the acceptor answers with Hello. Of two instances the greater
// decides: as the acceptor by its answer, as the dialer by a Heartbeat that confirms, or by closing. It holds its
// answer back while a Hello of its own waits for an answer from the same endpoint, so of two simultaneous connections
// its own stays. Either side that has a peer already keeps it and says so (Hello.is_known): a stranger who repeats an
// instance id cannot take a connection over. Invariant: neither side sends a message before the decision, and both see
// the same one.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "control/signalling/instance.h"
#include "control/signalling/messages.pb.h"

namespace xylem::signalling {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

inline constexpr uint32_t kSignallingVersion = 1;
inline constexpr uint32_t kMinHeartbeatMs = 10, kMaxHeartbeatMs = 60000;
inline constexpr uint32_t kSilentIntervals = 3;
inline constexpr size_t kMaxSoftwareBytes = 64;

/// A Hello that was checked.
struct Introduction {
    InstanceId instance{};
    uint16_t data_port = 0;
    uint16_t signal_port = 0;
    uint32_t heartbeat_interval_ms = 0;  ///< within its limits
    std::string software;                ///< printable ASCII, at most kMaxSoftwareBytes
    bool is_known = false;
};
enum class HelloFault : uint8_t { none, version, bad };
/// Fills `out` when there is no fault.
HelloFault check_hello(const proto::Hello& hello, Introduction& out);

/// What the acceptor does with a Hello.
enum class AcceptVerdict : uint8_t {
    self,       ///< answer and close: this daemon dialed itself
    known,      ///< answer with is_known and close
    hold,       ///< answer when the own dial to the same endpoint is decided
    await,      ///< answer; the dialer decides
    establish,  ///< answer; the peer is up
};
AcceptVerdict judge_accepted(const InstanceId& own, const InstanceId& theirs, bool is_up, bool is_own_hello_unanswered);

/// What the dialer does with the answer.
enum class DialVerdict : uint8_t {
    self,       ///< this daemon
    existing,   ///< close: the peer is up already
    wait,       ///< close: the other side has a connection that is not up here; it comes up, or the next dial works
    establish,  ///< the peer is up
    confirm_establish,  ///< send a Heartbeat: the peer is up
};
DialVerdict judge_dialed(const InstanceId& own, const InstanceId& theirs, bool is_up, bool is_known);

/// When to say something, and when a peer that says nothing is lost.
class Liveness {
  public:
    Liveness(Milliseconds own_interval, Milliseconds their_interval, TimePoint now)
        : own_interval_(own_interval), limit_(kSilentIntervals * their_interval), heard_(now), said_(now) {}

    void heard(TimePoint now) { heard_ = now; }
    void said(TimePoint now) { said_ = now; }
    bool is_silent(TimePoint now) const { return now - heard_ >= limit_; }
    bool must_speak(TimePoint now) const { return now - said_ >= own_interval_; }
    /// The next time at which one of the two may become true.
    TimePoint next() const { return std::min(heard_ + limit_, said_ + own_interval_); }
    Milliseconds age(TimePoint now) const { return std::chrono::duration_cast<Milliseconds>(now - heard_); }

  private:
    Milliseconds own_interval_, limit_;
    TimePoint heard_, said_;
};

/// The errno that a join gets for an errno of connect().
int join_errno(int connect_errno);

/// The errno of a refusal that a peer sent: a plausible one, whatever it says.
int refusal_errno(int code);

}  // namespace xylem::signalling
