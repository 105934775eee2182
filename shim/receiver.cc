// SPDX-License-Identifier: Apache-2.0
#include "shim/receiver.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "shim/socket.h"

namespace xylem::shim {

using abi::InboxApp;
using abi::InboxEngine;
using abi::kInboxSlots;
using abi::Position;

void Receiver::open(bool has_inbox) {
    has_inbox_ = has_inbox;
    is_gone_.store(false, std::memory_order_relaxed);
    received_bytes = received_messages = 0;
    closed_lost_bytes_ = closed_lost_gaps_ = 0;
    n_leaves_closed_.store(0, std::memory_order_relaxed);
}

void Receiver::drop(Source& source) {
    source.reader.close();
    free(source.borrowing.spans);
    source.borrowing = {};
    source.is_broken = false;
    source.is_known = false;
}

void Receiver::close() {
    is_open_.store(false, std::memory_order_relaxed);
    drop(source_);
    for (uint32_t i = 0; slots_ != nullptr && i < kInboxSlots; ++i) {
        if (slots_[i] == nullptr) continue;
        drop(*slots_[i]);
        free(slots_[i]);
    }
    free(slots_);
    free(ready_);
    slots_ = nullptr;
    ready_ = nullptr;
    n_ready_.store(0, std::memory_order_relaxed);
    ready_first_ = tail_ = 0;
    inbox_engine_.release();
    inbox_app_.release();
}

void Receiver::forget() {
    source_.reader.forget();
    for (uint32_t i = 0; slots_ != nullptr && i < kInboxSlots; ++i)
        if (slots_[i] != nullptr) slots_[i]->reader.forget();
    inbox_engine_.forget();
    inbox_app_.forget();
}

// ---- mapping ----

int Receiver::prepare(Socket& s) {
    if (is_open_.load(std::memory_order_relaxed)) return 0;
    if (has_inbox_) return open_inbox(s);
    if (is_gone_.load(std::memory_order_relaxed) || s.engine->is_live.load(std::memory_order_acquire) == 0) return 0;
    source_.consumed = &s.app->consumed;
    const int error = open_image(s, 0, source_);
    if (error == 0) is_open_.store(true, std::memory_order_release);
    // The session broke before anything was looked at: nothing can come any more.
    if (error == ENOTCONN || error == ENETDOWN) is_gone_.store(true, std::memory_order_release);
    return error == ENOTCONN ? 0 : error;
}

int Receiver::open_image(Socket& s, uint32_t slot, Source& source) {
    abi::ImageReply reply{};
    ReplyFds fds;
    if (const int error = s.attachment->ask(abi::Op::kGetImage, s.id, abi::ImageBody{slot, 0}, reply, &fds))
        return error;
    const abi::Geometry geometry{reply.cell_bytes, reply.cells_log2};
    if (!geometry.is_valid()) return EPROTO;
    struct stat file {};
    fstat(fds.peek(0), &file);
    if (source.is_known && source.reader.is_open() && source.file == file.st_ino) return 0;
    Mapping image;
    if (const int error = image.map(fds.peek(0), abi::image_total_bytes(geometry), false)) return error;
    closed_lost_bytes_ += source.reader.lost_bytes();
    closed_lost_gaps_ += source.reader.lost_gaps();
    drop(source);
    source.read_end.store(reply.end, std::memory_order_relaxed);
    const auto* read_end = has_inbox_ ? &source.read_end : &s.engine->read_end;
    const auto* filter = is_group(s) ? &s.group_filter : nullptr;
    if (!source.reader.open(static_cast<Mapping&&>(image), reply, read_end, filter)) {
        image.release();
        return EPROTO;
    }
    source.is_known = true;
    source.is_own = reply.is_own != 0;
    source.file = file.st_ino;
    source.told = reply.start;
    source.consumed->store(reply.start, std::memory_order_release);
    return 0;
}

int Receiver::open_inbox(Socket& s) {
    ReplyFds fds;
    if (const int error = s.attachment->call(abi::Op::kGetInbox, s.id, nullptr, 0, nullptr, 0, &fds)) return error;
    slots_ = static_cast<Source**>(calloc(kInboxSlots, sizeof *slots_));
    ready_ = static_cast<uint16_t*>(calloc(kInboxSlots, sizeof *ready_));
    int error = slots_ == nullptr || ready_ == nullptr ? ENOBUFS : 0;
    if (error == 0) error = inbox_engine_.map(fds.peek(0), sizeof(InboxEngine), false);
    if (error == 0) error = inbox_app_.map(fds.peek(1), sizeof(InboxApp), true);
    if (error != 0) {
        close();
        return error;
    }
    tail_ = inbox_app_.as<InboxApp>()->tail.load(std::memory_order_relaxed);
    is_open_.store(true, std::memory_order_release);
    return 0;
}

// ---- the inbox ----

Source* Receiver::slot_source(Socket& s, uint32_t slot) {
    Source*& source = slots_[slot];
    const uint32_t n_closed = n_leaves_closed_.load(std::memory_order_relaxed);
    if (source == nullptr) {
        void* memory = calloc(1, sizeof(Source));
        if (memory == nullptr) return nullptr;
        source = new (memory) Source;
        source->consumed = &inbox_app_.as<InboxApp>()->slots[slot].consumed;
        source->pushes = inbox_app_.as<InboxApp>()->slots[slot].acked.load(std::memory_order_relaxed);
    }
    const bool is_lent = source->borrowing.first != source->borrowing.next;
    // Its stream has ended, and was read: what is ready now is another's.
    const bool has_ended = source->reader.is_open() && source->reader.is_at_final();
    if (!source->is_known || ((source->checked_at != n_closed || has_ended) && !is_lent)) {
        source->checked_at = n_closed;
        if (open_image(s, slot, *source) == EPROTO) source->is_broken = true;
    }
    return source;
}

// Moves what the worker announced into our queue of ready slots.
void Receiver::take_ready(Socket& s) {
    const auto* engine = inbox_engine_.as<const InboxEngine>();
    auto* app = inbox_app_.as<InboxApp>();
    const uint32_t head = engine->head.load(std::memory_order_acquire);
    for (uint32_t n = 0; tail_ != head && n < kInboxSlots; ++n) {
        const uint32_t slot = engine->ring[tail_ % kInboxSlots].load(std::memory_order_relaxed);
        ++tail_;
        if (slot >= kInboxSlots) continue;
        Source* source = slot_source(s, slot);
        if (source == nullptr) continue;
        app->slots[slot].acked.store(++source->pushes, std::memory_order_seq_cst);
        if (source->is_broken) give_up(s, *source);
        if (source->is_ready || source->is_broken || !source->is_known) continue;
        source->is_ready = true;
        const uint32_t n_ready = n_ready_.load(std::memory_order_relaxed);
        ready_[(ready_first_ + n_ready) % kInboxSlots] = static_cast<uint16_t>(slot);
        n_ready_.store(n_ready + 1, std::memory_order_relaxed);
    }
}

Source* Receiver::front(uint32_t& slot) {
    if (!has_inbox_) {
        slot = 0;
        return source_.reader.is_open() && !source_.is_broken ? &source_ : nullptr;
    }
    if (n_ready_.load(std::memory_order_relaxed) == 0) return nullptr;
    slot = ready_[ready_first_];
    return slots_[slot];
}

// The slot in front had its turn: to the back of the queue, or out of it.
void Receiver::rotate(bool is_empty) {
    if (!has_inbox_) return;
    const uint16_t slot = ready_[ready_first_];
    const uint32_t n = n_ready_.load(std::memory_order_relaxed);
    ready_first_ = (ready_first_ + 1) % kInboxSlots;
    if (is_empty) {
        slots_[slot]->is_ready = false;
        n_ready_.store(n - 1, std::memory_order_relaxed);
    } else {
        ready_[(ready_first_ + n - 1) % kInboxSlots] = slot;
    }
}

// ---- taking ----

Outcome Receiver::receive(Socket& s, Scatter& to, bool is_partial, bool is_peek, Taken& out) {
    if (has_inbox_ && is_open_.load(std::memory_order_relaxed)) take_ready(s);
    uint32_t slot;
    for (Source* source = front(slot); source != nullptr; source = front(slot)) {
        const Outcome outcome = source->reader.receive(to, is_partial, is_peek, out.received);
        if (outcome == Outcome::kTaken || outcome == Outcome::kTooLong) {
            out.from = &source->reader.source();
            out.leaf_number = source->reader.leaf_number();
            out.source = source;
            if (outcome == Outcome::kTooLong || is_peek) return outcome;
            received_bytes += out.received.bytes;
            ++received_messages;
            tell(s, *source, false);
            forget_seen(s);
            // A message in pieces is not mixed with another leaf's.
            if ((out.received.flags & XY_MSG_END) != 0) rotate(!source->reader.has_more_now());
            return outcome;
        }
        put_aside(s, *source, outcome);
        if (!has_inbox_) return outcome;
        rotate(true);
    }
    return !has_inbox_ && source_.is_broken ? Outcome::kBroken : Outcome::kNone;
}

/// Nothing more to take of it now.
void Receiver::put_aside(Socket& s, Source& source, Outcome outcome) {
    if (outcome == Outcome::kBroken) source.is_broken = true;
    if (has_inbox_ && source.is_broken) return give_up(s, source);
    if (has_inbox_) source.reader.is_at_final();  // passes over a message that its sender did not finish
    tell(s, source, true);
}

/// One sender of several wrote nonsense: nothing of it is read any more, and it is not held up, nor are the others.
void Receiver::give_up(Socket& s, Source& source) {
    if (!source.reader.is_open()) return;
    source.reader.pass_over_all();
    tell(s, source, true);
}

Outcome Receiver::borrow(Socket& s, Taken& out, Borrowed& span) {
    if (has_inbox_ && is_open_.load(std::memory_order_relaxed)) take_ready(s);
    uint32_t slot;
    for (Source* source = front(slot); source != nullptr; source = front(slot)) {
        Borrowing& b = source->borrowing;
        if (b.spans == nullptr) b.spans = static_cast<Borrowing::Span*>(calloc(kMaxBorrowed, sizeof(Borrowing::Span)));
        if (b.spans == nullptr || b.next - b.first == kMaxBorrowed) return Outcome::kTooLong;
        const Outcome outcome = source->reader.borrow(span);
        if (outcome == Outcome::kTaken) {
            b.spans[b.next % kMaxBorrowed] = {span.start, false};
            out.start = span.start;
            out.slot = slot;
            out.received.bytes = b.next++;
            out.leaf_number = source->reader.leaf_number();
            received_bytes += span.bytes;
            forget_seen(s);
            if ((span.flags & XY_MSG_END) != 0) {
                ++received_messages;
                rotate(!source->reader.has_more_now());
            }
            return outcome;
        }
        put_aside(s, *source, outcome);
        if (!has_inbox_) return outcome;
        rotate(true);
    }
    return !has_inbox_ && source_.is_broken ? Outcome::kBroken : Outcome::kNone;
}

int Receiver::release(Socket& s, uint32_t slot, uint64_t sequence) {
    Source* source = !has_inbox_ ? &source_ : slots_ != nullptr && slot < kInboxSlots ? slots_[slot] : nullptr;
    if (source == nullptr || !source->reader.is_open()) return EINVAL;
    Borrowing& b = source->borrowing;
    if (b.spans == nullptr || sequence < b.first || sequence >= b.next) return EINVAL;
    Borrowing::Span& span = b.spans[sequence % kMaxBorrowed];
    if (span.is_released) return EINVAL;
    span.is_released = true;
    const bool is_intact = source->reader.is_intact(span.start);
    while (b.first != b.next && b.spans[b.first % kMaxBorrowed].is_released)
        ++b.first;
    tell(s, *source, b.first == b.next);
    return is_intact ? 0 : EOVERFLOW;
}

size_t Receiver::next_bytes(Socket& s) {
    if (has_inbox_ && is_open_.load(std::memory_order_relaxed)) take_ready(s);
    uint32_t slot;
    for (Source* source = front(slot); source != nullptr; source = front(slot)) {
        const size_t bytes = source->reader.next_bytes();
        if (bytes != 0 || !has_inbox_ || source->reader.has_more()) return bytes;
        rotate(true);
    }
    return 0;
}

bool Receiver::has_message(Socket& s) {
    if (has_inbox_ && is_open_.load(std::memory_order_relaxed)) take_ready(s);
    uint32_t slot;
    for (Source* source = front(slot); source != nullptr; source = front(slot)) {
        if (source->reader.has_message()) return true;
        if (!has_inbox_) return false;
        tell(s, *source, true);
        rotate(true);
    }
    return !has_inbox_ && source_.is_broken;
}

// ---- telling the engine ----

Position Receiver::needed(const Source& source) {
    const Borrowing& b = source.borrowing;
    return b.first == b.next ? source.reader.position() : b.spans[b.first % kMaxBorrowed].start;
}

void Receiver::tell(Socket& s, Source& source, bool must) {
    const Position now = needed(source);
    if (now == source.told) return;
    if (!must && source.reader.has_more() && abi::cell_of(now) == abi::cell_of(source.told)) return;
    source.told = now;
    source.consumed->store(now, std::memory_order_release);
    // kick_at is a hint, bounded by the engine's timers: no fence.
    if (source.reader.has_reached_kick()) s.attachment->ring(s.id);
}

void Receiver::note_empty(Socket& s) {
    if (has_inbox_) {
        if (is_open_.load(std::memory_order_relaxed))
            inbox_app_.as<InboxApp>()->tail.store(tail_, std::memory_order_release);
        return;
    }
    if (!source_.reader.is_open()) return;
    tell(s, source_, true);
    has_told_seen_ = true;
    s.app->seen.store(source_.reader.seen(), std::memory_order_release);
}

// Something was taken after all: what is left of it counts again.
void Receiver::forget_seen(Socket& s) {
    if (!has_told_seen_) return;
    has_told_seen_ = false;
    s.app->seen.store(0, std::memory_order_relaxed);
}

void Receiver::end_own(Position end) {
    for (uint32_t i = 0; slots_ != nullptr && i < kInboxSlots; ++i) {
        Source* source = slots_[i];
        if (source == nullptr || !source->is_own) continue;
        Position none = abi::kNoPosition;
        source->read_end.compare_exchange_strong(none, end, std::memory_order_release);
    }
}

void Receiver::flush(Socket& s) {
    if (source_.reader.is_open()) tell(s, source_, true);
    for (uint32_t i = 0; slots_ != nullptr && i < kInboxSlots; ++i)
        if (slots_[i] != nullptr && slots_[i]->reader.is_open()) tell(s, *slots_[i], true);
}

bool Receiver::may_have_something(const Socket& s) const {
    if (!is_open_.load(std::memory_order_acquire))
        return !has_inbox_ && !is_gone_.load(std::memory_order_acquire) &&
               s.engine->is_live.load(std::memory_order_acquire) != 0;
    if (has_inbox_)
        return n_ready_.load(std::memory_order_relaxed) != 0 ||
               inbox_engine_.as<const InboxEngine>()->head.load(std::memory_order_acquire) !=
                   inbox_app_.as<InboxApp>()->tail.load(std::memory_order_relaxed);
    return source_.reader.is_published_beyond_both(s.app->consumed.load(std::memory_order_relaxed),
                                                   s.app->seen.load(std::memory_order_relaxed));
}

bool Receiver::is_at_end(Socket& s) {
    if (!source_.reader.is_open()) return true;
    if (!source_.reader.is_at_final()) return false;
    tell(s, source_, true);
    return true;
}

bool Receiver::is_at_end_shared() const {
    if (!is_open_.load(std::memory_order_acquire) || has_inbox_) return true;
    return source_.reader.has_all();
}

bool Receiver::has_unread(const Socket& s) const {
    if (has_inbox_) return may_have_something(s);
    return source_.reader.is_open() &&
           source_.reader.is_published_beyond_both(source_.reader.position(), source_.reader.position());
}

uint64_t Receiver::lost_bytes() const {
    uint64_t sum = closed_lost_bytes_ + source_.reader.lost_bytes();
    for (uint32_t i = 0; slots_ != nullptr && i < kInboxSlots; ++i)
        if (slots_[i] != nullptr) sum += slots_[i]->reader.lost_bytes();
    return sum;
}

uint64_t Receiver::lost_gaps() const {
    uint64_t sum = closed_lost_gaps_ + source_.reader.lost_gaps();
    for (uint32_t i = 0; slots_ != nullptr && i < kInboxSlots; ++i)
        if (slots_[i] != nullptr) sum += slots_[i]->reader.lost_gaps();
    return sum;
}

}  // namespace xylem::shim
