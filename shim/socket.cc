// SPDX-License-Identifier: Apache-2.0
#include "shim/socket.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

namespace xylem::shim {

namespace {

constexpr int kMaxDescriptors = 1 << 20;
constexpr unsigned kParked = 64;  // a closed number is not used again before so many others were closed

// Sparse: pages that hold no descriptor are never touched.
std::atomic<Socket*> g_sockets[kMaxDescriptors];

Mutex g_mutex;             // what follows
Socket* g_free = nullptr;  // by next_free
Socket* g_all = nullptr;   // every socket ever made, by next_made
int g_parked[kParked];
unsigned g_n_parked = 0, g_next_parked = 0;
int g_placeholder = -1;  // what parked numbers stand for: never readable
pthread_once_t g_once = PTHREAD_ONCE_INIT;

// A forked child has none of its parent's sockets: their memory is not mapped there. They are left as they lie, since
// another thread may have been in the middle of one; their descriptors are closed.
void abandon_all_in_child() {
    for (Socket* s = g_all; s != nullptr; s = s->next_made) {
        const int fd = s->descriptor.load(std::memory_order_relaxed);
        if (fd < 0 || s->is_closing.load(std::memory_order_relaxed)) continue;
        s->is_closing.store(true, std::memory_order_relaxed);
        s->attachment->abandon();
        if (g_sockets[fd].load(std::memory_order_relaxed) != s) continue;
        g_sockets[fd].store(nullptr, std::memory_order_relaxed);
        close(fd);
    }
    g_all = g_free = nullptr;
    g_mutex.renew();
    abandon_attachment_in_child();
    abandon_sleepers_in_child();
    abandon_event_thread_in_child();
}

void prepare_once() {
    pthread_atfork([] { g_mutex.lock(); }, [] { g_mutex.unlock(); }, abandon_all_in_child);
    g_placeholder = eventfd(0, EFD_CLOEXEC);
}

Socket* new_socket() {
    Lock lock(g_mutex);
    if (g_free != nullptr) {
        Socket* s = g_free;
        g_free = s->next_free;
        return s;
    }
    void* memory = aligned_alloc(alignof(Socket), sizeof(Socket));
    if (memory == nullptr) return nullptr;
    auto* s = new (memory) Socket;
    s->next_made = g_all;
    g_all = s;
    return s;
}

void recycle(Socket& s) {
    Lock lock(g_mutex);
    s.descriptor.store(-1, std::memory_order_relaxed);
    s.generation.fetch_add(1, std::memory_order_release);
    s.next_free = g_free;
    g_free = &s;
}

// Keeps the number occupied; the description that it stood for is closed.
void park(int fd) {
    Lock lock(g_mutex);
    if (dup3(g_placeholder, fd, O_CLOEXEC) < 0) {
        close(fd);
        return;
    }
    if (g_n_parked == kParked)
        close(g_parked[g_next_parked]);
    else
        ++g_n_parked;
    g_parked[g_next_parked] = fd;
    g_next_parked = (g_next_parked + 1) % kParked;
}

// A branch goes: its root forgets a join that was in progress (no FD_CONNECT for it, W-120), and asks anew whose data
// an inbox slot holds.
void leave_parent(Socket& s) {
    Socket& root = *s.parent;
    if (root.generation.load(std::memory_order_acquire) != s.parent_generation) return;
    Lock lock(root.control_mutex);
    if (root.is_join_pending && root.join_branch == s.descriptor.load(std::memory_order_relaxed))
        root.is_join_pending = false;
    root.receiver.note_leaf_closed();
}

void tear_down(Socket& s) {
    unwatch_events(s);
    if (s.parent != nullptr) leave_parent(s);
    Lock sending(s.send_mutex);
    Lock receiving(s.receive_mutex);
    s.receiver.flush(s);
    tell_close(s,
               s.linger_s.load(std::memory_order_relaxed) == 0 ? abi::CloseHow::kAbortive : abi::CloseHow::kGraceful);
    s.receiver.close();
    s.sender.close();
    s.destinations.close();
    let_go(s.attachment);
    s.attachment = nullptr;
}

// The socket is in no table any more: waits until nobody uses it, and ends it.
void dispose(Socket& s, bool has_descriptor) {
    s.is_closing.store(true, std::memory_order_seq_cst);
    while (s.users.load(std::memory_order_seq_cst) != 0) {
        wake_sleepers(s);
        sched_yield();
    }
    tear_down(s);
    if (has_descriptor) park(s.descriptor.load(std::memory_order_relaxed));
    recycle(s);
}

}  // namespace

int tell_close(Socket& s, abi::CloseHow how) {
    return s.attachment->tell(abi::Op::kClose, s.id, abi::CloseBody{static_cast<uint32_t>(how), 0});
}

void prepare_for_forks() { pthread_once(&g_once, prepare_once); }

Socket* find_socket(int fd) {
    if (fd < 0 || fd >= kMaxDescriptors) return nullptr;
    return g_sockets[fd].load(std::memory_order_acquire);
}

Use::Use(int fd) : socket_(find_socket(fd)) {
    if (socket_ != nullptr) {
        socket_->users.fetch_add(1, std::memory_order_seq_cst);
        if (!socket_->is_closing.load(std::memory_order_seq_cst) &&
            socket_->descriptor.load(std::memory_order_relaxed) == fd)
            return;
        socket_->users.fetch_sub(1, std::memory_order_release);
        socket_ = nullptr;
    }
    errno = ENOTSOCK;
}

Use::~Use() {
    if (socket_ != nullptr) socket_->users.fetch_sub(1, std::memory_order_release);
}

Socket* adopt(Attachment* attachment, uint32_t id, int fd, const Socket* like) {
    int error = fd < 0 || fd >= kMaxDescriptors ? EMFILE : id >= abi::kMaxSockets ? EPROTO : 0;
    Socket* s = error == 0 ? new_socket() : nullptr;
    if (s == nullptr) {
        if (id < abi::kMaxSockets) attachment->tell(abi::Op::kClose, id, abi::CloseBody{});
        if (fd >= 0) close(fd);
        let_go(attachment);
        errno = error != 0 ? error : ENOBUFS;
        return nullptr;
    }
    s->descriptor.store(fd, std::memory_order_relaxed);
    s->attachment = attachment;
    s->engine = &attachment->engine().sockets[id];
    s->app = &attachment->app().sockets[id];
    s->id = id;
    s->is_branch = false;
    s->parent = nullptr;
    s->shut = 0, s->local_error = 0, s->pending_error = 0, s->is_accept_deferred = 0;
    s->is_join_pending = false, s->callee_data = nullptr, s->join_branch = -1;
    s->has_reservation = s->is_send_blocked = s->blocks_in_receive = false;
    s->n_sends = 0, s->sent_messages = 0;
    s->boundary.set(0);
    s->group_name = {};
    s->group_filter.reset();
    s->is_nonblocking = like != nullptr && like->is_nonblocking;
    s->receive_timeout_ns = like != nullptr ? like->receive_timeout_ns.load() : -1;
    s->send_timeout_ns = like != nullptr ? like->send_timeout_ns.load() : -1;
    s->linger_s = like != nullptr ? like->linger_s.load() : -1;
    if (like != nullptr) {
        s->family = like->family, s->type = like->type, s->protocol = like->protocol;
        s->is_stream = like->is_stream;
    }
    s->app->consumed.store(0, std::memory_order_relaxed);
    s->app->seen.store(0, std::memory_order_release);
    s->events.mask = 0;
    s->events.event_fd = -1, s->events.enabled = s->events.recorded = 0;
    s->events.connects_seen = s->engine->connect_done.load(std::memory_order_relaxed);
    s->events.qos_seen = s->engine->qos_changes.load(std::memory_order_relaxed);
    s->app->qos_seen.store(s->events.qos_seen, std::memory_order_release);
    return s;
}

void publish(Socket& s) {
    const int fd = s.descriptor.load(std::memory_order_relaxed);
    s.receiver.open(has_inbox(s));
    s.notifier.open(fd, abi::kWantRead | abi::kWantAccept);
    s.is_closing.store(false, std::memory_order_seq_cst);
    // A socket whose descriptor was closed with close(2) may still be there under its number.
    if (Socket* old = g_sockets[fd].exchange(&s, std::memory_order_acq_rel)) dispose(*old, false);
}

int close_socket_now(int fd) {
    Socket* s = find_socket(fd);
    if (s == nullptr || !g_sockets[fd].compare_exchange_strong(s, nullptr)) return ENOTSOCK;
    dispose(*s, true);
    return 0;
}

void close_all_sockets() {
    Socket* s;
    {
        Lock lock(g_mutex);
        s = g_all;
    }
    for (; s != nullptr; s = s->next_made) {
        const int fd = s->descriptor.load(std::memory_order_relaxed);
        if (fd >= 0 && find_socket(fd) == s) close_socket_now(fd);
    }
}

int branch_descriptor(const Socket& root, uint32_t leaf_number) {
    const uint32_t generation = root.generation.load(std::memory_order_relaxed);
    Lock lock(g_mutex);
    for (const Socket* s = g_all; s != nullptr; s = s->next_made)
        if (s->parent == &root && s->parent_generation == generation && s->leaf_number == leaf_number &&
            !s->is_closing.load(std::memory_order_relaxed))
            return s->descriptor.load(std::memory_order_relaxed);
    return -1;
}

}  // namespace xylem::shim
