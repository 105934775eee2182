// SPDX-License-Identifier: Apache-2.0
#include "dataplane/engine/engine.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <unordered_map>
#include <unordered_set>

#include "dataplane/base/clock.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/engine/labels.h"
#include "dataplane/engine/worker.h"
#include "dataplane/xdp/steering.h"

namespace xylem::engine {

namespace {

constexpr uint32_t kFirstGroupReplicas = 8;
constexpr uint32_t kXylemHeaderBytes = 22, kUdpBytes = 8;

uint16_t transmit_burst(void* port, rte_mbuf** burst, uint16_t n) {
    return static_cast<dpdk::Port*>(port)->tx(0, burst, n);
}

/// The queue of a replica whose port does not exist: it is never up.
uint16_t transmit_nothing(void*, rte_mbuf**, uint16_t) { return 0; }

packet::FrameTemplate make_template(const Path& path, uint64_t label, uint32_t hash) {
    if (!path.is_up) return {};
    packet::Path way{path.source_mac, path.dest_mac, path.source, path.dest, path.tos, path.ttl};
    if (way.src.port == 0) way.src.port = packet::source_port(hash);
    return packet::FrameTemplate(way, label);
}

class EngineImpl final : public Engine {
  public:
    ~EngineImpl() override;
    Result<void> start(const EngineConfig& config);

    int event_fd() const override { return worker_->notice_fd(); }
    void run_events() override;
    void set_listener(EngineEvents* listener) override { listener_ = listener; }

    std::vector<PortFacts> ports() const override;
    std::vector<DropCount> drops() const override;
    WorkerCounters worker_counters() const override;

    Result<AppMemory> add_app() override;
    void remove_app(AppId, Done) override;
    abi::EngineSocket& facts(AppId app, uint32_t socket) override { return apps_.at(app)->own().sockets[socket]; }
    void facts_changed(AppId app, uint32_t socket) override { waker_->check(socket_key(app, socket)); }
    Result<int> open_socket(AppId, uint32_t socket) override;
    void close_socket(AppId, uint32_t socket) override;
    Result<InboxMemory> make_inbox(AppId, uint32_t socket) override;

    uint64_t reserve_label() override { return labels_.reserve(); }
    void release_label(uint64_t label) override { labels_.release(label); }

    Result<Stream*> add_stream(const StreamSpec&) override;
    Result<int> make_log(Stream*) override;
    Result<void> log_mapped(Stream*) override;
    Position committed(const Stream*) override;
    void add_replica(Stream*, const ReplicaSpec&, std::function<void(Replica*, Position)>) override;
    void next_position(Stream*, std::function<void(Position)>) override;
    void set_path(Replica*, const Path&) override;
    void remove_replica(Replica*, Done) override;
    void finish_stream(Stream*, Position final) override;
    void remove_stream(Stream*, Done) override;
    StreamCounters counters(const Stream*) const override;
    ReplicaCounters counters(const Replica*) const override;

    Result<Image*> add_image(const ImageSpec&) override;
    int image_fd(const Image* image) const override { return image->image.fd(); }
    void set_feedback(Image*, uint64_t feedback_label, const Path&) override;
    void go_live(Image*, Position p0) override;
    void set_final(Image*, Position final) override;
    Reader* add_reader(Image*, const ReaderSpec&) override;
    void reader_live(Reader*, Position start) override;
    void remove_reader(Reader*, Done) override;
    void remove_image(Image*, Done) override;
    Position published(const Image* image) const override { return image->published.get(); }
    Position consumed(const Reader*) const override;
    ImageCounters counters(const Image*) const override;

  private:
    void post(std::function<void(Worker&)> apply, Done done = {}) {
        worker_->post([apply = std::move(apply)](Worker& worker) { return apply(worker), true; }, std::move(done));
    }
    bool has_port(uint32_t port) const { return port < ports_.size(); }
    stage::Egress* egress_of(uint32_t port) { return has_port(port) ? ports_[port].egress.get() : &nowhere_; }
    uint32_t max_frame_bytes(const Path&) const;
    Result<void> open_ports(const EngineConfig& config);

    std::unique_ptr<dpdk::Eal> eal_;
    mutable std::vector<WorkerPort> ports_;
    stage::Egress nowhere_{nullptr, &transmit_nothing, nullptr};
    std::unique_ptr<Waker> waker_;
    std::unique_ptr<Worker> worker_;
    bool is_running_ = false;
    Labels labels_;
    uint64_t reorder_tsc_ = 0;
    EngineEvents* listener_ = nullptr;
    AppId last_app_ = 0;
    std::unordered_map<AppId, std::unique_ptr<App>> apps_;
    std::unordered_set<Stream*> streams_;
    std::unordered_set<Replica*> replicas_;
    std::unordered_set<Image*> images_;
    std::unordered_set<Reader*> readers_;
};

int run_worker(void* worker) {
    static_cast<Worker*>(worker)->run();
    return 0;
}

EngineImpl::~EngineImpl() {
    if (is_running_) {
        worker_->stop();
        dpdk::wait_worker(0);
    }
    waker_.reset();  // its thread looks at images and logs
    for (Reader* reader : readers_)
        delete reader;
    for (Replica* replica : replicas_)
        delete replica;
    for (Stream* stream : streams_)
        delete stream;
    for (Image* image : images_)
        delete image;
    worker_.reset();
    apps_.clear();
    ports_.clear();
    eal_.reset();
}

Result<void> EngineImpl::open_ports(const EngineConfig& config) {
    xdp::remove_leftovers(config.runtime_dir);
    const dpdk::PortConfig port_config{config.data_port, config.runtime_dir, 1, config.lab_ports};
    for (const PortSpec& spec : config.ports) {
        if (spec.kind == dpdk::PortKind::kLocal) continue;
        if (ports_.size() + 1 >= stage::TxStream::kMaxGroups)
            return Error{EINVAL, spec.text + ": at most " + std::to_string(stage::TxStream::kMaxGroups - 1) + " ports"};
        auto port = dpdk::Port::open(spec, port_config);
        if (!port) return port.error();
        auto egress = std::make_unique<stage::Egress>(port->get(), &transmit_burst, (*port)->pool());
        ports_.push_back({std::move(*port), std::move(egress)});
    }
    return {};
}

Result<void> EngineImpl::start(const EngineConfig& config) {
    if (config.worker_cpus.size() > 1) return Error{EINVAL, "lcores: this version runs one worker; name one CPU"};
    dpdk::EalConfig eal_config;
    eal_config.huge_pages = config.huge_pages;
    eal_config.memory_mb = config.memory_mb;
    eal_config.worker_cpus = config.worker_cpus;
    auto eal = dpdk::Eal::init(eal_config);
    if (!eal) return eal.error();
    eal_ = std::make_unique<dpdk::Eal>(std::move(*eal));
    if (auto opened = open_ports(config); !opened) return opened;
    reorder_tsc_ = config.reorder_us * tsc_per_us();
    auto waker = Waker::start();
    if (!waker) return waker.error();
    waker_ = std::move(*waker);
    worker_ = std::make_unique<Worker>(ports_, config.data_port, config.idle, *waker_);
    if (auto ready = worker_->init(); !ready) return ready;
    if (auto launched = dpdk::launch_worker(0, &run_worker, worker_.get()); !launched) return launched;
    is_running_ = true;
    return {};
}

void EngineImpl::run_events() {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(worker_->notice_fd(), &count, sizeof count);
    Notice notice;
    while (worker_->take(notice)) {
        if (notice.applied != nullptr) {
            const std::unique_ptr<Command> command(notice.applied);
            if (command->done) command->done();
        } else if (listener_ != nullptr && notice.finished_stream != nullptr) {
            listener_->stream_finished(notice.finished_stream);
        } else if (listener_ != nullptr && notice.finished_reader != nullptr) {
            listener_->reader_finished(notice.finished_reader);
        }
    }
    worker_->hand_over();
}

// ---- facts ----

std::vector<PortFacts> EngineImpl::ports() const {
    std::vector<PortFacts> all;
    for (WorkerPort& at : ports_) {
        const dpdk::PortStats stats = at.port->stats();
        PortFacts facts;
        facts.text = at.port->name();
        facts.spec = at.port->spec();
        facts.ifindex = at.port->ifindex();
        facts.mac = at.port->mac();
        facts.mtu = at.port->mtu();
        facts.link_bps = at.port->link_speed_bps();
        facts.is_up = at.port->link_is_up();
        facts.rx_pkts = stats.rx_pkts;
        facts.tx_pkts = stats.tx_pkts;
        facts.missed_pkts = stats.rx_missed_pkts;
        facts.tx_failed_pkts = stats.tx_error_pkts;
        all.push_back(std::move(facts));
    }
    return all;
}

std::vector<DropCount> EngineImpl::drops() const {
    std::vector<DropCount> all;
    for (size_t i = 0; i < kDropCount; ++i) {
        const auto drop = static_cast<Drop>(i);
        all.push_back({drop_name(drop), drop_sentence(drop), worker_->context().drops.count(drop)});
    }
    return all;
}

WorkerCounters EngineImpl::worker_counters() const {
    WorkerCounters counters;
    counters.polls = worker_->polls.get();
    counters.idle_sleeps = worker_->idle_sleeps.get();
    counters.rx_pkts = worker_->rx_pkts.get();
    for (const WorkerPort& port : ports_)
        counters.tx_pkts += port.egress->sent.get();
    return counters;
}

// ---- applications ----

Result<AppMemory> EngineImpl::add_app() {
    auto app = App::create(++last_app_);
    if (!app) return app.error();
    App& made = **app;
    if (auto added = worker_->wake_on(made.kick_fd, true); !added) return added.error();
    apps_.emplace(made.id, std::move(*app));
    post([&made](Worker& worker) { worker.attach(made); });
    return AppMemory{made.id, made.app_memory.fd(), made.engine_memory.fd(), made.kick_fd};
}

void EngineImpl::remove_app(AppId id, Done done) {
    App& app = *apps_.at(id);
    worker_->no_wake_on(app.kick_fd);
    post([&app](Worker& worker) { worker.detach(app); },
         [this, id, done = std::move(done)] {
             apps_.erase(id);
             if (done) done();
         });
}

Result<int> EngineImpl::open_socket(AppId id, uint32_t socket) {
    App& app = *apps_.at(id);
    abi::EngineSocket& facts = app.own().sockets[socket];
    const uint64_t generation = facts.generation.load(std::memory_order_relaxed) + 1;
    for (auto* word : {&facts.is_watched, &facts.connect_done, &facts.is_joining, &facts.has_ended, &facts.backlog,
                       &facts.leaves, &facts.direction, &facts.is_live, &facts.qos_changes})
        word->store(0, std::memory_order_relaxed);
    for (auto* word : {&facts.send_error, &facts.connect_error, &facts.close_error, &facts.qos_code})
        word->store(0, std::memory_order_relaxed);
    facts.limit.store(0, std::memory_order_relaxed);
    facts.phase.store(static_cast<uint32_t>(abi::Phase::kOpen), std::memory_order_relaxed);
    facts.generation.store(generation, std::memory_order_release);
    app.shared().sockets[socket].consumed.store(0, std::memory_order_relaxed);
    app.shared().sockets[socket].seen.store(0, std::memory_order_relaxed);
    return waker_->add_socket(socket_key(id, socket), &facts, &app.shared().sockets[socket]);
}

void EngineImpl::close_socket(AppId id, uint32_t socket) {
    App& app = *apps_.at(id);
    waker_->remove_socket(socket_key(id, socket));
    app.own().sockets[socket].phase.store(static_cast<uint32_t>(abi::Phase::kFree), std::memory_order_release);
    app.sockets[socket].inbox.reset();
}

Result<InboxMemory> EngineImpl::make_inbox(AppId id, uint32_t socket) {
    App& app = *apps_.at(id);
    if (app.sockets[socket].inbox == nullptr) {
        if (auto made = app.make_inbox(socket); !made) return made.error();
        Inbox& inbox = *app.sockets[socket].inbox;
        inbox.readable.id = waker_->next_id();
        waker_->read_from_inbox(socket_key(id, socket), inbox.engine, inbox.app, &inbox.readable);
    }
    const Inbox& inbox = *app.sockets[socket].inbox;
    return InboxMemory{inbox.engine_memory.fd(), inbox.app_memory.fd()};
}

// ---- sending ----

/// Log bytes that fit one frame of the path, and a frame of its port.
uint32_t EngineImpl::max_frame_bytes(const Path& path) const {
    const uint32_t overhead = (path.dest.ip.is_v6() ? 40 : 20) + kUdpBytes + kXylemHeaderBytes;
    const uint32_t mtu = has_port(path.port) ? std::min(path.mtu, ports_[path.port].port->mtu()) : path.mtu;
    return mtu > overhead + 8 ? (mtu - overhead) & ~7U : 8;
}

Result<Stream*> EngineImpl::add_stream(const StreamSpec& spec) {
    if (!spec.geometry.is_valid()) return Error{EINVAL, "a log of this geometry cannot be made"};
    auto stream = std::make_unique<Stream>();
    App& app = *apps_.at(spec.app);
    stream->app = spec.app;
    stream->socket = spec.socket;
    stream->geometry = spec.geometry;
    stream->is_reliable = spec.is_reliable;
    stream->max_in_flight_pkts = spec.max_in_flight_pkts;
    stream->facts = &app.own().sockets[spec.socket];
    stream->writable.id = waker_->next_id();
    getrandom(&stream->source_hash, sizeof stream->source_hash, 0);
    Stream* made = stream.release();
    streams_.insert(made);
    SocketState& state = app.sockets[spec.socket];
    post([made, &state](Worker&) { state.stream = made; });
    return made;
}

Result<int> EngineImpl::make_log(Stream* stream) {
    if (stream->log) return Error{EALREADY, "the log of this socket was made already"};
    auto log = log::TxLog::create(stream->geometry);
    if (!log) return log.error();
    stream->log.emplace(std::move(*log));
    return stream->log->fd();
}

Result<void> EngineImpl::log_mapped(Stream* stream) {
    if (!stream->log || stream->writable.id == 0) return Error{EINVAL, "this socket has no log to be sealed"};
    if (auto sealed = stream->log->seal(); !sealed) return sealed;
    waker_->write_to_log(socket_key(stream->app, stream->socket), &stream->log->commit_word(), stream->geometry.cells(),
                         &stream->writable);
    // So that the first send finds room; the worker's own value is the same until something was consumed.
    stream->facts->limit.store(abi::cell_start(stream->geometry.cells()), std::memory_order_release);
    post([stream](Worker& worker) { worker.start_stream(*stream); });
    return {};
}

Position EngineImpl::committed(const Stream* stream) {
    if (!stream->log) return 0;
    const Position commit = stream->log->commit_word().load(std::memory_order_acquire);
    const Position limit = stream->facts->limit.load(std::memory_order_acquire), sampled = stream->committed.get();
    const bool is_sound = commit >= sampled && commit <= limit && abi::offset_of(commit) % 8 == 0 &&
                          abi::offset_of(commit) < stream->geometry.cell_bytes;
    return is_sound ? commit : sampled;
}

void EngineImpl::add_replica(Stream* stream, const ReplicaSpec& spec, std::function<void(Replica*, Position)> done) {
    auto* replica = new Replica();
    replicas_.insert(replica);
    replica->local = spec.local_image;
    replica->port = spec.path.port;
    replica->label = spec.label;
    replica->feedback_label = spec.feedback_label;
    replica->window_cells =
        spec.window_cells != 0 ? spec.window_cells : static_cast<uint32_t>(stream->geometry.cells());
    if (replica->local != nullptr)
        replica->window_cells = static_cast<uint32_t>(replica->local->image.geometry().cells());
    replica->path = spec.path;
    replica->is_up = spec.local_image != nullptr || (spec.path.is_up && has_port(spec.path.port));
    const uint32_t port = has_port(spec.path.port) ? spec.path.port : 0;
    const uint32_t at = replica->local != nullptr ? stage::TxStream::kMaxGroups - 1 : port;
    const auto header = make_template(spec.path, spec.label, stream->source_hash);
    const uint32_t frame_bytes = replica->local != nullptr ? abi::kMaxCellBytes : max_frame_bytes(spec.path);
    // Arrays for the group as it may be when the command runs: control knows how many it has asked for.
    const uint32_t needed = ++stream->n_live_replicas;
    struct Room {
        std::unique_ptr<stage::Group> group;
        std::unique_ptr<packet::FrameTemplate[]> templates;
        std::unique_ptr<stage::Replica*[]> replicas;
        uint32_t capacity;
    };
    auto room = std::make_shared<Room>();
    room->capacity = std::max(kFirstGroupReplicas, std::bit_ceil(needed));
    room->group = std::make_unique<stage::Group>();
    room->group->egress = replica->local != nullptr ? nullptr : egress_of(port);
    room->templates = std::make_unique<packet::FrameTemplate[]>(room->capacity);
    room->replicas = std::make_unique<stage::Replica*[]>(room->capacity);
    worker_->post(
        [=](Worker& worker) {
            if (!stream->groups[at]) stream->groups[at].swap(room->group);
            stage::Group& group = *stream->groups[at];
            if (group.n == group.capacity) {
                std::copy_n(group.templates.get(), group.n, room->templates.get());
                std::copy_n(group.replicas.get(), group.n, room->replicas.get());
                group.templates.swap(room->templates);
                group.replicas.swap(room->replicas);
                group.capacity = room->capacity;
            }
            if (!worker.add_replica(*stream, *replica, group, header)) return false;
            group.max_frame_bytes = std::min(group.max_frame_bytes, frame_bytes);
            return true;
        },
        [replica, room, done = std::move(done)] { done(replica, replica->start.get()); });
}

void EngineImpl::next_position(Stream* stream, std::function<void(Position)> done) {
    auto position = std::make_shared<Position>(0);
    worker_->post(
        [=](Worker& worker) {
            *position = stream->position;
            return worker.has_boundary(*stream, stream->position);
        },
        [position, done = std::move(done)] { done(*position); });
}

void EngineImpl::set_path(Replica* replica, const Path& path) {
    if (replica->local != nullptr) return;
    // A path over another port is out of step until the session makes a new replica; the same port is a new header.
    const bool is_up = path.is_up && path.port == replica->port && has_port(path.port);
    replica->path = path;
    const auto header = make_template(path, replica->label, static_cast<Stream*>(replica->stream)->source_hash);
    const uint32_t frame_bytes = is_up ? max_frame_bytes(path) : abi::kMaxCellBytes;
    post([=](Worker& worker) { worker.set_path(*replica, header, is_up, frame_bytes); });
}

void EngineImpl::remove_replica(Replica* replica, Done done) {
    post([replica](Worker& worker) { worker.remove_replica(*replica); },
         [this, replica, done = std::move(done)] {
             --static_cast<Stream*>(replica->stream)->n_live_replicas;
             if (replica->feedback_label != 0) labels_.release(replica->feedback_label);
             replicas_.erase(replica);
             delete replica;
             if (done) done();
         });
}

void EngineImpl::finish_stream(Stream* stream, Position final) {
    post([=](Worker& worker) { worker.finish_stream(*stream, final); });
}

void EngineImpl::remove_stream(Stream* stream, Done done) {
    waker_->write_to_log(socket_key(stream->app, stream->socket), nullptr, 0, nullptr);
    SocketState& state = apps_.at(stream->app)->sockets[stream->socket];
    post(
        [=, &state](Worker& worker) {
            worker.remove_stream(*stream);
            if (state.stream == stream) state.stream = nullptr;
        },
        [this, stream, done = std::move(done)] {
            streams_.erase(stream);
            delete stream;
            if (done) done();
        });
}

StreamCounters EngineImpl::counters(const Stream* stream) const {
    StreamCounters counters;
    counters.cursor = stream->cursor.get();
    counters.committed = stream->committed.get();
    counters.confirmed = stream->confirmed.get();
    counters.pulled_bytes = stream->pulled_bytes.get();
    counters.frames = stream->frames.get();
    counters.hostile_words = stream->hostile_words.get();
    return counters;
}

ReplicaCounters EngineImpl::counters(const Replica* replica) const {
    ReplicaCounters counters;
    counters.start = replica->start.get();
    counters.received = replica->received.get();
    counters.consumed = replica->consumed.get();
    counters.sent_bytes =
        replica->group->sent_bytes.get() - replica->sent_base_bytes.get() - replica->skipped_bytes.get();
    counters.repaired_bytes = replica->repaired_bytes.get();
    counters.skipped_frames = replica->skipped_frames.get();
    counters.naks = replica->naks.get();
    return counters;
}

// ---- receiving ----

Result<Image*> EngineImpl::add_image(const ImageSpec& spec) {
    if (!spec.geometry.is_valid()) return Error{EINVAL, "an image of this geometry cannot be made"};
    log::ImageConfig config;
    config.geometry = spec.geometry;
    config.flags = spec.flags;
    config.reorder_time = reorder_tsc_;
    auto memory = log::Image::create(config);
    if (!memory) return memory.error();
    auto* image = new Image(std::move(*memory));
    images_.insert(image);
    image->readable.id = waker_->next_id();
    image->label = spec.label;
    image->image.header().final.store(abi::kNoPosition, std::memory_order_relaxed);
    post([image](Worker& worker) { worker.add_image(*image); });
    if (spec.feedback_label != 0) set_feedback(image, spec.feedback_label, spec.feedback_path);
    return image;
}

void EngineImpl::set_feedback(Image* image, uint64_t feedback_label, const Path& path) {
    const auto header = make_template(path, feedback_label, static_cast<uint32_t>(feedback_label >> 32));
    stage::Egress* egress = path.is_up && has_port(path.port) ? egress_of(path.port) : nullptr;
    post([=](Worker& worker) {
        image->feedback_template = header;
        image->feedback = egress;
        worker.context().touched.add(*image);
    });
}

void EngineImpl::go_live(Image* image, Position p0) {
    post([=](Worker& worker) { worker.go_live(*image, p0); });
}

void EngineImpl::set_final(Image* image, Position final) {
    post([=](Worker& worker) { worker.set_final(*image, final); });
}

Reader* EngineImpl::add_reader(Image* image, const ReaderSpec& spec) {
    App& app = *apps_.at(spec.app);
    auto* reader = new Reader();
    readers_.insert(reader);
    reader->image = image;
    reader->app = spec.app;
    reader->socket = spec.socket;
    if (spec.slot == kNoSlot) {
        reader->consumed_word = &app.shared().sockets[spec.socket].consumed;
        waker_->read_from_image(socket_key(spec.app, spec.socket), &image->image.header(), &image->readable);
    } else {
        Inbox& inbox = *app.sockets[spec.socket].inbox;
        abi::InboxSlot& slot = inbox.app->slots[spec.slot % abi::kInboxSlots];
        slot.consumed.store(0, std::memory_order_relaxed);
        // The application goes on counting where the slot's last image left off; what it says misleads only itself.
        reader->n_pushed = slot.acked.load(std::memory_order_relaxed);
        reader->consumed_word = &slot.consumed;
        reader->ring = &inbox;
        reader->slot = spec.slot % abi::kInboxSlots;
    }
    post([&app, reader](Worker& worker) { worker.add_reader(app, *reader); });
    return reader;
}

void EngineImpl::reader_live(Reader* reader, Position start) {
    post([=](Worker& worker) { worker.reader_live(*reader, start); });
}

void EngineImpl::remove_reader(Reader* reader, Done done) {
    App& app = *apps_.at(reader->app);
    if (reader->ring == nullptr) waker_->read_from_image(socket_key(reader->app, reader->socket), nullptr, nullptr);
    post([&app, reader](Worker& worker) { worker.remove_reader(app, *reader); },
         [this, reader, done = std::move(done)] {
             readers_.erase(reader);
             delete reader;
             if (done) done();
         });
}

void EngineImpl::remove_image(Image* image, Done done) {
    post([image](Worker& worker) { worker.remove_image(*image); },
         [this, image, done = std::move(done)] {
             if (image->label != 0) labels_.release(image->label);
             images_.erase(image);
             delete image;
             if (done) done();
         });
}

/// The application's word as it is now: the worker looks at it only now and then, and a socket that is closed has said
/// its last.
Position EngineImpl::consumed(const Reader* reader) const {
    const Position counted = reader->consumed.load(std::memory_order_relaxed);
    const Position word = reader->consumed_word->load(std::memory_order_acquire);
    const Position published = reader->image->image.header().published.load(std::memory_order_relaxed);
    return word > counted && word <= published ? word : counted;
}

ImageCounters EngineImpl::counters(const Image* image) const {
    ImageCounters counters;
    counters.published = image->published.get();
    counters.received_bytes = image->received_bytes.get();
    counters.duplicate_bytes = image->duplicate_bytes.get();
    counters.lost_bytes = image->lost_bytes.get();
    counters.lost_gaps = image->lost_gaps.get();
    counters.naks_sent = image->naks_sent.get();
    return counters;
}

}  // namespace

Result<std::unique_ptr<Engine>> start_engine(const EngineConfig& config) {
    auto engine = std::make_unique<EngineImpl>();
    if (auto started = engine->start(config); !started) return started.error();
    return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace xylem::engine
