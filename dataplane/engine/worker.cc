// SPDX-License-Identifier: Apache-2.0
#include "dataplane/engine/worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/base/clock.h"
#include "dataplane/stage/ingress.h"
#include "dataplane/stage/transmit.h"

namespace xylem::engine {

namespace {
constexpr uint16_t kBurst = 64;
constexpr unsigned kFramesPerStream = 32;       // per group and poll: nobody starves
constexpr uint32_t kIdlePollsToUnwatch = 4096;  // then a doorbell is needed again
constexpr uint64_t kTimerScanUs = 20;
constexpr uint64_t kLongestSleepUs = 100'000;  // bounds whatever wake-up could be lost
constexpr uint64_t kBlindSleepUs = 50;         // where a port has nothing to sleep on
constexpr size_t kMaxDeferred = 4096;
}  // namespace

Worker::Worker(std::vector<WorkerPort>& ports, uint16_t data_port, IdlePolicy policy, Waker& waker)
    : ports_(ports),
      data_port_(data_port),
      policy_(policy),
      waker_(waker),
      idle_(policy == IdlePolicy::kBusy, tsc_per_us()),
      commands_(12),
      notices_(16) {
    context_.us = tsc_per_us();
    deferred_.reserve(kMaxDeferred);
}

Worker::~Worker() {
    Command* command;
    while (commands_.pop(command))
        delete command;
    for (Command* left : deferred_)
        delete left;
    for (Command* left : overflow_)
        delete left;
    Notice notice;
    while (notices_.pop(notice))
        delete notice.applied;
    for (const int fd : {notice_fd_, command_fd_, epoll_fd_})
        if (fd >= 0) close(fd);
}

Result<void> Worker::init() {
    notice_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    command_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (notice_fd_ < 0 || command_fd_ < 0 || epoll_fd_ < 0)
        return Error{errno, std::string("worker: no descriptors: ") + std::strerror(errno)};
    if (auto added = wake_on(command_fd_, true); !added) return added;
    for (const WorkerPort& port : ports_)
        if (port.port->wait_fd() >= 0)
            if (auto added = wake_on(port.port->wait_fd(), false); !added) return added;
    return {};
}

Result<void> Worker::wake_on(int fd, bool is_edge) {
    epoll_event event{.events = EPOLLIN | (is_edge ? static_cast<uint32_t>(EPOLLET) : 0U), .data = {.fd = fd}};
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0) return {};
    return Error{errno, std::string("worker: epoll: ") + std::strerror(errno)};
}

void Worker::no_wake_on(int fd) { epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr); }

void Worker::stop() {
    must_stop_.store(true);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(command_fd_, &one, sizeof one);
}

void Worker::post(std::function<bool(Worker&)> apply, Done done) {
    overflow_.push_back(new Command{std::move(apply), std::move(done)});
    n_posted_.fetch_add(1, std::memory_order_release);  // partner: send()
    hand_over();
}

void Worker::hand_over() {
    if (overflow_.empty()) return;
    size_t n = 0;
    while (n < overflow_.size() && commands_.push(overflow_[n]))
        ++n;
    overflow_.erase(overflow_.begin(), overflow_.begin() + static_cast<std::ptrdiff_t>(n));
    std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: sleep()
    if (!is_asleep_.load(std::memory_order_relaxed)) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(command_fd_, &one, sizeof one);
}

// ---- the loop ----

void Worker::run() {
    while (!must_stop_.load(std::memory_order_relaxed)) {
        const bool has_worked = poll() != 0;
        if (idle_.after_poll(has_worked, context_.now)) sleep();
    }
}

unsigned Worker::poll() {
    context_.now = now_tsc();
    unsigned n = apply_commands();
    n += receive();
    n += serve_doorbells();
    n += send();
    n += run_timers();  // what they started is work for the next poll
    settle_touched();
    flush_egress();
    waker_.flush(has_slept_);
    has_slept_ = false;
    flush_notices();
    polls.add(1);
    return n;
}

unsigned Worker::apply_commands() {
    unsigned n = 0;
    std::erase_if(deferred_, [&](Command* command) {
        if (!command->apply(*this)) return false;
        notify({.applied = command});
        return ++n != 0;
    });
    Command* command;
    while (deferred_.size() < kMaxDeferred && commands_.pop(command)) {
        ++n;
        ++n_taken_;
        if (command->apply(*this))
            notify({.applied = command});
        else
            deferred_.push_back(command);
    }
    return n;
}

unsigned Worker::receive() {
    unsigned total = 0;
    stage::InPort at{.data_port = data_port_};
    for (; at.index < ports_.size(); ++at.index) {
        WorkerPort& port = ports_[at.index];
        at.ifindex = static_cast<uint32_t>(port.port->ifindex());
        for (uint16_t queue = 0; queue < port.port->n_queues(); ++queue) {
            rte_mbuf* burst[kBurst];
            const uint16_t n = port.port->rx(queue, burst, kBurst);
            if (n == 0) continue;
            if (!commands_.is_empty()) apply_commands();  // what they answer may have been given in the meantime
            stage::ingress(burst, n, at, labels_, context_);
            rte_pktmbuf_free_bulk(burst, n);
            total += n;
        }
    }
    if (total != 0) rx_pkts.add(total);
    return total;
}

unsigned Worker::serve_doorbells() {
    unsigned n = 0;
    for (App* app = apps_.front(); app != nullptr; app = apps_.next(*app)) {
        abi::AppSegment& shared = app->shared();
        if (shared.summary.load(std::memory_order_relaxed) == 0) [[likely]]
            continue;
        uint64_t words = shared.summary.exchange(0, std::memory_order_acquire);
        for (; words != 0; words &= words - 1) {
            const auto word = static_cast<uint32_t>(__builtin_ctzll(words));
            uint64_t bells = shared.bell[word].exchange(0, std::memory_order_acquire);
            for (; bells != 0; bells &= bells - 1, ++n)
                serve_bell(*app, word * 64 + static_cast<uint32_t>(__builtin_ctzll(bells)));
        }
    }
    return n;
}

void Worker::serve_bell(App& app, uint32_t socket) {
    SocketState& state = app.sockets[socket];
    if (state.stream != nullptr) {
        state.stream->n_idle_polls = 0;
        state.stream->facts->is_watched.store(1, std::memory_order_relaxed);
        context_.active.add(*state.stream);
    }
    for (stage::Reader* reader = state.readers.front(); reader != nullptr; reader = state.readers.next(*reader)) {
        reader->image->must_refresh = true;  // once per poll, however many of its readers ring
        context_.touched.add(*reader->image);
    }
}

/// A fan-out, or a datagram, waits for room in a queue or for a frame.
bool is_paused(const stage::TxStream& stream) {
    if (stream.datagrams) return stream.datagrams->is_paused;
    return std::any_of(stream.groups.begin(), stream.groups.end(),
                       [](const auto& group) { return group && group->is_open; });
}

bool Worker::is_idle_for_long(Stream& stream) const {
    if (++stream.n_idle_polls < kIdlePollsToUnwatch) return false;
    if (!stream.is_pulled || stream.is_reliable) {
        return !is_paused(stream);  // what is blocked waits for a STATUS, which makes the stream active again
    }
    return stream.position >= stream.log->commit();
}

unsigned Worker::send() {
    unsigned total = 0;
    context_.is_up_to_date = n_taken_ >= n_awaited_;
    for (stage::TxStream *at = context_.active.front(), *next = nullptr; at != nullptr; at = next) {
        next = context_.active.next(*at);
        auto& stream = static_cast<Stream&>(*at);
        const unsigned n = stage::transmit(stream, kFramesPerStream, context_);
        total += n;
        if (stage::update_limit(stream)) {
            std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: the waker's arming
            if (stream.writable.is_armed.load(std::memory_order_relaxed)) waker_.wake(stream.writable);
        }
        if (stage::take_finished(stream)) notify({.finished_stream = &stream});
        if (n != 0) {
            stream.n_idle_polls = 0;
        } else if (is_idle_for_long(stream)) {
            stream.facts->is_watched.store(0, std::memory_order_relaxed);
            std::atomic_thread_fence(
                std::memory_order_seq_cst);  // partner: the writer's fence between commit and is_watched
            if (stream.is_pulled && stream.log->sample_commit(stream.limit) > stream.committed.get()) {
                stream.n_idle_polls = 0;
                stream.facts->is_watched.store(1, std::memory_order_relaxed);
            } else {
                context_.active.remove(stream);
            }
        }
    }
    n_awaited_ = n_posted_.load(std::memory_order_acquire);  // partner: post(); after the commits were sampled
    return total;
}

unsigned Worker::run_timers() {
    if (context_.now < next_timer_scan_) return 0;
    unsigned n = 0;
    next_timer_scan_ = context_.now + kTimerScanUs * context_.us;
    for (stage::RxImage *image = context_.timed_images.front(), *next = nullptr; image != nullptr; image = next) {
        next = context_.timed_images.next(*image);
        if (stage::timer_of(*image) > context_.now) continue;
        stage::on_image_timer(*image, context_);
        ++n;
    }
    for (stage::TxStream *stream = context_.timed_streams.front(), *next = nullptr; stream != nullptr; stream = next) {
        next = context_.timed_streams.next(*stream);
        if (stream->heartbeat_at > context_.now) continue;
        stage::on_stream_timer(*stream, context_);
        ++n;
    }
    return n;
}

void Worker::settle_touched() {
    while (stage::RxImage* touched = context_.touched.front()) {
        context_.touched.remove(*touched);
        auto& image = static_cast<Image&>(*touched);
        stage::settle(image, context_);
        wake_readers(image);
        if (image.final != abi::kNoPosition) report_finished(image);
    }
}

void Worker::wake_readers(Image& image) {
    if (image.readable.is_armed.load(std::memory_order_relaxed)) waker_.wake(image.readable);
    for (stage::Reader* reader = image.readers.front(); reader != nullptr; reader = image.readers.next(*reader))
        if (reader->ring != nullptr && reader->ring->is_armed->load(std::memory_order_relaxed))
            waker_.wake(static_cast<Inbox*>(reader->ring)->readable);
}

void Worker::report_finished(Image& image) {
    for (stage::Reader* reader = image.readers.front(); reader != nullptr; reader = image.readers.next(*reader)) {
        if (reader->has_finished || !reader->is_live || reader->consumed.load(std::memory_order_relaxed) < image.final)
            continue;
        reader->has_finished = true;
        notify({.finished_reader = static_cast<Reader*>(reader)});
    }
}

void Worker::flush_egress() {
    for (WorkerPort& port : ports_)
        port.egress->flush();
}

void Worker::notify(Notice notice) {
    has_notices_ = true;
    while (!notices_.push(notice)) {
        if (must_stop_.load(std::memory_order_relaxed)) {  // nobody will take it
            delete notice.applied;
            return;
        }
        // Control is far behind: it is woken, and the ring is drained by it alone.
        flush_notices();
        has_notices_ = true;
        sched_yield();
    }
}

void Worker::flush_notices() {
    if (!has_notices_) return;
    has_notices_ = false;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(notice_fd_, &one, sizeof one);
}

// ---- sleeping ----

bool Worker::has_pending() const {
    if (!commands_.is_empty() || must_stop_.load(std::memory_order_relaxed)) return true;
    for (const App* app = apps_.front(); app != nullptr; app = apps_.next(*app))
        if (app->shared().summary.load(std::memory_order_relaxed) != 0) return true;
    for (stage::TxStream* stream = context_.active.front(); stream != nullptr; stream = context_.active.next(*stream))
        if (stream->is_pulled && stream->log->sample_commit(stream->limit) != stream->committed.get()) return true;
    return false;
}

uint64_t Worker::next_deadline() const {
    uint64_t at = context_.now + kLongestSleepUs * context_.us;
    for (const stage::RxImage* image = context_.timed_images.front(); image != nullptr;
         image = context_.timed_images.next(*image))
        at = std::min(at, stage::timer_of(*image));
    for (const stage::TxStream* stream = context_.timed_streams.front(); stream != nullptr;
         stream = context_.timed_streams.next(*stream))
        at = std::min(at, stream->heartbeat_at);
    for (const WorkerPort& port : ports_)
        if ((port.port->wait_fd() < 0 && port.port->spec().kind != dpdk::PortKind::kNull) || port.egress->n_held() != 0)
            at = std::min(at, context_.now + kBlindSleepUs * context_.us);
    for (const stage::TxStream* stream = context_.active.front(); stream != nullptr;
         stream = context_.active.next(*stream))
        if (is_paused(*stream)) at = std::min(at, context_.now + kBlindSleepUs * context_.us);
    if (!deferred_.empty()) at = std::min(at, context_.now + kBlindSleepUs * context_.us);
    return at;
}

/// A link that went down: its descriptor would be ready for ever.
void Worker::clear_wait_error(int fd) {
    for (WorkerPort& port : ports_)
        if (port.port->wait_fd() == fd) port.port->clear_wait_error();
}

/// Whether the writers of the polled streams may leave the doorbell alone: not while nobody polls.
void Worker::set_watched(bool is_watched) {
    for (stage::TxStream* stream = context_.active.front(); stream != nullptr; stream = context_.active.next(*stream))
        stream->facts->is_watched.store(is_watched ? 1 : 0, std::memory_order_relaxed);
}

void Worker::sleep() {
    has_slept_ = true;
    for (WorkerPort& port : ports_)
        port.egress->poke();
    is_asleep_.store(true, std::memory_order_relaxed);
    for (App* app = apps_.front(); app != nullptr; app = apps_.next(*app))
        app->own().worker_sleeps.store(1, std::memory_order_relaxed);
    set_watched(false);
    std::atomic_thread_fence(
        std::memory_order_seq_cst);  // partners: the applications' fence after commit and doorbell, post()
    if (!has_pending()) {
        const uint64_t now = now_tsc(), deadline = next_deadline();
        const uint64_t ns = deadline > now ? (deadline - now) * 1000 / context_.us : 0;
        const timespec timeout{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
        epoll_event events[16];
        const int n = epoll_pwait2(epoll_fd_, events, 16, &timeout, nullptr);
        for (int i = 0; i < n; ++i)
            if ((events[i].events & EPOLLERR) != 0) clear_wait_error(events[i].data.fd);
        idle_sleeps.add(1);
    }
    for (App* app = apps_.front(); app != nullptr; app = apps_.next(*app))
        app->own().worker_sleeps.store(0, std::memory_order_relaxed);
    set_watched(true);
    is_asleep_.store(false, std::memory_order_relaxed);
}

}  // namespace xylem::engine
