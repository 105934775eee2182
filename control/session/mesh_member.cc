// SPDX-License-Identifier: Apache-2.0
// A member and the feeds from and to the others.
#include <algorithm>
#include <cerrno>

#include "control/session/scope.h"

namespace xylem::session {

namespace {

/// Feeds that come before the root's word about who sends them.
constexpr size_t kMaxEarly = 4096;

/// How a feed ends when its sender's socket does. Everything else but 0 means that the way is broken.
constexpr int kSenderGone = ECONNRESET;

bool is_broken_way(int code) { return code != 0 && code != kSenderGone; }

}  // namespace

MemberRef Member::make(Sessions& home, Spec spec) {
    auto member = std::make_shared<Member>(home, std::move(spec));
    home.feeds_.expect(member->sink_);
    return member;
}

Member::Member(Sessions& home, Spec spec) : home_(home), spec_(std::move(spec)) {
    sink_ = std::make_shared<FeedSink>();
    sink_->owner = this;
    sink_->name = name_to(spec_.number);
    sink_->slot = spec_.slot;
    sink_->socket_type = spec_.socket_type;
    sink_->slow_leaf_ms = spec_.slow_leaf_ms;
    is_deaf_ = !may_receive(spec_.direction);
    if (!spec_.stream) return;
    source_ = std::make_shared<FeedSource>();
    source_->owner = this;
    source_->stream = spec_.stream;
    source_->socket_type = spec_.socket_type;
    source_->slow_leaf_ms = spec_.slow_leaf_ms;
}

FeedName Member::name_to(uint32_t number) const {
    FeedName name = spec_.name;
    name.from = spec_.number;
    name.to = number;
    return name;
}

// ---- who is there ----

void Member::add(uint32_t number, const OtherMember& other, const IpAddress& daemon) {
    others_[number] = other;
    if (other.peer != kNoPeer) return found(number);
    home_.links_.dial(daemon, [weak = weak_from_this(), number](Result<PeerId> peer) {
        const MemberRef held = weak.lock();
        if (!held || held->is_released_) return;
        Sessions::Scope scope(held->home_);
        const auto found = held->others_.find(number);
        if (found == held->others_.end() || found->second.peer != kNoPeer) return;
        if (!peer) return held->is_broken(number, peer.error().code);
        found->second.peer = *peer;
        held->found(number);
    });
}

/// Its daemon is known: what came from there may come in, and our own feed goes there.
void Member::found(uint32_t number) {
    const MemberRef self = shared_from_this();
    auto early = std::exchange(early_, {});
    for (auto& [peer, open] : early) {
        const auto other = others_.find(open.from());
        if (other == others_.end() || other->second.peer == kNoPeer)
            early_.emplace_back(peer, std::move(open));
        else
            decide(peer, open, other->second);
    }
    const auto other = others_.find(number);
    if (other == others_.end()) return;
    if (source_ && !is_finished_ && may_receive(other->second.direction))
        other->second.out = home_.feeds_.open(source_, name_to(number), other->second.peer);
    else
        is_ready(number);
}

void Member::remove(uint32_t number, int code) {
    const MemberRef self = shared_from_this();
    const auto other = others_.find(number);
    if (other == others_.end()) return;
    const OutFeedRef out = other->second.out;
    others_.erase(other);
    std::erase_if(early_, [&](const auto& entry) { return entry.second.from() == number; });
    std::erase(ready_later_, number);
    if (out) home_.feeds_.drop(out, kSenderGone);
    if (code == 0) return;
    for (const InFeedRef& feed : std::vector(sink_->feeds))
        if (feed->from == number) home_.feeds_.cut(feed);
}

/// Our feed to that one is live, or none is needed. Our own traffic comes back from then on, too.
void Member::is_ready(uint32_t number) {
    if (own_ && own_->step < OutStep::kLive) return ready_later_.push_back(number);
    if (const std::shared_ptr<Root> root = spec_.root.lock()) return home_.mesh_.ready(*root, kRootNumber, number);
    const LeafEdgeRef edge = spec_.edge.lock();
    if (!edge) return;
    proto::Envelope message;
    message.mutable_member_ready()->set_join(edge->join);
    message.mutable_member_ready()->set_number(number);
    home_.send(edge->peer, std::move(message));
}

void Member::is_broken(uint32_t number, int code) {
    if (!others_.contains(number) || is_released_) return;
    if (const std::shared_ptr<Root> root = spec_.root.lock()) return home_.mesh_.broken(*root, kRootNumber, number);
    const LeafEdgeRef edge = spec_.edge.lock();
    if (!edge) return;
    proto::Envelope message;
    message.mutable_member_broken()->set_join(edge->join);
    message.mutable_member_broken()->set_number(number);
    message.mutable_member_broken()->set_code(code);
    home_.send(edge->peer, std::move(message));
}

// ---- own traffic ----

void Member::open_own() { own_ = home_.feeds_.open(source_, name_to(spec_.number), kSelf); }

void Member::set_loopback(bool is_on, Respond respond) {
    const bool can = source_ && !is_deaf_ && !is_finished_;
    if (!can || is_on == static_cast<bool>(own_)) return respond ? respond({}) : void();
    if (is_on) {
        own_respond_ = std::move(respond);
        return open_own();
    }
    own_.reset();  // over once what was sent so far was read
    own_is_live();
    const engine::Position end = source_->stream->is_mapped ? home_.engine_.committed(source_->stream->get()) : 0;
    for (const InFeedRef& feed : std::vector(sink_->feeds))
        if (feed->from == spec_.number && !feed->has_end()) home_.feeds_.end_at(feed, end);
    if (respond) respond({});
}

/// Or will not be.
void Member::own_is_live() {
    const MemberRef self = shared_from_this();
    if (const Respond respond = std::exchange(own_respond_, nullptr)) respond({});
    for (const uint32_t number : std::exchange(ready_later_, {}))
        is_ready(number);
}

// ---- ending ----

void Member::finish(engine::Position final) {
    is_finished_ = true;
    if (source_) home_.feeds_.finish(source_, final);
}

void Member::stop_receiving() {
    is_deaf_ = true;
    while (!sink_->feeds.empty())
        home_.feeds_.drop(InFeedRef(sink_->feeds.back()), 0);
}

void Member::cut_all() {
    for (const InFeedRef& feed : std::vector(sink_->feeds))
        home_.feeds_.cut(feed);
}

bool Member::has_read(uint32_t number) const {
    return std::none_of(sink_->feeds.begin(), sink_->feeds.end(),
                        [&](const InFeedRef& feed) { return feed->from == number; });
}

bool Member::is_delivered() const { return !source_ || home_.feeds_.is_delivered(*source_); }

void Member::release() {
    if (std::exchange(is_released_, true)) return;
    const MemberRef self = shared_from_this();
    home_.feeds_.release(sink_, 0);
    if (source_) home_.feeds_.release(source_, kSenderGone);
    if (const Respond respond = std::exchange(own_respond_, nullptr)) respond(Reply(ENOTCONN));
    own_.reset();
    others_.clear();
    early_.clear();
    if (source_) source_->stream.reset();
    spec_.stream.reset();
    spec_.slot.reset();
    sink_->slot.reset();
}

// ---- counters ----

ReplicaRef Member::replica_to(uint32_t number) const {
    const auto other = others_.find(number);
    const OutFeedRef out = other == others_.end() ? nullptr : other->second.out;
    return out && out->host ? out->host->replica : nullptr;
}

uint64_t Member::repaired_bytes() const {
    uint64_t sum = 0;
    if (!source_) return 0;
    for (const auto& [peer, weak] : source_->hosts)
        if (const FeedHostRef host = weak.lock(); host && host->replica)
            sum += host->replica->counters().repaired_bytes;
    return sum;
}

// ---- FeedOwner ----

void Member::feed_asks(PeerId peer, const proto::FeedOpen& open) {
    if (is_deaf_) return home_.feeds_.refuse(peer, open.feed(), 0);
    if (open.from() == spec_.number) {
        if (peer == kSelf && own_ && own_->id == open.feed())
            return home_.feeds_.admit(sink_, peer, open, spec_.address);
        home_.count("feed_of_a_stranger");
        return home_.feeds_.refuse(peer, open.feed(), EACCES);
    }
    const auto other = others_.find(open.from());
    if (other != others_.end() && other->second.peer != kNoPeer) return decide(peer, open, other->second);
    if (early_.size() >= kMaxEarly) return home_.feeds_.refuse(peer, open.feed(), ENOBUFS);
    early_.emplace_back(peer, open);
}

void Member::decide(PeerId peer, const proto::FeedOpen& open, const OtherMember& other) {
    if (peer != kSelf && !home_.links_.local_address(peer).is_set()) return;  // lost since it asked
    const auto n_same = std::count_if(sink_->feeds.begin(), sink_->feeds.end(),
                                      [&](const InFeedRef& feed) { return feed->from == open.from(); });
    if (peer == other.peer && may_send(other.direction) && n_same == 0)
        return home_.feeds_.admit(sink_, peer, open, other.address);
    home_.count("feed_of_a_stranger");
    home_.feeds_.refuse(peer, open.feed(), EACCES);
}

void Member::feed_live(const OutFeedRef& feed) { feed == own_ ? own_is_live() : is_ready(feed->name.to); }

void Member::feed_over(const OutFeedRef& feed, int code) {
    const MemberRef self = shared_from_this();
    if (feed == own_) {
        own_.reset();
        return own_is_live();
    }
    const auto other = others_.find(feed->name.to);
    if (other == others_.end() || other->second.out != feed) return;
    other->second.out.reset();
    if (is_broken_way(code)) return is_broken(feed->name.to, code);
    if (!is_finished_) is_ready(feed->name.to);  // it wants none, or is about to go
}

/// The root sees for itself; a leaf tells it. Who does not get its data to the root waits: the root cannot be sent
/// away.
void Member::feed_stuck(const OutFeedRef& feed) {
    const MemberRef self = shared_from_this();
    if (feed->name.to != kRootNumber) is_broken(feed->name.to, ETIMEDOUT);
}

void Member::feed_ends(const InFeedRef& feed, int code) {
    if (feed->from != spec_.number && is_broken_way(code)) is_broken(feed->from, code);
}

void Member::feed_over(const InFeedRef& feed) {
    const MemberRef self = shared_from_this();
    if (is_released_) return;
    if (const std::shared_ptr<Root> root = spec_.root.lock()) return home_.mesh_.has_read(*root, feed->from);
    if (const LeafEdgeRef edge = spec_.edge.lock()) home_.mesh_.end_if_read(edge);
}

/// Our own application holds the others up: it goes, alone. The root's may take its time, as in TREE.
void Member::feed_stuck(const InFeedRef&) {
    const MemberRef self = shared_from_this();
    const LeafEdgeRef edge = spec_.edge.lock();
    if (!edge || (edge->step != LeafStep::kLive && edge->step != LeafStep::kClosing)) return;
    home_.leave(edge, ECONNABORTED, XY_END_SLOW, {});
    home_.end_leaf_edge(edge, ECONNABORTED);
}

}  // namespace xylem::session
