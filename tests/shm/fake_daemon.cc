// SPDX-License-Identifier: Apache-2.0
#include "tests/shm/fake_daemon.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xylem/socket.h>
#include <xylem/stats.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace xylem::test {

using abi::Op;
using abi::Phase;

Memory::Memory(size_t bytes) : fd_(memfd_create("fake", MFD_CLOEXEC)), bytes_(bytes) {
    if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(bytes)) != 0) abort();
    base_ = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    if (base_ == MAP_FAILED) abort();
}

Memory::~Memory() {
    munmap(base_, bytes_);
    close(fd_);
}

FakeDaemon::FakeDaemon() : FakeDaemon(Options{}) {}

FakeDaemon::FakeDaemon(Options options, std::string path) : options_(options), path_(std::move(path)) {
    if (path_.empty()) {
        static int n = 0;
        const char* folder = getenv("TMPDIR");
        path_ = std::string(folder != nullptr ? folder : "/tmp") + "/xylem-fake-" + std::to_string(getpid()) + "-" +
                std::to_string(n++);
    }
    unlink(path_.c_str());
    listen_fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    if (bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listen_fd_, 8) != 0)
        abort();
    stop_fd_ = eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread([this] { run(); });
}

FakeDaemon::~FakeDaemon() { die(); }

void FakeDaemon::die() {
    if (!thread_.joinable()) return;
    {
        std::lock_guard lock(mutex_);
        must_stop_ = true;
        const uint64_t one = 1;
        [[maybe_unused]] const ssize_t n = write(stop_fd_, &one, sizeof one);
    }
    thread_.join();
    std::lock_guard lock(mutex_);
    for (auto& s : sockets_)
        if (s->fd >= 0) close(std::exchange(s->fd, -1));
    for (int* fd : {&app_fd_, &listen_fd_, &kick_fd_, &stop_fd_})
        if (*fd >= 0) close(std::exchange(*fd, -1));
    unlink(path_.c_str());
}

void FakeDaemon::pause_worker(bool is_paused) {
    std::lock_guard lock(mutex_);
    is_paused_ = is_paused;
    if (is_paused_) return;
    work();
    serve_interests();
}

void FakeDaemon::run() {
    for (;;) {
        std::vector<pollfd> fds;
        std::vector<FakeSocket*> owners;
        {
            std::lock_guard lock(mutex_);
            if (must_stop_) return;
            fds = {{stop_fd_, POLLIN, 0}, {app_fd_ < 0 ? listen_fd_ : app_fd_, POLLIN, 0}, {kick_fd_, POLLIN, 0}};
            for (auto& s : sockets_) {
                if (s->fd < 0) continue;
                fds.push_back({s->fd, POLLIN, 0});
                owners.push_back(s.get());
            }
            if (engine_ != nullptr) engine_->at<abi::EngineSegment>()->worker_sleeps.store(1);
            if (engine_ != nullptr && take_bells()) {
                work();
                serve_interests();
            }
        }
        poll(fds.data(), fds.size(), -1);
        std::lock_guard lock(mutex_);
        if (must_stop_) return;
        if (engine_ != nullptr) engine_->at<abi::EngineSegment>()->worker_sleeps.store(0);
        if (fds[2].revents != 0) {
            uint64_t count;
            if (read(kick_fd_, &count, sizeof count) > 0) ++n_kicks_;
        }
        for (size_t i = 0; i < owners.size(); ++i)
            if (fds[3 + i].revents != 0) read_interests(*owners[i]);
        if (fds[1].revents != 0) app_fd_ < 0 ? accept_app() : (void)serve_command();
        // A command may have changed who holds a stream back.
        if (engine_ != nullptr && (take_bells() || fds[1].revents != 0)) work();
        serve_interests();
    }
}

void FakeDaemon::accept_app() {
    app_fd_ = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    app_ = std::make_unique<Memory>(sizeof(abi::AppSegment));
    engine_ = std::make_unique<Memory>(sizeof(abi::EngineSegment));
    auto* engine = engine_->at<abi::EngineSegment>();
    engine->magic = abi::kEngineMagic;
    engine->version = abi::kAbiVersion;
    kick_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

bool FakeDaemon::serve_command() {
    alignas(8) char bytes[abi::kMaxCommandBytes];
    const ssize_t n = recv(app_fd_, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < static_cast<ssize_t>(sizeof(abi::RequestHeader))) {  // the application is gone
        for (auto& s : sockets_)
            if (s->fd >= 0) close(std::exchange(s->fd, -1));
        sockets_.clear();
        held_.clear();
        order_.clear();
        close(std::exchange(app_fd_, -1));
        close(std::exchange(kick_fd_, -1));
        app_.reset();
        engine_.reset();
        return false;
    }
    ++n_commands_;
    abi::RequestHeader request;
    memcpy(&request, bytes, sizeof request);
    if (request.op == static_cast<uint16_t>(held_op_))
        held_.emplace_back(bytes, bytes + n);
    else
        reply_to(bytes);
    return true;
}

size_t FakeDaemon::n_held() {
    std::lock_guard lock(mutex_);
    return held_.size();
}

void FakeDaemon::hold(Op op) {
    std::lock_guard lock(mutex_);
    held_op_ = op;
    if (op != Op{}) return;
    for (const std::vector<char>& request : std::exchange(held_, {}))
        reply_to(request.data());
    serve_interests();
}

void FakeDaemon::reply_to(const char* bytes) {
    abi::RequestHeader request;
    memcpy(&request, bytes, sizeof request);
    Reply reply;
    answer(request, bytes + sizeof request, reply);
    if (reply.error != 0) reply.body.clear(), reply.fds.clear();
    const abi::ReplyHeader header{abi::kCommandMagic, reply.error, request.sequence, reply.value,
                                  static_cast<uint32_t>(reply.body.size())};
    iovec parts[2] = {{const_cast<abi::ReplyHeader*>(&header), sizeof header}, {reply.body.data(), reply.body.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))]{};
    if (!reply.fds.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(reply.fds.size() * sizeof(int));
        cmsghdr* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(reply.fds.size() * sizeof(int));
        memcpy(CMSG_DATA(c), reply.fds.data(), reply.fds.size() * sizeof(int));
    }
    [[maybe_unused]] const ssize_t sent = sendmsg(app_fd_, &message, MSG_NOSIGNAL);
    for (const int fd : reply.close_after)
        close(fd);
}

FakeSocket& FakeDaemon::open(const abi::SocketBody& kind, Reply& reply) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) abort();
    sockets_.push_back(std::make_unique<FakeSocket>());
    FakeSocket& s = *sockets_.back();
    order_.push_back(&s);
    s.id = next_id_++;
    s.kind = kind;
    s.fd = pair[0];
    s.facts = &engine_->at<abi::EngineSegment>()->sockets[s.id];
    s.app = &app_->at<abi::AppSegment>()->sockets[s.id];
    s.facts->phase = static_cast<uint32_t>(Phase::kOpen);
    s.facts->direction = XY_BOTH;
    s.facts->read_end = abi::kNoPosition;
    s.facts->generation = s.facts->generation + 1;
    s.name.length = sizeof(sockaddr_in);
    auto& in = reinterpret_cast<sockaddr_in&>(s.name.address);
    in.sin_family = AF_INET;
    in.sin_port = htons(next_port_++);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    reply.set(abi::SocketReply{s.id, s.leaf_number, kind.flags, XY_BOTH});
    reply.fds = {pair[1]};
    reply.close_after = {pair[1]};
    return s;
}

void FakeDaemon::answer(const abi::RequestHeader& request, const char* body, Reply& reply) {
    const auto op = static_cast<Op>(request.op);
    if (op == Op::kAttach) {
        abi::AttachReply attach{};
        attach.app_bytes = sizeof(abi::AppSegment);
        attach.engine_bytes = sizeof(abi::EngineSegment);
        attach.abi_version = abi::kAbiVersion;
        reply.set(attach);
        reply.fds = {app_->fd(), engine_->fd(), kick_fd_};
        return;
    }
    if (op == Op::kSocket) {
        abi::SocketBody kind;
        memcpy(&kind, body, sizeof kind);
        open(kind, reply);
        return;
    }
    if (op == Op::kStatus) {
        Memory text(4096);
        strcpy(text.at<char>(), "{\"sessions\":[]}");
        reply.value = static_cast<uint32_t>(strlen(text.at<char>()));
        const int fd = dup(text.fd());
        reply.fds = {fd};
        reply.close_after = {fd};
        return;
    }
    answer_session(request, body, reply);
}

void FakeDaemon::answer_session(const abi::RequestHeader& request, const char* body, Reply& reply) {
    const auto found =
        std::find_if(sockets_.begin(), sockets_.end(), [&](auto& s) { return s->id == request.socket && s->fd >= 0; });
    if (found == sockets_.end()) {
        reply.error = ENOTSOCK;
        return;
    }
    FakeSocket& s = **found;
    switch (static_cast<Op>(request.op)) {
        case Op::kBind:
            memcpy(&s.name, body, sizeof s.name);
            s.facts->phase = static_cast<uint32_t>(Phase::kBound);
            reply.set(s.name);
            return;
        case Op::kListen:
            if (s.facts->phase == static_cast<uint32_t>(Phase::kOpen)) reply.error = EINVAL;
            if (reply.error == 0) s.facts->phase = static_cast<uint32_t>(Phase::kListening);
            return;
        case Op::kJoin: {
            abi::JoinBody join_body;
            memcpy(&join_body, body, sizeof join_body);
            return join(s, join_body, reply);
        }
        case Op::kCancelJoin:
            return cancel_join(s, reply);
        case Op::kJoinResult:
            if (s.facts->connect_done == 0) reply.error = EINPROGRESS;
            reply.set(s.result);
            return;
        case Op::kAcceptTake:
            return take(s, reply);
        case Op::kAcceptDecide: {
            abi::AcceptDecideBody decision;
            memcpy(&decision, body, sizeof decision);
            return decide(s, decision, reply);
        }
        case Op::kShutdown:
            finish_stream(s);
            return;
        case Op::kClose: {
            abi::CloseBody close_body;
            memcpy(&close_body, body, sizeof close_body);
            return close_socket(s, static_cast<abi::CloseHow>(close_body.how), reply);
        }
        case Op::kName: {
            abi::NameBody name;
            memcpy(&name, body, sizeof name);
            const bool is_known = name.is_peer != 0 ? s.peer.length != 0 : s.facts->phase != 1;
            if (!is_known) reply.error = name.is_peer != 0 ? ENOTCONN : EINVAL;
            reply.set(name.is_peer != 0 ? s.peer : s.name);
            return;
        }
        case Op::kSendDisconnect:
            memcpy(&s.disconnect, body, sizeof s.disconnect);
            return;
        case Op::kRecvDisconnect:
            reply.set(s.root != nullptr ? s.root->disconnect : s.disconnect);
            return;
        default:
            answer_data(request, body, reply);
    }
}

void FakeDaemon::answer_data(const abi::RequestHeader& request, const char* body, Reply& reply) {
    FakeSocket& s = **std::find_if(sockets_.begin(), sockets_.end(), [&](auto& x) { return x->id == request.socket; });
    switch (static_cast<Op>(request.op)) {
        case Op::kMakeLog:
            return make_log(s, reply);
        case Op::kLogMapped:
            return;
        case Op::kGetInbox:
            if (s.inbox_engine == nullptr) {
                s.inbox_engine = std::make_unique<Memory>(sizeof(abi::InboxEngine));
                s.inbox_app = std::make_unique<Memory>(sizeof(abi::InboxApp));
            }
            reply.fds = {s.inbox_engine->fd(), s.inbox_app->fd()};
            for (auto& [slot, image] : s.slots)
                push_ready(*image);
            return;
        case Op::kGetImage: {
            abi::ImageBody which;
            memcpy(&which, body, sizeof which);
            const auto& image = (s.kind.flags & XY_D_ROOT) != 0 ? s.slots[which.slot] : s.image;
            if (image == nullptr) {
                reply.error = ENOTCONN;
                return;
            }
            abi::ImageReply image_reply{};
            image_reply.end = abi::kNoPosition;
            image_reply.cell_bytes = image->geometry.cell_bytes;
            image_reply.cells_log2 = image->geometry.cells_log2;
            image_reply.flags = image->flags;
            image_reply.leaf_number = image->leaf_number;
            image_reply.start = image->start;
            image_reply.source = image->source;
            reply.set(image_reply);
            reply.fds = {image->memory.fd()};
            return;
        }
        case Op::kDestination:
            return destination(s, body, reply);
        case Op::kSetOption:
            return;
        case Op::kGetOption: {
            abi::OptionBody option;
            memcpy(&option, body, sizeof option);
            option.bytes = 4;
            reply.set(option);
            return;
        }
        case Op::kStats:
            reply.set(abi::StatsReply{s.facts->leaves, 0, 0, 0, 0});
            return;
        case Op::kLeafStats: {
            abi::LeafStatsBody wanted;
            memcpy(&wanted, body, sizeof wanted);
            leaf_stats(s, wanted.count, reply);
            return;
        }
        case Op::kSetQos:
            return;
        case Op::kGetQos:
            reply.set(abi::QosBody{});
            return;
        default:
            reply.error = EOPNOTSUPP;
    }
}

// As many rows are in the memory as were asked for; the reply's value is how many there are.
void FakeDaemon::leaf_stats(const FakeSocket& root, uint32_t count, Reply& reply) {
    const int fd = memfd_create("rows", MFD_CLOEXEC);
    reply.fds = reply.close_after = {fd};
    for (const auto& s : sockets_) {
        if (s->root != &root || s->member == nullptr || s->fd < 0 || reply.value++ >= count) continue;
        struct xy_leaf_stats row {};
        row.size = sizeof row;
        row.number = s->leaf_number;
        row.state = XY_LEAF_LIVE;
        if (write(fd, &row, sizeof row) != sizeof row) abort();
    }
}

// ---- sessions ----

FakeSocket* FakeDaemon::listener_at(const abi::AddressBody& name) {
    const auto port = [](const abi::AddressBody& a) {
        return reinterpret_cast<const sockaddr_in&>(a.address).sin_port;
    };
    for (auto& s : sockets_)
        if (s->fd >= 0 && s->facts->phase == static_cast<uint32_t>(Phase::kListening) && port(s->name) == port(name))
            return s.get();
    return nullptr;
}

void FakeDaemon::join(FakeSocket& s, const abi::JoinBody& body, Reply& reply) {
    if (s.join_error != 0) {
        reply.error = s.join_error;
        return;
    }
    if (s.kind.protocol == XY_PROTO_GROUP) return join_group(s, body, reply);
    FakeJoin request{next_request_++, &s, nullptr, body};
    if ((s.kind.flags & XY_C_ROOT) != 0) {
        FakeSocket& branch = open({s.kind.family, s.kind.type, s.kind.protocol, XY_C_LEAF | XY_D_LEAF}, reply);
        branch.root = &s;
        branch.leaf_number = next_leaf_++;
        reply.set(abi::SocketReply{branch.id, branch.leaf_number, branch.kind.flags, XY_BOTH});
        branch.facts->phase = static_cast<uint32_t>(Phase::kJoining);
        request.branch = &branch;
    } else {
        reply.set(abi::SocketReply{s.id, 0, s.kind.flags, body.flags});
        s.facts->phase = static_cast<uint32_t>(Phase::kJoining);
    }
    s.facts->is_joining = 1;
    FakeSocket* listener = listener_at(body.name);
    if (listener == nullptr) return finish_join(s, ECONNREFUSED, nullptr, 0);
    listener->backlog.push_back(request);
    listener->facts->backlog = static_cast<uint32_t>(listener->backlog.size());
}

void FakeDaemon::cancel_join(FakeSocket& s, Reply& reply) {
    if (s.facts->is_joining == 0) {
        reply.error = EINVAL;
        return;
    }
    withdraw([&](const FakeJoin& request) { return request.from == &s; });
    s.facts->is_joining = 0;
    if ((s.kind.flags & XY_C_ROOT) == 0) s.facts->phase = static_cast<uint32_t>(Phase::kBound);
}

/// Decided at once; an image of its own, from which `max_datagram_bytes` and the rest of a cell do not follow.
void FakeDaemon::join_group(FakeSocket& s, const abi::JoinBody& body, Reply& reply) {
    s.destinations.resize(std::max<size_t>(s.destinations.size(), 1));
    s.destinations[0] = body.name;
    s.image = std::make_shared<FakeImage>(abi::Geometry{options_.cell_bytes, options_.cells_log2}, abi::kImageGroup, 0);
    s.image->reader = &s;
    s.facts->direction = body.flags;
    s.facts->leaves = 1;
    s.facts->is_live = body.flags != XY_SENDER_ONLY ? 1 : 0;
    s.facts->phase = static_cast<uint32_t>(Phase::kJoined);
    reply.set(abi::SocketReply{s.id, 0, s.kind.flags, body.flags});
    finish_join(s, 0, nullptr, 0);
}

void FakeDaemon::destination(FakeSocket& s, const char* body, Reply& reply) {
    abi::AddressBody name;
    memcpy(&name, body, sizeof name);
    ++s.n_asked;
    s.destinations.resize(std::max<size_t>(s.destinations.size(), 1));
    const auto is_same = [&](const abi::AddressBody& known) {
        return known.length == name.length && memcmp(&known.address, &name.address, name.length) == 0;
    };
    auto found = std::find_if(s.destinations.begin(), s.destinations.end(), is_same);
    if (found == s.destinations.end()) found = s.destinations.insert(found, name);
    s.facts->leaves = 1;
    reply.set(abi::DestinationReply{static_cast<uint32_t>(found - s.destinations.begin()), s.max_datagram_bytes, 1, 0});
}

void FakeDaemon::take(FakeSocket& s, Reply& reply) {
    if (s.backlog.empty()) {
        reply.error = EAGAIN;
        return;
    }
    const FakeJoin request = s.backlog.front();
    s.backlog.pop_front();
    s.facts->backlog = static_cast<uint32_t>(s.backlog.size());
    if (request.from == nullptr) {
        reply.error = EACCES;
        return;
    }
    s.taken.push_back(request);
    abi::AcceptTakeReply out{};
    out.request = request.id;
    out.caller = request.from->name;
    out.callee = s.name;
    out.flags = request.body.flags;
    out.caller_bytes = request.body.caller_bytes;
    memcpy(out.caller_data, request.body.caller, sizeof out.caller_data);
    reply.set(out);
}

void FakeDaemon::decide(FakeSocket& s, const abi::AcceptDecideBody& decision, Reply& reply) {
    const auto found =
        std::find_if(s.taken.begin(), s.taken.end(), [&](const FakeJoin& join) { return join.id == decision.request; });
    if (found == s.taken.end() || found->from == nullptr) {
        reply.error = EACCES;
        return;
    }
    reply.set(abi::SocketReply{});
    const FakeJoin request = *found;
    s.taken.erase(found);
    if (decision.decision == XY_DEFER) {
        s.backlog.push_front(request);
        s.facts->backlog = static_cast<uint32_t>(s.backlog.size());
        return;
    }
    if (decision.decision == XY_REJECT) return finish_join(*request.from, ECONNREFUSED, nullptr, 0);
    FakeSocket& made = open({s.kind.family, s.kind.type, s.kind.protocol, XY_C_LEAF | XY_D_LEAF}, reply);
    if ((s.kind.flags & XY_C_ROOT) != 0) {
        made.leaf_number = next_leaf_++;
        reply.set(abi::SocketReply{made.id, made.leaf_number, made.kind.flags, XY_BOTH});
        connect(s, made, *request.from, request.body.flags, false);
    } else {
        connect(*request.from, *request.branch, made, request.body.flags, true);
    }
    finish_join(*request.from, 0, decision.callee, decision.callee_bytes);
}

void FakeDaemon::connect(FakeSocket& root, FakeSocket& branch, FakeSocket& member, uint32_t flags, bool asked_by_root) {
    const bool is_reliable = root.kind.type != SOCK_DGRAM;
    const uint32_t image_flags =
        (is_reliable ? abi::kImageReliable : 0) | (root.kind.type == SOCK_STREAM ? abi::kImageStream : 0);
    const abi::Geometry geometry{options_.cell_bytes, options_.cells_log2};
    branch.root = &root, branch.member = &member;
    member.root = &root, member.branch = &branch;
    member.leaf_number = branch.leaf_number;
    branch.peer = member.name, member.peer = root.name;
    const bool goes_down =
        !(flags == XY_SENDER_ONLY && !asked_by_root) && !(flags == XY_RECEIVER_ONLY && asked_by_root);
    if (goes_down) {
        const abi::Position p0 = root.log != nullptr ? root.log->at<abi::LogHeader>()->commit.load() : 0;
        while (root.log != nullptr && root.cursor < p0)
            if (!carry(root)) break;
        member.image = std::make_shared<FakeImage>(geometry, image_flags, p0);
        member.image->reader = &member;
        member.image->source = root.name;
        root.feeds.push_back(member.image);
    }
    auto up = std::make_shared<FakeImage>(geometry, image_flags, 0);
    up->reader = &root;
    up->slot = branch.leaf_number % abi::kInboxSlots;
    up->leaf_number = branch.leaf_number;
    up->source = member.name;
    root.slots[up->slot] = up;
    member.feeds.push_back(up);
    const uint32_t mirror = flags == XY_SENDER_ONLY     ? XY_RECEIVER_ONLY
                            : flags == XY_RECEIVER_ONLY ? XY_SENDER_ONLY
                                                        : flags;
    member.facts->direction = asked_by_root ? mirror : flags;
    member.facts->is_live = 1;
    member.facts->leaves = 1;
    member.facts->phase = static_cast<uint32_t>(Phase::kJoined);
    branch.facts->phase = static_cast<uint32_t>(Phase::kJoined);
    root.facts->leaves = root.facts->leaves + 1;
}

void FakeDaemon::finish_join(FakeSocket& s, int outcome, const uint8_t* callee, uint32_t bytes) {
    s.result = {};
    s.result.outcome = outcome;
    s.result.callee_bytes = bytes;
    if (bytes != 0) memcpy(s.result.callee, callee, bytes);
    if (outcome != 0 && (s.kind.flags & XY_C_ROOT) == 0) s.facts->phase = static_cast<uint32_t>(Phase::kBound);
    s.facts->is_joining = 0;
    s.facts->connect_error = outcome;
    s.facts->connect_done = s.facts->connect_done + 1;
}

void FakeDaemon::end(FakeSocket& s, int close_error) {
    s.facts->close_error = close_error;
    s.facts->has_ended = 1;
}

void FakeDaemon::finish_stream(FakeSocket& s) {
    const abi::Position final = s.log != nullptr ? s.log->at<abi::LogHeader>()->commit.load() : 0;
    while (s.log != nullptr && s.cursor < final && carry(s)) {
    }
    for (auto& image : s.feeds) {
        image->header().final = final;
        if (image->reader == nullptr || (s.kind.flags & XY_C_ROOT) == 0) continue;
        FakeSocket& member = *image->reader;
        end(member, 0);
        if (member.branch != nullptr) end(*member.branch, 0);
    }
}

bool FakeDaemon::is_delivered(const FakeSocket& s) const {
    const abi::Position commit = s.log != nullptr ? s.log->at<abi::LogHeader>()->commit.load() : 0;
    return std::all_of(s.feeds.begin(), s.feeds.end(), [&](auto& image) { return consumed_of(*image) >= commit; });
}

void FakeDaemon::close_socket(FakeSocket& s, abi::CloseHow how, Reply& reply) {
    if (how == abi::CloseHow::kAsk) {
        reply.error = is_delivered(s) ? 0 : EAGAIN;
        return;
    }
    if (how == abi::CloseHow::kLinger) {
        s.is_lingering = true;
        return finish_stream(s);
    }
    const bool is_abortive = how == abi::CloseHow::kAbortive;
    s.was_aborted = is_abortive;
    withdraw([&](const FakeJoin& request) { return request.from == &s || request.branch == &s; });
    if ((s.kind.flags & XY_C_ROOT) != 0) finish_stream(s);
    if (s.member != nullptr && s.member->fd >= 0 && s.member->facts->has_ended == 0) end(*s.member, 0);
    if (s.branch != nullptr && s.branch->fd >= 0 && s.branch->facts->has_ended == 0)
        end(*s.branch, is_abortive ? ECONNRESET : 0);
    if (s.image != nullptr) s.image->reader = nullptr;
    if (s.branch != nullptr && s.root != nullptr) s.root->facts->leaves = s.root->facts->leaves - 1;
    for (auto& other : sockets_) {
        if (other->member == &s) other->member = nullptr;
        if (other->branch == &s) other->branch = nullptr;
        if (other->root == &s) other->root = nullptr;
        std::erase_if(other->feeds, [&](auto& image) { return image == s.image; });
        for (auto& [slot, image] : s.slots)
            std::erase(other->feeds, image);
    }
    close(std::exchange(s.fd, -1));
}

void FakeDaemon::make_log(FakeSocket& s, Reply& reply) {
    s.geometry = {options_.cell_bytes, options_.cells_log2};
    s.log = std::make_unique<Memory>(abi::log_total_bytes(s.geometry));
    s.facts->limit = abi::cell_start(s.geometry.cells());
    s.cursor = 0;
    reply.set(abi::LogReply{s.geometry.cell_bytes, s.geometry.cells_log2, 0, s.geometry.max_message_bytes()});
    reply.fds = {s.log->fd()};
}

}  // namespace xylem::test
