// SPDX-License-Identifier: Apache-2.0
// GROUP: nonrooted sessions, plain UDP over IP multicast (W-090 … W-093, W-290 … W-295, W-310 … W-313). No peer, no
// signalling: a join is the kernel's membership, an image of (group, UDP port, port) that all readers of this host
// share, and a destination of the socket's own stream. Invariants: a socket that is closed holds nothing but what it
// sent and is still on its way; the kernel is a member as long as somebody reads. Thread: control.
#pragma once
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <tuple>
#include <vector>

#include "control/session/bindings.h"
#include "control/session/settings.h"
#include "control/session/socket.h"

namespace xylem::session {

/// One of the destinations that an application may have at a time: each is watched, so all together are bounded.
class DestinationShare {
  public:
    static constexpr unsigned kMaxPerApp = 1024;

    explicit DestinationShare(std::shared_ptr<unsigned> n) : n_(std::move(n)) { ++*n_; }
    ~DestinationShare() { --*n_; }
    DestinationShare(const DestinationShare&) = delete;
    DestinationShare& operator=(const DestinationShare&) = delete;

  private:
    std::shared_ptr<unsigned> n_;
};

/// Where a socket's datagrams go; its place in GroupSocket::targets is its index in the log.
struct GroupTarget {
    Endpoint dest;
    GroupPort at;
    engine::Path path;
    WatchRef watch;  // null: `local`
    uint32_t max_bytes = 0;
    std::unique_ptr<DestinationShare> share;  // null: the group joined

    bool is_up() const { return at.port == engine::kLocalPort || path.is_up; }
};

struct GroupSocket {
    static constexpr size_t kMaxSources = 32;

    SlotRef slot;
    uint16_t local_port = 0;  // once bound

    int ifindex = 0;                 // XY_OPT_MULTICAST_IF; 0: not chosen
    std::vector<IpAddress> sources;  // XY_OPT_SOURCE; empty: everybody
    int scope = 1;                   // XY_SIO_MULTICAST_SCOPE

    bool is_joined = false;
    Endpoint group;  // port 0: no destination
    uint32_t direction = 0;
    GroupPort at;
    Membership membership;  // before the reader: it goes last
    ImageRef image;
    ReaderRef reader;
    engine::Position start = 0;

    std::vector<std::unique_ptr<GroupTarget>> targets;  // [0]: the group joined, null: none
    StreamRef stream;
    engine::Position final = abi::kNoPosition;  // set: nothing more is sent
    uint64_t give_up_at_ms = 0;                 // closed
};

/// What a socket was bound to, unless that is a wildcard.
inline IpAddress bound_address(const Socket& socket) {
    return socket.local && !socket.local->ip.is_wildcard() ? socket.local->ip : IpAddress{};
}

class Groups {
  public:
    /// All outlive it.
    Groups(engine::Engine& engine, Network& network, const Settings& settings, DoorRef door, uint16_t seed);

    Reply bind(Socket& socket, const Endpoint& wanted);
    void unbind(Socket& socket);
    /// `ifindex`: the scope id of the name; 0: none.
    Reply join(Socket& socket, const Endpoint& name, int ifindex, uint32_t direction);
    Reply destination(Socket& socket, const Endpoint& dest, int ifindex);
    Reply make_log(Socket& socket);
    Reply log_mapped(Socket& socket);
    Reply get_image(Socket& socket);
    Reply shutdown(Socket& socket, int how);
    void close(Socket& socket, bool is_abortive);
    /// Everything that was committed has gone out.
    bool has_sent_all(const Socket& socket) const;

    /// Of the options that GROUP has alone. Nothing: not one of them.
    std::optional<Reply> set_option(Socket& socket, const abi::OptionBody& body);
    std::optional<Reply> get_option(Socket& socket, const abi::OptionBody& body);
    uint32_t cell_bytes(const Socket& socket) const;
    /// The longest datagram: to the group joined, or over the port that a join would take.
    uint32_t max_datagram_bytes(const Socket& socket) const;

    /// False: the stream is none of ours.
    bool stream_finished(engine::Stream* stream);
    void tick(uint64_t now_ms);
    /// Datagrams of closed sockets are still on their way.
    bool is_lingering() const { return !lingering_.empty(); }
    size_t n_lingering() const { return lingering_.size(); }
    void abort() { lingering_.clear(); }

  private:
    using ImageKey = std::tuple<Endpoint, uint32_t>;  // group and UDP port, port

    Result<void> bind_for_join(Socket& socket, const GroupPort& at, uint16_t port);
    Result<void> begin_receiving(Socket& socket, const IpAddress& group);
    Result<ImageRef> image_of(const Endpoint& group, const GroupPort& at);
    Result<uint32_t> add_target(Socket& socket, const Endpoint& dest, int ifindex);
    Result<std::unique_ptr<GroupTarget>> make_target(const GroupSocketRef& group, const Endpoint& dest,
                                                     const GroupPort& at);
    Result<void> aim(GroupSocket& group, uint32_t index);
    void path_changed(GroupSocket& group, const Endpoint& dest, const engine::Path& path);
    void finish_sending(GroupSocket& group);
    static Reply add_source(GroupSocket& group, int family, const abi::OptionBody& body);
    Reply set_interface(GroupSocket& group, const abi::OptionBody& body);
    Reply set_scope(GroupSocket& group, const abi::OptionBody& body);

    engine::Engine& engine_;
    Network& network_;
    const Settings& settings_;
    DoorRef door_;
    Bindings bindings_;
    std::map<ImageKey, std::weak_ptr<ImageBox>> images_;
    ByteCount account_ = std::make_shared<uint64_t>(0);
    std::map<engine::Stream*, GroupSocketRef> lingering_;
};

}  // namespace xylem::session
