// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace xylem::engine {

static uint64_t g_next_label = 1000;

FakeEngine::FakeEngine() : next_label_(g_next_label += 1000), null_fd_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {}
FakeEngine::~FakeEngine() { ::close(null_fd_); }

bool FakeEngine::step() {
    if (pending_.empty()) return false;
    const Done done = std::move(pending_.front());
    pending_.pop_front();
    done();
    return true;
}

Result<AppMemory> FakeEngine::add_app() {
    if (fails()) return Error{ENOMEM, "test"};
    const AppId id = next_app_++;
    apps_[id].segment = std::make_unique<abi::EngineSegment>();
    return AppMemory{id, null_fd_, null_fd_, null_fd_};
}

void FakeEngine::remove_app(AppId id, Done done) {
    EXPECT_TRUE(apps_.at(id).sockets.empty()) << "an app is removed before its sockets";
    pending_.push_back([this, id, done] {
        apps_.erase(id);
        done();
    });
}

abi::EngineSocket& FakeEngine::facts(AppId app, uint32_t socket) {
    EXPECT_TRUE(apps_.at(app).sockets.contains(socket)) << "facts of a closed socket";
    return apps_.at(app).segment->sockets[socket];
}

Result<int> FakeEngine::open_socket(AppId app, uint32_t socket) {
    if (fails()) return Error{ENFILE, "test"};
    EXPECT_TRUE(apps_.at(app).sockets.insert(socket).second);
    abi::EngineSocket& slot = apps_.at(app).segment->sockets[socket];
    slot.phase = slot.connect_done = slot.is_joining = slot.has_ended = slot.backlog = slot.leaves = slot.is_live = 0;
    slot.connect_error = slot.close_error = 0;
    slot.has_inbox = slot.has_delivered = 0, slot.read_end = abi::kNoPosition, slot.app_id = app;
    ++slot.generation;
    return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void FakeEngine::close_socket(AppId app, uint32_t socket) {
    for (const auto& stream : streams_)
        EXPECT_FALSE(!stream->is_removed && stream->spec.app == app && stream->spec.socket == socket)
            << "a socket is closed before its stream is removed";
    for (const auto& reader : readers_)
        EXPECT_FALSE(!reader->is_removed && reader->spec.app == app && reader->spec.socket == socket)
            << "a socket is closed before its reader is removed";
    EXPECT_EQ(apps_.at(app).sockets.erase(socket), 1U);
}

Result<InboxMemory> FakeEngine::make_inbox(AppId, uint32_t) {
    if (fails()) return Error{ENOMEM, "test"};
    return InboxMemory{null_fd_, null_fd_};
}

uint64_t FakeEngine::reserve_label() {
    labels_.insert(++next_label_);
    return next_label_;
}

void FakeEngine::release_label(uint64_t label) { EXPECT_EQ(labels_.erase(label), 1U); }

Result<Stream*> FakeEngine::add_stream(const StreamSpec& spec) {
    if (fails()) return Error{ENOMEM, "test"};
    EXPECT_TRUE(spec.geometry.is_valid());
    Stream* stream = keep(streams_);
    stream->spec = spec;
    return stream;
}

Result<int> FakeEngine::make_log(Stream* stream) {
    EXPECT_FALSE(stream->is_mapped);
    stream->has_log = true;
    return null_fd_;
}

Result<void> FakeEngine::log_mapped(Stream* stream) {
    EXPECT_TRUE(stream->has_log);
    stream->is_mapped = true;
    return {};
}

void FakeEngine::add_replica(Stream* stream, const ReplicaSpec& spec, std::function<void(Replica*, Position)> done) {
    EXPECT_FALSE(stream->is_removed);
    EXPECT_TRUE(spec.local_image != nullptr || (spec.label != 0 && spec.feedback_label != 0));
    Replica* replica = keep(replicas_);
    ++n_replicas_made;
    replica->stream = stream;
    replica->spec = spec;
    stream->replicas.insert(replica);
    if (spec.local_image) spec.local_image->feeders.insert(replica);
    pending_.push_back([replica, done] {
        replica->start = replica->received = replica->consumed = replica->stream->committed;
        done(replica, replica->start);
    });
}

void FakeEngine::next_position(Stream* stream, std::function<void(Position)> done) {
    pending_.push_back([stream, done] { done(stream->committed); });
}

void FakeEngine::set_path(Replica* replica, const Path& path) {
    EXPECT_FALSE(replica->is_removed);
    replica->spec.path = path;
}

void FakeEngine::remove_replica(Replica* replica, Done done) {
    EXPECT_FALSE(replica->is_removed);
    replica->is_removed = true;
    pending_.push_back([this, replica, done] {
        replica->stream->replicas.erase(replica);
        if (replica->spec.local_image) replica->spec.local_image->feeders.erase(replica);
        if (replica->spec.feedback_label != 0) {
            EXPECT_EQ(labels_.erase(replica->spec.feedback_label), 1U);
        }
        check_finished();
        done();
    });
}

void FakeEngine::finish_stream(Stream* stream, Position final) {
    EXPECT_FALSE(stream->is_removed);
    stream->final = final;
    check_finished();
}

void FakeEngine::remove_stream(Stream* stream, Done done) {
    EXPECT_FALSE(stream->is_removed);
    EXPECT_TRUE(stream->replicas.empty()) << "a stream is removed before its replicas";
    pending_.push_back([stream, done] {
        stream->is_removed = true;
        done();
    });
}

Result<void> FakeEngine::set_destination(Stream* stream, uint32_t index, const GroupDestination& destination) {
    if (!stream->spec.is_group || index >= abi::kMaxDestinations) return Error{EINVAL, "no such destination"};
    stream->destinations[index] = destination;
    return {};
}

StreamCounters FakeEngine::counters(const Stream* stream) const {
    const Position cursor = std::min(stream->committed, stream->held_at);
    StreamCounters counters{.cursor = cursor, .committed = stream->committed, .confirmed = cursor};
    counters.pulled_bytes = cursor;
    for (const Replica* replica : stream->replicas)
        if (!replica->is_removed) counters.confirmed = std::min(counters.confirmed, replica->consumed);
    return counters;
}

ReplicaCounters FakeEngine::counters(const Replica* replica) const {
    return {.start = replica->start,
            .received = replica->received,
            .consumed = replica->consumed,
            .sent_bytes = replica->stream->committed - replica->start};
}

Result<Image*> FakeEngine::add_image(const ImageSpec& spec) {
    if (fails()) return Error{ENOMEM, "test"};
    EXPECT_TRUE(spec.geometry.is_valid());
    Image* image = keep(images_);
    ++n_images_made;
    image->spec = spec;
    image->feedback_label = spec.feedback_label;
    return image;
}

Result<Image*> FakeEngine::add_group_image(const GroupImageSpec& spec) {
    for (const auto& image : images_)
        if (!image->is_removed && image->group.group == spec.group && image->group.port == spec.port)
            return Error{EEXIST, "there is an image of that group"};
    Result<Image*> image = add_image({.geometry = spec.geometry, .flags = abi::kImageGroup});
    if (!image) return image;
    (*image)->group = spec;
    (*image)->is_live = true;
    return image;
}

void FakeEngine::set_feedback(Image* image, uint64_t label, const Path& path) {
    EXPECT_FALSE(image->is_removed);
    image->feedback_label = label;
    image->feedback_path = path;
}

void FakeEngine::go_live(Image* image, Position p0) {
    EXPECT_FALSE(image->is_live);
    image->is_live = true;
    image->published = p0;
}

void FakeEngine::set_final(Image* image, Position final) {
    EXPECT_FALSE(image->is_removed);
    image->final = final == abi::kNoPosition ? image->published : final;
    check_finished();
}

Reader* FakeEngine::add_reader(Image* image, const ReaderSpec& spec) {
    EXPECT_FALSE(image->is_removed);
    Reader* reader = keep(readers_);
    reader->image = image;
    reader->spec = spec;
    reader->consumed = image->published;
    image->readers.insert(reader);
    return reader;
}

void FakeEngine::reader_live(Reader* reader, Position start) {
    EXPECT_FALSE(reader->is_live);
    EXPECT_LE(reader->image->published == start ? start : reader->consumed, start) << "data before P0 was not held";
    reader->is_live = true;
    reader->consumed = start;
}

void FakeEngine::remove_reader(Reader* reader, Done done) {
    EXPECT_FALSE(reader->is_removed);
    pending_.push_back([reader, done] {
        reader->is_removed = true;
        reader->image->readers.erase(reader);
        done();
    });
}

void FakeEngine::remove_image(Image* image, Done done) {
    EXPECT_FALSE(image->is_removed);
    EXPECT_TRUE(image->readers.empty()) << "an image is removed before its readers";
    EXPECT_TRUE(image->feeders.empty()) << "an image is removed before the local replica that feeds it";
    image->is_removed = true;
    if (image->spec.label != 0) {
        EXPECT_EQ(labels_.erase(image->spec.label), 1U);
    }
    pending_.push_back(std::move(done));
}

// ---- for tests ----

void FakeEngine::check_finished() {
    for (const auto& stream : streams_) {
        if (stream->is_removed || stream->final == abi::kNoPosition || stream->is_finish_told) continue;
        if (counters(stream.get()).confirmed < stream->final) continue;
        stream->is_finish_told = true;
        pending_.push_back([this, raw = stream.get()] {
            if (listener_ != nullptr) listener_->stream_finished(raw);
        });
    }
    for (const auto& reader : readers_) {
        const Image& image = *reader->image;
        if (reader->is_removed || !reader->is_live || reader->is_finish_told || image.final == abi::kNoPosition ||
            reader->consumed < image.final)
            continue;
        reader->is_finish_told = true;
        pending_.push_back([this, raw = reader.get()] {
            if (listener_ != nullptr) listener_->reader_finished(raw);
        });
    }
}

void FakeEngine::deliver(FakeEngine& other) {
    auto carry = [](Replica& replica, Image& image) {
        if (replica.is_removed || image.is_removed || !image.is_live) return;
        image.published = std::max(image.published, replica.stream->committed);
        Position consumed = image.published;
        for (const Reader* reader : image.readers)
            consumed = std::min(consumed, reader->consumed);
        replica.received = std::max(replica.received, image.published);
        replica.consumed = std::max(replica.consumed, consumed);
    };
    for (const auto& replica : replicas_) {
        if (replica->is_removed) continue;
        if (replica->spec.local_image) {
            carry(*replica, *replica->spec.local_image);
            continue;
        }
        for (const auto& image : other.images_)
            if (image->spec.label == replica->spec.label) carry(*replica, *image);
    }
    check_finished();
    other.check_finished();
}

void FakeEngine::read_all() {
    for (const auto& reader : readers_)
        if (!reader->is_removed && reader->is_live) reader->consumed = reader->image->published;
    check_finished();
}

std::string FakeEngine::leftovers() const {
    auto count = [](const auto& all) {
        return std::count_if(all.begin(), all.end(), [](const auto& one) { return !one->is_removed; });
    };
    std::string text;
    auto add = [&](const char* name, size_t n) {
        if (n != 0) text += std::string(name) + " " + std::to_string(n) + "; ";
    };
    add("apps", apps_.size());
    add("labels", labels_.size());
    add("streams", static_cast<size_t>(count(streams_)));
    add("replicas", static_cast<size_t>(count(replicas_)));
    add("images", static_cast<size_t>(count(images_)));
    add("readers", static_cast<size_t>(count(readers_)));
    add("completions", pending_.size());
    return text;
}

Stream* FakeEngine::stream_of(AppId app, uint32_t socket) const {
    for (const auto& stream : streams_)
        if (!stream->is_removed && stream->spec.app == app && stream->spec.socket == socket) return stream.get();
    return nullptr;
}

Reader* FakeEngine::reader_of(AppId app, uint32_t socket) const {
    for (const auto& reader : readers_)
        if (!reader->is_removed && reader->spec.app == app && reader->spec.socket == socket) return reader.get();
    return nullptr;
}

std::vector<Reader*> FakeEngine::readers_of(AppId app, uint32_t socket) const {
    std::vector<Reader*> all;
    for (const auto& reader : readers_)
        if (!reader->is_removed && reader->spec.app == app && reader->spec.socket == socket)
            all.push_back(reader.get());
    return all;
}

std::vector<Image*> FakeEngine::images() const {
    std::vector<Image*> all;
    for (const auto& image : images_)
        if (!image->is_removed) all.push_back(image.get());
    return all;
}

std::vector<Replica*> FakeEngine::replicas() const {
    std::vector<Replica*> all;
    for (const auto& replica : replicas_)
        if (!replica->is_removed) all.push_back(replica.get());
    return all;
}

}  // namespace xylem::engine
