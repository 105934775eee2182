// SPDX-License-Identifier: Apache-2.0
// MESH: the root admits, every member sends to all others (W-026). The edge between root and leaf is TREE's, without
// data; all data are feeds, the root's own too. The root's daemon tells every member of every other (MemberAdd,
// MemberRemove); each member's daemon finds the others' daemons, opens a feed to each, and says so (MemberReady). A
// join is complete when everybody has said so about the newcomer, and he about everybody: from then on whatever either
// sends arrives. Invariants: a feed comes in only from a daemon that the root has named and that knows the session's
// secret; two members without a way between them do not stay both (docs/decisions/0012).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "control/session/feed.h"
#include "control/session/reply.h"

namespace xylem::session {

struct Root;

/// The root's number among the members; leaves have their leaf numbers.
inline constexpr uint32_t kRootNumber = UINT32_MAX;

/// Another member, as the root described it.
struct OtherMember {
    Endpoint address;       // of its socket
    PeerId peer = kNoPeer;  // kNoPeer: being dialed
    uint32_t direction = 0;
    OutFeedRef out;
};

/// One of our sockets in a MESH session: a leaf (edge), or the root itself (root).
class Member final : public FeedOwner, public std::enable_shared_from_this<Member> {
  public:
    struct Spec {
        FeedName name;  // session and secret
        uint32_t number = 0, direction = 0;
        Endpoint address;
        SlotRef slot;
        StreamRef stream;  // null: it only receives
        int socket_type = 0;
        uint32_t slow_leaf_ms = 1000;
        std::weak_ptr<LeafEdge> edge;
        std::weak_ptr<Root> root;
    };
    static MemberRef make(Sessions& home, Spec spec);
    Member(Sessions& home, Spec spec);

    void add(uint32_t number, const OtherMember& other, const IpAddress& daemon);
    /// code 0: what it sent is still on its way.
    void remove(uint32_t number, int code);
    bool knows(uint32_t number) const { return others_.contains(number); }
    size_t n_others() const { return others_.size(); }

    /// What the member sends comes back to it, or does so no longer, once `respond` was called.
    void set_loopback(bool is_on, Respond respond);
    /// Its own stream ends there.
    void finish(engine::Position final);
    /// It receives no more, and says so to whoever asks.
    void stop_receiving();
    /// Everything that came is all there will be.
    void cut_all();
    bool has_read_all() const { return sink_->feeds.empty(); }
    /// Nothing of `number` is left to read.
    bool has_read(uint32_t number) const;
    bool is_delivered() const;
    /// Everything of it goes. The object may be dropped afterwards, not before.
    void release();

    uint32_t number() const { return spec_.number; }
    const FeedSinkRef& sink() const { return sink_; }
    const FeedSourceRef& source() const { return source_; }
    const std::map<uint32_t, OtherMember>& others() const { return others_; }
    /// The replica that goes to that member; null: none yet.
    ReplicaRef replica_to(uint32_t number) const;
    uint64_t repaired_bytes() const;

    // FeedOwner
    void feed_asks(PeerId peer, const proto::FeedOpen& open) override;
    void feed_live(const OutFeedRef& feed) override;
    void feed_over(const OutFeedRef& feed, int code) override;
    void feed_stuck(const OutFeedRef& feed) override;
    void feed_ends(const InFeedRef& feed, int code) override;
    void feed_over(const InFeedRef& feed) override;
    void feed_stuck(const InFeedRef& feed) override;

  private:
    FeedName name_to(uint32_t number) const;
    void found(uint32_t number);
    void decide(PeerId peer, const proto::FeedOpen& open, const OtherMember& other);
    void open_own();
    void own_is_live();
    void is_ready(uint32_t number);
    void is_broken(uint32_t number, int code);

    Sessions& home_;
    Spec spec_;
    FeedSourceRef source_;  // null: it only receives
    FeedSinkRef sink_;
    std::map<uint32_t, OtherMember> others_;
    std::vector<std::pair<PeerId, proto::FeedOpen>> early_;  // of members that are not known, or not found, yet
    OutFeedRef own_;                                         // to itself
    Respond own_respond_;
    std::vector<uint32_t> ready_later_;  // once our own feed is live
    bool is_finished_ = false, is_deaf_ = false, is_released_ = false;
};

/// The session's side of it: who is a member, and what edges have to do with it. A part of Sessions.
class Mesh {
  public:
    explicit Mesh(Sessions& home) : home_(home) {}

    // ---- at the root's host ----
    /// The application has admitted the leaf: its host gets the session's secret. -> JoinPrepared
    void prepare(const RootEdgeRef& edge);
    /// The others are told of it, and it of the others.
    void admit(const RootEdgeRef& edge);
    /// `reporter` has a live way to `about`, or has none.
    void ready(Root& root, uint32_t reporter, uint32_t about);
    void broken(Root& root, uint32_t reporter, uint32_t about);
    /// Nobody is admitted any more.
    void refuse_pending(Root& root);
    /// It is a member no longer. code 0: what it sent is still on its way.
    void gone(RootEdge& edge, int code);
    /// The root's socket has read all of a leaf that has left or disconnected.
    void has_read(Root& root, uint32_t number);
    void tick(Root& root, uint64_t now_ms);

    // ---- at a leaf's host ----
    Result<void> prepare_stream(LeafEdge& edge);
    void on_prepare(const LeafEdgeRef& edge, const proto::JoinPrepare& prepare);
    void on_add(const LeafEdgeRef& edge, const proto::MemberAdd& add);
    void on_remove(const LeafEdgeRef& edge, const proto::MemberRemove& remove);
    /// The root has closed (`has_end`: the whole session; else it sent this leaf away).
    void on_close(const LeafEdgeRef& edge, bool has_end);
    void end_if_read(const LeafEdgeRef& edge);

  private:
    void make_root_member(Root& root, const RootEdge& edge);
    void tell(const RootEdge& to, const RootEdge& about);
    RootEdgeRef announced(Root& root, uint32_t number) const;
    void live_if_ready(const RootEdgeRef& edge);

    Sessions& home_;
};

}  // namespace xylem::session
