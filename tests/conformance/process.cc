// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace xylem::conformance {

namespace {

constexpr size_t kMaxBytes = 64 * 1024;  // of one order or answer
constexpr int kEndMs = 5000;
constexpr uint64_t kFailure = 0;  // the id of a failed expectation

struct Order {
    uint64_t id;
    void (*invoke)(const std::byte*, std::byte*);
    uint64_t result_bytes;
    bool is_thread;
};

struct FailureReport {
    int line;
    char file[256];
    char text[8192];
};

void send_answer(int fd, uint64_t id, const void* bytes, size_t n) {
    std::vector<std::byte> message(sizeof id + n);
    std::memcpy(message.data(), &id, sizeof id);
    if (n != 0) std::memcpy(message.data() + sizeof id, bytes, n);
    if (send(fd, message.data(), message.size(), MSG_NOSIGNAL) < 0) _exit(0);  // nobody is interested any more
}

/// Tells the test's process about failed expectations.
class Reporter : public testing::EmptyTestEventListener {
  public:
    explicit Reporter(int fd) : fd_(fd) {}
    void OnTestPartResult(const testing::TestPartResult& result) override {
        if (!result.failed()) return;
        FailureReport report{};
        report.line = result.line_number();
        std::snprintf(report.file, sizeof report.file, "%s", result.file_name() ? result.file_name() : "");
        std::snprintf(report.text, sizeof report.text, "%s", result.message());
        send_answer(fd_, kFailure, &report, sizeof report);
    }

  private:
    const int fd_;
};

void report_failures_to(int fd) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new Reporter(fd));
}

void carry_out(int fd, const Order& order, const std::vector<std::byte>& closure) {
    std::vector<std::byte> result(order.result_bytes);
    order.invoke(closure.data(), result.data());
    send_answer(fd, order.id, result.data(), result.size());
}

void report(const std::vector<std::byte>& bytes, const std::string& who) {
    FailureReport failure;
    std::memcpy(&failure, bytes.data(), sizeof failure);
    ADD_FAILURE_AT(failure.file, failure.line) << who << ": " << failure.text;
}

std::string describe_end(int status) {
    if (WIFSIGNALED(status)) return std::string("ended by signal ") + strsignal(WTERMSIG(status));
    return "ended with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Process::Process(std::string name, const std::map<std::string, std::string>& environment) : name_(std::move(name)) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw Lost("no socket pair");
    const pid_t parent = getpid();
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ < 0) throw Lost("no process");
    if (pid_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(0);
        if (ends[1] > 3) close_range(3, static_cast<unsigned>(ends[1]) - 1, 0);
        close_range(static_cast<unsigned>(ends[1]) + 1, ~0U, 0);
        for (const auto& [key, value] : environment)
            setenv(key.c_str(), value.c_str(), 1);
        report_failures_to(ends[1]);
        serve(ends[1]);
    }
    close(ends[1]);
    fd_ = ends[0];
}

Process::~Process() {
    try {
        end();
    } catch (const Lost&) {
    }
}

/// The process's own loop.
void Process::serve(int fd) {
    for (;;) {
        Order order;
        std::vector<std::byte> message(kMaxBytes);
        const ssize_t n = recv(fd, message.data(), message.size(), 0);
        if (n < static_cast<ssize_t>(sizeof order)) _exit(0);
        std::memcpy(&order, message.data(), sizeof order);
        message.erase(message.begin(), message.begin() + sizeof order);
        if (order.is_thread)
            std::thread([=] { carry_out(fd, order, message); }).detach();
        else
            carry_out(fd, order, message);
    }
}

uint64_t Process::order(Invoke invoke, const void* closure, size_t closure_bytes, size_t result_bytes, bool is_thread,
                        Where where) {
    const Order order{++last_id_, invoke, result_bytes, is_thread};
    std::vector<std::byte> message(sizeof order + closure_bytes);
    std::memcpy(message.data(), &order, sizeof order);
    std::memcpy(message.data() + sizeof order, closure, closure_bytes);
    if (message.size() > kMaxBytes || result_bytes > kMaxBytes) lose("too much to send", where);
    if (fd_ < 0 || send(fd_, message.data(), message.size(), MSG_NOSIGNAL) < 0) lose("it is gone", where);
    return order.id;
}

/// One message of the process; false when none comes in time.
bool Process::take_answer(int timeout_ms) {
    pollfd readable{fd_, POLLIN, 0};
    if (fd_ < 0 || poll(&readable, 1, timeout_ms) <= 0) return false;
    Bytes message(kMaxBytes + sizeof(uint64_t));
    const ssize_t n = recv(fd_, message.data(), message.size(), 0);
    if (n < static_cast<ssize_t>(sizeof(uint64_t))) {
        reap(kEndMs);
        return false;
    }
    uint64_t id;
    std::memcpy(&id, message.data(), sizeof id);
    message.resize(static_cast<size_t>(n));
    message.erase(message.begin(), message.begin() + sizeof id);
    if (id == kFailure)
        report(message, name_);
    else
        answers_[id] = std::move(message);
    return true;
}

bool Process::await_answer(uint64_t id, int timeout_ms) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t end_ms = now.tv_sec * 1000LL + now.tv_nsec / 1'000'000 + timeout_ms;
    while (!answers_.contains(id)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        const int64_t left_ms = end_ms - (now.tv_sec * 1000LL + now.tv_nsec / 1'000'000);
        if (!take_answer(left_ms > 0 ? static_cast<int>(left_ms) : 0) && (left_ms <= 0 || fd_ < 0)) return false;
    }
    return true;
}

Process::Bytes Process::answer(uint64_t id, int timeout_ms, Where where) {
    if (!await_answer(id, timeout_ms)) {
        if (fd_ < 0) lose(describe_end(status_), where);
        reap(0);  // it is stuck; what comes later must not wait for it
        lose("no answer within " + std::to_string(timeout_ms) + " ms", where);
    }
    return std::move(answers_.extract(id).mapped());
}

void Process::kill() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    reap(kEndMs);
}

void Process::end() {
    if (fd_ >= 0) shutdown(fd_, SHUT_WR);
    while (take_answer(0)) {
    }
    reap(kEndMs);
}

/// Waits for its end; after `timeout_ms` it is not asked.
void Process::reap(int timeout_ms) {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    for (; pid_ > 0; timeout_ms -= 1) {
        if (timeout_ms <= 0) ::kill(pid_, SIGKILL);
        const pid_t gone = waitpid(pid_, &status_, timeout_ms <= 0 ? 0 : WNOHANG);
        if (gone == pid_ || (gone < 0 && errno == ECHILD)) pid_ = -1;
        if (gone == 0) usleep(1000);
    }
}

void Process::lose(const std::string& why, Where where) {
    throw Lost(name_ + ": " + why + " (asked at " + where.file_name() + ":" + std::to_string(where.line()) + ")");
}

}  // namespace xylem::conformance
