// SPDX-License-Identifier: Apache-2.0
// Engine objects with an owner: each is removed from the engine when its last holder lets go, and each keeps what it
// stands on (a replica its stream and local image, a reader its image and socket, a stream its socket, a socket its
// app) until the engine has confirmed the removal. So the order of removal cannot be wrong, and nothing is left over
// whatever step a join dies at (invariant 6). Thread: control.
#pragma once
#include <bitset>
#include <memory>
#include <optional>

#include "control/session/network.h"
#include "dataplane/engine/engine.h"

namespace xylem::session {

/// The engine as its objects see it: null once the sessions are gone, so that late holders do nothing.
struct Door {
    engine::Engine* engine = nullptr;
    uint64_t n_objects = 0;  // apps, streams, replicas, images and readers not yet confirmed as removed
};
using DoorRef = std::shared_ptr<Door>;

class AppBox {
  public:
    AppBox(DoorRef door, const engine::AppMemory& memory);
    ~AppBox();
    AppBox(const AppBox&) = delete;
    AppBox& operator=(const AppBox&) = delete;

    const engine::AppMemory& memory() const { return memory_; }
    const DoorRef& door() const { return door_; }
    std::optional<uint32_t> take_id();  // a socket id; ids are reused as late as possible
    void give_id(uint32_t id) { used_.reset(id); }

  private:
    DoorRef door_;
    engine::AppMemory memory_;
    std::bitset<abi::kMaxSockets> used_;
    uint32_t next_ = 0;
};

/// A socket's slot in its app's segments. Free for another socket once the last stream or reader of it is gone.
class SlotBox {
  public:
    /// Makes the descriptor: `fd` is the application's end, the caller's. EMFILE: kMaxSockets are open.
    static Result<std::shared_ptr<SlotBox>> open(const std::shared_ptr<AppBox>& app, int& fd);
    SlotBox(std::shared_ptr<AppBox> app, uint32_t id) : app_(std::move(app)), id_(id) {}
    ~SlotBox();
    SlotBox(const SlotBox&) = delete;
    SlotBox& operator=(const SlotBox&) = delete;

    uint32_t id() const { return id_; }
    engine::AppId app_id() const { return app_->memory().app; }
    const DoorRef& door() const { return app_->door(); }
    abi::EngineSocket& facts() { return door()->engine->facts(app_id(), id_); }
    void facts_changed() { door()->engine->facts_changed(app_id(), id_); }
    Result<engine::InboxMemory> inbox();  // made at the first call

  private:
    std::shared_ptr<AppBox> app_;
    uint32_t id_;
    std::optional<engine::InboxMemory> inbox_;
};
using SlotRef = std::shared_ptr<SlotBox>;

class StreamBox {
  public:
    static Result<std::shared_ptr<StreamBox>> add(const SlotRef& slot, const engine::Geometry& geometry,
                                                  bool is_reliable);
    /// Of a GROUP socket.
    static Result<std::shared_ptr<StreamBox>> add_datagrams(const SlotRef& slot, const engine::Geometry& geometry);
    StreamBox(SlotRef slot, engine::Stream* stream, const engine::Geometry& geometry)
        : slot_(std::move(slot)), stream_(stream), geometry_(geometry) {
        ++slot_->door()->n_objects;
    }
    ~StreamBox();
    StreamBox(const StreamBox&) = delete;
    StreamBox& operator=(const StreamBox&) = delete;

    engine::Stream* get() const { return stream_; }
    const engine::Geometry& geometry() const { return geometry_; }
    const SlotRef& slot() const { return slot_; }

    bool has_log = false;    // make_log was called
    bool is_mapped = false;  // log_mapped has succeeded: something may be committed

  private:
    SlotRef slot_;
    engine::Stream* stream_;
    engine::Geometry geometry_;
};
using StreamRef = std::shared_ptr<StreamBox>;

/// Bytes of images that one peer's joins hold.
using ByteCount = std::shared_ptr<uint64_t>;

class ImageBox {
  public:
    static Result<std::shared_ptr<ImageBox>> add(const DoorRef& door, const engine::ImageSpec& spec, ByteCount account);
    static Result<std::shared_ptr<ImageBox>> add_group(const DoorRef& door, const engine::GroupImageSpec& spec,
                                                       ByteCount account);
    ImageBox(DoorRef door, engine::Image* image, const engine::ImageSpec& spec, ByteCount account);
    ~ImageBox();
    ImageBox(const ImageBox&) = delete;
    ImageBox& operator=(const ImageBox&) = delete;

    engine::Image* get() const { return image_; }
    const engine::ImageSpec& spec() const { return spec_; }
    const DoorRef& door() const { return door_; }

  private:
    DoorRef door_;
    engine::Image* image_;
    engine::ImageSpec spec_;
    ByteCount account_;
};
using ImageRef = std::shared_ptr<ImageBox>;

class ReaderBox {
  public:
    ReaderBox(ImageRef image, SlotRef slot, uint32_t inbox_slot);
    ~ReaderBox();
    ReaderBox(const ReaderBox&) = delete;
    ReaderBox& operator=(const ReaderBox&) = delete;

    engine::Reader* get() const { return reader_; }
    engine::Position consumed() const { return image_->door()->engine->consumed(reader_); }

  private:
    ImageRef image_;
    SlotRef slot_;
    engine::Reader* reader_;
};
using ReaderRef = std::shared_ptr<ReaderBox>;

class ReplicaBox {
  public:
    /// Asks the engine; `done` gets the replica when it is live. A caller that is no longer interested drops it.
    static void add(const StreamRef& stream, const engine::ReplicaSpec& spec, const ImageRef& local,
                    std::function<void(std::shared_ptr<ReplicaBox>, engine::Position)> done);
    ReplicaBox(StreamRef stream, ImageRef local, engine::Replica* replica);
    ~ReplicaBox();
    ReplicaBox(const ReplicaBox&) = delete;
    ReplicaBox& operator=(const ReplicaBox&) = delete;

    engine::Replica* get() const { return replica_; }
    engine::ReplicaCounters counters() const { return stream_->slot()->door()->engine->counters(replica_); }

  private:
    StreamRef stream_;
    ImageRef local_;
    engine::Replica* replica_;
};
using ReplicaRef = std::shared_ptr<ReplicaBox>;

/// A label until a replica or an image takes it.
class LabelBox {
  public:
    explicit LabelBox(const DoorRef& door) : door_(door), label_(door->engine->reserve_label()) {}
    ~LabelBox();
    LabelBox(const LabelBox&) = delete;
    LabelBox& operator=(const LabelBox&) = delete;

    uint64_t peek() const { return label_; }
    uint64_t take() {
        is_taken_ = true;
        return label_;
    }

  private:
    DoorRef door_;
    uint64_t label_;
    bool is_taken_ = false;
};
using LabelRef = std::unique_ptr<LabelBox>;

/// A watched path.
class WatchBox {
  public:
    WatchBox(Network& network, const Endpoint& dest, std::function<void(const engine::Path&)> changed)
        : network_(network), id_(network.watch(dest, std::move(changed))) {}
    /// Over one port, for datagrams.
    WatchBox(Network& network, const Endpoint& dest, const GroupPort& at,
             std::function<void(const engine::Path&)> changed)
        : network_(network), id_(network.watch_on(dest, at, std::move(changed))) {}
    ~WatchBox() { network_.unwatch(id_); }
    WatchBox(const WatchBox&) = delete;
    WatchBox& operator=(const WatchBox&) = delete;

    engine::Path path_now() const { return network_.path_now(id_); }

  private:
    Network& network_;
    WatchId id_;
};
using WatchRef = std::unique_ptr<WatchBox>;

}  // namespace xylem::session
