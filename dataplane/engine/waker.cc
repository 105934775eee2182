// SPDX-License-Identifier: Apache-2.0
#include "dataplane/engine/waker.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xylem::engine {

namespace {
constexpr uint64_t kKickToken = ~0ULL;
constexpr int kMaxEvents = 64;
constexpr size_t kFewSleepers = 4;

Error system_error(const char* what) { return Error{errno, std::string(what) + ": " + std::strerror(errno)}; }
}  // namespace

Result<std::unique_ptr<Waker>> Waker::start() {
    std::unique_ptr<Waker> waker(new Waker());
    waker->epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    waker->kick_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waker->epoll_fd_ < 0 || waker->kick_fd_ < 0) return system_error("waker: no descriptors");
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = kKickToken}};
    if (epoll_ctl(waker->epoll_fd_, EPOLL_CTL_ADD, waker->kick_fd_, &event) != 0) return system_error("waker: epoll");
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);  // signals are for the control thread
    waker->thread_ = std::thread([w = waker.get()] { w->run(); });
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    pthread_setname_np(waker->thread_.native_handle(), "xylem-waker");
    return waker;
}

Waker::~Waker() {
    if (thread_.joinable()) {
        must_stop_.store(true);
        const uint64_t one = 1;
        [[maybe_unused]] const ssize_t n = write(kick_fd_, &one, sizeof one);
        thread_.join();
    }
    for (auto& [key, sleeper] : sleepers_)
        close(sleeper.fd);
    if (epoll_fd_ >= 0) close(epoll_fd_);
    if (kick_fd_ >= 0) close(kick_fd_);
}

Result<int> Waker::add_socket(SocketKey key, const abi::EngineSocket* facts, const abi::AppSocket* app) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return system_error("socketpair");
    std::lock_guard lock(mutex_);
    Sleeper& sleeper = sleepers_[key];
    sleeper = Sleeper{};
    sleeper.fd = pair[0];
    sleeper.key = key;
    sleeper.facts = facts;
    sleeper.app = app;
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = key}};
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, pair[0], &event) != 0) {
        const Error error = system_error("waker: epoll");
        close(pair[0]);
        close(pair[1]);
        sleepers_.erase(key);
        return error;
    }
    return pair[1];
}

void Waker::remove_socket(SocketKey key) {
    std::lock_guard lock(mutex_);
    const auto it = sleepers_.find(key);
    if (it == sleepers_.end()) return;
    subscribe(it->second.read_object, nullptr, key);
    subscribe(it->second.write_object, nullptr, key);
    close(it->second.fd);
    sleepers_.erase(it);
}

void Waker::subscribe(Armable* was, Armable* is, SocketKey key) {
    if (was != nullptr) {
        const auto it = subscribers_.find(was->id);
        if (it != subscribers_.end()) {
            std::erase(it->second, key);
            if (it->second.empty()) subscribers_.erase(it);
        }
    }
    if (is != nullptr) subscribers_[is->id].push_back(key);
}

void Waker::read_from_image(SocketKey key, const abi::ImageHeader* image, Armable* object) {
    std::lock_guard lock(mutex_);
    const auto it = sleepers_.find(key);
    if (it == sleepers_.end()) return;
    Sleeper& sleeper = it->second;
    subscribe(sleeper.read_object, object, key);
    sleeper.image = image;
    sleeper.inbox = nullptr;
    sleeper.read_object = object;
    arm(sleeper, sleeper.interests);
}

void Waker::read_from_inbox(SocketKey key, const abi::InboxEngine* inbox, const abi::InboxApp* app, Armable* object) {
    std::lock_guard lock(mutex_);
    const auto it = sleepers_.find(key);
    if (it == sleepers_.end()) return;
    Sleeper& sleeper = it->second;
    subscribe(sleeper.read_object, object, key);
    sleeper.image = nullptr;
    sleeper.inbox = inbox;
    sleeper.inbox_app = app;
    sleeper.read_object = object;
    arm(sleeper, sleeper.interests);
}

void Waker::write_to_log(SocketKey key, const std::atomic<abi::Position>* commit, uint64_t cells, Armable* object) {
    std::lock_guard lock(mutex_);
    const auto it = sleepers_.find(key);
    if (it == sleepers_.end()) return;
    Sleeper& sleeper = it->second;
    subscribe(sleeper.write_object, object, key);
    sleeper.commit = commit;
    sleeper.log_cells = cells;
    sleeper.write_object = object;
    arm(sleeper, sleeper.interests);
}

void Waker::check(SocketKey key) {
    std::lock_guard lock(mutex_);
    const auto it = sleepers_.find(key);
    if (it != sleepers_.end()) signal_if_holds(it->second);
}

// ---- conditions: shared words, each read once; an application's own words can only mislead its own descriptor ----

abi::Position Waker::end_of_reading(const Sleeper& s) {
    return std::min(s.facts->read_end.load(std::memory_order_acquire), s.image->final.load(std::memory_order_acquire));
}

/// It has ended, and nothing more comes. Whether what is there was all read, the shim knows: what is left may be a
/// message that its sender did not finish.
bool Waker::is_all_there(const Sleeper& s) {
    if (s.facts->has_ended.load(std::memory_order_acquire) == 0) return false;
    if (s.facts->close_error.load(std::memory_order_relaxed) != 0 || s.image == nullptr) return true;
    return s.image->published.load(std::memory_order_acquire) >= end_of_reading(s);
}

bool Waker::has_something_to_read(const Sleeper& s) {
    if (s.image != nullptr) {
        const abi::Position seen =
            std::max(s.app->consumed.load(std::memory_order_relaxed), s.app->seen.load(std::memory_order_relaxed));
        const abi::Position published = s.image->published.load(std::memory_order_acquire);
        if (published > seen) return true;
    }
    if (s.inbox != nullptr &&
        s.inbox->head.load(std::memory_order_acquire) != s.inbox_app->tail.load(std::memory_order_relaxed))
        return true;
    return is_all_there(s);
}

bool Waker::has_room(const Sleeper& s) {
    if (s.commit == nullptr || s.facts->send_error.load(std::memory_order_relaxed) != 0) return true;
    if (s.facts->has_ended.load(std::memory_order_relaxed) != 0 || s.facts->leaves.load(std::memory_order_relaxed) == 0)
        return true;
    const uint64_t limit = abi::cell_of(s.facts->limit.load(std::memory_order_acquire));
    const uint64_t commit = abi::cell_of(s.commit->load(std::memory_order_relaxed));
    return limit >= commit + s.log_cells / 4 + 2;
}

uint8_t Waker::holding(const Sleeper& s) {
    uint8_t held = 0;
    if ((s.interests & abi::kWantRead) != 0 && has_something_to_read(s)) held |= abi::kWantRead;
    if ((s.interests & abi::kWantAccept) != 0 && s.facts->backlog.load(std::memory_order_acquire) != 0)
        held |= abi::kWantAccept;
    if ((s.interests & abi::kWantConnect) != 0 && s.facts->is_joining.load(std::memory_order_acquire) == 0 &&
        s.facts->phase.load(std::memory_order_acquire) != static_cast<uint32_t>(abi::Phase::kJoining) &&
        s.facts->connect_done.load(std::memory_order_acquire) != 0)
        held |= abi::kWantConnect;
    if ((s.interests & abi::kWantClose) != 0 && is_all_there(s)) held |= abi::kWantClose;
    if ((s.interests & abi::kWantWrite) != 0 && has_room(s)) held |= abi::kWantWrite;
    if ((s.interests & abi::kWantQos) != 0 &&
        s.facts->qos_changes.load(std::memory_order_acquire) != s.app->qos_seen.load(std::memory_order_relaxed))
        held |= abi::kWantQos;
    if ((s.interests & abi::kWantDelivered) != 0 && s.facts->has_delivered.load(std::memory_order_acquire) != 0)
        held |= abi::kWantDelivered;
    return held;
}

bool Waker::signal_if_holds(Sleeper& sleeper) {
    if (sleeper.interests == 0 || holding(sleeper) == 0) return false;
    const char byte = 1;
    [[maybe_unused]] const ssize_t n =
        send(sleeper.fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);  // a full buffer is readable anyway
    sleeper.interests = 0;
    return true;
}

void Waker::arm(Sleeper& sleeper, uint8_t interests) {
    sleeper.interests = interests;
    if (interests == 0 || signal_if_holds(sleeper)) return;
    arm_objects(sleeper);
    std::atomic_thread_fence(
        std::memory_order_seq_cst);  // partner: the worker's fence between publishing and testing is_armed
    signal_if_holds(sleeper);
}

void Waker::arm_objects(const Sleeper& sleeper) {
    if (sleeper.read_object != nullptr && (sleeper.interests & (abi::kWantRead | abi::kWantClose)) != 0)
        sleeper.read_object->is_armed.store(true, std::memory_order_relaxed);
    if (sleeper.write_object != nullptr && (sleeper.interests & abi::kWantWrite) != 0)
        sleeper.write_object->is_armed.store(true, std::memory_order_relaxed);
}

// ---- worker ----

void Waker::wake(Armable& object) {
    object.is_armed.store(false, std::memory_order_relaxed);
    if (!woken_.push(object.id)) missed_.store(true, std::memory_order_release);
    has_woken_ = true;
}

/// True: nothing is left for the thread.
bool Waker::wake_few() {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    uint32_t id;
    while (left_over_.size() < left_over_.capacity() && woken_.pop(id)) {
        const auto it = subscribers_.find(id);
        if (it == subscribers_.end()) continue;
        if (it->second.size() <= kFewSleepers)
            wake_subscribers(id);
        else
            left_over_.push_back(id);
    }
    has_left_over_.store(!left_over_.empty(), std::memory_order_relaxed);  // partner: run()'s look before it sleeps
    return left_over_.empty() && woken_.is_empty() && !missed_.load(std::memory_order_relaxed);
}

void Waker::flush(bool has_slept) {
    if (!has_woken_) return;
    has_woken_ = false;
    if (has_slept && wake_few()) return;
    std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: run()'s fence after is_asleep_
    if (!is_asleep_.load(std::memory_order_relaxed)) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(kick_fd_, &one, sizeof one);
}

// ---- the thread ----

void Waker::serve_armed_bytes(Sleeper& sleeper) {
    uint8_t bytes[64];
    const ssize_t n = recv(sleeper.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n <= 0) return;
    if (n == static_cast<ssize_t>(sizeof bytes)) {  // a flood: come back to it after the others
        epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = sleeper.key}};
        epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, sleeper.fd, &event);
    }
    arm(sleeper, bytes[n - 1]);
}

void Waker::wake_subscribers(uint32_t id) {
    const auto it = subscribers_.find(id);
    if (it == subscribers_.end()) return;
    for (const SocketKey key : it->second) {
        const auto sleeper = sleepers_.find(key);
        if (sleeper != sleepers_.end()) arm(sleeper->second, sleeper->second.interests);
    }
}

void Waker::run() {
    epoll_event events[kMaxEvents];
    while (!must_stop_.load()) {
        is_asleep_.store(true, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_seq_cst);  // partner: flush()
        const bool has_work = !woken_.is_empty() || missed_.load(std::memory_order_relaxed) ||
                              has_left_over_.load(std::memory_order_relaxed);
        const int n = epoll_wait(epoll_fd_, events, kMaxEvents, has_work ? 0 : -1);
        is_asleep_.store(false, std::memory_order_relaxed);
        std::lock_guard lock(mutex_);
        for (int i = 0; i < n; ++i) {
            if (events[i].data.u64 == kKickToken) continue;
            const auto it = sleepers_.find(static_cast<SocketKey>(events[i].data.u64));
            if (it != sleepers_.end()) serve_armed_bytes(it->second);
        }
        for (const uint32_t left : left_over_)
            wake_subscribers(left);
        left_over_.clear();
        has_left_over_.store(false, std::memory_order_relaxed);
        uint32_t id;
        while (woken_.pop(id))
            wake_subscribers(id);
        if (missed_.exchange(false, std::memory_order_acquire))
            for (auto& [key, sleeper] : sleepers_)
                arm(sleeper, sleeper.interests);
    }
}

}  // namespace xylem::engine
