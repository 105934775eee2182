// SPDX-License-Identifier: Apache-2.0
// Attaching and commanding over a real unix socket: sizes, identities, stale files, and what counts when an application
// goes away.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xylem/socket.h>

#include <asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <fstream>

#include "control/api/server.h"
#include "tests/unit/session_world.h"

namespace xylem::api {

using session::Reply;
using session::TestHost;
using session::World;

struct Answer {
    int error = -1;  // -1: the connection has ended
    uint64_t sequence = 0;
    uint32_t value = 0;
    std::vector<char> body;
    unsigned n_fds = 0;
};

/// An application that speaks the raw protocol.
class Client {
  public:
    explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        is_connected = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    ~Client() { hang_up(); }
    void hang_up() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    int fd() const { return fd_; }

    void send(abi::Op op, uint32_t socket = 0, const void* body = nullptr, size_t bytes = 0,
              uint32_t magic = abi::kCommandMagic, uint16_t version = abi::kAbiVersion) {
        const abi::RequestHeader header{.magic = magic,
                                        .op = static_cast<uint16_t>(op),
                                        .version = version,
                                        .sequence = ++sequence,
                                        .socket = socket,
                                        .body_bytes = static_cast<uint32_t>(bytes)};
        std::vector<char> message(sizeof header + bytes);
        std::memcpy(message.data(), &header, sizeof header);
        if (bytes != 0) std::memcpy(message.data() + sizeof header, body, bytes);
        send_raw(message.data(), message.size());
    }
    void send_raw(const void* bytes, size_t n) {
        ASSERT_EQ(::send(fd_, bytes, n, MSG_NOSIGNAL), static_cast<ssize_t>(n));
    }
    /// What is there now.
    std::optional<Answer> read() {
        char bytes[8192];
        char control[256];
        iovec part{bytes, sizeof bytes};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t n = ::recvmsg(fd_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EAGAIN) return std::nullopt;
        Answer answer;
        if (n <= 0) return answer;
        abi::ReplyHeader header;
        std::memcpy(&header, bytes, sizeof header);
        EXPECT_EQ(header.magic, abi::kCommandMagic);
        answer.error = header.error;
        answer.sequence = header.sequence;
        answer.value = header.value;
        answer.body.assign(bytes + sizeof header, bytes + n);
        EXPECT_EQ(answer.body.size(), header.body_bytes);
        for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
            const size_t n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < n_fds; ++i) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC);
                ::close(fd);
                ++answer.n_fds;
            }
        }
        return answer;
    }

    bool is_connected = false;
    uint64_t sequence = 0;

  private:
    int fd_;
};

struct Api : testing::Test {
    Api() {
        char name[] = "/tmp/xylem-api-XXXXXX";
        folder = ::mkdtemp(name);
        path = folder + "/run/xylemd.sock";
        ::mkdir((folder + "/run").c_str(), 0755);
    }
    ~Api() override {
        server.reset();
        ::unlink(path.c_str());
        ::rmdir((folder + "/run").c_str());
        ::rmdir(folder.c_str());
    }
    void open(std::vector<uint32_t> allow_uids = {}) {
        config.allow_uids = std::move(allow_uids);
        config.path = path;
        config.version = "9.9";
        config.notice = [this](const std::string& sentence) { notices.push_back(sentence); };
        auto opened = Server::open(io, *w.a.sessions, config);
        ASSERT_TRUE(opened) << opened.error().what;
        server = std::move(*opened);
    }
    /// Runs the server until the condition holds.
    template <class Condition>
    bool until(Condition condition) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            io.run_for(std::chrono::milliseconds(1));
            io.restart();
            w.run();
        }
        return true;
    }
    Answer answer_to(Client& client) {
        std::optional<Answer> answer;
        EXPECT_TRUE(until([&] { return (answer = client.read()).has_value(); }));
        return answer.value_or(Answer{});
    }
    Answer ask(Client& client, abi::Op op, uint32_t socket = 0, const void* body = nullptr, size_t bytes = 0) {
        client.send(op, socket, body, bytes);
        return answer_to(client);
    }
    uint32_t open_socket(Client& client, uint32_t flags) {
        const abi::SocketBody body{.family = AF_INET, .type = SOCK_RDM, .protocol = 0, .flags = flags};
        const Answer answer = ask(client, abi::Op::kSocket, 0, &body, sizeof body);
        EXPECT_EQ(answer.error, 0);
        EXPECT_EQ(answer.n_fds, 1U);
        abi::SocketReply reply;
        EXPECT_EQ(answer.body.size(), sizeof reply);
        std::memcpy(&reply, answer.body.data(), sizeof reply);
        return reply.socket;
    }

    World w;
    asio::io_context io;
    std::string folder, path;
    ServerConfig config;
    std::vector<std::string> notices;
    std::unique_ptr<Server> server;
};

TEST_F(Api, AttachGivesThreeDescriptorsAndCommandsAreAnswered) {
    open();
    Client client(path);
    const Answer attached = ask(client, abi::Op::kAttach);
    EXPECT_EQ(attached.error, 0);
    EXPECT_EQ(attached.n_fds, 3U);
    abi::AttachReply reply;
    ASSERT_EQ(attached.body.size(), sizeof reply);
    std::memcpy(&reply, attached.body.data(), sizeof reply);
    EXPECT_EQ(reply.app_bytes, sizeof(abi::AppSegment));
    EXPECT_STREQ(reply.daemon_version, "9.9");
    EXPECT_EQ(server->counters().n_attached, 1U);
    const uint32_t root = open_socket(client, XY_C_ROOT | XY_D_ROOT);
    const abi::AddressBody address = session::address_body(w.a.address(), 5000);
    EXPECT_EQ(ask(client, abi::Op::kBind, root, &address, sizeof address).body.size(), sizeof(abi::AddressBody));
    const abi::ListenBody listen{.backlog = 1, .reserved_zero = 0};
    EXPECT_EQ(ask(client, abi::Op::kListen, root, &listen, sizeof listen).error, 0);
    const Answer none = ask(client, abi::Op::kAcceptTake, root);
    EXPECT_EQ(none.error, EAGAIN);
    EXPECT_EQ(none.sequence, client.sequence);
    EXPECT_TRUE(none.body.empty());
    EXPECT_EQ(ask(client, abi::Op::kListen, 77, &listen, sizeof listen).error, ENOTSOCK);
    const Answer status = ask(client, abi::Op::kStatus);
    EXPECT_EQ(status.n_fds, 1U);
    EXPECT_GT(status.value, 100U);
}

TEST_F(Api, WhatIsNoCommandEndsThatConnectionOnly_Invariant3) {
    open();
    Client good(path);
    ASSERT_EQ(ask(good, abi::Op::kAttach).error, 0);
    const abi::ListenBody listen{};
    const std::vector<std::function<void(Client&)>> tricks = {
        [](Client& c) { c.send_raw("x", 1); },
        [](Client& c) { c.send(abi::Op::kStatus, 0, nullptr, 0, 0x1234); },
        [](Client& c) { c.send(abi::Op::kStatus, 0, nullptr, 0, abi::kCommandMagic, 99); },
        [](Client& c) { c.send(static_cast<abi::Op>(999)); },
        [](Client& c) { c.send(abi::Op::kAttach); },
        [&](Client& c) { c.send(abi::Op::kListen, 0, &listen, sizeof listen - 1); },
        [&](Client& c) { c.send(abi::Op::kAcceptTake, 0, &listen, sizeof listen); },
        [](Client& c) { c.send(abi::Op::kBind); },
        [](Client& c) {
            const std::vector<char> long_body(abi::kMaxCommandBytes);
            c.send(abi::Op::kBind, 0, long_body.data(), long_body.size());
        },
        [](Client& c) {
            const abi::RequestHeader lies{.magic = abi::kCommandMagic,
                                          .op = static_cast<uint16_t>(abi::Op::kBind),
                                          .version = abi::kAbiVersion,
                                          .sequence = 9,
                                          .socket = 0,
                                          .body_bytes = sizeof(abi::AddressBody)};
            c.send_raw(&lies, sizeof lies);
        },
    };
    for (size_t i = 0; i < tricks.size(); ++i) {
        Client bad(path);
        ASSERT_EQ(ask(bad, abi::Op::kAttach).error, 0);
        tricks[i](bad);
        EXPECT_EQ(answer_to(bad).error, -1) << i;
        EXPECT_EQ(server->counters().n_malformed, i + 1) << i;
    }
    Client rude(path);  // a command before it has attached
    rude.send(abi::Op::kStatus);
    EXPECT_EQ(answer_to(rude).error, -1);
    EXPECT_EQ(ask(good, abi::Op::kStatus).error, 0);
}

TEST_F(Api, WhatWasClosedBeforeTheHangUpIsClosedAndWhatWasNotIsACrash) {
    open();
    session::TestApp leaf{w.b};
    auto root_with_leaf = [&](Client& client, uint16_t port, uint32_t& root, uint32_t& l) {
        ASSERT_EQ(ask(client, abi::Op::kAttach).error, 0);
        root = open_socket(client, XY_C_ROOT | XY_D_ROOT);
        const abi::AddressBody address = session::address_body(w.a.address(), port);
        ask(client, abi::Op::kBind, root, &address, sizeof address);
        const abi::ListenBody listen{.backlog = 1, .reserved_zero = 0};
        ask(client, abi::Op::kListen, root, &listen, sizeof listen);
        l = leaf.leaf();
        leaf.join(l, w.a.address(), port);
        w.run();
        const Answer taken = ask(client, abi::Op::kAcceptTake, root);
        abi::AcceptTakeReply request;
        ASSERT_EQ(taken.body.size(), sizeof request);
        std::memcpy(&request, taken.body.data(), sizeof request);
        abi::AcceptDecideBody decision{};
        decision.request = request.request;
        EXPECT_EQ(ask(client, abi::Op::kAcceptDecide, root, &decision, sizeof decision).n_fds, 1U);
    };
    uint32_t r1 = 0, r2 = 0, l1 = 0, l2 = 0;
    Client closer(path), crasher(path);
    root_with_leaf(closer, 5000, r1, l1);
    root_with_leaf(crasher, 5001, r2, l2);
    const abi::CloseBody close{};
    closer.send(abi::Op::kClose, r1, &close, sizeof close);
    closer.hang_up();
    crasher.hang_up();
    EXPECT_TRUE(until([&] { return server->n_connections() == 0; }));
    w.run();
    EXPECT_EQ(leaf.end_code(l1), 0);
    EXPECT_EQ(leaf.end_code(l2), ECONNRESET);
    leaf.die();
    w.run();
    w.pass(100);
    EXPECT_EQ(w.leftovers(), "");
}

TEST_F(Api, ADeadProcessIsNoticedThoughItsSocketLivesOn) {
    open();
    Client client(path);  // inherited by the child, which attaches over a connection of its own
    int inherited[2];
    ASSERT_EQ(::pipe(inherited), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        Client own(path);
        own.send(abi::Op::kAttach);
        // A grandchild keeps the connection open.
        if (::fork() == 0) {
            char byte;
            ::close(inherited[1]);
            [[maybe_unused]] const ssize_t n = ::read(inherited[0], &byte, 1);
            ::_exit(0);
        }
        ::close(inherited[1]);
        [[maybe_unused]] const ssize_t n = ::read(inherited[0], &own, 1);
        ::_exit(0);
    }
    EXPECT_TRUE(until([&] { return server->counters().n_attached == 1; }));
    EXPECT_EQ(server->n_connections(), 2U);
    ::kill(child, SIGKILL);
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_TRUE(until([&] { return server->n_connections() == 1; }));
    EXPECT_EQ(w.leftovers(), "");
    ::close(inherited[0]);
    ::close(inherited[1]);
}

TEST_F(Api, AnApplicationThatDoesNotReadItsRepliesIsDropped_Invariant3) {
    open();
    Client client(path);
    ASSERT_EQ(ask(client, abi::Op::kAttach).error, 0);
    const abi::AddressBody any = session::address_body(w.a.address(), 0);
    EXPECT_TRUE(until([&] {
        const abi::RequestHeader header{.magic = abi::kCommandMagic,
                                        .op = static_cast<uint16_t>(abi::Op::kBind),
                                        .version = abi::kAbiVersion,
                                        .sequence = 1,
                                        .socket = 77,
                                        .body_bytes = sizeof any};
        char message[sizeof header + sizeof any];
        std::memcpy(message, &header, sizeof header);
        std::memcpy(message + sizeof header, &any, sizeof any);
        ::send(client.fd(), message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
        return server->counters().n_deaf == 1 && server->n_connections() == 0;
    }));
    EXPECT_EQ(w.leftovers(), "");
}

TEST_F(Api, OnlyAllowedUidsAttachAndRootAlways) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to be somebody else";
    open({4242});
    ASSERT_EQ(::chmod(folder.c_str(), 0755), 0);
    Client root(path);
    EXPECT_EQ(ask(root, abi::Op::kAttach).error, 0);
    struct stat file;
    ASSERT_EQ(::stat(path.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0666U);
    for (uid_t uid : {4242U, 4243U}) {
        ASSERT_EQ(::seteuid(uid), 0);
        Client other(path);
        ASSERT_EQ(::seteuid(0), 0);
        ASSERT_TRUE(other.is_connected);
        const Answer answer = ask(other, abi::Op::kAttach);
        EXPECT_EQ(answer.error, uid == 4242 ? 0 : EACCES);
    }
    EXPECT_EQ(server->counters().n_refused, 1U);
}

TEST_F(Api, OneUsersConnectionsAreLimited_Invariant3) {
    config.max_connections_per_uid = 2;
    open();
    Client first(path), second(path), third(path);
    EXPECT_EQ(ask(first, abi::Op::kAttach).error, 0);
    EXPECT_EQ(ask(second, abi::Op::kAttach).error, 0);
    EXPECT_EQ(answer_to(third).error, -1);
    EXPECT_EQ(server->counters().n_refused, 1U);
    if (::geteuid() == 0) {
        ASSERT_EQ(::chmod(folder.c_str(), 0755), 0);
        ASSERT_EQ(::seteuid(4242), 0);
        Client other(path);
        ASSERT_EQ(::seteuid(0), 0);
        EXPECT_EQ(ask(other, abi::Op::kAttach).error, 0) << "another user has his own share";
    }
    first.hang_up();
    EXPECT_TRUE(until([&] {
        Client again(path);
        again.send(abi::Op::kAttach);
        return answer_to(again).error == 0;
    }));
}

TEST_F(Api, TheDaemonsOwnUserIsNotLimited) {
    config.max_connections_per_uid = config.max_sockets_per_uid = 1;
    config.owner_uid = ::geteuid();
    open();
    Client one(path), two(path);
    for (Client* client : {&one, &two}) {
        ASSERT_EQ(ask(*client, abi::Op::kAttach).error, 0);
        open_socket(*client, XY_C_ROOT | XY_D_ROOT);
        open_socket(*client, XY_C_LEAF | XY_D_LEAF);
    }
}

TEST_F(Api, OneUsersSocketsAreLimitedOverAllHisApplications_Invariant3) {
    config.max_sockets_per_uid = 3;
    open();
    Client one(path), two(path);
    for (Client* client : {&one, &two})
        ASSERT_EQ(ask(*client, abi::Op::kAttach).error, 0);
    const uint32_t root = open_socket(one, XY_C_ROOT | XY_D_ROOT);
    open_socket(two, XY_C_LEAF | XY_D_LEAF);
    const uint32_t last = open_socket(two, XY_C_LEAF | XY_D_LEAF);
    const abi::SocketBody body{.family = AF_INET, .type = SOCK_RDM, .protocol = 0, .flags = XY_C_LEAF | XY_D_LEAF};
    EXPECT_EQ(ask(one, abi::Op::kSocket, 0, &body, sizeof body).error, EMFILE);
    EXPECT_EQ(ask(two, abi::Op::kSocket, 0, &body, sizeof body).error, EMFILE);
    EXPECT_EQ(ask(one, abi::Op::kAcceptTake, root).error, EMFILE) << "it would make a descriptor";
    abi::JoinBody join{};
    EXPECT_EQ(ask(one, abi::Op::kJoin, root, &join, sizeof join).error, EMFILE);
    EXPECT_NE(ask(two, abi::Op::kJoin, last, &join, sizeof join).error, EMFILE) << "a leaf that asks makes none";
    const abi::CloseBody close{};
    EXPECT_EQ(ask(two, abi::Op::kClose, last, &close, sizeof close).error, 0);
    EXPECT_EQ(ask(one, abi::Op::kSocket, 0, &body, sizeof body).error, 0);
}

/// The loop would never rest if the listening socket, still readable, were waited for at once.
TEST_F(Api, ADaemonOutOfDescriptorsPausesAndGoesOn_Invariant3) {
    open();
    Client waiting(path);
    ASSERT_TRUE(waiting.is_connected);
    rlimit before;
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const bool has_paused = until([&] { return server->counters().n_pauses == 1; });
    const size_t n_at_once = io.poll_one();
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_TRUE(has_paused);
    EXPECT_EQ(n_at_once, 0U);
    EXPECT_EQ(notices, std::vector<std::string>{"accepting applications pauses: Too many open files"});
    EXPECT_EQ(ask(waiting, abi::Op::kAttach).error, 0);
}

TEST_F(Api, AStaleFileIsReplacedALivingDaemonIsNot) {
    open();
    auto second = Server::open(io, *w.a.sessions, {.path = path, .allow_uids = {}, .version = ""});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EADDRINUSE);
    EXPECT_NE(second.error().what.find("another xylemd serves " + path), std::string::npos);
    server.reset();
    EXPECT_NE(::access(path.c_str(), F_OK), 0) << "the file goes with the server";
    {
        const int stale = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        ASSERT_EQ(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        ::close(stale);
    }
    open();
    Client client(path);
    EXPECT_EQ(ask(client, abi::Op::kAttach).error, 0);
    server.reset();
    std::ofstream(path) << "not a socket";
    auto third = Server::open(io, *w.a.sessions, {.path = path, .allow_uids = {}, .version = ""});
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, EADDRINUSE);
    EXPECT_EQ(
        Server::open(io, *w.a.sessions, {.path = std::string(200, 'x'), .allow_uids = {}, .version = ""}).error().code,
        ENAMETOOLONG);
}

TEST_F(Api, AStoppingServerEndsItsConnections) {
    open();
    Client client(path);
    ASSERT_EQ(ask(client, abi::Op::kAttach).error, 0);
    server->stop_accepting();
    Client late(path);
    EXPECT_FALSE(late.is_connected);
    EXPECT_EQ(ask(client, abi::Op::kStatus).error, 0);
    server.reset();
    EXPECT_EQ(client.read().value().error, -1);
    w.run();
    EXPECT_EQ(w.leftovers(), "");
}

}  // namespace xylem::api
