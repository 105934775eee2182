// SPDX-License-Identifier: Apache-2.0
// The engine behind engine.h: control's side of every object, and the commands that hand them to the worker. Start and
// applications are in engine.cc, streams and replicas in engine_sending.cc, images and readers in engine_receiving.cc,
// what is special to groups in engine_groups.cc.
#pragma once
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "dataplane/dpdk/eal.h"
#include "dataplane/engine/labels.h"
#include "dataplane/engine/worker.h"

namespace xylem::engine {

/// The headers of a path's frames; empty when it is not up. `hash` picks the UDP source port.
packet::FrameTemplate make_template(const Path& path, uint64_t label, uint32_t hash);

/// What a group needs to take one more replica, made by control.
struct GroupRoom {
    std::unique_ptr<stage::Group> group;
    std::unique_ptr<packet::FrameTemplate[]> templates;
    std::unique_ptr<stage::Replica*[]> replicas;
    uint32_t capacity = 0;
};

class EngineImpl final : public Engine {
  public:
    EngineImpl();
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
    Result<void> set_destination(Stream*, uint32_t index, const GroupDestination&) override;
    StreamCounters counters(const Stream*) const override;
    ReplicaCounters counters(const Replica*) const override;

    Result<Image*> add_image(const ImageSpec&) override;
    Result<Image*> add_group_image(const GroupImageSpec&) override;
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
    stage::GroupRoute route_to(const GroupDestination&, const Stream&);
    Result<void> steer(const Endpoint& group, uint32_t port);
    void stop_steering(const Endpoint& group, uint32_t port);
    GroupRoom make_room(const Stream& stream, uint32_t at);
    Result<void> open_ports(const EngineConfig& config);

    std::unique_ptr<dpdk::Eal> eal_;
    mutable std::vector<WorkerPort> ports_;
    stage::Egress nowhere_;  // of replicas that have had no path yet: none of them is up
    std::unique_ptr<Waker> waker_;
    std::unique_ptr<Worker> worker_;
    bool is_running_ = false;
    Labels labels_;
    uint64_t reorder_tsc_ = 0;
    uint16_t data_port_ = 0;
    EngineEvents* listener_ = nullptr;
    AppId last_app_ = 0;
    std::unordered_map<AppId, std::unique_ptr<App>> apps_;
    std::unordered_set<Stream*> streams_;
    std::unordered_set<Replica*> replicas_;
    std::unordered_set<Image*> images_;
    std::set<std::pair<uint32_t, Endpoint>> groups_;  // port and group of the images of groups
    std::unordered_set<Reader*> readers_;
};

}  // namespace xylem::engine
