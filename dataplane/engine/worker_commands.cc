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

bool Worker::has_boundary(const Stream& stream, Position at) const {
    return !stream.is_pulled || stream.log->is_boundary(at);
}

bool Worker::add_replica(Stream& stream, Replica& replica, stage::Group& group, const packet::FrameTemplate& header) {
    // The open frame, if there is one, goes to the newcomer as well: it begins at the cursor.
    const Position start = group.n != 0 ? group.cursor : stream.position;
    if (!has_boundary(stream, start)) return false;
    if (group.n == 0) {
        group.cursor = start;
        group.is_open = false;
        group.last_packet = stream.packet_number;
        group.max_frame_bytes = abi::kMaxCellBytes;
    }
    replica.stream = &stream;
    replica.group = &group;
    replica.start.set(start);
    replica.received.set(start);
    replica.consumed.set(start);
    replica.sent_base_bytes.set(group.sent_bytes.get());
    replica.echo = group.last_packet;
    group.templates[group.n] = header;
    group.replicas[group.n] = &replica;
    ++group.n;
    ++stream.n_replicas;
    group.is_echo_stale = true;
    if (replica.local != nullptr) replica.local->feeder = &replica;
    if (replica.feedback_label != 0) labels_.set_replica(replica.feedback_label, &replica);
    stream.is_ack_stale = true;
    stream.n_idle_polls = 0;
    context_.active.add(stream);
    return true;
}

void Worker::set_path(Replica& replica, const packet::FrameTemplate& header, bool is_up, uint32_t max_frame_bytes) {
    stage::Group& group = *replica.group;
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
    stage::Group& group = *replica.group;
    stage::TxStream& stream = *replica.stream;
    uint32_t idx = 0;
    while (idx < group.n && group.replicas[idx] != &replica)
        ++idx;
    if (idx < group.n) {
        std::copy(&group.templates[idx + 1], &group.templates[group.n], &group.templates[idx]);
        std::copy(&group.replicas[idx + 1], &group.replicas[group.n], &group.replicas[idx]);
        --group.n;
        --stream.n_replicas;
        if (group.is_open && idx < group.resume_idx) --group.resume_idx;
    }
    if (group.n == 0) {
        stream.position = std::max(stream.position, group.cursor);
        group.is_open = false;
    }
    if (replica.local != nullptr) replica.local->feeder = nullptr;
    if (replica.feedback_label != 0) labels_.clear(replica.feedback_label);
    group.is_echo_stale = true;
    stream.is_ack_stale = true;
    stream.n_idle_polls = 0;
    context_.active.add(stream);
}

void Worker::finish_stream(Stream& stream, Position final) {
    stream.final = std::min(stream.final, final);
    stage::ask_for_status(stream, context_);
    stream.is_ack_stale = true;
    stream.n_idle_polls = 0;
    context_.active.add(stream);
}

void Worker::add_image(Image& image) {
    if (image.label != 0) labels_.set_image(image.label, &image);
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
