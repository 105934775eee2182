// SPDX-License-Identifier: Apache-2.0
// Random sequences of API calls against a model of the documented state machine: many worlds at once, each in three
// processes, all against one daemon. `--seed S --sequence N` repeats one and prints it.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/model/daemon.h"
#include "tests/model/sequence.h"

namespace xylem::model {

namespace {

struct Arguments {
    std::string daemon;
    uint64_t n_sequences = 300;
    uint64_t seed = 0;
    std::optional<uint64_t> only;
    unsigned n_worlds = 8;
    bool shows_coverage = false;
};

constexpr int kPatienceS = 120;         // for an answer of a worker; its own deadline is shorter
constexpr uint16_t kFirstPort = 20000;  // names inside the daemon only
constexpr unsigned kParked = 64;        // numbers that the shim keeps occupied after a close
constexpr unsigned kOwnOfThread = 4;    // what a thread of the shim may keep open

Arguments parse(int argc, char** argv) {
    Arguments a;
    a.seed = std::random_device{}();
    for (int i = 1; i < argc; ++i) {
        const std::string flag = argv[i];
        const auto value = [&] {
            if (i + 1 >= argc) throw std::runtime_error(flag + " needs a value");
            return std::string(argv[++i]);
        };
        if (flag == "--daemon")
            a.daemon = value();
        else if (flag == "--sequences")
            a.n_sequences = std::stoull(value());
        else if (flag == "--seed")
            a.seed = std::stoull(value());
        else if (flag == "--sequence")
            a.only = std::stoull(value());
        else if (flag == "--worlds")
            a.n_worlds = static_cast<unsigned>(std::stoul(value()));
        else if (flag == "--coverage")
            a.shows_coverage = true;
        else
            throw std::runtime_error(
                "usage: model_test --daemon PATH [--sequences N] [--seed S] [--sequence N] "
                "[--worlds N] [--coverage]");
    }
    return a;
}

/// The processes that carry out the calls: a thread per world in each.
class Workers {
  public:
    explicit Workers(unsigned n_worlds) : places_(n_worlds) {
        for (unsigned world = 0; world < n_worlds; ++world)
            places_[world].first_port = static_cast<uint16_t>(kFirstPort + world * (kPortsPerWorld + 1));
        for (unsigned w = 0; w < kWorkers; ++w)
            start(w);
    }

    const Place& place(unsigned world) const { return places_[world]; }

    int64_t n_descriptors(unsigned worker) const {
        const int channel = places_[0].channels[worker];
        Reply reply;
        const bool is_there = put(channel, request_for(Call::kCountDescriptors, -1)) && get(channel, reply);
        return is_there ? reply.result : -1;
    }

    /// False when one of them did not end well.
    bool stop() {
        bool is_good = true;
        for (Place& place : places_)
            for (const int channel : place.channels)
                put(channel, request_for(Call::kEnd, -1));
        for (const pid_t pid : pids_) {
            int status = 0;
            waitpid(pid, &status, 0);
            is_good = is_good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
        }
        return is_good;
    }

  private:
    void start(unsigned w) {
        std::vector<int> theirs;
        for (Place& place : places_) {
            int pair[2];
            if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
                throw std::runtime_error("socketpair");
            const int bytes = 1 << 20;
            const timeval patience{kPatienceS, 0};
            for (const int end : pair)
                setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
            setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            place.channels[w] = pair[0];
            theirs.push_back(pair[1]);
        }
        const pid_t pid = fork();
        if (pid == 0) work(w, theirs);
        for (const int channel : theirs)
            close(channel);
        pids_.push_back(pid);
    }

    [[noreturn]] void work(unsigned w, const std::vector<int>& channels) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (const Place& place : places_)
            for (unsigned i = 0; i <= w; ++i)
                close(place.channels[i]);
        // One stays attached, the others attach with their first socket and detach with their last.
        if (w == 0 && xy_attach(nullptr) != 0) _exit(3);
        std::vector<std::thread> threads;
        for (const int channel : channels)
            threads.emplace_back(serve, channel);
        for (std::thread& thread : threads)
            thread.join();
        if (w == 0) xy_detach();
        std::exit(0);
    }

    std::vector<Place> places_;
    std::vector<pid_t> pids_;
};

/// What the worlds' threads share.
struct Run {
    const Arguments& arguments;
    std::atomic<uint64_t> next{0};
    std::atomic<uint64_t> n_done{0};
    std::atomic<uint64_t> n_calls{0};
    std::atomic<bool> has_failed{false};
    std::mutex mutex;
    Coverage coverage;
};

void report(Run& run, uint64_t number, const Outcome& outcome, const Outcome& shortest) {
    const std::lock_guard lock(run.mutex);
    std::printf("sequence %llu of seed %llu disagrees: %s\nits script:\n%s", static_cast<unsigned long long>(number),
                static_cast<unsigned long long>(run.arguments.seed), outcome.disagreement->c_str(),
                outcome.script.c_str());
    std::printf("shortened to %zu of %zu steps: %s\n%s", shortest.ops.size(), outcome.ops.size(),
                shortest.disagreement->c_str(), shortest.script.c_str());
    std::fflush(stdout);
}

void run_worlds(Run& run, const Place& place) try {
    Coverage coverage;
    for (;;) {
        const uint64_t number = run.arguments.only.value_or(run.next++);
        if (run.has_failed || (!run.arguments.only && number >= run.arguments.n_sequences)) break;
        const Outcome outcome = run_sequence(place, run.arguments.seed, number, coverage);
        run.n_calls += outcome.n_calls;
        ++run.n_done;
        if (outcome.disagreement && !run.has_failed.exchange(true))
            report(run, number, outcome, shrink(place, run.arguments.seed, number, outcome));
        if (run.arguments.only) {
            std::printf("%s", outcome.script.c_str());
            break;
        }
    }
    const std::lock_guard lock(run.mutex);
    for (const auto& [triple, times] : coverage)
        run.coverage[triple] += times;
} catch (const Lost& lost) {
    const std::lock_guard lock(run.mutex);
    run.has_failed = true;
    std::printf("%s: it crashed, or hangs\n", lost.what());
    std::fflush(stdout);
}

/// The daemon and the workers hold what they held at the start.
bool is_clean(const Workers& workers, const Holdings& before, unsigned n_worlds) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    Holdings now = holdings();
    while ((now.n_sessions != 0 || now.n_lingering != 0 || now.n_objects > before.n_objects ||
            now.n_descriptors > before.n_descriptors) &&
           std::chrono::steady_clock::now() < until) {
        poll(nullptr, 0, 10);
        now = holdings();
    }
    bool is_good = now.n_sessions == 0 && now.n_lingering == 0 && now.n_objects <= before.n_objects &&
                   now.n_descriptors <= before.n_descriptors && now.violations == before.violations;
    std::printf("the daemon holds: %s (at the start: %s)\n", text_of(now).c_str(), text_of(before).c_str());
    for (unsigned w = 0; w < kWorkers; ++w) {
        const int64_t n = workers.n_descriptors(w);
        const int64_t most = 32 + n_worlds * (1 + kOwnOfThread) + kParked;
        if (n <= most && n > 0) continue;
        std::printf("worker %u has %lld descriptors open, at most %lld are right\n", w, static_cast<long long>(n),
                    static_cast<long long>(most));
        is_good = false;
    }
    return is_good;
}

int test(const Arguments& arguments) {
    std::printf("seed %llu\n", static_cast<unsigned long long>(arguments.seed));
    std::fflush(stdout);
    Daemon daemon(arguments.daemon);
    const unsigned n_worlds = arguments.only ? 1 : arguments.n_worlds;
    Workers workers(n_worlds);
    for (unsigned w = 0; w < kWorkers; ++w)
        workers.n_descriptors(w);  // it runs
    const Holdings before = holdings();
    Run run{.arguments = arguments};
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (unsigned world = 0; world < n_worlds; ++world)
        threads.emplace_back([&, world] { run_worlds(run, workers.place(world)); });
    for (std::thread& thread : threads)
        thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%llu sequences, %llu calls, %.0f calls/s, %zu different (state, call, outcome)\n",
                static_cast<unsigned long long>(run.n_done), static_cast<unsigned long long>(run.n_calls),
                static_cast<double>(run.n_calls) / seconds, run.coverage.size());
    if (arguments.shows_coverage)
        for (const auto& [triple, times] : run.coverage)
            std::printf("%8llu %s\n", static_cast<unsigned long long>(times), triple.c_str());
    bool is_good = !run.has_failed;
    if (is_good) {
        is_good = is_clean(workers, before, n_worlds);
        if (!workers.stop()) is_good = false, std::printf("a worker did not end well\n");
        if (!daemon.stop()) is_good = false, std::printf("the daemon did not end well\n");
    }
    return is_good ? 0 : 1;
}

}  // namespace

}  // namespace xylem::model

int main(int argc, char** argv) try {
    signal(SIGPIPE, SIG_IGN);
    return xylem::model::test(xylem::model::parse(argc, argv));
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
