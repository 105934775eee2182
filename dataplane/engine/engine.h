// SPDX-License-Identifier: Apache-2.0
// The one door of the data plane: what the control thread asks of it. Nothing of DPDK shows here.
//
// All calls are made by the control thread. Objects (Stream, Replica, Image, Reader) belong to the engine; a pointer is
// valid from the call that made it until the completion of the call that removes it has run. Changes reach the worker
// as commands that it applies between two frames; completions and events run inside run_events() on the control thread,
// in order. The interface is abstract so that sessions are tested against a fake.
#pragma once
#include <xylem/abi/group.h>
#include <xylem/abi/image.h>
#include <xylem/abi/segment.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/port_spec.h"
#include "dataplane/base/result.h"

namespace xylem::engine {

using abi::Geometry;
using abi::Position;
using dpdk::PortSpec;

class Stream;   // the one-way log of one sending socket
class Replica;  // one destination host of a stream
class Image;    // the copy of a stream on this host
class Reader;   // one local socket that reads an image

using AppId = uint32_t;
using Done = std::function<void()>;

enum class IdlePolicy { kBusy, kAdaptive };

struct EngineConfig {
    std::vector<PortSpec> ports;  // without `local`, which is always there
    IdlePolicy idle = IdlePolicy::kAdaptive;
    std::vector<unsigned> worker_cpus;  // empty: the worker floats over the allowed CPUs
    uint16_t data_port = 7471;
    bool huge_pages = false;
    bool lab_ports = false;
    unsigned memory_mb = 256;
    uint32_t reorder_us = 200;
    std::string runtime_dir;
};

/// A port as the control thread needs it. Index in ports() = Path::port.
struct PortFacts {
    std::string text;  // as configured
    PortSpec spec;
    int ifindex = 0;  // 0: no kernel interface (memif, null)
    MacAddress mac;
    unsigned mtu = 0;       // bytes of IP
    uint64_t link_bps = 0;  // bits/s, 0: unknown
    bool is_up = false;
    uint64_t rx_pkts = 0, tx_pkts = 0, missed_pkts = 0, tx_failed_pkts = 0;
};

/// How frames reach a host. A path that is not up, or over no port of ours, makes a replica out of step: it is skipped
/// and comes back by repair.
struct Path {
    uint32_t port = 0;
    bool is_up = false;
    MacAddress source_mac, dest_mac;
    Endpoint source, dest;  // addresses and UDP ports
    uint32_t mtu = 1500;    // bytes of IP
    uint8_t tos = 0;
    uint8_t ttl = 64;
};

/// Descriptors are borrowed: valid until remove_app has completed.
struct AppMemory {
    AppId app;
    int app_fd;     // abi::AppSegment, for a read-write mapping
    int engine_fd;  // abi::EngineSegment, for a read-only mapping (sealed)
    int kick_fd;    // eventfd
};

struct InboxMemory {
    int engine_fd;  // abi::InboxEngine, read-only (sealed)
    int app_fd;     // abi::InboxApp
};

struct StreamSpec {
    AppId app = 0;
    uint32_t socket = 0;
    Geometry geometry{};
    bool is_reliable = true;
    uint32_t max_in_flight_pkts = 1024;  // unacknowledged frames per replica, reliable streams
    bool is_group = false;               // abi/group.h: datagrams to destinations, no replicas; never reliable
};

/// What `local` is called where a port of a group is asked for: it has no device, ports() does not list it.
inline constexpr uint32_t kLocalPort = ~0U;

/// Where datagrams of a GROUP stream go. Delivered to this host's image of (dest, port) as well when dest is a group.
struct GroupDestination {
    Endpoint dest;             // a group or a host, and a UDP port
    uint32_t port = 0;         // index into ports(), or kLocalPort: nothing goes on a wire
    Path path{};               // source MAC, address and UDP port, ttl, mtu; the MAC of a host (that of a group follows
                               // from its address). `port` and `dest` of it do not count. Not up: a named drop
    bool reaches_wire = true;  // false: scope 0
};

struct GroupImageSpec {
    Endpoint group;     // and UDP port
    uint32_t port = 0;  // index into ports(): where datagrams come in; kLocalPort: from this host only
    Geometry geometry{};
};

struct ReplicaSpec {
    Image* local_image = nullptr;  // set: the destination is this host
    uint64_t label = 0;            // the receiver's name for this replica
    uint64_t feedback_label =
        0;  // ours, from reserve_label(): where its NAK and STATUS come in; released with the replica
    uint32_t window_cells = 0;  // cells of the image over there
    Path path{};
};

struct ImageSpec {
    Geometry geometry{};
    uint32_t flags = 0;           // abi::kImage*
    uint64_t label = 0;           // ours, from reserve_label(); 0: fed by a local replica only. Released with the image
    uint64_t feedback_label = 0;  // the sender's: where our NAK and STATUS go
    Path feedback_path{};
};

inline constexpr uint32_t kNoSlot = ~0U;

struct ReaderSpec {
    AppId app = 0;
    uint32_t socket = 0;
    uint32_t slot = kNoSlot;  // inbox slot (make_inbox first), or kNoSlot: the socket's own `consumed` word
};

struct StreamCounters {
    Position cursor = 0;         // everything before it was pulled
    Position committed = 0;      // last commit sampled
    Position confirmed = 0;      // consumed by the slowest replica
    uint64_t pulled_bytes = 0;   // log bytes
    uint64_t frames = 0;         // frames cut (not replicas)
    uint64_t hostile_words = 0;  // words of the app that had to be clamped
};

struct ReplicaCounters {
    Position start = 0;     // P0
    Position received = 0;  // last `published` that it told
    Position consumed = 0;  // last `consumed` that it told
    uint64_t sent_bytes = 0;
    uint64_t repaired_bytes = 0;
    uint64_t skipped_frames = 0;  // while out of step
    uint64_t naks = 0;
};

struct ImageCounters {
    Position published = 0;
    uint64_t received_bytes = 0;
    uint64_t duplicate_bytes = 0;
    uint64_t lost_bytes = 0;  // best effort, upper bound
    uint64_t lost_gaps = 0;
    uint64_t naks_sent = 0;
};

struct DropCount {
    std::string_view name, sentence;
    uint64_t count;
};

struct WorkerCounters {
    uint64_t polls = 0, idle_sleeps = 0, rx_pkts = 0, tx_pkts = 0;
    uint64_t held_pkts = 0;  // not taken by their drivers yet
};

/// What the engine tells by itself, inside run_events().
class EngineEvents {
  public:
    virtual ~EngineEvents() = default;
    /// finish_stream's final position was confirmed by every replica (reliable) or sent to all (best effort).
    virtual void stream_finished(Stream*) = 0;
    /// The reader has consumed everything up to its image's final position.
    virtual void reader_finished(Reader*) = 0;
};

class Engine {
  public:
    virtual ~Engine() = default;  // stops the worker and the waker; closes ports; nothing is left behind

    /// Readable when run_events() has something to do.
    virtual int event_fd() const = 0;
    virtual void run_events() = 0;
    virtual void set_listener(EngineEvents*) = 0;

    virtual std::vector<PortFacts> ports() const = 0;  // with counters as of now
    virtual std::vector<DropCount> drops() const = 0;
    virtual WorkerCounters worker_counters() const = 0;

    // Applications and their sockets.
    virtual Result<AppMemory> add_app() = 0;
    /// All its streams, readers and sockets must have been removed.
    virtual void remove_app(AppId, Done) = 0;
    /// The control thread's words of a socket. After a change call facts_changed, so that an armed descriptor is
    /// signalled.
    virtual abi::EngineSocket& facts(AppId, uint32_t socket) = 0;
    virtual void facts_changed(AppId, uint32_t socket) = 0;
    /// Resets the slot (generation + 1) and makes its descriptor; returns the application's end, which the caller
    /// passes on and closes.
    virtual Result<int> open_socket(AppId, uint32_t socket) = 0;
    virtual void close_socket(AppId, uint32_t socket) = 0;
    /// The inbox of a socket that receives from several images; made once per socket, removed with it. Descriptors are
    /// borrowed.
    virtual Result<InboxMemory> make_inbox(AppId, uint32_t socket) = 0;

    // Labels: this host's names for what comes in. Random, never 0, unique.
    virtual uint64_t reserve_label() = 0;
    virtual void release_label(uint64_t) = 0;  // only for a label that no replica or image took

    // Sending.
    virtual Result<Stream*> add_stream(const StreamSpec&) = 0;
    /// Makes the log (before that the stream has only a position, 0). The descriptor is borrowed until log_mapped;
    /// until then it is given again when asked again, since the app may have had no room for it. Then: EALREADY.
    virtual Result<int> make_log(Stream*) = 0;
    /// The application has mapped it: seals it, checks the seals, starts to pull.
    virtual Result<void> log_mapped(Stream*) = 0;
    /// The last commit, sampled and clamped now; 0 before log_mapped.
    virtual Position committed(const Stream*) = 0;
    /// The replica is live from P0: every frame from there on goes to it, none before.
    virtual void add_replica(Stream*, const ReplicaSpec&, std::function<void(Replica*, Position p0)>) = 0;
    /// Where a further reader on that host starts: the position of the next frame.
    virtual void next_position(Stream*, std::function<void(Position)>) = 0;
    /// A path over another port takes the replica there. What went out over that port before comes by repair (best
    /// effort: it is a gap).
    virtual void set_path(Replica*, const Path&) = 0;
    virtual void remove_replica(Replica*, Done) = 0;
    /// Nothing is pulled beyond `final`; stream_finished comes when it is confirmed.
    virtual void finish_stream(Stream*, Position final) = 0;
    /// Its replicas must have been removed. The log's memory goes with it.
    virtual void remove_stream(Stream*, Done) = 0;
    /// Datagrams with that index (< abi::kMaxDestinations) go there: all that are committed after this call; again:
    /// changes it. EINVAL: not a GROUP stream, an index or a port out of range, dest and path's source of two families.
    virtual Result<void> set_destination(Stream*, uint32_t index, const GroupDestination&) = 0;
    virtual StreamCounters counters(const Stream*) const = 0;
    virtual ReplicaCounters counters(const Replica*) const = 0;

    // Receiving.
    virtual Result<Image*> add_image(const ImageSpec&) = 0;
    /// The datagrams that come in for a group on a port, for any number of readers: live at once, best effort, without
    /// end; a reader starts at published(image). Has every datagram that this host commits after this call. Steers
    /// (group, UDP port) to us; membership is the caller's. EEXIST: there is one; EINVAL: no group, no UDP port or the
    /// data port, no such port, no possible geometry; errors of the steering.
    virtual Result<Image*> add_group_image(const GroupImageSpec&) = 0;
    virtual int image_fd(const Image*) const = 0;  // borrowed, sealed, for read-only mappings
    virtual void set_feedback(Image*, uint64_t feedback_label, const Path&) = 0;
    virtual void go_live(Image*, Position p0) = 0;
    /// The sender's stream ends there (kNoPosition: at what is published now).
    virtual void set_final(Image*, Position final) = 0;
    /// The reader holds the image at what is published now until reader_live says where it starts.
    virtual Reader* add_reader(Image*, const ReaderSpec&) = 0;
    virtual void reader_live(Reader*, Position start) = 0;
    virtual void remove_reader(Reader*, Done) = 0;
    /// Its readers and any local replica that feeds it must have been removed.
    virtual void remove_image(Image*, Done) = 0;
    virtual Position published(const Image*) const = 0;
    virtual Position consumed(const Reader*) const = 0;  // clamped: start <= consumed <= published
    virtual ImageCounters counters(const Image*) const = 0;
};

/// Starts EAL, opens the ports, starts worker and waker. One engine per process (EAL's rule).
Result<std::unique_ptr<Engine>> start_engine(const EngineConfig&);

}  // namespace xylem::engine
