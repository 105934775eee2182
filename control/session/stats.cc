// SPDX-License-Identifier: Apache-2.0
// Counters for the application, and the daemon's state as JSON. Rows and JSON travel in memfds, sealed by nobody: they
// are copies.
#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "control/session/geometry.h"
#include "control/session/scope.h"
#include "dataplane/base/address_text.h"

namespace xylem::session {

static Reply memfd_reply(const char* name, const void* bytes, size_t n_bytes, uint32_t value) {
    OwnedFd fd(::memfd_create(name, MFD_CLOEXEC));
    if (fd.get() < 0) return Reply(ENOBUFS);
    const char* next = static_cast<const char*>(bytes);
    size_t left = n_bytes;
    while (left > 0) {
        const ssize_t written = ::write(fd.get(), next, left);
        if (written <= 0) return Reply(ENOBUFS);
        next += written;
        left -= static_cast<size_t>(written);
    }
    Reply reply;
    reply.value = value;
    reply.owned.push_back(std::move(fd));
    return reply;
}

Reply Sessions::stats(App& app, uint32_t id) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    abi::StatsReply answer{};
    StreamRef stream;
    if (socket->role == Role::kRoot) {
        answer.leaves = socket->root->n_live();
        stream = socket->root->stream;
        for (const auto& [peer, weak] : socket->root->hosts) {
            const HostRef host = weak.lock();
            if (host && host->replica) answer.repaired_bytes += host->replica->counters().repaired_bytes;
        }
    } else if (socket->leaf) {
        answer.leaves = socket->leaf->step >= LeafStep::kLive && socket->leaf->step < LeafStep::kLingering ? 1 : 0;
        stream = socket->leaf->upstream;
        if (socket->leaf->upstream_replica)
            answer.repaired_bytes = socket->leaf->upstream_replica->counters().repaired_bytes;
    } else if (socket->group) {
        answer.leaves = socket->group->is_joined ? 1 : 0;
        stream = socket->group->stream;
    }
    if (const MemberRef member = member_of(*socket)) answer.repaired_bytes = member->repaired_bytes();
    if (stream) {
        const engine::StreamCounters counters = engine_.counters(stream->get());
        const uint64_t unconfirmed = bytes_between(stream->geometry(), counters.confirmed, counters.cursor);
        answer.confirmed_bytes = counters.pulled_bytes > unconfirmed ? counters.pulled_bytes - unconfirmed : 0;
    }
    return Reply::of(answer);
}

using LeafRow = struct xy_leaf_stats;

static LeafRow row_of(const RootEdge& edge) {
    const abi::AddressBody address = body_of(edge.leaf);
    return {.size = sizeof(LeafRow),
            .number = edge.number,
            .descriptor = edge.handle ? static_cast<int32_t>(edge.handle->id()) : -1,  // a socket id: the shim knows
            .state = edge.state,
            .reason = edge.reason,
            .end_error = edge.end_error,
            .sent_bytes = edge.sent_bytes,
            .confirmed_bytes = edge.confirmed_bytes,
            .repaired_bytes = edge.repaired_bytes,
            .lost_bytes = 0,
            .thinned_bytes = 0,
            .lag_bytes = edge.lag_bytes,
            .address = address.address};
}

Reply Sessions::leaf_stats(App& app, uint32_t id, const abi::LeafStatsBody& body) {
    Scope scope(*this);
    Socket* socket = find(app, id);
    if (socket == nullptr) return Reply(ENOTSOCK);
    if (socket->role != Role::kRoot) return Reply(EINVAL);
    std::vector<LeafRow> rows;
    uint32_t n_rows = 0;
    for (const RootEdgeRef& edge : socket->root->edges) {
        if (!edge->has_row || edge->accept_reply) continue;
        if (n_rows++ >= body.count) continue;
        snapshot(*edge);
        rows.push_back(row_of(*edge));
    }
    return memfd_reply("xylem-leaf-stats", rows.data(), rows.size() * sizeof(LeafRow), n_rows);
}

Reply Sessions::status(App& app) {
    Scope scope(*this);
    const std::string json = status_json(app.uid);
    return memfd_reply("xylem-status", json.data(), json.size(), static_cast<uint32_t>(json.size()));
}

// ---- JSON ----

using Json = nlohmann::ordered_json;

static const char* const kLeafStates[] = {"pending", "live", "ended"};
static const char* const kReasons[] = {"", "left", "closed", "evicted", "slow", "app_died", "peer_lost", "refused"};
static const char* const kPhases[] = {"free", "open", "bound", "listening", "joining", "joined", "ended"};

static Json json_of(const engine::PortFacts& port) {
    return {{"port", port.text},
            {"ip_mtu", port.mtu},
            {"link_bps", port.link_bps},
            {"is_up", port.is_up},
            {"rx_pkts", port.rx_pkts},
            {"tx_pkts", port.tx_pkts},
            {"missed_pkts", port.missed_pkts},
            {"tx_failed_pkts", port.tx_failed_pkts}};
}

/// local is a port of every daemon, though the engine has no device for it and counts nothing there.
static Json ports_json(const std::vector<engine::PortFacts>& ports) {
    Json all = Json::array();
    const auto is_local = [](const engine::PortFacts& port) { return port.text == "local"; };
    if (std::none_of(ports.begin(), ports.end(), is_local)) all.push_back({{"port", "local"}, {"is_up", true}});
    for (const engine::PortFacts& port : ports)
        all.push_back(json_of(port));
    return all;
}

/// Of this process. Newer kernels tell the number as the size of the folder, older ones must be counted.
static uint64_t n_open_descriptors() {
    struct stat folder {};
    if (::stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) return static_cast<uint64_t>(folder.st_size);
    DIR* open_now = ::opendir("/proc/self/fd");
    if (open_now == nullptr) return 0;
    uint64_t n = 0;
    while (const dirent* entry = ::readdir(open_now))
        if (entry->d_name[0] != '.') ++n;
    ::closedir(open_now);
    return n - 1;  // without that of the folder
}

static Json json_of(const RootEdge& edge) {
    return {{"number", edge.number},
            {"address", to_string(edge.leaf)},
            {"state", kLeafStates[edge.state]},
            {"reason", kReasons[edge.reason]},
            {"end_error", edge.end_error},
            {"sent_bytes", edge.sent_bytes},
            {"confirmed_bytes", edge.confirmed_bytes},
            {"repaired_bytes", edge.repaired_bytes},
            {"lag_bytes", edge.lag_bytes}};
}

static Json json_of(const engine::Geometry& geometry) {
    return {{"cell_bytes", geometry.cell_bytes}, {"cells", geometry.cells()}};
}

static Json stream_json(engine::Engine& engine, const StreamBox& stream) {
    const engine::StreamCounters counters = engine.counters(stream.get());
    Json json = json_of(stream.geometry());
    json["pulled_bytes"] = counters.pulled_bytes;
    json["frames"] = counters.frames;
    json["unconfirmed_bytes"] = bytes_between(stream.geometry(), counters.confirmed, counters.cursor);
    json["hostile_words"] = counters.hostile_words;
    return json;
}

static Json image_json(engine::Engine& engine, const ImageBox& image) {
    const engine::ImageCounters counters = engine.counters(image.get());
    Json json = json_of(image.spec().geometry);
    json["received_bytes"] = counters.received_bytes;
    json["duplicate_bytes"] = counters.duplicate_bytes;
    json["lost_bytes"] = counters.lost_bytes;
    json["lost_gaps"] = counters.lost_gaps;
    json["naks_sent"] = counters.naks_sent;
    return json;
}

static std::string port_name(const std::vector<engine::PortFacts>& ports, uint32_t port) {
    return port < ports.size() ? ports[port].text : "local";
}

static Json group_json(engine::Engine& engine, const GroupSocket& group) {
    const std::vector<engine::PortFacts> ports = engine.ports();
    static const char* const kDirections[] = {"none", "sender", "receiver", "", "both"};
    Json json{{"group", group.is_joined ? to_string(group.group) : ""},
              {"interface", group.is_joined ? port_name(ports, group.at.port) : ""},
              {"direction", kDirections[group.is_joined ? group.direction : 0]},
              {"scope", group.scope}};
    json["sources"] = Json::array();
    for (const IpAddress& source : group.sources)
        json["sources"].push_back(to_string(source));
    json["destinations"] = Json::array();
    for (const auto& target : group.targets) {
        if (!target) continue;
        json["destinations"].push_back({{"address", to_string(target->dest)},
                                        {"interface", port_name(ports, target->at.port)},
                                        {"is_up", target->is_up()},
                                        {"max_bytes", target->max_bytes}});
    }
    if (group.image) json["image"] = image_json(engine, *group.image);
    if (group.stream) json["stream"] = stream_json(engine, *group.stream);
    return json;
}

/// The other members of a MESH: whether all that we send reaches them, and what has come from them.
static Json members_json(engine::Engine& engine, const Member& member) {
    Json members = Json::array();
    for (const auto& [number, other] : member.others()) {
        Json json{{"number", number == kRootNumber ? -1 : static_cast<int64_t>(number)},
                  {"address", to_string(other.address)},
                  {"is_reached", other.out && other.out->step >= OutStep::kLive}};
        for (const InFeedRef& feed : member.sink()->feeds)
            if (feed->from == number) json["image"] = image_json(engine, *feed->image->image);
        members.push_back(std::move(json));
    }
    return members;
}

/// Where a member's stream goes: each host once, and back to itself.
static Json replicas_json(const FeedSource& source) {
    Json replicas = Json::array();
    std::vector<const FeedHost*> seen;
    for (const OutFeedRef& feed : source.feeds) {
        const FeedHost* host = feed->host.get();
        if (!host->replica || std::find(seen.begin(), seen.end(), host) != seen.end()) continue;
        seen.push_back(host);
        const engine::ReplicaCounters counters = host->replica->counters();
        replicas.push_back({{"host", host->peer == kSelf ? "" : to_string(host->address)},
                            {"sent_bytes", counters.sent_bytes},
                            {"repaired_bytes", counters.repaired_bytes}});
    }
    return replicas;
}

static const char* type_name(int type) { return type == SOCK_DGRAM ? "dgram" : type == SOCK_STREAM ? "stream" : "rdm"; }

static const char* role_name(Role role) {
    return role == Role::kRoot ? "c_root" : role == Role::kLeaf ? "c_leaf" : "handle";
}

std::string Sessions::status_json(uint32_t uid) const {
    Json json;
    json["version"] = settings_.version;
    json["now_ms"] = now_ms();  // a monotonic clock: who asks twice has the rates of everything that is counted
    json["ports"] = ports_json(engine_.ports());
    json["drops"] = Json::object();
    for (const engine::DropCount& drop : engine_.drops())
        json["drops"][std::string(drop.name)] = drop.count;
    const engine::WorkerCounters worker = engine_.worker_counters();
    json["worker"] = {{"polls", worker.polls},
                      {"idle_sleeps", worker.idle_sleeps},
                      {"rx_pkts", worker.rx_pkts},
                      {"tx_pkts", worker.tx_pkts},
                      {"held_pkts", worker.held_pkts}};
    json["violations"] = violations_;
    // What the daemon holds: these are back at their level of the start once every application is gone.
    json["apps"] = apps_.size();
    json["engine_objects"] = n_engine_objects();
    json["open_descriptors"] = n_open_descriptors();
    json["peers"] = Json::array();
    for (const PeerFacts& peer : links_.peers())
        json["peers"].push_back({{"address", to_string(peer.address)}, {"state", peer.state}});
    json["sessions"] = Json::array();
    for (const AppRef& app : apps_) {
        if (uid != 0 && app->uid != uid) continue;
        for (const auto& [id, socket] : app->sockets)
            if (socket->role != Role::kHandle) json["sessions"].push_back(socket_json(*socket));
    }
    json["lingering"] = groups_.n_lingering();
    for (const auto& [key, edge] : root_edges_)
        if (edge->root && edge->root->socket == nullptr) json["lingering"] = json["lingering"].get<int>() + 1;
    for (const auto& [key, edge] : leaf_edges_)
        if (edge->step == LeafStep::kLingering) json["lingering"] = json["lingering"].get<int>() + 1;
    return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

nlohmann::ordered_json Sessions::socket_json(const Socket& socket) const {
    Json json{{"pid", socket.app.pid},
              {"uid", socket.app.uid},
              {"socket", socket.id()},
              {"role", role_name(socket.role)},
              {"type", type_name(socket.type)},
              {"phase", kPhases[static_cast<size_t>(socket.phase)]},
              {"local", socket.local ? to_string(*socket.local) : ""},
              {"backlog", socket.queue.size()}};
    if (socket.role == Role::kRoot) {
        json["leaves"] = Json::array();
        for (const RootEdgeRef& edge : socket.root->edges) {
            if (!edge->has_row) continue;
            snapshot(*edge);
            json["leaves"].push_back(json_of(*edge));
            if (edge->upstream) json["leaves"].back()["upstream"] = image_json(engine_, *edge->upstream);
        }
        if (socket.root->stream) json["stream"] = stream_json(engine_, *socket.root->stream);
    } else if (socket.group) {
        json.update(group_json(engine_, *socket.group));
    } else if (socket.leaf) {
        json["root"] = to_string(socket.leaf->root);
        if (socket.leaf->image) json["image"] = image_json(engine_, *socket.leaf->image->image);
        if (socket.leaf->upstream) json["stream"] = stream_json(engine_, *socket.leaf->upstream);
    }
    if (const MemberRef member = member_of(socket)) {
        json["members"] = members_json(engine_, *member);
        if (member->source()) json["replicas"] = replicas_json(*member->source());
    }
    return json;
}

}  // namespace xylem::session
