// SPDX-License-Identifier: Apache-2.0
// The thread that makes sleeping applications' descriptors readable, so that neither a worker nor the control thread
// does it for data.
//
// An application arms its descriptor with a byte of interests (abi/segment.h). The waker notes it, sets `is_armed` on
// the object that the interest is about (an image, an inbox, a log), and re-checks; the worker, having changed such an
// object, tests that one bit however many readers there are. Invariant: whenever an interest is armed and does not
// hold, the bit of its object is set, and whoever makes it hold looks at the bit afterwards (seq_cst fence on both
// sides) - spurious wake-ups happen, lost ones do not.
#pragma once
#include <xylem/abi/image.h>
#include <xylem/abi/segment.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/base/spsc_ring.h"

namespace xylem::engine {

/// Something that sockets sleep on. The worker calls Waker::wake(id) when it finds is_armed set after a change.
struct Armable {
    std::atomic<bool> is_armed{false};
    uint32_t id = 0;  // unique among living objects; 0: none
};

/// A socket for the whole daemon: application and socket id.
using SocketKey = uint32_t;
constexpr SocketKey socket_key(uint32_t app, uint32_t socket) { return app * abi::kMaxSockets + socket; }

class Waker {
  public:
    static Result<std::unique_ptr<Waker>> start();
    ~Waker();

    // Control thread.

    /// Makes the socket's descriptor pair; returns the application's end (the caller's to close).
    Result<int> add_socket(SocketKey, const abi::EngineSocket* facts, const abi::AppSocket* app);
    void remove_socket(SocketKey);
    /// What kWantRead is about: one image, or an inbox, or nothing (null).
    void read_from_image(SocketKey, const abi::ImageHeader*, Armable*);
    void read_from_inbox(SocketKey, const abi::InboxEngine*, const abi::InboxApp*, Armable*);
    /// What kWantWrite is about: a log of `cells` cells with this commit word, or nothing (null).
    void write_to_log(SocketKey, const std::atomic<abi::Position>* commit, uint64_t cells, Armable*);
    /// The control thread's words of the socket changed: signals it if an armed interest holds now.
    void check(SocketKey);
    uint32_t next_id() { return ++last_id_; }

    // Worker.

    /// The object changed while armed. Cheap; the thread is kicked by flush().
    void wake(Armable& object);
    /// Once per poll: wakes the thread if there is something for it and it sleeps. A worker that has just slept itself
    /// (`has_slept`: there is no load) does the thread's work for a few sleepers, which saves them a thread switch;
    /// it never waits for the lock.
    void flush(bool has_slept);

  private:
    struct Sleeper {
        int fd = -1;
        SocketKey key = 0;
        uint8_t interests = 0;
        const abi::EngineSocket* facts = nullptr;
        const abi::AppSocket* app = nullptr;
        const abi::ImageHeader* image = nullptr;
        const abi::InboxEngine* inbox = nullptr;
        const abi::InboxApp* inbox_app = nullptr;
        Armable* read_object = nullptr;
        const std::atomic<abi::Position>* commit = nullptr;
        uint64_t log_cells = 0;
        Armable* write_object = nullptr;
    };

    Waker() : woken_(14) { left_over_.reserve(64); }
    void run();
    void serve_armed_bytes(Sleeper&);
    void arm(Sleeper&, uint8_t interests);
    void arm_objects(const Sleeper&);
    bool signal_if_holds(Sleeper&);
    void wake_subscribers(uint32_t id);
    bool wake_few();
    void subscribe(Armable* was, Armable* is, SocketKey);
    static uint8_t holding(const Sleeper&);
    static bool has_something_to_read(const Sleeper&);
    static abi::Position end_of_reading(const Sleeper&);
    static bool is_all_there(const Sleeper&);
    static bool has_room(const Sleeper&);

    std::mutex mutex_;  // sleepers_ and subscribers_: control and waker threads; never the worker
    std::unordered_map<SocketKey, Sleeper> sleepers_;
    std::unordered_map<uint32_t, std::vector<SocketKey>> subscribers_;
    SpscRing<uint32_t> woken_;         // ids, worker to waker; taken out under mutex_
    std::vector<uint32_t> left_over_;  // under mutex_: ids with more sleepers than a worker wakes by itself
    std::atomic<bool> has_left_over_{false};
    std::atomic<bool> missed_{false};  // the ring was full: look at everybody
    std::atomic<bool> is_asleep_{false};
    std::atomic<bool> must_stop_{false};
    bool has_woken_ = false;  // worker's
    uint32_t last_id_ = 0;
    int epoll_fd_ = -1, kick_fd_ = -1;
    std::thread thread_;
};

}  // namespace xylem::engine
