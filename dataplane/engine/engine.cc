// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>

#include "dataplane/base/clock.h"
#include "dataplane/engine/engine_impl.h"
#include "dataplane/xdp/steering.h"

namespace xylem::engine {

namespace {

uint16_t transmit_burst(void* port, rte_mbuf** burst, uint16_t n) {
    return static_cast<dpdk::Port*>(port)->tx(0, burst, n);
}

uint16_t transmit_nothing(void*, rte_mbuf**, uint16_t) { return 0; }

int run_worker(void* worker) {
    static_cast<Worker*>(worker)->run();
    return 0;
}

}  // namespace

EngineImpl::EngineImpl() : nowhere_(nullptr, &transmit_nothing, nullptr) {}

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
        if (ports_.size() >= stage::TxStream::kMaxPorts)
            return Error{EINVAL, spec.text + ": at most " + std::to_string(stage::TxStream::kMaxPorts) + " ports"};
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
    data_port_ = config.data_port;
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
    for (const WorkerPort& port : ports_) {
        counters.tx_pkts += port.egress->sent.get();
        counters.held_pkts += port.egress->held.get();
    }
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
    for (auto* word :
         {&facts.is_watched, &facts.connect_done, &facts.is_joining, &facts.has_ended, &facts.backlog, &facts.leaves,
          &facts.direction, &facts.is_live, &facts.qos_changes, &facts.has_inbox, &facts.has_delivered})
        word->store(0, std::memory_order_relaxed);
    for (auto* word : {&facts.send_error, &facts.connect_error, &facts.close_error, &facts.qos_code})
        word->store(0, std::memory_order_relaxed);
    facts.limit.store(0, std::memory_order_relaxed);
    facts.read_end.store(abi::kNoPosition, std::memory_order_relaxed);
    facts.app_id.store(id, std::memory_order_relaxed);
    facts.phase.store(static_cast<uint32_t>(abi::Phase::kOpen), std::memory_order_relaxed);
    facts.generation.store(generation, std::memory_order_release);
    app.shared().sockets[socket].consumed.store(0, std::memory_order_relaxed);
    app.shared().sockets[socket].seen.store(0, std::memory_order_relaxed);
    app.shared().sockets[socket].qos_seen.store(0, std::memory_order_relaxed);
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

Result<std::unique_ptr<Engine>> start_engine(const EngineConfig& config) {
    auto engine = std::make_unique<EngineImpl>();
    if (auto started = engine->start(config); !started) return started.error();
    return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace xylem::engine
