// SPDX-License-Identifier: Apache-2.0
// A process that a test drives. The test's own process never attaches and has no threads; it forks one process per
// party and writes the play in order: each call travels to its process as the bytes of a closure (both are the same
// image, so a code address means the same there), and its result comes back. A failed expectation in the process is a
// failure of the test, with its own file and line. Whatever takes longer than kDeadlineMs ends the test.
#pragma once
#include <pthread.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace xylem::conformance {

inline constexpr int kDeadlineMs = 30'000;  // for an order to a process
inline constexpr int kPatienceMs = 20'000;  // for an event that a process waits for
inline constexpr int kQuietMs = 150;        // what must not happen has not happened within this

/// Where a test calls from (std::source_location, which clang 14 does not have).
class Where {
  public:
    static constexpr Where current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        Where where;
        where.file_ = file;
        where.line_ = line;
        return where;
    }
    constexpr const char* file_name() const { return file_; }
    constexpr int line() const { return line_; }

  private:
    const char* file_ = "";
    int line_ = 0;
};

/// The process is gone or does not answer; ends the test.
struct Lost : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Process;

/// A call under way in a thread of its own.
template <class R>
class Pending {
  public:
    Pending(Process& process, uint64_t id) : process_(&process), id_(id) {}
    R result(Where where = Where::current());
    /// Whether it has not returned after the quiet period.
    bool is_waiting();

  private:
    Process* process_;
    uint64_t id_;
};

class Process {
  public:
    /// Forks; `environment` is set there ("NAME", "value").
    Process(std::string name, const std::map<std::string, std::string>& environment);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    /// Runs `f` there and waits for what it returns. Captures and result must be copyable as bytes.
    template <class F>
    auto run(F f, Where where = Where::current()) {
        using R = ResultOf<F>;
        const uint64_t id = order(&invoke<F>, &f, sizeof f, sizeof(R), false, where);
        return unpack<F>(answer(id, kDeadlineMs, where));
    }
    /// The same in a thread of its own; does not wait.
    template <class F>
    Pending<std::invoke_result_t<F>> start(F f, Where where = Where::current()) {
        return {*this, order(&invoke<F>, &f, sizeof f, sizeof(ResultOf<F>), true, where)};
    }

    /// SIGKILL, and waits until it is gone.
    void kill();
    /// Ends it as a program ends that closes nothing.
    void end();
    const std::string& name() const { return name_; }
    pid_t pid() const { return pid_; }

  private:
    template <class R>
    friend class Pending;
    struct Nothing {};
    using Bytes = std::vector<std::byte>;
    using Invoke = void (*)(const std::byte* closure, std::byte* result);

    template <class F>
    using ResultOf = std::conditional_t<std::is_void_v<std::invoke_result_t<F>>, Nothing, std::invoke_result_t<F>>;

    template <class F>
    static void invoke(const std::byte* closure, std::byte* result) {
        static_assert(std::is_trivially_copyable_v<F> && std::is_trivially_copyable_v<ResultOf<F>>);
        alignas(F) std::byte copy[sizeof(F)];
        std::memcpy(copy, closure, sizeof(F));
        F& f = *reinterpret_cast<F*>(copy);
        if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
            f();
        } else {
            const auto r = f();
            std::memcpy(result, &r, sizeof r);
        }
    }
    template <class F>
    static std::invoke_result_t<F> unpack(const Bytes& bytes) {
        if constexpr (!std::is_void_v<std::invoke_result_t<F>>) return from<std::invoke_result_t<F>>(bytes);
    }
    template <class R>
    static R from(const Bytes& bytes) {
        R r;
        std::memcpy(static_cast<void*>(&r), bytes.data(), sizeof r);
        return r;
    }

    uint64_t order(Invoke invoke, const void* closure, size_t closure_bytes, size_t result_bytes, bool is_thread,
                   Where where);
    /// The result of order `id`; Lost when it is not there in time.
    Bytes answer(uint64_t id, int timeout_ms, Where where);
    bool await_answer(uint64_t id, int timeout_ms);
    bool take_answer(int timeout_ms);
    void reap(int timeout_ms);
    [[noreturn]] void lose(const std::string& why, Where where);
    [[noreturn]] static void serve(int fd);

    std::string name_;
    pid_t pid_ = -1;
    int fd_ = -1;
    int status_ = 0;
    uint64_t last_id_ = 0;
    std::map<uint64_t, Bytes> answers_;
};

template <class R>
R Pending<R>::result(Where where) {
    const auto bytes = process_->answer(id_, kDeadlineMs, where);
    if constexpr (!std::is_void_v<R>) return Process::from<R>(bytes);
}

template <class R>
bool Pending<R>::is_waiting() {
    return !process_->await_answer(id_, kQuietMs);
}

}  // namespace xylem::conformance
