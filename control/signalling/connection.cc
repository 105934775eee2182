// SPDX-License-Identifier: Apache-2.0
#include "control/signalling/connection.h"

#include <asio/post.hpp>
#include <cerrno>
#include <utility>

namespace xylem::signalling {

Connection::Connection(asio::io_context& context, Owner& owner, const Config& config)
    : owner_(&owner), config_(config), stream_(context), timer_(context), phase_(Phase::connecting) {}

Connection::Connection(asio::ip::tcp::socket accepted, asio::io_context& context, Owner& owner, const Config& config)
    : owner_(&owner),
      config_(config),
      stream_(std::move(accepted)),
      timer_(context),
      phase_(Phase::hello),
      remote_ip_(stream_.remote_ip()),
      local_ip_(stream_.local_ip()) {}

void Connection::dial(const Endpoint& target, const IpAddress& source) {
    remote_ip_ = target.ip;
    set_deadline(Clock::now() + Milliseconds(config_.connect_timeout_ms));
    stream_.async_connect(target, source,
                          [self = shared_from_this()](asio::error_code failure) { self->connected(failure); });
}

void Connection::connected(asio::error_code failure) {
    if (phase_ != Phase::connecting) return;
    if (failure) return end({.code = failure.value()});
    phase_ = Phase::hello;
    local_ip_ = stream_.local_ip();
    owner_->on_connected(*this);
    start();
}

void Connection::start() {
    if (phase_ != Phase::hello) return;
    set_deadline(Clock::now() + Milliseconds(config_.hello_timeout_ms));
    read();
}

void Connection::go_live(Milliseconds their_interval) {
    phase_ = Phase::live;
    TimePoint now = Clock::now();
    liveness_.emplace(Milliseconds(config_.heartbeat_interval_ms), their_interval, now);
    arm(liveness_->next());
}

Milliseconds Connection::age(TimePoint now) const { return liveness_ ? liveness_->age(now) : Milliseconds(0); }

void Connection::read() {
    stream_.async_read_some(chunk_, [self = shared_from_this()](asio::error_code failure, size_t n_bytes) {
        self->received(failure, n_bytes);
    });
}

void Connection::received(asio::error_code failure, size_t n_bytes) {
    if (phase_ == Phase::ended) return;
    if (failure) return read_ended(failure);
    if (liveness_) liveness_->heard(Clock::now());
    if (phase_ != Phase::draining && !is_ending_) {
        reader_.feed({chunk_.data(), n_bytes});
        deliver();
    }
    if (phase_ != Phase::ended) read();
}

void Connection::deliver() {
    while (phase_ == Phase::hello || phase_ == Phase::live) {
        switch (reader_.next(envelope_)) {
            case FrameStatus::incomplete:
                return;
            case FrameStatus::complete:
                owner_->on_envelope(*this, envelope_);
                break;
            case FrameStatus::oversized:
                return end({.code = EPROTO, .counter = &Counters::oversized});
            case FrameStatus::malformed:
                return end({.code = EPROTO, .counter = &Counters::malformed_frame});
            case FrameStatus::empty:
                return end({.code = EPROTO, .counter = &Counters::empty_frame});
        }
        if (is_ending_) return;
    }
}

void Connection::read_ended(asio::error_code failure) {
    if (phase_ == Phase::draining) return end({.code = 0});
    if (failure != asio::error::eof) return end({.code = failure.value()});
    // The kernel names a broken connection once: if a write got the name, the read sees a mere end. That write's
    // handler may still be queued, so the end is told after it.
    if (std::exchange(is_ending_, true)) return;
    asio::post(timer_.get_executor(), [self = shared_from_this()] {
        self->end({.code = self->write_errno_ != 0 ? self->write_errno_ : ECONNABORTED});
    });
}

void Connection::send(const proto::Envelope& envelope) {
    if (phase_ == Phase::ended || phase_ == Phase::draining || is_ending_ || write_errno_ != 0) return;
    if (!append_frame(envelope, waiting_)) return fail_soon({.code = EMSGSIZE, .counter = &Counters::too_long_to_send});
    if (queued_bytes() > config_.max_queued_bytes)
        return fail_soon({.code = ENOBUFS, .counter = &Counters::slow_reader});
    flush_soon();
}

void Connection::flush_soon() {
    if (is_writing_ || is_flush_posted_) return;
    is_flush_posted_ = true;
    asio::post(timer_.get_executor(), [self = shared_from_this()] {
        self->is_flush_posted_ = false;
        if (self->is_writing_) return;
        self->write_progress_ = Clock::now();
        self->write();
    });
}

void Connection::write() {
    if (phase_ == Phase::ended || write_errno_ != 0) return;
    if (written_bytes_ == writing_.size()) {
        writing_.clear();
        written_bytes_ = 0;
        std::swap(writing_, waiting_);
    }
    is_writing_ = !writing_.empty();
    if (!is_writing_) return end_writing_when_empty();
    stream_.async_write_some(
        std::string_view(writing_).substr(written_bytes_),
        [self = shared_from_this()](asio::error_code failure, size_t n_bytes) { self->wrote(failure, n_bytes); });
}

void Connection::wrote(asio::error_code failure, size_t n_bytes) {
    if (phase_ == Phase::ended) return;
    if (failure) {
        // What the other side said before it broke off is still to be read: the read finds the end.
        write_errno_ = failure == asio::error::broken_pipe ? ECONNRESET : failure.value();
        is_writing_ = false;
        waiting_.clear();
        return;
    }
    write_progress_ = Clock::now();
    if (liveness_) liveness_->said(write_progress_);
    written_bytes_ += n_bytes;
    write();
}

void Connection::end_writing_when_empty() {
    if (phase_ == Phase::draining) stream_.end_writing();
}

void Connection::close_after_flush(Milliseconds limit) {
    if (phase_ == Phase::ended) return;
    if (phase_ == Phase::connecting) return fail_soon({});
    phase_ = Phase::draining;
    liveness_.reset();
    set_deadline(Clock::now() + limit);
    flush_soon();
}

void Connection::fail_soon(Ending ending) {
    if (std::exchange(is_ending_, true)) return;
    asio::post(timer_.get_executor(), [self = shared_from_this(), ending] { self->end(ending); });
}

void Connection::set_deadline(TimePoint deadline) {
    deadline_ = deadline;
    arm(deadline);
}

void Connection::arm(TimePoint when) {
    timer_.expires_at(when);
    timer_.async_wait([self = shared_from_this()](asio::error_code failure) {
        if (!failure) self->deadline_reached();
    });
}

void Connection::deadline_reached() {
    TimePoint now = Clock::now();
    if (phase_ == Phase::live) return watch(now);
    // A timer that was armed anew had already fired.
    if (now < deadline_) return;
    if (phase_ == Phase::connecting) return end({.code = ETIMEDOUT});
    if (phase_ == Phase::hello) return end({.code = ETIMEDOUT, .counter = &Counters::hello_timeout});
    end({.code = 0});
}

void Connection::watch(TimePoint now) {
    // When it was this process that stood still, the peer's words are there, unread.
    if (liveness_->is_silent(now) && stream_.has_unread()) liveness_->heard(now);
    if (liveness_->is_silent(now)) return end({.code = ETIMEDOUT, .counter = &Counters::silent});
    if (is_writing_ && now - write_progress_ >= Milliseconds(config_.write_stall_ms))
        return end({.code = ENOBUFS, .counter = &Counters::slow_reader});
    if (liveness_->must_speak(now)) {
        liveness_->said(now);
        proto::Envelope heartbeat;
        heartbeat.mutable_heartbeat();
        if (!is_writing_) send(heartbeat);
    }
    arm(liveness_->next());
}

void Connection::end(Ending ending) {
    if (phase_ == Phase::ended) return;
    auto self = shared_from_this();
    Owner* owner = owner_;
    close();
    owner->on_ended(*this, ending);
}

void Connection::close() {
    phase_ = Phase::ended;
    timer_.cancel();
    stream_.close();
}

}  // namespace xylem::signalling
