// SPDX-License-Identifier: Apache-2.0
// The sender's end of feeds: FeedOpen -> FeedReady -> (replica appended) FeedLive -> FeedClose | FeedDone.
#include <algorithm>
#include <cerrno>

#include "control/session/geometry.h"
#include "control/session/scope.h"

namespace xylem::session {

OutFeedRef Feeds::open(const FeedSourceRef& source, const FeedName& name, PeerId peer) {
    auto feed = std::make_shared<OutFeed>();
    feed->peer = peer;
    feed->source = source;
    feed->name = name;
    feed->deadline_ms = home_.now_ms() + home_.settings_.join_timeout_ms;
    source->feeds.push_back(feed);
    ask(feed);
    return feed;
}

void Feeds::ask(const OutFeedRef& feed) {
    feed->id = home_.random_id();
    feed->step = OutStep::kOpening;
    feed->host = host_for(*feed);
    out_[feed->key()] = feed;
    proto::Envelope message;
    proto::FeedOpen& open = *message.mutable_feed_open();
    open.set_feed(feed->id);
    open.set_session(feed->name.session);
    open.set_secret(feed->name.secret);
    open.set_from(feed->name.from);
    open.set_to(feed->name.to);
    to_proto(feed->source->stream->geometry(), feed->source->socket_type, *open.mutable_stream());
    open.set_feedback_label(feed->host->tag);
    to_proto(home_.data_address(feed->peer, {}), *open.mutable_data_address());
    home_.send(feed->peer, std::move(message));
}

FeedHostRef Feeds::host_for(OutFeed& feed) {
    std::weak_ptr<FeedHost>& held = feed.source->hosts[feed.peer];
    FeedHostRef host = held.lock();
    if (host) return host;
    host = std::make_shared<FeedHost>();
    host->peer = feed.peer;
    if (feed.peer == kSelf) {
        host->tag = home_.random_id();
    } else {
        host->feedback = std::make_unique<LabelBox>(home_.door_);
        host->tag = host->feedback->peek();
    }
    held = host;
    return host;
}

void Feeds::watch_host(const FeedHostRef& host) {
    if (host->peer == kSelf) return;
    host->watch = std::make_unique<WatchBox>(home_.network_, host->address,
                                             [this, weak = std::weak_ptr<FeedHost>(host)](const engine::Path& path) {
                                                 const FeedHostRef held = weak.lock();
                                                 if (!held) return;
                                                 held->path = path;
                                                 if (held->replica) home_.engine_.set_path(held->replica->get(), path);
                                             });
}

void Feeds::on_ready(const OutFeedRef& feed, const proto::FeedReady& ready) {
    FeedHost& host = *feed->host;
    const uint32_t window = ready.window_cells();
    Endpoint address;
    if (ready.label() == 0 || window < 1U << abi::kMinCellsLog2 || window > 1U << abi::kMaxCellsLog2 ||
        !home_.take_data_address(feed->peer, ready.data_address(), address))
        return violate(feed, "malformed_feed_ready");
    if (host.label != 0 && host.label != ready.label()) return ask_again(feed);
    if (host.label == 0) {
        host.label = ready.label();
        host.window_cells = window;
        host.address = address;
        watch_host(feed->host);
    }
    feed->step = OutStep::kAdding;
    if (host.is_adding)
        host.waiting.push_back(feed);
    else if (host.replica)
        take_position(feed);
    else
        add_replica(feed);
}

/// The image that others of that host had read went away while we asked: what the host has made now needs a replica of
/// its own.
void Feeds::ask_again(const OutFeedRef& feed) {
    send_close(*feed, 0, ECONNABORTED);
    out_.erase(feed->key());
    auto held = feed->source->hosts.find(feed->peer);
    if (held != feed->source->hosts.end() && held->second.lock() == feed->host) feed->source->hosts.erase(held);
    feed->host.reset();
    ask(feed);
}

void Feeds::add_replica(const OutFeedRef& feed) {
    const FeedHostRef host = feed->host;
    engine::ReplicaSpec spec{.window_cells = host->window_cells};
    ImageRef local;
    if (host->peer == kSelf) {
        for (const auto& weak : images_) {
            const FeedImageRef image = weak.lock();
            if (image && image->peer == kSelf && image->label == host->label) local = image->image;
        }
        if (!local) return;  // its reader has gone meanwhile: FeedDone is on its way
        spec.local_image = local->get();
    } else {
        spec.label = host->label;
        spec.feedback_label = host->feedback->take();
        spec.path = host->path;
    }
    host->is_adding = true;
    ReplicaBox::add(feed->source->stream, spec, local,
                    [this, alive = std::weak_ptr<int>(home_.alive_), weak = std::weak_ptr<FeedHost>(host),
                     first = feed->weak_from_this()](ReplicaRef replica, engine::Position p0) {
                        const FeedHostRef held = alive.expired() ? nullptr : weak.lock();
                        if (held) replica_is_there(held, first, std::move(replica), p0);
                    });
}

void Feeds::replica_is_there(const FeedHostRef& host, const std::weak_ptr<OutFeed>& first, ReplicaRef replica,
                             engine::Position p0) {
    Sessions::Scope scope(home_);
    host->is_adding = false;
    host->replica = std::move(replica);
    if (host->peer != kSelf) home_.engine_.set_path(host->replica->get(), host->path);
    if (const OutFeedRef feed = first.lock(); feed && feed->step == OutStep::kAdding) is_live(feed, p0);
    for (const auto& weak : std::exchange(host->waiting, {}))
        if (const OutFeedRef feed = weak.lock(); feed && feed->step == OutStep::kAdding) take_position(feed);
}

/// A further reader on a host that has the stream: it holds the image already, and starts at the next frame.
void Feeds::take_position(const OutFeedRef& feed) {
    home_.engine_.next_position(feed->source->stream->get(), [this, alive = std::weak_ptr<int>(home_.alive_),
                                                              weak = feed->weak_from_this()](engine::Position start) {
        const OutFeedRef held = alive.expired() ? nullptr : weak.lock();
        if (!held || held->step != OutStep::kAdding) return;
        Sessions::Scope scope(home_);
        is_live(held, start);
    });
}

void Feeds::is_live(const OutFeedRef& feed, engine::Position start) {
    feed->step = OutStep::kLive;
    feed->start = start;
    feed->deadline_ms = 0;
    proto::Envelope message;
    message.mutable_feed_live()->set_feed(feed->id);
    message.mutable_feed_live()->set_start(start);
    home_.send(feed->peer, std::move(message));
    feed->source->owner->feed_live(feed);
}

// ---- ending ----

void Feeds::send_close(const OutFeed& feed, engine::Position final, int code) {
    proto::Envelope message;
    message.mutable_feed_close()->set_feed(feed.id);
    message.mutable_feed_close()->set_final(final);
    message.mutable_feed_close()->set_code(code);
    home_.send(feed.peer, std::move(message));
}

void Feeds::finish(const FeedSourceRef& source, engine::Position final) {
    if (source->final != abi::kNoPosition) return;
    source->final = final;
    bool has_replicas = false;
    for (const OutFeedRef& feed : std::vector(source->feeds)) {
        if (feed->step < OutStep::kLive) drop(feed, ECONNRESET);
        has_replicas |= feed->step == OutStep::kLive;
    }
    // Best effort: the end is told when everything went out, since nobody repairs what it overtook.
    if (source->is_reliable() || !has_replicas || final == 0) tell_end(*source);
}

void Feeds::tell_end(FeedSource& source) {
    if (std::exchange(source.is_sent, true)) return;
    for (const OutFeedRef& feed : std::vector(source.feeds)) {
        if (feed->step != OutStep::kLive) continue;
        send_close(*feed, std::max(source.final, feed->start), 0);
        feed->step = OutStep::kClosing;
    }
}

bool Feeds::has_arrived(const OutFeed& feed) const {
    const FeedSource& source = *feed.source;
    if (source.final == abi::kNoPosition || feed.step < OutStep::kLive) return false;
    const engine::StreamCounters stream = home_.engine_.counters(source.stream->get());
    if (stream.confirmed >= source.final || (!source.is_reliable() && stream.cursor >= source.final)) return true;
    return feed.host->replica && feed.host->replica->counters().received >= source.final;
}

bool Feeds::is_delivered(const FeedSource& source) const {
    return source.feeds.empty() ||
           (source.is_sent && std::all_of(source.feeds.begin(), source.feeds.end(),
                                          [&](const OutFeedRef& feed) { return has_arrived(*feed); }));
}

uint64_t Feeds::progress(const FeedSource& source) const {
    uint64_t sum = source.feeds.size();
    if (source.stream) sum += home_.engine_.counters(source.stream->get()).cursor;
    for (const auto& [peer, weak] : source.hosts) {
        const FeedHostRef host = weak.lock();
        if (!host || !host->replica) continue;
        const engine::ReplicaCounters counters = host->replica->counters();
        sum += counters.received + counters.consumed;
    }
    return sum;
}

void Feeds::forget(const OutFeedRef& feed) {
    if (feed->step == OutStep::kOver) return;
    feed->step = OutStep::kOver;
    out_.erase(feed->key());
    const FeedSourceRef source = std::move(feed->source);
    const FeedHostRef host = std::move(feed->host);
    std::erase(source->feeds, feed);
    // The last feed lets go of the replica; the entry must not be found any more.
    auto held = source->hosts.find(host->peer);
    if (host.use_count() == 1 && held != source->hosts.end() && held->second.lock() == host) source->hosts.erase(held);
}

void Feeds::drop(const OutFeedRef& feed, int code) {
    if (feed->step == OutStep::kOver) return;
    send_close(*feed, 0, code);
    forget(feed);
}

/// Over by the other end, or by what lies between.
void Feeds::end(const OutFeedRef& feed, int code) {
    if (feed->step == OutStep::kOver) return;
    const FeedSourceRef source = feed->source;
    forget(feed);
    source->owner->feed_over(feed, code);
}

void Feeds::violate(const OutFeedRef& feed, std::string_view what) {
    home_.count(what);
    send_close(*feed, 0, ECONNABORTED);
    end(feed, ECONNABORTED);
}

void Feeds::release(const FeedSourceRef& source, int code) {
    for (const OutFeedRef& feed : std::vector(source->feeds))
        feed->step == OutStep::kClosing&& has_arrived(*feed) ? forget(feed) : drop(feed, code);
}

// ---- time ----

/// Due: frames that the host did not get, or what it does not take while everybody waits for just that. A host that has
/// all there is waits for others, and is not to blame.
bool Feeds::is_stuck(const OutFeed& feed, uint64_t now_ms) const {
    const FeedSource& source = *feed.source;
    if (feed.peer == kSelf || !source.is_reliable() || !feed.host->replica) return false;
    const engine::ReplicaCounters counters = feed.host->replica->counters();
    const engine::StreamCounters stream = home_.engine_.counters(source.stream->get());
    const bool holds_all = stream.committed > stream.cursor && counters.consumed <= stream.confirmed;
    const bool is_due = counters.received < stream.cursor || (holds_all && counters.consumed < stream.cursor);
    const uint64_t mark = counters.received + counters.consumed;
    return feed.host->progress.stuck_ms(mark, is_due, now_ms) > 2ULL * source.slow_leaf_ms;
}

void Feeds::tick_out(const OutFeedRef& feed, uint64_t now_ms) {
    if (feed->step == OutStep::kOver) return;
    FeedSource& source = *feed->source;
    if (feed->step == OutStep::kOpening && now_ms >= feed->deadline_ms) {
        send_close(*feed, 0, ETIMEDOUT);
        return end(feed, ETIMEDOUT);
    }
    if (source.final != abi::kNoPosition && !source.is_sent &&
        home_.engine_.counters(source.stream->get()).cursor >= source.final)
        tell_end(source);
    if (feed->was_told_stuck || !is_stuck(*feed, now_ms)) return;
    feed->was_told_stuck = true;
    source.owner->feed_stuck(feed);
}

void Feeds::stream_finished(engine::Stream* stream) {
    for (const auto& [key, feed] : out_) {
        const FeedSourceRef source = feed->source;
        if (source->stream->get() == stream && source->final != abi::kNoPosition) return tell_end(*source);
    }
}

}  // namespace xylem::session
