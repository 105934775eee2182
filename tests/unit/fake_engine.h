// SPDX-License-Identifier: Apache-2.0
// An engine without a data plane, for tests of sessions: it keeps the contract of engine.h, fails the test when a
// caller breaks it (an object removed while something stands on it, removed twice, used after removal), and runs
// completions and events one by one, when the test says so. Data are positions only: deliver() moves what is committed.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/engine/engine.h"

namespace xylem::engine {

struct FakeReplica;
struct FakeReader;

class Stream {
  public:
    StreamSpec spec;
    Position committed = 0, final = abi::kNoPosition;
    Position held_at = abi::kNoPosition;  // for tests: nothing is pulled beyond
    bool has_log = false, is_mapped = false, is_finish_told = false, is_removed = false;
    std::set<Replica*> replicas;
    std::map<uint32_t, GroupDestination> destinations;  // a GROUP stream's
};

class Replica {
  public:
    Stream* stream = nullptr;
    ReplicaSpec spec;
    Position start = 0, received = 0, consumed = 0;
    bool is_removed = false;
};

class Image {
  public:
    ImageSpec spec;
    GroupImageSpec group;  // set: a group's
    uint64_t feedback_label = 0;
    Path feedback_path{};
    bool is_live = false, is_removed = false;
    Position published = 0, final = abi::kNoPosition;
    std::set<Reader*> readers;
    std::set<Replica*> feeders;
};

class Reader {
  public:
    Image* image = nullptr;
    ReaderSpec spec;
    bool is_live = false, is_finish_told = false, is_removed = false;
    Position consumed = 0;
};

class FakeEngine : public Engine {
  public:
    FakeEngine();
    ~FakeEngine() override;

    int event_fd() const override { return -1; }
    void run_events() override {
        while (step()) {
        }
    }
    void set_listener(EngineEvents* listener) override { listener_ = listener; }
    std::vector<PortFacts> ports() const override { return port_facts; }
    std::vector<DropCount> drops() const override { return {{"unknown_label", "no such label", 3}}; }
    WorkerCounters worker_counters() const override { return {}; }

    Result<AppMemory> add_app() override;
    void remove_app(AppId, Done) override;
    abi::EngineSocket& facts(AppId app, uint32_t socket) override;
    void facts_changed(AppId, uint32_t) override {}
    Result<int> open_socket(AppId app, uint32_t socket) override;
    void close_socket(AppId app, uint32_t socket) override;
    Result<InboxMemory> make_inbox(AppId app, uint32_t socket) override;
    uint64_t reserve_label() override;
    void release_label(uint64_t label) override;
    Result<Stream*> add_stream(const StreamSpec& spec) override;
    Result<int> make_log(Stream* stream) override;
    Result<void> log_mapped(Stream* stream) override;
    Position committed(const Stream* stream) override { return stream->committed; }
    void add_replica(Stream*, const ReplicaSpec&, std::function<void(Replica*, Position)>) override;
    void next_position(Stream*, std::function<void(Position)>) override;
    void set_path(Replica* replica, const Path& path) override;
    void remove_replica(Replica*, Done) override;
    void finish_stream(Stream*, Position final) override;
    void remove_stream(Stream*, Done) override;
    Result<void> set_destination(Stream*, uint32_t index, const GroupDestination&) override;
    StreamCounters counters(const Stream*) const override;
    ReplicaCounters counters(const Replica*) const override;
    Result<Image*> add_image(const ImageSpec&) override;
    Result<Image*> add_group_image(const GroupImageSpec&) override;
    int image_fd(const Image*) const override { return null_fd_; }
    void set_feedback(Image*, uint64_t label, const Path&) override;
    void go_live(Image*, Position) override;
    void set_final(Image*, Position) override;
    Reader* add_reader(Image*, const ReaderSpec&) override;
    void reader_live(Reader*, Position) override;
    void remove_reader(Reader*, Done) override;
    void remove_image(Image*, Done) override;
    Position published(const Image* image) const override { return image->published; }
    Position consumed(const Reader* reader) const override { return reader->consumed; }
    ImageCounters counters(const Image*) const override { return {}; }

    // ---- for tests ----
    /// Runs the next completion or event; false: there is none.
    bool step();
    size_t n_pending() const { return pending_.size(); }
    /// Everything committed arrives at every image here and in `other`, and what readers took is told back.
    void deliver(FakeEngine& other);
    /// Every live reader takes everything published.
    void read_all();
    /// What is still there, by kind; empty when nothing is.
    std::string leftovers() const;
    Stream* stream_of(AppId app, uint32_t socket) const;
    Reader* reader_of(AppId app, uint32_t socket) const;
    std::vector<Reader*> readers_of(AppId app, uint32_t socket) const;
    std::vector<Image*> images() const;
    std::vector<Replica*> replicas() const;
    std::vector<PortFacts> port_facts{{.text = "local", .spec = {}, .mac = {}, .mtu = 65535}};
    unsigned n_images_made = 0, n_replicas_made = 0;
    /// The n-th call from now on that can fail does (0: never).
    unsigned fail_at = 0;

  private:
    struct App {
        std::unique_ptr<abi::EngineSegment> segment;
        std::set<uint32_t> sockets;
    };
    bool fails() { return fail_at != 0 && --fail_at == 0; }
    void check_finished();
    template <class T>
    T* keep(std::vector<std::unique_ptr<T>>& all) {
        all.push_back(std::make_unique<T>());
        return all.back().get();
    }

    EngineEvents* listener_ = nullptr;
    std::deque<Done> pending_;
    std::map<AppId, App> apps_;
    std::set<uint64_t> labels_;
    std::vector<std::unique_ptr<Stream>> streams_;
    std::vector<std::unique_ptr<Replica>> replicas_;
    std::vector<std::unique_ptr<Image>> images_;
    std::vector<std::unique_ptr<Reader>> readers_;
    AppId next_app_ = 1;
    uint64_t next_label_;
    int null_fd_;
};

}  // namespace xylem::engine
