// SPDX-License-Identifier: Apache-2.0
// Registrations with an eventfd of the application's own: the engine cannot write to it, so a thread of the shim's,
// started at the first of them, sleeps on the sockets' descriptors, records what became true and signals.
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "shim/events.h"
#include "shim/socket.h"

namespace xylem::shim {

namespace {

Mutex g_mutex;
int g_epoll = -1;

void serve(int fd) {
    Use s(fd);
    if (!s) return;
    Lock lock(s->events.mutex);
    Events& e = s->events;
    if (e.event_fd < 0) return;
    const uint32_t before = e.recorded;
    if (record_events(*s) != before) {
        const uint64_t one = 1;
        [[maybe_unused]] const ssize_t n = write(e.event_fd, &one, sizeof one);
    }
    renew_interests_locked(*s);
}

void* run(void* argument) {
    const int epoll = static_cast<int>(reinterpret_cast<intptr_t>(argument));
    epoll_event events[32];
    for (;;) {
        const int n = epoll_wait(epoll, events, 32, -1);
        if (n < 0 && errno != EINTR) return nullptr;
        for (int i = 0; i < n; ++i) {
            const int fd = events[i].data.fd;
            // Hang-up stays: it is served once more, and then not looked at.
            if ((events[i].events & (EPOLLHUP | EPOLLERR)) != 0) {
                epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr);
                if (Use s(fd); s) hung_up(*s);
            }
            serve(fd);
        }
    }
}

int start() {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) return errno;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, run, reinterpret_cast<void*>(static_cast<intptr_t>(epoll)));
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        close(epoll);
    else
        g_epoll = epoll;
    return error;
}

}  // namespace

int watch_events(Socket& s) {
    Lock lock(g_mutex);
    if (g_epoll < 0)
        if (const int error = start()) return error;
    const int fd = s.descriptor.load(std::memory_order_relaxed);
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(g_epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void unwatch_events(Socket& s) {
    if (s.events.event_fd < 0) return;
    Lock lock(g_mutex);
    if (g_epoll >= 0) epoll_ctl(g_epoll, EPOLL_CTL_DEL, s.descriptor.load(std::memory_order_relaxed), nullptr);
}

void abandon_event_thread_in_child() {
    g_mutex.renew();
    if (g_epoll >= 0) close(g_epoll);
    g_epoll = -1;
}

}  // namespace xylem::shim
