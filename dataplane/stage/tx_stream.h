// SPDX-License-Identifier: Apache-2.0
// A stream on the sending host: its log, its replicas in groups (one group per transmit queue, one for this host's own
// image, one for replicas that have had no path yet), and what is known of their progress. Each group has a cursor of
// its own over the log and pauses alone. A GROUP stream has destinations instead, and one cursor, `position`. One
// worker owns all of it; control reads the counters.
#pragma once
#include <xylem/abi/segment.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>

#include "dataplane/base/counter.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/nak_range.h"
#include "dataplane/log/tx_log.h"
#include "dataplane/packet/frame.h"
#include "dataplane/stage/egress.h"
#include "dataplane/stage/group_route.h"
#include "dataplane/stage/rx_image.h"

namespace xylem::stage {

struct TxStream;
struct Group;

/// One destination host of a stream. Positions: worker writes, control reads.
struct Replica {
    static constexpr unsigned kMaxRepairs = 16;

    TxStream* stream = nullptr;
    std::atomic<Group*> group{nullptr};  // written by the worker; it moves when its path takes another port
    RxImage* local = nullptr;            // the destination is this host
    uint64_t feedback_label = 0;
    uint32_t window_cells = 0;
    uint32_t echo = 0;   // highest packet number that it has seen
    bool is_up = false;  // false: out of step; skipped, comes back by repair
    Counter start, received, consumed;
    Counter sent_base_bytes;                // group's sent_bytes when it joined, less what other groups had sent to it
    std::atomic<uint32_t> n_half_moves{0};  // odd while `group` and `sent_base_bytes` change
    Position sent_elsewhere = 0;            // before it came into its group
    Counter skipped_frames, skipped_bytes, repaired_bytes, naks;

    // What it asked for and has not got yet.
    NakRange repairs[kMaxRepairs];
    uint32_t n_repairs = 0, repair_idx = 0;
    Position repair_at = 0;

    /// Log bytes that were sent to it. Any thread.
    uint64_t sent_bytes() const;
    /// Worker: it counts with `to` from now on, and goes on where it was.
    void move(Group& to);
};

/// The replicas behind one transmit queue. Templates lie beside each other: a fan-out walks them in order.
struct Group {
    Egress* egress = nullptr;  // null: the local image
    std::unique_ptr<packet::FrameTemplate[]> templates;
    std::unique_ptr<Replica*[]> replicas;
    uint32_t n = 0, capacity = 0;
    uint32_t max_frame_bytes = abi::kMaxCellBytes;  // log bytes that fit the path MTU

    Position cursor = 0;   // everything before it was sent to every replica of the group
    bool is_open = false;  // `frame` is being fanned out, next to `resume_idx`
    uint32_t resume_idx = 0;
    log::Frame frame{};
    packet::FramePart part{packet::FrameFields{}};

    uint32_t last_packet = 0;  // number of the last DATA frame
    uint32_t min_echo = 0;     // of the slowest replica, when last computed
    bool is_echo_stale = true;
    Counter sent_bytes;  // log bytes fanned out
};

inline uint64_t Replica::sent_bytes() const {
    for (;;) {
        const uint32_t before = n_half_moves.load(std::memory_order_acquire);
        const uint64_t sent = group.load(std::memory_order_relaxed)->sent_bytes.get() - sent_base_bytes.get();
        const uint64_t skipped = skipped_bytes.get();
        std::atomic_thread_fence(std::memory_order_acquire);  // partner: move()
        if (before % 2 != 0 || n_half_moves.load(std::memory_order_relaxed) != before) continue;
        return sent > skipped ? sent - skipped : 0;  // a skipped frame is counted before it has gone to all
    }
}

inline void Replica::move(Group& to) {
    const uint64_t sent = group.load(std::memory_order_relaxed)->sent_bytes.get() - sent_base_bytes.get();
    const uint32_t n = n_half_moves.load(std::memory_order_relaxed);
    n_half_moves.store(n + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);  // partner: sent_bytes()
    sent_base_bytes.set(to.sent_bytes.get() - sent);
    group.store(&to, std::memory_order_relaxed);
    n_half_moves.store(n + 2, std::memory_order_release);
}

struct TxStream {
    static constexpr unsigned kMaxPorts = 8;
    static constexpr unsigned kWaitingGroup = kMaxPorts;    // replicas that have had no path yet
    static constexpr unsigned kLocalGroup = kMaxPorts + 1;  // this host
    static constexpr unsigned kMaxGroups = kMaxPorts + 2;

    uint32_t source_hash = 0;
    abi::Geometry geometry{};
    bool is_reliable = true;
    uint32_t max_in_flight_pkts = 1024;
    abi::EngineSocket* facts = nullptr;
    std::atomic<bool>* is_write_armed = nullptr;

    std::optional<log::TxLog> log;  // made at the first send
    bool is_pulled = false;         // the log is sealed: it may be read
    Position limit = 0;             // as told to the application
    Position final = abi::kNoPosition;
    bool has_finished = false;

    std::unique_ptr<GroupSender> datagrams;  // set: a GROUP stream
    std::array<std::unique_ptr<Group>, kMaxGroups> groups;
    uint32_t n_replicas = 0;
    Position position = 0;  // where a replica that joins now starts, if that is a record boundary
    uint32_t packet_number = 0;
    bool is_ack_stale = true;  // a replica's progress changed since min_consumed was computed
    Position min_consumed = 0;
    uint64_t heartbeat_at = kNever;
    uint64_t heartbeat_interval = 0;
    uint32_t n_idle_polls = 0;

    Counter pulled_bytes, frames, cursor, committed, confirmed, hostile_words;
    ListLink<TxStream> in_active;  // polled
    ListLink<TxStream> in_timed;   // waits for acknowledgements
};

}  // namespace xylem::stage
