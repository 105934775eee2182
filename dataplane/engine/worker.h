// SPDX-License-Identifier: Apache-2.0
// The poll-mode loop of one lcore. poll() names the stages in order: that is a frame's whole way. The worker owns every
// object that a command handed to it, alone; control changes it only by commands, applied between two frames and
// acknowledged, so an acknowledged removal may be freed.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/base/spsc_ring.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/engine/idle.h"
#include "dataplane/engine/objects.h"
#include "dataplane/engine/waker.h"
#include "dataplane/stage/context.h"
#include "dataplane/stage/label_table.h"

namespace xylem::engine {

class Worker;

/// A change that control asks for. `apply` runs on the worker between two frames; false: not possible right now, it is
/// asked again at the next poll. `done` runs on control afterwards.
struct Command {
    std::function<bool(Worker&)> apply;
    Done done;
};

/// What the worker tells control, in order: a command was applied, or an event.
struct Notice {
    Command* applied = nullptr;
    Stream* finished_stream = nullptr;
    Reader* finished_reader = nullptr;
};

/// A port and its one transmit queue.
struct WorkerPort {
    std::unique_ptr<dpdk::Port> port;
    std::unique_ptr<stage::Egress> egress;
};

class Worker {
  public:
    Worker(std::vector<WorkerPort>& ports, uint16_t data_port, IdlePolicy policy, Waker& waker);
    ~Worker();

    Result<void> init();
    /// Until stop(); on the worker's own lcore.
    void run();
    void stop();

    // Control thread.
    void post(std::function<bool(Worker&)> apply, Done done);
    /// Hands over commands that the ring had no room for; whenever notices were taken.
    void hand_over();
    /// The notices so far; readable descriptor when there are some.
    bool take(Notice& out) { return notices_.pop(out); }
    int notice_fd() const { return notice_fd_; }
    /// The worker wakes from sleep when `fd` becomes readable. Edge-triggered kicks, or level-triggered frames.
    Result<void> wake_on(int fd, bool is_edge);
    void no_wake_on(int fd);
    const stage::Context& context() const { return context_; }

    // Inside commands only.
    void attach(App& app) { apps_.add(app); }
    void detach(App& app) { apps_.remove(app); }
    void start_stream(Stream& stream);
    void remove_stream(Stream& stream);
    bool add_replica(Stream& stream, Replica& replica, stage::Group& group, const packet::FrameTemplate& header);
    /// Into another group of its stream, which has room for it.
    void move_replica(Replica& replica, stage::Group& to, const packet::FrameTemplate& header);
    void set_path(Replica& replica, const packet::FrameTemplate& header, bool is_up, uint32_t max_frame_bytes);
    void remove_replica(Replica& replica);
    bool has_boundary(const Stream& stream, Position at) const;
    void finish_stream(Stream& stream, Position final);
    void set_destination(Stream& stream, uint32_t index, const stage::GroupRoute& route);
    void add_image(Image& image);
    void go_live(Image& image, Position p0);
    void set_final(Image& image, Position final);
    void remove_image(Image& image);
    void add_reader(App& app, Reader& reader);
    void reader_live(Reader& reader, Position start);
    void remove_reader(App& app, Reader& reader);
    stage::LabelTable& labels() { return labels_; }
    stage::Context& context() { return context_; }

    Counter polls, idle_sleeps, rx_pkts;

  private:
    unsigned poll();
    unsigned apply_commands();
    unsigned receive();
    unsigned serve_doorbells();
    void serve_bell(App& app, uint32_t socket);
    unsigned send();
    unsigned run_timers();
    void settle_touched();
    void wake_readers(Image& image);
    void report_finished(Image& image);
    void flush_egress();
    bool is_idle_for_long(Stream& stream) const;
    void touch(stage::TxStream& stream);
    void notify(Notice notice);
    void flush_notices();
    void clear_wait_error(int fd);
    void sleep();
    void set_watched(bool is_watched);
    bool has_pending() const;
    uint64_t next_deadline() const;

    std::vector<WorkerPort>& ports_;
    const uint16_t data_port_;
    const IdlePolicy policy_;
    Waker& waker_;
    stage::Context context_;
    stage::LabelTable labels_;
    IntrusiveList<App, &App::in_worker> apps_;
    Idle idle_;
    uint64_t next_timer_scan_ = 0;

    SpscRing<Command*> commands_;        // control to worker
    std::vector<Command*> overflow_;     // control's: what the ring had no room for
    SpscRing<Notice> notices_;           // worker to control
    std::vector<Command*> deferred_;     // asked again at every poll; capacity reserved
    std::atomic<uint64_t> n_posted_{0};  // commands; control writes
    uint64_t n_taken_ = 0;               // of them
    uint64_t n_awaited_ = 0;             // posted when the commits of the last poll had been sampled
    bool has_notices_ = false;
    bool has_slept_ = false;  // right before this poll
    int notice_fd_ = -1, command_fd_ = -1, epoll_fd_ = -1;
    std::atomic<bool> is_asleep_{false}, must_stop_{false};
};

}  // namespace xylem::engine
