// SPDX-License-Identifier: Apache-2.0
// Sockets, sessions and leaves of this daemon: what stands between the applications' commands, the peers' messages and
// the engine. It takes commands, messages, engine events and ticks as calls, and asks Engine, Links and Network; it has
// no socket, thread or clock of its own. Invariants: an edge that is over holds nothing of the engine (6); what a peer
// sends can at worst end its own edges (4); an application's end touches its own sockets and their edges only (3).
// Thread: control. Nothing here blocks.
#pragma once
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/session/bindings.h"
#include "control/session/groups.h"
#include "control/session/mesh.h"
#include "control/session/network.h"
#include "control/session/reply.h"
#include "control/session/settings.h"
#include "control/session/socket.h"

namespace xylem::session {

class Sessions : public engine::EngineEvents {
  public:
    /// All three outlive it. Becomes the engine's listener.
    Sessions(engine::Engine& engine, Links& links, Network& network, Settings settings);
    ~Sessions() override;
    Sessions(const Sessions&) = delete;
    Sessions& operator=(const Sessions&) = delete;

    // ---- applications ----
    Result<AppRef> add_app(uint32_t uid, int pid);
    /// It died, or detached: its sockets that are still open are a crash (ECONNRESET to their peers), those that it had
    /// closed linger. Everything else of it is reclaimed as soon as the engine lets go.
    void app_gone(const AppRef& app);

    // One per abi::Op; `id` is RequestHeader::socket.
    Reply open_socket(App& app, const abi::SocketBody& body);
    Reply bind(App& app, uint32_t id, const abi::AddressBody& body);
    Reply listen(App& app, uint32_t id, const abi::ListenBody& body);
    Reply join(App& app, uint32_t id, const abi::JoinBody& body);
    Reply join_result(App& app, uint32_t id);
    Reply accept_take(App& app, uint32_t id);
    /// Answers later when a replica has to be appended first: what is sent after xy_accept returned must arrive.
    void accept_decide(App& app, uint32_t id, const abi::AcceptDecideBody& body, Respond respond);
    Reply shutdown(App& app, uint32_t id, const abi::HowBody& body);
    Reply close(App& app, uint32_t id, const abi::CloseBody& body);
    Reply send_disconnect(App& app, uint32_t id, const abi::BlobBody& body);
    Reply recv_disconnect(App& app, uint32_t id);
    Reply set_option(App& app, uint32_t id, const abi::OptionBody& body);
    /// The same, and what is answered later: own traffic comes back once a feed is live.
    void set_option(App& app, uint32_t id, const abi::OptionBody& body, Respond respond);
    Reply get_option(App& app, uint32_t id, const abi::OptionBody& body);
    Reply name(App& app, uint32_t id, const abi::NameBody& body);
    Reply make_log(App& app, uint32_t id);
    Reply log_mapped(App& app, uint32_t id);
    Reply get_inbox(App& app, uint32_t id);
    Reply get_image(App& app, uint32_t id, const abi::ImageBody& body);
    Reply stats(App& app, uint32_t id);
    Reply leaf_stats(App& app, uint32_t id, const abi::LeafStatsBody& body);
    Reply status(App& app);
    Reply set_qos(App& app, uint32_t id, const abi::QosBody& body);
    Reply get_qos(App& app, uint32_t id);
    Reply cancel_join(App& app, uint32_t id);
    Reply destination(App& app, uint32_t id, const abi::AddressBody& body);
    Reply side_chat(App& app, uint32_t id);

    // ---- peers ----
    void on_message(PeerId peer, const proto::Envelope& message);
    /// Its connection is gone: every edge over it ends with ECONNABORTED.
    void peer_lost(PeerId peer);

    // ---- time ----
    /// Every 50 to 100 ms: join timeouts, slow leaves, lingering.
    void tick();
    /// Ends all sessions: roots gracefully, within Settings::stop_ms; then everything that is left. `done` runs inside
    /// a later call (tick, on_message, or a completion), once the engine has let go of all objects or after another
    /// stop_ms. No joins from now on.
    void stop(std::function<void()> done);

    // ---- the daemon's state ----
    /// JSON of ports, drops, worker, peers and the sessions of `uid` (0: of all).
    std::string status_json(uint32_t uid) const;
    /// Engine objects that are not confirmed as removed.
    nlohmann::ordered_json socket_json(const Socket& socket) const;
    uint64_t n_engine_objects() const { return door_->n_objects; }
    /// How often peers' messages were malformed or out of order, by name.
    const std::map<std::string, uint64_t>& violations() const { return violations_; }
    const Settings& settings() const { return settings_; }

    // engine::EngineEvents
    void stream_finished(engine::Stream* stream) override;
    void reader_finished(engine::Reader* reader) override;

  private:
    class Scope;  // delivers what we sent to ourselves once the outermost call is done
    friend class Feeds;
    friend class Member;
    friend class Mesh;

    // Sockets.
    Socket* find(App& app, uint32_t id);
    Result<Socket*> new_socket(App& app, Role role, const Socket& like, OwnedFd& fd);
    Reply bind_to(Socket& socket, const Endpoint& wanted);
    void forget(Socket& socket);
    Result<void> bind_for_join(Socket& socket, const IpAddress& remote);

    // Joins, leaf's side.
    Reply ask(Socket& socket, const Endpoint& name, const abi::JoinBody& body);
    void asked_peer(const LeafEdgeRef& edge, Result<PeerId> peer);
    void on_offer(const LeafEdgeRef& edge, const proto::JoinOffer& offer);
    bool take_offer(LeafEdge& edge, const proto::StreamParameters& stream, uint64_t feedback_label,
                    uint64_t upstream_label, const proto::Address& data_address, uint32_t slow_leaf_ms);
    Result<void> prepare_leaf(LeafEdge& edge);
    Result<HostImageRef> image_for(LeafEdge& edge);
    uint64_t new_label_for(const LeafEdge& edge) const;
    Result<void> prepare_upstream(LeafEdge& edge);
    void keep_image(const HostImageRef& image);
    void on_prepare(const LeafEdgeRef& edge);
    void add_reader(LeafEdge& edge);
    void on_accept(const LeafEdgeRef& edge, const proto::JoinAccept& accept);
    void image_is_live(LeafEdge& first, engine::Position start);
    void start_leaf(const LeafEdgeRef& edge, uint32_t number, engine::Position start, uint32_t window_cells);
    void leaf_is_live(const LeafEdgeRef& edge);
    void fail_ask(const LeafEdgeRef& edge, int code);
    void on_live(const LeafEdgeRef& edge, const proto::Live& live);

    // Joins, root's side.
    uint32_t frame_bytes_toward(const IpAddress& toward, uint32_t cell_bytes) const;
    Result<void> fix_geometry(Root& root, const IpAddress& toward);
    void on_request(PeerId peer, const proto::JoinRequest& request);
    Socket* listener_at(const Endpoint& endpoint, Role role) const;
    bool has_room(const Socket& listener) const;
    void offer(const RootEdgeRef& edge, Socket& listener, const proto::JoinRequest& request);
    void prepare_edge(RootEdge& edge);
    HostRef host_for(Root& root, PeerId peer);
    void watch_host(const HostRef& host);
    void on_ready(const RootEdgeRef& edge, const proto::JoinReady& ready);
    bool take_ready(RootEdge& edge, uint64_t label, uint32_t window_cells, uint64_t upstream_feedback,
                    bool has_upstream, const proto::StreamParameters& upstream, const proto::Address& address);
    Reply invite(Socket& socket, const Endpoint& name, const abi::JoinBody& body);
    void invited_peer(const RootEdgeRef& edge, Result<PeerId> peer);
    void on_invite_accept(const RootEdgeRef& edge, const proto::InviteAccept& accept);
    void fail_invite(const RootEdgeRef& edge, int code);
    void append(const RootEdgeRef& edge);
    void prepare_reader_there(const RootEdgeRef& edge);
    void take_position(const RootEdgeRef& edge);
    Result<void> prepare_reader(RootEdge& edge);
    void add_replica(const RootEdgeRef& edge);
    void edge_is_live(const RootEdgeRef& edge, engine::Position start);
    void on_invite(PeerId peer, const proto::InviteRequest& request);

    // Backlogs.
    void enqueue(Socket& listener, Request request);
    void decide_root(Socket& listener, Request request, const abi::AcceptDecideBody& body, Respond respond);
    void decide_leaf(Socket& listener, Request request, const abi::AcceptDecideBody& body, Respond respond);
    void refuse(const Request& request, int code, std::string_view reason);
    void withdraw(Socket* listener, const RootEdge* root, const LeafEdge* leaf, int code);

    // Ending.
    void finish_root(Root& root);
    void free_root_if_over(Root& root);
    void send_close(RootEdge& edge, engine::Position final, int code, uint32_t reason, const Bytes& disconnect);
    void close_live_edges(Root& root);
    void break_root(Root& root, int code, uint32_t reason);
    void evict(const RootEdgeRef& edge, int code, uint32_t reason, const Bytes& disconnect, bool waits);
    void end_root_edge(const RootEdgeRef& edge, int code, uint32_t reason);
    void release_root_edge(const RootEdgeRef& edge);
    void drop_host(RootEdge& edge);
    void drop_upstream(RootEdge& edge);
    void finish_upstream(const RootEdgeRef& edge, engine::Position final);
    void upstream_read(const RootEdgeRef& edge);
    void snapshot(RootEdge& edge) const;
    void on_leave(const RootEdgeRef& edge, const proto::Leave& leave);
    void on_upstream_close(const RootEdgeRef& edge, const proto::UpstreamClose& close);
    void on_confirmed(const RootEdgeRef& edge, const proto::Confirmed& confirmed);
    void on_close(const LeafEdgeRef& edge, const proto::Close& close);
    void confirm(const LeafEdgeRef& edge);
    void leave(const LeafEdgeRef& edge, int code, uint32_t reason, const Bytes& disconnect);
    void cancel_leaf(const LeafEdgeRef& edge, bool is_reset);
    void cancel_ask(Socket& socket);
    void end_leaf_edge(const LeafEdgeRef& edge, int code);
    void release_leaf_edge(const LeafEdgeRef& edge);
    void drop_reader(LeafEdge& edge);
    void drop_leaf_upstream(LeafEdge& edge);
    engine::Position finish_own_stream(LeafEdge& edge);
    void cancel_invite(const RootEdgeRef& edge, bool is_reset);
    void close_queue(Socket& socket, int code);
    void close_root_socket(Socket& socket, bool is_abortive);
    void close_handle(Socket& socket, bool is_abortive);
    void close_leaf_socket(Socket& socket, bool is_abortive, uint32_t reason);
    void crash(Socket& socket);
    void shut_receive(Socket& leaf);
    void shut_root(Socket& socket, const Bytes& disconnect);
    void shut_leaf(Socket& socket, bool is_disconnect, const Bytes& disconnect);

    // Lingering.
    bool is_delivered(const Root& root) const;
    bool is_delivered(const LeafEdge& edge) const;
    bool is_delivered(const Socket& socket) const;
    void begin_linger(Socket& socket);
    void tell_delivery(Socket* socket);

    // Messages.
    void dispatch(PeerId peer, const proto::Envelope& message);
    void to_root_edge(const RootEdgeRef& edge, const proto::Envelope& message);
    void to_leaf_edge(const LeafEdgeRef& edge, const proto::Envelope& message);
    void violate(const RootEdgeRef& edge, std::string_view what);
    void violate(const LeafEdgeRef& edge, std::string_view what);
    void count(std::string_view violation) { ++violations_[std::string(violation)]; }
    void send(PeerId peer, proto::Envelope message);
    void reject(PeerId peer, uint64_t join, int code, std::string_view reason);
    void cancel(PeerId peer, uint64_t join, bool is_reset);
    RootEdgeRef root_edge(PeerId peer, uint64_t join) const;
    LeafEdgeRef leaf_edge(PeerId peer, uint64_t join) const;

    // Paths.
    Endpoint data_address(PeerId peer, const IpAddress& toward_us) const;
    bool take_data_address(PeerId peer, const proto::Address& address, Endpoint& out) const;

    // Time.
    void tick_root(const std::shared_ptr<Root>& root, uint64_t now_ms);
    void tick_closed_root(const std::shared_ptr<Root>& root, uint64_t now_ms);
    void tick_host(Root& root, HostRef host, uint64_t now_ms);
    void time_out(const RootEdgeRef& edge);
    void tick_leaf(const LeafEdgeRef& edge, uint64_t now_ms);
    void tick_lingering(const LeafEdgeRef& edge, uint64_t now_ms);
    void tick_stop(uint64_t now_ms);
    void abort_everything();
    std::vector<std::shared_ptr<Root>> roots() const;

    // How far a root's frames go.
    static bool may_reach(const Root& root, PeerId peer);
    static uint8_t hops_of(const Root& root);
    Reply set_reach(Socket& socket, int hops);

    // XY_OPT_RM_*.
    Reply set_rm_option(Socket& socket, const abi::OptionBody& body, bool is_fixed);
    Reply get_rm_option(const Socket& socket, const abi::OptionBody& body) const;
    xy_rm_sender_stats sender_stats(const Socket& socket) const;
    xy_rm_receiver_stats receiver_stats(const Socket& socket) const;

    // Numbers.
    uint64_t random_id();
    uint64_t now_ms() const { return settings_.now_ms(); }
    Result<void> check_account(PeerId peer, const engine::Geometry& geometry);
    ByteCount account(PeerId peer);
    engine::Geometry image_geometry(const engine::Geometry& stream) const;
    uint32_t cell_bytes_of(const Socket& socket) const;
    uint64_t max_message_bytes(const Socket& socket) const;
    static MemberRef member_of(const Socket& socket);
    void set_loopback(Socket& socket, const abi::OptionBody& body, Respond respond);
    static ReplicaRef replica_of(const RootEdge& edge);

    engine::Engine& engine_;
    Links& links_;
    Network& network_;
    Settings settings_;
    DoorRef door_;
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // callbacks that outlive us see it gone
    std::mt19937_64 random_;

    std::vector<AppRef> apps_;
    Bindings bindings_;
    Groups groups_;
    std::map<EdgeKey, RootEdgeRef> root_edges_;
    std::map<EdgeKey, LeafEdgeRef> leaf_edges_;
    std::vector<std::weak_ptr<HostImage>> images_;
    std::map<PeerId, ByteCount> accounts_;
    std::unordered_map<engine::Stream*, std::weak_ptr<Root>> root_streams_;
    std::unordered_map<engine::Stream*, std::weak_ptr<LeafEdge>> leaf_streams_;
    std::unordered_map<engine::Reader*, std::weak_ptr<RootEdge>> root_readers_;
    std::unordered_map<engine::Reader*, std::weak_ptr<LeafEdge>> leaf_readers_;
    std::map<std::string, uint64_t> violations_;

    unsigned depth_ = 0;
    std::deque<proto::Envelope> loopback_;
    Feeds feeds_{*this};
    Mesh mesh_{*this};

    std::function<void()> stopped_;  // set: no joins any more
    bool has_stopped_ = false;
    uint64_t stop_at_ms_ = 0, give_up_at_ms_ = 0;
    uint64_t next_request_ = 1;
};

}  // namespace xylem::session
