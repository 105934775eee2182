// SPDX-License-Identifier: Apache-2.0
#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "dataplane/engine/engine_impl.h"

namespace xylem::engine {

namespace {
constexpr uint32_t kFirstGroupReplicas = 8;
constexpr uint32_t kXylemHeaderBytes = 22, kUdpBytes = 8;

/// On the worker: the group `at`, with room for one more.
stage::Group& group_with_room(Stream& stream, uint32_t at, GroupRoom& room) {
    if (!stream.groups[at]) stream.groups[at].swap(room.group);
    stage::Group& group = *stream.groups[at];
    if (group.n < group.capacity) return group;
    std::copy_n(group.templates.get(), group.n, room.templates.get());
    std::copy_n(group.replicas.get(), group.n, room.replicas.get());
    group.templates.swap(room.templates);
    group.replicas.swap(room.replicas);
    group.capacity = room.capacity;
    return group;
}

}  // namespace

/// For the group as it may be when the command runs: control knows how many replicas it has asked for.
GroupRoom EngineImpl::make_room(const Stream& stream, uint32_t at) {
    GroupRoom room;
    room.capacity = std::max(kFirstGroupReplicas, std::bit_ceil(stream.n_live_replicas));
    room.group = std::make_unique<stage::Group>();
    room.group->egress = at == stage::TxStream::kLocalGroup ? nullptr : egress_of(at);
    room.templates = std::make_unique<packet::FrameTemplate[]>(room.capacity);
    room.replicas = std::make_unique<stage::Replica*[]>(room.capacity);
    return room;
}

packet::FrameTemplate make_template(const Path& path, uint64_t label, uint32_t hash) {
    if (!path.is_up) return {};
    packet::Path way{path.source_mac, path.dest_mac, path.source, path.dest, path.tos, path.ttl};
    if (way.src.port == 0) way.src.port = packet::source_port(hash);
    return packet::FrameTemplate(way, label);
}

/// Log bytes that fit one frame of the path, and a frame of its port.
uint32_t EngineImpl::max_frame_bytes(const Path& path) const {
    const uint32_t overhead = (path.dest.ip.is_v6() ? 40 : 20) + kUdpBytes + kXylemHeaderBytes;
    const uint32_t mtu = has_port(path.port) ? std::min(path.mtu, ports_[path.port].port->mtu()) : path.mtu;
    return mtu > overhead + 8 ? (mtu - overhead) & ~7U : 8;
}

Result<Stream*> EngineImpl::add_stream(const StreamSpec& spec) {
    if (!spec.geometry.is_valid()) return Error{EINVAL, "a log of this geometry cannot be made"};
    auto stream = std::make_unique<Stream>();
    App& app = *apps_.at(spec.app);
    stream->app = spec.app;
    stream->socket = spec.socket;
    stream->geometry = spec.geometry;
    stream->is_reliable = spec.is_reliable && !spec.is_group;
    if (spec.is_group) stream->datagrams = std::make_unique<stage::GroupSender>();
    stream->max_in_flight_pkts = spec.max_in_flight_pkts;
    stream->facts = &app.own().sockets[spec.socket];
    stream->writable.id = waker_->next_id();
    getrandom(&stream->source_hash, sizeof stream->source_hash, 0);
    Stream* made = stream.release();
    streams_.insert(made);
    SocketState& state = app.sockets[spec.socket];
    post([made, &state](Worker&) { state.stream = made; });
    return made;
}

Result<int> EngineImpl::make_log(Stream* stream) {
    if (stream->is_mapped) return Error{EALREADY, "the log of this socket was made already"};
    if (!stream->log) {
        auto log = log::TxLog::create(stream->geometry);
        if (!log) return log.error();
        stream->log.emplace(std::move(*log));
    }
    return stream->log->fd();
}

Result<void> EngineImpl::log_mapped(Stream* stream) {
    if (!stream->log || stream->writable.id == 0) return Error{EINVAL, "this socket has no log to be sealed"};
    if (auto sealed = stream->log->seal(); !sealed) return sealed;
    stream->is_mapped = true;
    waker_->write_to_log(socket_key(stream->app, stream->socket), &stream->log->commit_word(), stream->geometry.cells(),
                         &stream->writable);
    // So that the first send finds room; the worker's own value is the same until something was consumed.
    stream->facts->limit.store(abi::cell_start(stream->geometry.cells()), std::memory_order_release);
    post([stream](Worker& worker) { worker.start_stream(*stream); });
    return {};
}

Position EngineImpl::committed(const Stream* stream) {
    if (!stream->is_mapped) return 0;
    const Position commit = stream->log->commit_word().load(std::memory_order_acquire);
    const Position limit = stream->facts->limit.load(std::memory_order_acquire), sampled = stream->committed.get();
    const bool is_sound = commit >= sampled && commit <= limit && abi::offset_of(commit) % 8 == 0 &&
                          abi::offset_of(commit) < stream->geometry.cell_bytes;
    return is_sound ? commit : sampled;
}

void EngineImpl::add_replica(Stream* stream, const ReplicaSpec& spec, std::function<void(Replica*, Position)> done) {
    auto* replica = new Replica();
    replicas_.insert(replica);
    replica->local = spec.local_image;
    replica->label = spec.label;
    replica->feedback_label = spec.feedback_label;
    replica->window_cells =
        spec.window_cells != 0 ? spec.window_cells : static_cast<uint32_t>(stream->geometry.cells());
    if (replica->local != nullptr)
        replica->window_cells = static_cast<uint32_t>(replica->local->image.geometry().cells());
    replica->path = spec.path;
    const bool is_up = spec.path.is_up && has_port(spec.path.port);
    replica->is_up = replica->local != nullptr || is_up;
    replica->at = replica->local != nullptr ? stage::TxStream::kLocalGroup
                  : is_up                   ? spec.path.port
                                            : stage::TxStream::kWaitingGroup;
    const uint32_t at = replica->at;
    const auto header = make_template(spec.path, spec.label, stream->source_hash);
    const uint32_t frame_bytes = is_up ? max_frame_bytes(spec.path) : abi::kMaxCellBytes;
    ++stream->n_live_replicas;
    const auto room = std::make_shared<GroupRoom>(make_room(*stream, at));
    worker_->post(
        [=](Worker& worker) {
            stage::Group& group = group_with_room(*stream, at, *room);
            if (!worker.add_replica(*stream, *replica, group, header)) return false;
            group.max_frame_bytes = std::min(group.max_frame_bytes, frame_bytes);
            return true;
        },
        [replica, room, done = std::move(done)] { done(replica, replica->start.get()); });
}

void EngineImpl::next_position(Stream* stream, std::function<void(Position)> done) {
    auto position = std::make_shared<Position>(0);
    worker_->post(
        [=](Worker& worker) {
            *position = stream->position;
            return worker.has_boundary(*stream, stream->position);
        },
        [position, done = std::move(done)] { done(*position); });
}

void EngineImpl::set_path(Replica* replica, const Path& path) {
    if (replica->local != nullptr) return;
    Stream* stream = static_cast<Stream*>(replica->stream);
    const bool is_up = path.is_up && has_port(path.port);
    replica->path = path;
    const auto header = make_template(path, replica->label, stream->source_hash);
    const uint32_t frame_bytes = is_up ? max_frame_bytes(path) : abi::kMaxCellBytes;
    const uint32_t at = is_up ? path.port : replica->at;  // who has no way stays where it is
    std::shared_ptr<GroupRoom> room;
    if (at != replica->at) room = std::make_shared<GroupRoom>(make_room(*stream, at));
    replica->at = at;
    post([=](Worker& worker) {
        if (room) worker.move_replica(*replica, group_with_room(*stream, at, *room), header);
        worker.set_path(*replica, header, is_up, frame_bytes);
    });
}

void EngineImpl::remove_replica(Replica* replica, Done done) {
    post([replica](Worker& worker) { worker.remove_replica(*replica); },
         [this, replica, done = std::move(done)] {
             --static_cast<Stream*>(replica->stream)->n_live_replicas;
             if (replica->feedback_label != 0) labels_.release(replica->feedback_label);
             replicas_.erase(replica);
             delete replica;
             if (done) done();
         });
}

void EngineImpl::finish_stream(Stream* stream, Position final) {
    post([=](Worker& worker) { worker.finish_stream(*stream, final); });
}

void EngineImpl::remove_stream(Stream* stream, Done done) {
    waker_->write_to_log(socket_key(stream->app, stream->socket), nullptr, 0, nullptr);
    SocketState& state = apps_.at(stream->app)->sockets[stream->socket];
    post(
        [=, &state](Worker& worker) {
            worker.remove_stream(*stream);
            if (state.stream == stream) state.stream = nullptr;
        },
        [this, stream, done = std::move(done)] {
            streams_.erase(stream);
            delete stream;
            if (done) done();
        });
}

StreamCounters EngineImpl::counters(const Stream* stream) const {
    StreamCounters counters;
    counters.cursor = stream->cursor.get();
    counters.committed = stream->committed.get();
    counters.confirmed = stream->confirmed.get();
    counters.pulled_bytes = stream->pulled_bytes.get();
    counters.frames = stream->frames.get();
    counters.hostile_words = stream->hostile_words.get();
    return counters;
}

ReplicaCounters EngineImpl::counters(const Replica* replica) const {
    ReplicaCounters counters;
    counters.start = replica->start.get();
    counters.received = replica->received.get();
    counters.consumed = replica->consumed.get();
    counters.sent_bytes = replica->sent_bytes();
    counters.repaired_bytes = replica->repaired_bytes.get();
    counters.skipped_frames = replica->skipped_frames.get();
    counters.naks = replica->naks.get();
    return counters;
}

}  // namespace xylem::engine
