// SPDX-License-Identifier: Apache-2.0
#include "shim/wait.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "shim/socket.h"

namespace xylem::shim {

namespace {

constexpr int kPauses = 32;
constexpr int64_t kYieldNs = 50'000;
constexpr int64_t kLongestSleepMs = 1000;  // then the daemon is looked at
constexpr int kUselessWakeUps = 4;         // in a row; then the sleep is by time
constexpr int kShortSleepMs = 1;

Mutex g_mutex;
Sleeper* g_sleepers = nullptr;
pthread_key_t g_key;
pthread_once_t g_once = PTHREAD_ONCE_INIT;

void forget_thread(void* memory) {
    auto* sleeper = static_cast<Sleeper*>(memory);
    if (sleeper->fd >= 0) close(sleeper->fd);
    free(sleeper);
}

void make_key() { pthread_key_create(&g_key, forget_thread); }

Sleeper* own_entry() {
    pthread_once(&g_once, make_key);
    auto* sleeper = static_cast<Sleeper*>(pthread_getspecific(g_key));
    if (sleeper == nullptr) {
        sleeper = static_cast<Sleeper*>(calloc(1, sizeof *sleeper));
        if (sleeper == nullptr) return errno = ENOBUFS, nullptr;
        sleeper->fd = -1;
        pthread_setspecific(g_key, sleeper);
    }
    if (sleeper->fd < 0) sleeper->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return sleeper->fd >= 0 ? sleeper : nullptr;
}

void drain(const Sleeper& sleeper) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(sleeper.fd, &count, sizeof count);
}

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

}  // namespace

int64_t now_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void poke(const Sleeper& sleeper) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(sleeper.fd, &one, sizeof one);
}

Sleeper* begin_nested_sleep(const Socket* socket) {
    const Sleeper* sleeper = own_entry();
    return sleeper == nullptr || sleeper->is_listed ? nullptr : begin_sleep(socket);
}

Sleeper* begin_sleep(const Socket* socket) {
    Sleeper* sleeper = own_entry();
    if (sleeper == nullptr) return nullptr;
    Lock lock(g_mutex);
    sleeper->thread = pthread_self();
    sleeper->socket = socket;
    sleeper->is_cancelled = false;
    sleeper->is_listed = true;
    sleeper->next = g_sleepers;
    g_sleepers = sleeper;
    return sleeper;
}

void end_sleep(Sleeper* sleeper) {
    Lock lock(g_mutex);
    Sleeper** at = &g_sleepers;
    while (*at != sleeper)
        at = &(*at)->next;
    *at = sleeper->next;
    sleeper->is_listed = false;
    drain(*sleeper);
}

bool take_poke(Sleeper* sleeper) {
    Lock lock(g_mutex);
    drain(*sleeper);
    return sleeper->is_cancelled;
}

int cancel(pthread_t thread) {
    Lock lock(g_mutex);
    for (Sleeper* s = g_sleepers; s != nullptr; s = s->next) {
        if (!pthread_equal(s->thread, thread)) continue;
        s->is_cancelled = true;
        poke(*s);
        return 0;
    }
    return EINVAL;
}

void wake_sleepers(const Socket& socket) {
    Lock lock(g_mutex);
    for (Sleeper* s = g_sleepers; s != nullptr; s = s->next)
        if (s->socket == &socket) poke(*s);
}

void abandon_sleepers_in_child() {
    g_mutex.renew();
    g_sleepers = nullptr;
    pthread_once(&g_once, make_key);
    auto* own = static_cast<Sleeper*>(pthread_getspecific(g_key));
    if (own == nullptr || own->fd < 0) return;
    own->is_listed = false;
    close(own->fd);  // shared with the parent
    own->fd = -1;
}

Wait::~Wait() {
    const int error = errno;  // the caller's result may be decided already
    if (has_begun_ && !socket_.is_closing.load(std::memory_order_acquire) && !socket_.notifier.end_wait(interests_))
        hung_up(socket_);
    if (is_user_) socket_.users.fetch_sub(1, std::memory_order_release);
    errno = error;
}

int Wait::until(bool (*is_ready)(Socket&, uint64_t), uint64_t argument, Mutex* lock) {
    if (!is_user_) {
        socket_.users.fetch_add(1, std::memory_order_seq_cst);
        is_user_ = true;
        if (socket_.is_closing.load(std::memory_order_seq_cst)) return ENOTSOCK;
        if (timeout_ns_ >= 0) deadline_ns_ = now_ns() + timeout_ns_;
    }
    if (lock != nullptr) lock->unlock();
    const int error = spin_then_sleep(is_ready, argument);
    if (lock != nullptr) lock->lock();
    return socket_.is_closing.load(std::memory_order_acquire) ? ENOTSOCK : error;
}

int Wait::spin_then_sleep(bool (*is_ready)(Socket&, uint64_t), uint64_t argument) {
    const auto is_over = [&] {
        return is_ready(socket_, argument) || socket_.is_closing.load(std::memory_order_acquire);
    };
    if (!has_begun_) {
        for (int i = 0; i < kPauses; ++i) {
            if (is_over()) return 0;
            pause_cpu();
        }
        const int64_t until = now_ns() + kYieldNs;
        while (now_ns() < until) {
            if (is_over()) return 0;
            sched_yield();
        }
    }
    return sleep(is_ready, argument);
}

int Wait::sleep(bool (*is_ready)(Socket&, uint64_t), uint64_t argument) {
    Sleeper* sleeper = begin_sleep(&socket_);
    if (sleeper == nullptr) return errno;
    bool is_there = has_begun_ ? socket_.notifier.rearm() : socket_.notifier.begin_wait(interests_);
    has_begun_ = true;
    int error = 0;
    for (int n_useless = 0;; ++n_useless) {
        if (!is_there) hung_up(socket_);
        if (socket_.is_closing.load(std::memory_order_acquire)) {
            error = ENOTSOCK;
            break;
        }
        if (is_ready(socket_, argument)) break;
        if (!is_there) {
            error = ENETDOWN;
            break;
        }
        int64_t left_ms = kLongestSleepMs;
        if (timeout_ns_ >= 0) {
            const int64_t left_ns = deadline_ns_ - now_ns();
            if (left_ns <= 0) {
                error = EAGAIN;
                break;
            }
            left_ms = left_ns / 1'000'000 + 1 < left_ms ? left_ns / 1'000'000 + 1 : left_ms;
        }
        // An interest may hold for the engine and still give us nothing: then do not turn in circles.
        const bool by_time = n_useless >= kUselessWakeUps;
        pollfd fds[2] = {{sleeper->fd, POLLIN, 0}, {socket_.descriptor.load(std::memory_order_relaxed), POLLIN, 0}};
        const int n = poll(fds, by_time ? 1 : 2, static_cast<int>(by_time ? kShortSleepMs : left_ms));
        if (n == 0 && !by_time) n_useless = 0;
        if (fds[0].revents != 0 && take_poke(sleeper)) {
            error = is_ready(socket_, argument) ? 0 : EINTR;
            break;
        }
        if (n == 0 && socket_.attachment->look_for_death()) hung_up(socket_);
        if (is_ready(socket_, argument)) break;
        is_there = socket_.notifier.rearm();
    }
    end_sleep(sleeper);
    return error;
}

}  // namespace xylem::shim
