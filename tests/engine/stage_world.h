// SPDX-License-Identifier: Apache-2.0
// Hosts in one process, joined by wires in memory that lose, duplicate, delay and reorder. The clock is the test's: a
// tick is a nanosecond. The worker's own commands and stages run; only its loop is replaced, so that time stands still
// between two steps.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/mbuf_pool.h"
#include "dataplane/engine/worker.h"
#include "dataplane/packet/parse.h"
#include "dataplane/stage/ingress.h"
#include "dataplane/stage/transmit.h"
#include "tests/unit/log_writer.h"
#include "tests/unit/reference_reader.h"
#include "tests/unit/sample_frames.h"

namespace xylem::test {

using abi::Geometry;
using abi::Position;

inline constexpr uint32_t kIfindex = 4;  // of a host's one port
inline constexpr uint64_t kTicksPerUs = 1000, kStepUs = 10;
inline constexpr uint32_t kWholeCells = abi::kMaxCellBytes;

/// EAL has been started by then.
dpdk::MbufPool make_pool(unsigned n_frames);

/// One direction between two hosts.
class Wire {
  public:
    Wire(std::mt19937_64& random, const uint64_t& now, rte_mempool* copies)
        : random_(random), now_(now), copies_(copies) {}
    ~Wire() { clear(); }
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    static uint16_t transmit(void* wire, rte_mbuf** burst, uint16_t n) {
        return static_cast<Wire*>(wire)->take(burst, n);
    }
    /// A frame that has arrived by now, or null; the caller's to free.
    rte_mbuf* arrival();
    void clear();
    size_t n_under_way() const { return under_way_.size(); }
    /// DATA frames under way under this label.
    size_t n_under_way(uint64_t label) const;

    double loss = 0, duplication = 0;
    uint64_t latency_us = 20, jitter_us = 0;
    std::function<uint16_t(uint16_t)> takes;                     // how many of n the driver takes now
    std::function<bool(const packet::ParsedFrame&)> loses;       // this one
    std::map<uint64_t, std::map<Position, unsigned>> sent_data;  // per label and position: how often it was sent
    uint64_t n_taken = 0, n_lost = 0, n_duplicated = 0, n_delivered = 0, n_naks = 0;

  private:
    uint16_t take(rte_mbuf** burst, uint16_t n);
    void put(rte_mbuf* frame);
    bool happens(double probability) { return std::uniform_real_distribution<>(0, 1)(random_) < probability; }

    std::mt19937_64& random_;
    const uint64_t& now_;
    rte_mempool* const copies_;
    std::multimap<uint64_t, rte_mbuf*> under_way_;
};

packet::ParsedFrame parse(const rte_mbuf* frame);

/// A host: a worker whose loop is the test's, and what is counted of the frames that came in.
struct Host {
    Host(engine::Waker& waker, Wire& out, Wire& other, rte_mempool* pool)
        : worker(no_ports, kDataPort, engine::IdlePolicy::kAdaptive, waker),
          egress(&out, &Wire::transmit, pool),
          other_egress(&other, &Wire::transmit, pool) {
        worker.context().us = kTicksPerUs;
    }
    stage::Context& context() { return worker.context(); }
    uint64_t drops(Drop drop) { return context().drops.count(drop); }

    std::vector<engine::WorkerPort> no_ports;
    engine::Worker worker;
    stage::Egress egress, other_egress;  // of two ports
    uint64_t n_in = 0, n_stored = 0, stored_bytes = 0, n_naks = 0, n_statuses = 0, n_heartbeats = 0;
};

/// A sending socket and what it sent.
struct Sender {
    engine::Stream stream;
    std::unique_ptr<LogWriter> writer;
    abi::EngineSocket* facts = nullptr;
    std::vector<std::string> messages;
    std::vector<Position> starts;  // where each began
    size_t n_left = 0;             // messages still to be written
    size_t longest = 3000;
    bool has_finished = false;
};

/// A receiving host's image of one stream with one reader, and the replica that feeds it.
struct Leaf {
    explicit Leaf(log::Image made) : image(std::move(made)) {}
    engine::Image image;
    engine::Reader reader;
    engine::Replica replica;
    std::atomic<Position> consumed{0};
    std::unique_ptr<ReferenceReader> reading;
    bool reads = true;
    bool is_removed = false;
    Position p0 = 0;
};

struct LeafSpec {
    Geometry geometry{1408, 8};
    bool is_reliable = true;
    bool is_local = false;
    uint32_t at = 0;            // group
    uint32_t window_cells = 0;  // 0: the image's
    uint32_t max_frame_bytes = kWholeCells;
};

class World {
  public:
    static constexpr unsigned kPool = 4095;

    explicit World(unsigned pool_frames = kPool, unsigned seed = std::random_device{}());
    ~World();

    Sender& add_sender(const Geometry& geometry = {1408, 8}, bool is_reliable = true);
    Leaf& add_leaf(Sender& sender, const LeafSpec& spec = {});
    void remove_leaf(Sender& sender, Leaf& leaf);
    void set_path(Leaf& leaf, bool is_up, uint32_t max_frame_bytes = kWholeCells);
    /// Its path takes the port of that group.
    void move(Leaf& leaf, uint32_t group);
    void finish(Sender& sender);

    /// One poll of each host.
    void step();
    void write_some(Sender& sender);
    /// Until `is_done`, at most that long. False: it did not happen.
    bool run_until(const std::function<bool()>& is_done, uint64_t max_ms = 20'000);
    void run_for_us(uint64_t us);

    /// What `leaf` must have read when everything has arrived.
    static std::vector<std::string> expected(const Sender& sender, const Leaf& leaf);
    static bool is_all_read(const Sender& sender, const Leaf& leaf);
    bool is_all_read(const Sender& sender) const;
    /// Every replica has told that it has everything (what its reader has taken it tells by eighths of its window).
    bool is_acknowledged(const Sender& sender) const;
    void expect_intact(const Sender& sender) const;

    /// A frame as a peer would send it, delivered to `host` at once.
    void deliver(Host& host, const packet::FrameFields& fields, uint64_t label,
                 const std::vector<uint8_t>& payload = {});
    void deliver_raw(Host& host, const std::vector<uint8_t>& bytes);

    std::mt19937_64 random;
    uint64_t now = 1'000'000;
    dpdk::MbufPool pool, copies;
    Wire out, other_out, back;  // sender to receiver over two ports, and the feedback
    std::unique_ptr<engine::Waker> waker;
    Host sending, receiving;
    std::unique_ptr<engine::App> app;
    std::deque<std::unique_ptr<Sender>> senders;
    std::deque<std::unique_ptr<Leaf>> leaves;

  private:
    stage::Group& group_at(Sender& sender, uint32_t at);
    void receive(Host& host, Wire& wire);
    void take_in(Host& host, rte_mbuf* frame);
    void send();
    void run_timers(Host& host);
    void settle(Host& host);
    void read_some(Leaf& leaf);
    void expect_conserved();

    uint64_t next_label_ = 1 << 16 | 1;
    uint32_t n_sockets_ = 0;
};

}  // namespace xylem::test
