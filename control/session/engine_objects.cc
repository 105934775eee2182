// SPDX-License-Identifier: Apache-2.0
#include "control/session/engine_objects.h"

#include <cerrno>

namespace xylem::session {

namespace {

/// What the engine has no memory for: applications know one word for that (W-214).
Error no_room(Error error) {
    if (error.code == ENOMEM || error.code == ENFILE) error.code = ENOBUFS;
    return error;
}

}  // namespace

AppBox::AppBox(DoorRef door, const engine::AppMemory& memory) : door_(std::move(door)), memory_(memory) {
    ++door_->n_objects;
}

AppBox::~AppBox() {
    if (door_->engine == nullptr) return;
    door_->engine->remove_app(memory_.app, [door = door_] { --door->n_objects; });
}

std::optional<uint32_t> AppBox::take_id() {
    for (uint32_t tried = 0; tried < abi::kMaxSockets; ++tried) {
        const uint32_t id = next_;
        next_ = (next_ + 1) % abi::kMaxSockets;
        if (used_.test(id)) continue;
        used_.set(id);
        return id;
    }
    return std::nullopt;
}

Result<SlotRef> SlotBox::open(const std::shared_ptr<AppBox>& app, int& fd) {
    const std::optional<uint32_t> id = app->take_id();
    if (!id) return Error{EMFILE, "the application has too many sockets: close some"};
    Result<int> opened = app->door()->engine->open_socket(app->memory().app, *id);
    if (!opened) {
        app->give_id(*id);
        return no_room(opened.error());
    }
    fd = *opened;
    return std::make_shared<SlotBox>(app, *id);
}

SlotBox::~SlotBox() {
    if (door()->engine != nullptr) door()->engine->close_socket(app_id(), id_);
    app_->give_id(id_);
}

Result<engine::InboxMemory> SlotBox::inbox() {
    if (!inbox_) {
        Result<engine::InboxMemory> made = door()->engine->make_inbox(app_id(), id_);
        if (!made) return no_room(made.error());
        inbox_ = *made;
    }
    return *inbox_;
}

Result<StreamRef> StreamBox::add(const SlotRef& slot, const engine::Geometry& geometry, bool is_reliable) {
    Result<engine::Stream*> stream = slot->door()->engine->add_stream(
        {.app = slot->app_id(), .socket = slot->id(), .geometry = geometry, .is_reliable = is_reliable});
    if (!stream) return no_room(stream.error());
    return std::make_shared<StreamBox>(slot, *stream, geometry);
}

Result<StreamRef> StreamBox::add_datagrams(const SlotRef& slot, const engine::Geometry& geometry) {
    Result<engine::Stream*> stream = slot->door()->engine->add_stream(
        {.app = slot->app_id(), .socket = slot->id(), .geometry = geometry, .is_reliable = false, .is_group = true});
    if (!stream) return stream.error();
    return std::make_shared<StreamBox>(slot, *stream, geometry);
}

StreamBox::~StreamBox() {
    if (slot_->door()->engine == nullptr) return;
    slot_->door()->engine->remove_stream(stream_, [slot = slot_]() mutable {
        --slot->door()->n_objects;
        slot.reset();
    });
}

ImageBox::ImageBox(DoorRef door, engine::Image* image, const engine::ImageSpec& spec, ByteCount account)
    : door_(std::move(door)), image_(image), spec_(spec), account_(std::move(account)) {
    ++door_->n_objects;
    *account_ += abi::image_total_bytes(spec_.geometry);
}

Result<ImageRef> ImageBox::add(const DoorRef& door, const engine::ImageSpec& spec, ByteCount account) {
    Result<engine::Image*> image = door->engine->add_image(spec);
    if (!image) return no_room(image.error());
    return std::make_shared<ImageBox>(door, *image, spec, std::move(account));
}

Result<ImageRef> ImageBox::add_group(const DoorRef& door, const engine::GroupImageSpec& spec, ByteCount account) {
    Result<engine::Image*> image = door->engine->add_group_image(spec);
    if (!image) return image.error();
    return std::make_shared<ImageBox>(
        door, *image, engine::ImageSpec{.geometry = spec.geometry, .flags = abi::kImageGroup, .feedback_path = {}},
        std::move(account));
}

ImageBox::~ImageBox() {
    *account_ -= abi::image_total_bytes(spec_.geometry);
    if (door_->engine == nullptr) return;
    door_->engine->remove_image(image_, [door = door_] { --door->n_objects; });
}

ReaderBox::ReaderBox(ImageRef image, SlotRef slot, uint32_t inbox_slot)
    : image_(std::move(image)),
      slot_(std::move(slot)),
      reader_(image_->door()->engine->add_reader(image_->get(),
                                                 {.app = slot_->app_id(), .socket = slot_->id(), .slot = inbox_slot})) {
    ++image_->door()->n_objects;
}

ReaderBox::~ReaderBox() {
    if (image_->door()->engine == nullptr) return;
    image_->door()->engine->remove_reader(reader_, [image = image_, slot = slot_]() mutable {
        --slot->door()->n_objects;
        image.reset();
        slot.reset();
    });
}

void ReplicaBox::add(const StreamRef& stream, const engine::ReplicaSpec& spec, const ImageRef& local,
                     std::function<void(ReplicaRef, engine::Position)> done) {
    stream->slot()->door()->engine->add_replica(
        stream->get(), spec,
        [stream, local, done = std::move(done)](engine::Replica* replica, engine::Position p0) mutable {
            auto box = std::make_shared<ReplicaBox>(std::move(stream), std::move(local), replica);
            std::exchange(done, nullptr)(std::move(box), p0);
        });
}

ReplicaBox::ReplicaBox(StreamRef stream, ImageRef local, engine::Replica* replica)
    : stream_(std::move(stream)), local_(std::move(local)), replica_(replica) {
    ++stream_->slot()->door()->n_objects;
}

ReplicaBox::~ReplicaBox() {
    const DoorRef& door = stream_->slot()->door();
    if (door->engine == nullptr) return;
    door->engine->remove_replica(replica_, [stream = stream_, local = local_]() mutable {
        --stream->slot()->door()->n_objects;
        local.reset();
        stream.reset();
    });
}

LabelBox::~LabelBox() {
    if (!is_taken_ && door_->engine != nullptr) door_->engine->release_label(label_);
}

}  // namespace xylem::session
