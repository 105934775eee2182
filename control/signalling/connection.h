// SPDX-License-Identifier: Apache-2.0
// One connection: envelopes in, envelopes out, its deadlines. It knows no peers and no Hello; its owner does.
// Invariant: the owner hears of the end exactly once, unless it ended the connection itself, and never from within a
// call of a member function. What is sent in one turn of the event loop leaves in one write.
#pragma once
#include <array>
#include <asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "control/signalling/codec.h"
#include "control/signalling/peers.h"
#include "control/signalling/rules.h"
#include "control/signalling/stream.h"

namespace xylem::signalling {

/// How a connection ended: errno, and under which name it is counted (may be null).
struct Ending {
    int code = 0;
    uint64_t Counters::*counter = nullptr;
};

class Connection : public std::enable_shared_from_this<Connection> {
  public:
    class Owner {
      public:
        virtual void on_connected(Connection& connection) = 0;
        virtual void on_envelope(Connection& connection, const proto::Envelope& envelope) = 0;
        virtual void on_ended(Connection& connection, Ending ending) = 0;

      protected:
        ~Owner() = default;
    };

    Connection(asio::io_context& context, Owner& owner, const Config& config);
    Connection(asio::ip::tcp::socket accepted, asio::io_context& context, Owner& owner, const Config& config);

    /// Then on_connected, or on_ended with connect()'s errno.
    void dial(const Endpoint& target, const IpAddress& source);
    /// For an accepted connection: reads.
    void start();
    /// The Hello exchange is over: from now on heartbeats instead of its deadline.
    void go_live(Milliseconds their_interval);

    /// Queues. False: the envelope fits no frame, and on_ended follows.
    void send(const proto::Envelope& envelope);
    /// Ends it now; the owner is not called.
    void close();
    /// Reads no more, sends what is queued, waits for the other side to close, `limit` in all; then on_ended with code
    /// 0.
    void close_after_flush(Milliseconds limit);
    /// Ends it in the next turn of the loop, with on_ended.
    void fail_soon(Ending ending);

    IpAddress remote_ip() const { return remote_ip_; }
    IpAddress local_ip() const { return local_ip_; }
    size_t queued_bytes() const { return waiting_.size() + (is_writing_ ? writing_.size() - written_bytes_ : 0); }
    Milliseconds age(TimePoint now) const;

  private:
    enum class Phase : uint8_t { connecting, hello, live, draining, ended };

    void connected(asio::error_code failure);
    void read();
    void received(asio::error_code failure, size_t n_bytes);
    void deliver();
    void read_ended(asio::error_code failure);
    void flush_soon();
    void write();
    void wrote(asio::error_code failure, size_t n_bytes);
    void end_writing_when_empty();
    void set_deadline(TimePoint deadline);
    void arm(TimePoint when);
    void deadline_reached();
    void watch(TimePoint now);
    void end(Ending ending);

    Owner* owner_;
    const Config& config_;
    Stream stream_;
    asio::steady_timer timer_;
    Phase phase_;
    IpAddress remote_ip_, local_ip_;

    FrameReader reader_;
    proto::Envelope envelope_;
    std::array<uint8_t, 16384> chunk_;

    std::string waiting_, writing_;
    size_t written_bytes_ = 0;
    bool is_writing_ = false;
    bool is_flush_posted_ = false;
    bool is_ending_ = false;  // end() is posted
    int write_errno_ = 0;
    TimePoint write_progress_;

    TimePoint deadline_;
    std::optional<Liveness> liveness_;
};

}  // namespace xylem::signalling
