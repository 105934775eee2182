// SPDX-License-Identifier: Apache-2.0
// What commands do on the worker, between two frames. Nothing is allocated or freed here: control hands over what is
// needed and frees what was given back.
#include <algorithm>

#include "dataplane/engine/worker.h"
#include "dataplane/stage/ingress.h"
#include "dataplane/stage/transmit.h"

namespace xylem::engine {

void Worker::start_stream(Stream& stream) {
    stream.is_pulled = stream.log.has_value();
    stream.is_ack_stale = true;
    stage::update_limit(stream);  // before the first sample is measured against it
    stream.n_idle_polls = 0;
    context_.active.add(stream);
}

void Worker::remove_stream(Stream& stream) {
    context_.active.remove(stream);
    context_.timed_streams.remove(stream);
}

/// Its replicas or its end have changed.
void Worker::touch(stage::TxStream& stream) {
    stream.is_ack_stale = true;
    stream.n_idle_polls = 0;
    context_.active.add(stream);
}

bool Worker::has_boundary(const Stream& stream, Position at) const {
    return !stream.is_pulled || stream.log->is_boundary(at);
}

namespace {

/// The first replica of a group says where it begins.
void reopen(stage::Group& group, const stage::TxStream& stream, Position at) {
    group.cursor = at;
    group.is_open = false;
    group.last_packet = stream.packet_number;
    group.max_frame_bytes = abi::kMaxCellBytes;
}

/// The open frame, if there is one, goes to the newcomer as well: it begins at the cursor.
void enter(stage::Group& group, stage::Replica& replica, const packet::FrameTemplate& header) {
    replica.echo = group.last_packet;
    group.templates[group.n] = header;
    group.replicas[group.n] = &replica;
    ++group.n;
    group.is_echo_stale = true;
}

/// False: it is not there.
bool leave(stage::Group& group, stage::TxStream& stream, const stage::Replica& replica) {
    const uint32_t idx =
        static_cast<uint32_t>(std::find(&group.replicas[0], &group.replicas[group.n], &replica) - &group.replicas[0]);
    if (idx == group.n) return false;
    std::copy(&group.templates[idx + 1], &group.templates[group.n], &group.templates[idx]);
    std::copy(&group.replicas[idx + 1], &group.replicas[group.n], &group.replicas[idx]);
    --group.n;
    if (group.is_open && idx < group.resume_idx) --group.resume_idx;
    group.is_echo_stale = true;
    if (group.n != 0) return true;
    stream.position = std::max(stream.position, group.cursor);
    group.is_open = false;
    return true;
}

}  // namespace

bool Worker::add_replica(Stream& stream, Replica& replica, stage::Group& group, const packet::FrameTemplate& header) {
    const Position start = group.n != 0 ? group.cursor : stream.position;
    if (!has_boundary(stream, start)) return false;
    if (group.n == 0) reopen(group, stream, start);
    replica.stream = &stream;
    replica.group = &group;
    replica.start.set(start);
    replica.received.set(start);
    replica.consumed.set(start);
    replica.sent_base_bytes.set(group.sent_bytes.get());
    enter(group, replica, header);
    ++stream.n_replicas;
    if (replica.local != nullptr) replica.local->feeder = &replica;
    if (replica.feedback_label != 0) labels_.set_replica(replica.feedback_label, &replica);
    touch(stream);
    return true;
}

/// What the new group has sent already comes by repair (best effort: it is a gap); what it sends once more is a
/// duplicate over there.
void Worker::move_replica(Replica& replica, stage::Group& to, const packet::FrameTemplate& header) {
    stage::TxStream& stream = *replica.stream;
    stage::Group& from = *replica.group.load(std::memory_order_relaxed);
    if (&from == &to) return;
    const Position sent = from.is_open ? from.frame.next : from.cursor;
    replica.sent_elsewhere = std::max(replica.sent_elsewhere, sent);
    if (to.n == 0) reopen(to, stream, from.cursor);
    leave(from, stream, replica);
    replica.move(to);
    enter(to, replica, header);
    stage::ask_for_status(stream, context_);
    touch(stream);
}

void Worker::set_path(Replica& replica, const packet::FrameTemplate& header, bool is_up, uint32_t max_frame_bytes) {
    stage::Group& group = *replica.group.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < group.n; ++i)
        if (group.replicas[i] == &replica) group.templates[i] = header;
    if (is_up && !replica.is_up) stage::ask_for_status(*replica.stream, context_);
    replica.is_up = is_up;
    group.max_frame_bytes = std::min(group.max_frame_bytes, max_frame_bytes);
    group.is_echo_stale = true;
    replica.stream->n_idle_polls = 0;
    context_.active.add(*replica.stream);
}

void Worker::remove_replica(Replica& replica) {
    stage::TxStream& stream = *replica.stream;
    if (leave(*replica.group.load(std::memory_order_relaxed), stream, replica)) --stream.n_replicas;
    if (replica.local != nullptr) replica.local->feeder = nullptr;
    if (replica.feedback_label != 0) labels_.clear(replica.feedback_label);
    touch(stream);
}

void Worker::finish_stream(Stream& stream, Position final) {
    stream.final = std::min(stream.final, final);
    stage::ask_for_status(stream, context_);
    touch(stream);
}

void Worker::set_destination(Stream& stream, uint32_t index, const stage::GroupRoute& route) {
    stream.datagrams->routes[index] = route;
    touch(stream);
}

void Worker::add_image(Image& image) {
    if (image.label != 0) labels_.set_image(image.label, &image);
    if (image.group.ip.is_set()) context_.groups.add(image);
}

void Worker::go_live(Image& image, Position p0) {
    image.image.go_live(p0, context_.now);
    stage::refresh_consumed(image, context_);
    context_.touched.add(image);
}

void Worker::set_final(Image& image, Position final) {
    image.final = final == abi::kNoPosition ? image.image.published() : final;
    image.image.set_final(image.final, context_.now);
    image.image.note_end(image.final);
    stage::refresh_consumed(image, context_);
    context_.touched.add(image);
}

void Worker::remove_image(Image& image) {
    context_.touched.remove(image);
    context_.timed_images.remove(image);
    if (image.label != 0) labels_.clear(image.label);
    if (image.group.ip.is_set()) context_.groups.remove(image);
}

void Worker::add_reader(App& app, Reader& reader) {
    const log::Image& image = reader.image->image;  // before it is live, it has no position that a reader could hold
    reader.consumed.store(image.is_live() ? image.published() : 0, std::memory_order_relaxed);
    reader.image->readers.add(reader);
    app.sockets[reader.socket].readers.add(reader);
}

void Worker::reader_live(Reader& reader, Position start) {
    const Position held = reader.consumed.load(std::memory_order_relaxed);
    reader.consumed.store(std::max(held, start), std::memory_order_relaxed);
    reader.is_live = true;
    stage::refresh_consumed(*reader.image, context_);
    stage::announce(reader);
    context_.touched.add(*reader.image);
}

void Worker::remove_reader(App& app, Reader& reader) {
    reader.image->readers.remove(reader);
    app.sockets[reader.socket].readers.remove(reader);
    stage::refresh_consumed(*reader.image, context_);
    context_.touched.add(*reader.image);
}

}  // namespace xylem::engine
