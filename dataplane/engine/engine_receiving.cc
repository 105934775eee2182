// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "dataplane/engine/engine_impl.h"

namespace xylem::engine {

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
    if (image->group.ip.is_set()) stop_steering(image->group, image->group_port);
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

}  // namespace xylem::engine
