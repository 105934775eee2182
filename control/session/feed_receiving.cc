// SPDX-License-Identifier: Apache-2.0
// The receiver's end of feeds: the image and the reader exist before the sender appends its replica, so nothing is lost
// from P0 on.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

void Feeds::expect(const FeedSinkRef& sink) { sinks_[{sink->name.session, sink->name.secret, sink->name.to}] = sink; }

void Feeds::on_open(PeerId peer, const proto::FeedOpen& open) {
    if (in_.contains({peer, open.feed()})) return home_.count("feed_id_twice");
    const auto found = sinks_.find({open.session(), open.secret(), open.to()});
    const FeedSinkRef sink = found == sinks_.end() ? nullptr : found->second.lock();
    if (!sink) {
        home_.count("feed_to_nobody");
        return refuse(peer, open.feed(), ECONNREFUSED);
    }
    sink->owner->feed_asks(peer, open);
}

void Feeds::refuse(PeerId peer, uint64_t feed, int code) {
    proto::Envelope message;
    message.mutable_feed_done()->set_feed(feed);
    message.mutable_feed_done()->set_code(code);
    home_.send(peer, std::move(message));
}

void Feeds::admit(const FeedSinkRef& sink, PeerId peer, const proto::FeedOpen& open, const Endpoint& source_address) {
    auto feed = std::make_shared<InFeed>();
    feed->peer = peer;
    feed->id = open.feed();
    feed->sink = sink;
    feed->from = open.from();
    feed->source_address = source_address;
    Result<FeedImageRef> image = image_for(*sink, peer, open);
    if (!image) return refuse(peer, open.feed(), image.error().code);
    feed->image = *image;
    if (!take_slot(*sink, *feed)) return refuse(peer, open.feed(), ENOBUFS);
    feed->reader = std::make_shared<ReaderBox>(feed->image->image, sink->slot, feed->inbox_slot);
    readers_[feed->reader->get()] = feed;
    sink->feeds.push_back(feed);
    in_[feed->key()] = feed;
    proto::Envelope message;
    proto::FeedReady& ready = *message.mutable_feed_ready();
    ready.set_feed(feed->id);
    ready.set_label(feed->image->label);
    ready.set_window_cells(static_cast<uint32_t>(feed->image->image->spec().geometry.cells()));
    to_proto(home_.data_address(peer, {}), *ready.mutable_data_address());
    home_.send(peer, std::move(message));
}

/// The image of that source on this host: it is here already, or made now.
Result<FeedImageRef> Feeds::image_for(const FeedSink& sink, PeerId peer, const proto::FeedOpen& open) {
    const std::optional<engine::Geometry> geometry = geometry_of(open.stream());
    if (!geometry || open.stream().socket_type() != static_cast<uint32_t>(sink.socket_type) ||
        open.feedback_label() == 0) {
        home_.count("malformed_feed_open");
        return Error{EPROTO, "the feed makes no sense"};
    }
    for (const auto& weak : images_) {
        const FeedImageRef image = weak.lock();
        if (!image || image->peer != peer || image->tag != open.feedback_label()) continue;
        const bool is_same = image->socket_type == sink.socket_type && !image->has_final &&
                             image->stream.cell_bytes == geometry->cell_bytes &&
                             image->stream.cells_log2 == geometry->cells_log2;
        if (is_same) return image;
        return Error{EPROTO, "another stream has that label"};
    }
    return make_image(sink, peer, open);
}

Result<FeedImageRef> Feeds::make_image(const FeedSink& sink, PeerId peer, const proto::FeedOpen& open) {
    Endpoint sender;
    if (!home_.take_data_address(peer, open.data_address(), sender)) return Error{EPROTO, "no address of the peer's"};
    auto image = std::make_shared<FeedImage>();
    image->peer = peer;
    image->tag = open.feedback_label();
    image->socket_type = sink.socket_type;
    image->stream = *geometry_of(open.stream());
    engine::ImageSpec spec{.geometry = home_.image_geometry(image->stream)};
    if (Result<void> allowed = home_.check_account(peer, spec.geometry); !allowed) return allowed.error();
    if (sink.socket_type != SOCK_DGRAM) spec.flags |= abi::kImageReliable;
    if (sink.socket_type == SOCK_STREAM) spec.flags |= abi::kImageStream;
    std::optional<LabelBox> label;
    if (peer != kSelf) {
        label.emplace(home_.door_);
        spec.label = label->peek();
        spec.feedback_label = image->tag;
    }
    Result<ImageRef> made = ImageBox::add(home_.door_, spec, home_.account(peer));
    if (!made) return made.error();
    image->image = *made;
    image->label = label ? label->take() : home_.random_id();
    if (peer != kSelf) {
        image->watch = std::make_unique<WatchBox>(
            home_.network_, sender, [weak = std::weak_ptr<FeedImage>(image), this](const engine::Path& path) {
                if (const FeedImageRef held = weak.lock())
                    home_.engine_.set_feedback(held->image->get(), held->tag, path);
            });
    }
    std::erase_if(images_, [](const std::weak_ptr<FeedImage>& weak) { return weak.expired(); });
    images_.push_back(image);
    return image;
}

/// A slot of the sink's inbox; one that was used comes again as late as possible. False: there is none.
bool Feeds::take_slot(FeedSink& sink, InFeed& feed) const {
    if (!sink.has_inbox) return sink.feeds.empty();
    if (!sink.slot->inbox() || sink.slots_used.all()) return false;
    while (sink.slots_used.test(sink.next_slot))
        sink.next_slot = (sink.next_slot + 1) % abi::kInboxSlots;
    feed.inbox_slot = sink.next_slot;
    sink.slots_used.set(sink.next_slot);
    sink.next_slot = (sink.next_slot + 1) % abi::kInboxSlots;
    return true;
}

InFeedRef Feeds::at_slot(const FeedSink& sink, uint32_t inbox_slot) const {
    for (const InFeedRef& feed : sink.feeds)
        if (feed->is_readable() && (!sink.has_inbox || feed->inbox_slot == inbox_slot)) return feed;
    return nullptr;
}

void Feeds::on_live(const InFeedRef& feed, const proto::FeedLive& live) {
    if (!is_position_of(feed->image->stream, live.start())) return violate(feed, "malformed_feed_live");
    feed->start = live.start();
    feed->step = InStep::kWaiting;
    if (!std::exchange(feed->image->is_live, true)) home_.engine_.go_live(feed->image->image->get(), feed->start);
    start_reading(feed);
}

/// One feed of a sender after the other: what it sent first is read first.
void Feeds::start_reading(const InFeedRef& feed) {
    const auto& all = feed->sink->feeds;
    const bool is_first = std::none_of(all.begin(), all.end(), [&](const InFeedRef& other) {
        return other->from == feed->from && other->step == InStep::kLive;
    });
    if (feed->step != InStep::kWaiting || !is_first) return;
    feed->step = InStep::kLive;
    home_.engine_.reader_live(feed->reader->get(), feed->start);
    end_if_read(feed);
}

// ---- ending ----

void Feeds::on_close(const InFeedRef& feed, const proto::FeedClose& close) {
    if (close.code() < 0) return violate(feed, "malformed_feed_close");
    if (close.code() != 0) return break_off(feed, close.code());
    const engine::Position final = close.final();
    if (feed->step == InStep::kReady || final < feed->start || !is_position_of(feed->image->stream, final))
        return violate(feed, "malformed_feed_close");
    const bool had_end = feed->has_end();  // ours comes before the stream's
    feed->final = std::min(feed->final, final);
    if (!std::exchange(feed->image->has_final, true)) home_.engine_.set_final(feed->image->image->get(), final);
    if (!had_end) feed->sink->owner->feed_ends(feed, 0);
    end_if_read(feed);
}

void Feeds::cut(const InFeedRef& feed) {
    if (feed->step == InStep::kOver) return;
    const engine::Position published = home_.engine_.published(feed->image->image->get());
    feed->final = std::max(std::min(published, feed->final), feed->start);
    if (feed->image.use_count() == 1 && !std::exchange(feed->image->has_final, true))
        home_.engine_.set_final(feed->image->image->get(), abi::kNoPosition);
    if (feed->step == InStep::kReady) {
        const FeedSinkRef sink = feed->sink;
        forget(feed);
        return sink->owner->feed_over(feed);
    }
    end_if_read(feed);
}

void Feeds::end_at(const InFeedRef& feed, engine::Position end) {
    if (feed->step == InStep::kReady) return drop(feed, 0);
    feed->final = std::max(std::min(end, feed->final), feed->start);
    end_if_read(feed);
}

/// No more comes from over there.
void Feeds::break_off(const InFeedRef& feed, int code) {
    if (!feed->has_end()) feed->sink->owner->feed_ends(feed, code);
    if (feed->step != InStep::kOver) cut(feed);
}

bool Feeds::end_if_read(const InFeedRef& feed) {
    if (feed->step != InStep::kLive || !feed->has_end() || feed->reader->consumed() < feed->final) return false;
    const FeedSinkRef sink = feed->sink;
    drop(feed, 0);
    sink->owner->feed_over(feed);
    return true;
}

void Feeds::drop(const InFeedRef& feed, int code) {
    if (feed->step == InStep::kOver) return;
    refuse(feed->peer, feed->id, code);
    forget(feed);
}

void Feeds::forget(const InFeedRef& feed) {
    if (feed->step == InStep::kOver) return;
    feed->step = InStep::kOver;
    in_.erase(feed->key());
    readers_.erase(feed->reader->get());
    feed->reader.reset();
    feed->image.reset();
    const FeedSinkRef sink = std::move(feed->sink);
    if (feed->inbox_slot != engine::kNoSlot) sink->slots_used.reset(feed->inbox_slot);
    std::erase(sink->feeds, feed);
    for (const InFeedRef& next : std::vector(sink->feeds))
        if (next->from == feed->from && next->step == InStep::kWaiting) start_reading(next);
}

void Feeds::release(const FeedSinkRef& sink, int code) {
    sinks_.erase({sink->name.session, sink->name.secret, sink->name.to});
    while (!sink->feeds.empty())
        drop(InFeedRef(sink->feeds.back()), code);
}

void Feeds::violate(const InFeedRef& feed, std::string_view what) {
    home_.count(what);
    refuse(feed->peer, feed->id, ECONNABORTED);
    break_off(feed, ECONNABORTED);
}

// ---- messages, time, engine ----

void Feeds::on_message(PeerId peer, const proto::Envelope& message) {
    const auto kind = message.kind_case();
    auto out = [&](uint64_t id, auto handle) {
        const auto found = out_.find({peer, id});
        if (found == out_.end()) return;
        const OutFeedRef feed = found->second;
        may_come(feed->step, kind) ? handle(feed) : violate(feed, "out_of_order");
    };
    auto in = [&](uint64_t id, auto handle) {
        const auto found = in_.find({peer, id});
        if (found == in_.end()) return;
        const InFeedRef feed = found->second;
        may_come(feed->step, kind) ? handle(feed) : violate(feed, "out_of_order");
    };
    if (kind == proto::Envelope::kFeedOpen)
        on_open(peer, message.feed_open());
    else if (kind == proto::Envelope::kFeedReady)
        out(message.feed_ready().feed(), [&](const OutFeedRef& feed) { on_ready(feed, message.feed_ready()); });
    else if (kind == proto::Envelope::kFeedDone)
        out(message.feed_done().feed(), [&](const OutFeedRef& feed) { end(feed, message.feed_done().code()); });
    else if (kind == proto::Envelope::kFeedLive)
        in(message.feed_live().feed(), [&](const InFeedRef& feed) { on_live(feed, message.feed_live()); });
    else if (kind == proto::Envelope::kFeedClose)
        in(message.feed_close().feed(), [&](const InFeedRef& feed) { on_close(feed, message.feed_close()); });
}

void Feeds::peer_lost(PeerId peer) {
    for (const auto& [key, feed] : std::map(out_))
        if (key.first == peer) end(feed, ECONNABORTED);
    for (const auto& [key, feed] : std::map(in_))
        if (key.first == peer && feed->step != InStep::kOver) break_off(feed, ECONNABORTED);
}

void Feeds::tick(uint64_t now_ms) {
    for (const auto& [key, feed] : std::map(out_))
        tick_out(feed, now_ms);
    for (const auto& [key, feed] : std::map(in_))
        tick_in(feed, now_ms);
}

void Feeds::tick_in(const InFeedRef& feed, uint64_t now_ms) {
    if (feed->step <= InStep::kReady || feed->step == InStep::kOver || end_if_read(feed)) return;
    if (feed->sink->socket_type == SOCK_DGRAM) return;
    const engine::Position consumed = feed->reader->consumed();
    const engine::Position published = home_.engine_.published(feed->image->image->get());
    const uint64_t cells = feed->image->image->spec().geometry.cells();
    const bool holds_back = !feed->has_end() && abi::cell_of(published) - abi::cell_of(consumed) >= cells / 4 * 3;
    if (feed->progress.stuck_ms(consumed, holds_back, now_ms) <= feed->sink->slow_leaf_ms) return;
    feed->progress = {};
    feed->sink->owner->feed_stuck(feed);
}

bool Feeds::reader_finished(engine::Reader* reader) {
    const auto found = readers_.find(reader);
    if (found == readers_.end()) return false;
    if (const InFeedRef feed = found->second.lock()) end_if_read(feed);
    return true;
}

void Feeds::clear() {
    for (const auto& [key, feed] : std::exchange(out_, {})) {
        feed->source->feeds.clear();
        feed->source.reset();
    }
    for (const auto& [key, feed] : std::exchange(in_, {})) {
        feed->sink->feeds.clear();
        feed->sink.reset();
    }
}

}  // namespace xylem::session
