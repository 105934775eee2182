// SPDX-License-Identifier: Apache-2.0
// Feeds: one-way streams from a socket on one host to a socket on another (or the same), set up and taken down by the
// daemons without the applications. A socket that sends has one FeedSource, a socket that receives one FeedSink; a feed
// joins a source to a sink and is an OutFeed at the sender's daemon, an InFeed at the receiver's. A source's stream
// goes to each host once: one replica, one image there, any number of sinks that read it.
//
//     owner: open() -> FeedOpen -> owner there: FeedOwner::feed_asks -> admit() -> FeedReady -> (replica appended at
//     P0) FeedLive, feed_live(): from here on everything that is committed arrives
//
// A feed ends by finish() (the stream has an end: everything before it still arrives), by drop() at either end, when
// its receiver has read to the end, or when something breaks; the owner is told of what it did not do itself. Contract
// of owners: they outlive their sources and sinks, or release() them first; callbacks may open and drop feeds.
// Invariants: a feed that is over holds nothing of the engine (6); what a peer sends can at worst end feeds between it
// and us (4); one sink reads the feeds of one sender one after the other, so order holds per sender. Thread: control.
#pragma once
#include <bitset>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "control/session/edges.h"
#include "control/session/feed_steps.h"

namespace xylem::session {

class Sessions;
struct FeedSource;
struct FeedSink;
struct OutFeed;
struct InFeed;
using FeedSourceRef = std::shared_ptr<FeedSource>;
using FeedSinkRef = std::shared_ptr<FeedSink>;
using OutFeedRef = std::shared_ptr<OutFeed>;
using InFeedRef = std::shared_ptr<InFeed>;

inline constexpr size_t kFeedSecretBytes = 16;

/// How a feed finds its sink, and why it may: only daemons of those who were admitted know the secret.
struct FeedName {
    uint64_t session = 0;
    std::string secret;
    uint32_t from = 0, to = 0;  // numbers that the session gave
};

class FeedOwner {
  public:
    virtual ~FeedOwner() = default;
    /// A feed for one of our sinks: admit it, refuse it, or keep the message and do either later.
    virtual void feed_asks(PeerId peer, const proto::FeedOpen& open) = 0;
    virtual void feed_live(const OutFeedRef& feed) = 0;
    /// The other end takes no more. code 0: it has all, or wants none; else it was refused, or broken off.
    virtual void feed_over(const OutFeedRef& feed, int code) = 0;
    /// Nothing has moved for twice the slow-leaf time though something should. Once per feed.
    virtual void feed_stuck(const OutFeedRef& feed) = 0;
    /// No more comes (code 0: the stream has an end; else it was broken off). What is there may still be read.
    virtual void feed_ends(const InFeedRef& feed, int code) = 0;
    /// It was read to its end, or will never be live.
    virtual void feed_over(const InFeedRef& feed) = 0;
    /// Our application holds it back longer than the slow-leaf time.
    virtual void feed_stuck(const InFeedRef& feed) = 0;
};

/// A source's stream on one host: one replica, however many feeds.
struct FeedHost {
    PeerId peer = kSelf;
    uint64_t tag = 0;    // its name in FeedOpen: the feedback label; for this host a random number
    LabelRef feedback;   // remote only
    uint64_t label = 0;  // the receiving host's, from the first FeedReady
    uint32_t window_cells = 0;
    Endpoint address;
    ReplicaRef replica;
    bool is_adding = false;
    std::vector<std::weak_ptr<OutFeed>> waiting;  // for the replica
    engine::Path path;
    WatchRef watch;
    Progress progress;
};
using FeedHostRef = std::shared_ptr<FeedHost>;

/// What a socket sends. Its owner makes the stream, and finishes it in the engine.
struct FeedSource {
    FeedOwner* owner = nullptr;
    StreamRef stream;
    int socket_type = 0;
    uint32_t slow_leaf_ms = 1000;
    std::map<PeerId, std::weak_ptr<FeedHost>> hosts;
    std::vector<OutFeedRef> feeds;
    engine::Position final = abi::kNoPosition;
    bool is_sent = false;  // finished, and the other ends know

    bool is_reliable() const { return socket_type != SOCK_DGRAM; }
};

struct OutFeed : std::enable_shared_from_this<OutFeed> {
    PeerId peer = kNoPeer;
    uint64_t id = 0;
    OutStep step = OutStep::kOpening;
    FeedSourceRef source;  // until it is over
    FeedName name;
    FeedHostRef host;
    engine::Position start = 0;
    uint64_t deadline_ms = 0;
    bool was_told_stuck = false;

    EdgeKey key() const { return {peer, id}; }
};

/// The copy of a source's stream on this host.
struct FeedImage {
    PeerId peer = kSelf;
    uint64_t tag = 0;
    int socket_type = 0;
    engine::Geometry stream{};
    ImageRef image;
    uint64_t label = 0;
    bool is_live = false;
    bool has_final = false;
    WatchRef watch;
};
using FeedImageRef = std::shared_ptr<FeedImage>;

/// What a socket receives.
struct FeedSink {
    FeedOwner* owner = nullptr;
    FeedName name;  // `to` is the sink's own number; `from` is not used
    SlotRef slot;
    int socket_type = 0;
    uint32_t slow_leaf_ms = 1000;
    bool has_inbox = true;  // false: one feed at most, by the socket's own `consumed` word
    std::vector<InFeedRef> feeds;
    std::bitset<abi::kInboxSlots> slots_used;
    uint32_t next_slot = 0;
};

struct InFeed : std::enable_shared_from_this<InFeed> {
    PeerId peer = kNoPeer;
    uint64_t id = 0;
    InStep step = InStep::kReady;
    FeedSinkRef sink;  // until it is over
    uint32_t from = 0;
    Endpoint source_address;  // what xy_recvfrom tells; the owner's word, not the peer's
    FeedImageRef image;
    ReaderRef reader;
    uint32_t inbox_slot = engine::kNoSlot;
    engine::Position start = 0, final = abi::kNoPosition;
    Progress progress;

    EdgeKey key() const { return {peer, id}; }
    bool is_readable() const { return step == InStep::kLive; }
    bool has_end() const { return final != abi::kNoPosition; }
};

class Feeds {
  public:
    /// A part of Sessions that lives as long.
    explicit Feeds(Sessions& home) : home_(home) {}

    // ---- sending ----
    /// `source` has a stream. The answer is one of feed_live, feed_over.
    OutFeedRef open(const FeedSourceRef& source, const FeedName& name, PeerId peer);
    /// The stream ends at `final` (the owner has told the engine): the other ends read on to it. Feeds that are not
    /// live yet are dropped.
    void finish(const FeedSourceRef& source, engine::Position final);
    /// No more of it goes there: its receiver's feed_ends gets `code` (not 0). feed_over is not called here.
    void drop(const OutFeedRef& feed, int code);
    /// A finished source has nothing left to do: everything lies in the images of the other hosts, or went out.
    bool is_delivered(const FeedSource& source) const;
    /// Grows as long as somebody takes something.
    uint64_t progress(const FeedSource& source) const;
    /// Drops every feed; those that have ended and lie over there whole do so quietly.
    void release(const FeedSourceRef& source, int code);

    // ---- receiving ----
    /// From now on feeds that name it are its owner's to decide.
    void expect(const FeedSinkRef& sink);
    /// Makes image and reader and answers; when that fails, refuses. `source_address`: of the sender.
    void admit(const FeedSinkRef& sink, PeerId peer, const proto::FeedOpen& open, const Endpoint& source_address);
    void refuse(PeerId peer, uint64_t feed, int code);
    /// No more of it is taken; unread bytes are gone. feed_over is not called.
    void drop(const InFeedRef& feed, int code);
    /// It ends at what is there now; that may be read. feed_ends is not called, feed_over is.
    void cut(const InFeedRef& feed);
    /// This reader's end, though the stream goes on for others: what lies before is still read.
    void end_at(const InFeedRef& feed, engine::Position end);
    InFeedRef at_slot(const FeedSink& sink, uint32_t inbox_slot) const;
    void release(const FeedSinkRef& sink, int code);

    // ---- for Sessions ----
    void on_message(PeerId peer, const proto::Envelope& message);
    void peer_lost(PeerId peer);
    void tick(uint64_t now_ms);
    void stream_finished(engine::Stream* stream);
    /// False: no reader of a feed.
    bool reader_finished(engine::Reader* reader);
    void clear();

  private:
    using SinkKey = std::tuple<uint64_t, std::string, uint32_t>;

    void ask(const OutFeedRef& feed);
    FeedHostRef host_for(OutFeed& feed);
    void watch_host(const FeedHostRef& host);
    void on_ready(const OutFeedRef& feed, const proto::FeedReady& ready);
    void ask_again(const OutFeedRef& feed);
    void add_replica(const OutFeedRef& feed);
    void replica_is_there(const FeedHostRef& host, const std::weak_ptr<OutFeed>& first, ReplicaRef replica,
                          engine::Position p0);
    void take_position(const OutFeedRef& feed);
    void is_live(const OutFeedRef& feed, engine::Position start);
    void send_close(const OutFeed& feed, engine::Position final, int code);
    bool has_arrived(const OutFeed& feed) const;
    void forget(const OutFeedRef& feed);
    void end(const OutFeedRef& feed, int code);
    void tell_end(FeedSource& source);
    void tick_out(const OutFeedRef& feed, uint64_t now_ms);
    bool is_stuck(const OutFeed& feed, uint64_t now_ms) const;

    void on_open(PeerId peer, const proto::FeedOpen& open);
    Result<FeedImageRef> image_for(const FeedSink& sink, PeerId peer, const proto::FeedOpen& open);
    Result<FeedImageRef> make_image(const FeedSink& sink, PeerId peer, const proto::FeedOpen& open);
    bool take_slot(FeedSink& sink, InFeed& feed) const;
    void on_live(const InFeedRef& feed, const proto::FeedLive& live);
    void start_reading(const InFeedRef& feed);
    void on_close(const InFeedRef& feed, const proto::FeedClose& close);
    void break_off(const InFeedRef& feed, int code);
    bool end_if_read(const InFeedRef& feed);
    void forget(const InFeedRef& feed);
    void tick_in(const InFeedRef& feed, uint64_t now_ms);
    void violate(const OutFeedRef& feed, std::string_view what);
    void violate(const InFeedRef& feed, std::string_view what);

    Sessions& home_;
    std::map<EdgeKey, OutFeedRef> out_;
    std::map<EdgeKey, InFeedRef> in_;
    std::map<SinkKey, std::weak_ptr<FeedSink>> sinks_;
    std::vector<std::weak_ptr<FeedImage>> images_;
    std::unordered_map<engine::Reader*, std::weak_ptr<InFeed>> readers_;
};

}  // namespace xylem::session
