// SPDX-License-Identifier: Apache-2.0
#include "shim/attachment.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "shim/socket.h"

namespace xylem::shim {

namespace {

constexpr int64_t kLookEveryMs = 50;

int64_t coarse_ms() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

// $XYLEM_ANSWER_MS, else 30 s.
int64_t answer_ms() {
    const char* text = secure_getenv("XYLEM_ANSWER_MS");
    const long ms = text != nullptr ? strtol(text, nullptr, 10) : 0;
    return ms > 0 && ms <= 3'600'000 ? ms : 30'000;
}

int connect_error(int error) {
    return error == ENOENT || error == ECONNREFUSED || error == ENOTDIR || error == EAGAIN ? ENETDOWN : error;
}

}  // namespace

ReplyFds::~ReplyFds() {
    for (const int fd : fds_)
        if (fd >= 0) close(fd);
}

int ReplyFds::take(unsigned i) {
    if (i >= n_) return -1;
    const int fd = fds_[i];
    fds_[i] = -1;
    return fd;
}

void ReplyFds::take_all(ReplyFds& from) {
    for (unsigned i = 0; i < from.n_; ++i)
        add(from.take(i));
}

void ReplyFds::add(int fd) {
    if (n_ < kMaxReplyFds)
        fds_[n_++] = fd;
    else
        close(fd);
}

Attachment* Attachment::connect(const char* path) {
    void* memory = calloc(1, sizeof(Attachment));
    if (memory == nullptr) return errno = ENOBUFS, nullptr;
    auto* attachment = new (memory) Attachment;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    int error = 0;
    if (strlen(path) >= sizeof address.sun_path) {
        error = ENAMETOOLONG;
    } else {
        strcpy(address.sun_path, path);
        strcpy(attachment->path_, path);
        attachment->answer_ms_ = answer_ms();
        attachment->fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (attachment->fd_ < 0 ||
            ::connect(attachment->fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            error = connect_error(errno);
        else
            error = attachment->attach();
    }
    if (error == 0) return attachment;
    attachment->unref();
    errno = error;
    return nullptr;
}

int Attachment::attach() {
    abi::AttachReply reply{};
    ReplyFds fds;
    const int error = get(abi::Op::kAttach, 0, reply, &fds);
    if (error != 0) return error == EPERM ? EACCES : error;
    if (reply.abi_version != abi::kAbiVersion) return EPROTO;
    if (reply.app_bytes < sizeof(abi::AppSegment) || reply.engine_bytes < sizeof(abi::EngineSegment)) return EPROTO;
    if (fds.peek(0) < 0 || fds.peek(1) < 0 || fds.peek(2) < 0) return EPROTO;
    if (const int e = app_.map(fds.peek(0), sizeof(abi::AppSegment), true)) return e;
    if (const int e = engine_.map(fds.peek(1), sizeof(abi::EngineSegment), false)) return e;
    if (engine().magic != abi::kEngineMagic || engine().version != abi::kAbiVersion) return EPROTO;
    kick_fd_ = fds.take(2);
    return 0;
}

void Attachment::unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    app_.release();
    engine_.release();
    if (fd_ >= 0) close(fd_);
    if (kick_fd_ >= 0) close(kick_fd_);
    this->~Attachment();
    free(this);
}

void Attachment::abandon() {
    app_.forget();
    engine_.forget();
    if (fd_ >= 0) close(fd_);
    if (kick_fd_ >= 0) close(kick_fd_);
    fd_ = kick_fd_ = -1;
    is_dead_.store(true, std::memory_order_relaxed);
}

bool Attachment::look_for_death() {
    if (is_dead()) return true;
    pollfd p{fd_, POLLRDHUP, 0};
    if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0)
        is_dead_.store(true, std::memory_order_release);
    return is_dead();
}

bool Attachment::look_for_death_sometimes() {
    if (is_dead()) return true;
    const int64_t now = coarse_ms();
    if (now - looked_ms_.load(std::memory_order_relaxed) < kLookEveryMs) return false;
    looked_ms_.store(now, std::memory_order_relaxed);
    return look_for_death();
}

void Attachment::ring(uint32_t id) {
    // The bits are only set here and only cleared by the worker, which looks at the socket after clearing: a bit that
    // is set after our store needs no second store.
    auto& summary = app().summary;
    auto& bell = app().bell[id / 64];
    const uint64_t bit = 1ULL << (id % 64), group = 1ULL << (id / 64);
    if ((bell.load(std::memory_order_seq_cst) & bit) == 0) bell.fetch_or(bit, std::memory_order_seq_cst);
    if ((summary.load(std::memory_order_seq_cst) & group) == 0) summary.fetch_or(group, std::memory_order_seq_cst);
    if (engine().worker_sleeps.load(std::memory_order_seq_cst) == 0) return;
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(kick_fd_, &one, sizeof one);
}

// ---- the process's attachment ----

namespace {
Mutex g_mutex;
Attachment* g_current = nullptr;
char g_kept_path[108] = {};  // xy_attach named it: kept without sockets, and the place to attach to anew

constexpr char kSystemSocket[] = "/run/xylem/xylemd.sock";

// Where the daemon listens: the argument, $XYLEM_SOCKET, root's, or the user's own and then root's.
void choose_path(const char* path, char (&out)[108]) {
    if (path == nullptr) path = secure_getenv("XYLEM_SOCKET");
    if (path != nullptr && *path != '\0') {
        out[107] = '\0';
        strncpy(out, path, 107);
        return;
    }
    strcpy(out, kSystemSocket);
    const char* runtime = geteuid() == 0 ? nullptr : secure_getenv("XDG_RUNTIME_DIR");
    if (runtime == nullptr || strlen(runtime) + 20 > sizeof out) return;
    strcpy(out, runtime);
    strcat(out, "/xylem/xylemd.sock");
    if (access(out, F_OK) != 0) strcpy(out, kSystemSocket);
}

void drop_dead() {
    if (g_current == nullptr || !g_current->look_for_death()) return;
    g_current->unref();
    g_current = nullptr;
}
}  // namespace

Attachment* current_attachment() {
    prepare_for_forks();
    Lock lock(g_mutex);
    drop_dead();
    if (g_current == nullptr) {
        char path[108];
        choose_path(g_kept_path[0] != '\0' ? g_kept_path : nullptr, path);
        g_current = Attachment::connect(path);
    }
    if (g_current != nullptr) g_current->ref();
    return g_current;
}

void let_go(Attachment* attachment) {
    Lock lock(g_mutex);
    const bool is_current = attachment == g_current;
    attachment->unref();
    if (!is_current || g_kept_path[0] != '\0' || !g_current->is_unused()) return;
    g_current->unref();
    g_current = nullptr;
}

int attach_to(const char* wanted) {
    char path[108];
    if (wanted != nullptr && strlen(wanted) >= sizeof path) return ENAMETOOLONG;
    choose_path(wanted, path);
    prepare_for_forks();
    Lock lock(g_mutex);
    drop_dead();
    if (g_current != nullptr && strcmp(g_current->path(), path) != 0) return EISCONN;
    if (g_current == nullptr) g_current = Attachment::connect(path);
    if (g_current == nullptr) return errno;
    strcpy(g_kept_path, path);
    return 0;
}

void forget_attachment() {
    Lock lock(g_mutex);
    if (g_current != nullptr) g_current->unref();
    g_current = nullptr;
    g_kept_path[0] = '\0';
}

void abandon_attachment_in_child() {
    g_mutex.renew();
    if (g_current != nullptr) g_current->abandon();
    g_current = nullptr;
}

}  // namespace xylem::shim
