// SPDX-License-Identifier: Apache-2.0
// The data path of the fake daemon: logs to images, limits, and the signalling of descriptors.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/shm/fake_daemon.h"

namespace xylem::test {

using abi::cell_of;
using abi::cell_start;
using abi::offset_of;
using abi::Position;

FakeImage::FakeImage(const abi::Geometry& g, uint32_t image_flags, Position first)
    : geometry(g), memory(abi::image_total_bytes(g)), flags(image_flags), start(first), published(first) {
    header().published = first;
    header().kick_at = abi::kNoPosition;
    header().final = abi::kNoPosition;
    header().floor = cell_start(cell_of(first));
}

void FakeImage::close_cell(uint64_t number, uint32_t used, Position next, uint64_t lost_bytes) {
    abi::CellEnd& e = end(number);
    e.next.store(next, std::memory_order_relaxed);
    e.lost.store(lost_bytes, std::memory_order_relaxed);
    e.used.store(used, std::memory_order_relaxed);
}

void FakeDaemon::put_record(char* at, uint32_t length, uint8_t type, uint8_t flags, const void* payload) {
    const abi::RecordHeader header{length, type, flags, 0};
    memcpy(at, &header, sizeof header);
    if (payload != nullptr) memcpy(at + sizeof header, payload, length);
}

bool FakeDaemon::take_bells() {
    auto* app = app_->at<abi::AppSegment>();
    if (app->summary.exchange(0) == 0) return false;
    bool has_any = false;
    for (auto& bell : app->bell)
        has_any |= bell.exchange(0) != 0;
    n_bells_ += has_any;
    return has_any;
}

Position FakeDaemon::consumed_of(const FakeImage& image) const {
    const FakeSocket& s = *image.reader;
    const bool has_inbox = s.image.get() != &image;
    if (has_inbox && s.inbox_app == nullptr) return image.start;
    const Position p =
        has_inbox ? s.inbox_app->at<abi::InboxApp>()->slots[image.slot].consumed.load() : s.app->consumed.load();
    return std::clamp(p, image.start, image.published);
}

// Takes what is committed, cell by cell, as far as the slowest reliable reader allows.
bool FakeDaemon::carry(FakeSocket& s) {
    auto* log = s.log->at<abi::LogHeader>();
    const Position commit = log->commit.load(std::memory_order_acquire);
    if (s.cursor >= commit) return false;
    const uint64_t cell = cell_of(s.cursor);
    for (auto& image : s.feeds) {
        if (image->reader == nullptr || (image->flags & abi::kImageReliable) == 0) continue;
        const uint64_t oldest = cell_of(consumed_of(*image));
        if (cell < oldest + image->geometry.cells()) continue;
        image->header().kick_at = cell_start(oldest + 1);
        if (cell_of(consumed_of(*image)) == oldest) return false;
    }
    const bool ends_cell = cell_of(commit) > cell;
    const auto* used = s.log->at<uint16_t>(abi::log_used_off());
    const uint32_t end = ends_cell ? used[cell & s.geometry.mask()] : offset_of(commit);
    const Position to = ends_cell ? cell_start(cell + 1) : commit;
    for (auto& image : s.feeds)
        if (image->reader != nullptr && s.cursor >= image->start) copy_to(s, *image, s.cursor, to, ends_cell, end);
    s.cursor = to;
    return true;
}

bool FakeDaemon::copy_to(FakeSocket& s, FakeImage& image, Position from, Position to, bool ends_cell, uint32_t used) {
    const uint64_t cell = cell_of(from);
    if (image.lose_cells != 0 || image.lost != 0) {
        image.lost += used - offset_of(from);
        if (ends_cell && image.lose_cells != 0) --image.lose_cells;
        if (image.lose_cells != 0 || !ends_cell) return true;
        const uint64_t last = cell_of(image.published);
        image.close_cell(last, offset_of(image.published), to, image.lost);
        image.lost = 0;
    } else {
        if ((image.flags & abi::kImageReliable) == 0 && cell >= image.geometry.cells()) {
            const Position floor = cell_start(cell - image.geometry.cells() + 1);
            if (floor > image.header().floor) image.header().floor.store(floor, std::memory_order_relaxed);
            std::atomic_thread_fence(std::memory_order_release);
        }
        const char* source =
            s.log->at<char>(abi::log_cells_off(s.geometry) + (cell & s.geometry.mask()) * s.geometry.cell_stride());
        memcpy(image.cell(cell) + offset_of(from), source + offset_of(from), used - offset_of(from));
        if (ends_cell) image.close_cell(cell, used, to, 0);
    }
    image.published = to;
    image.header().published.store(to, std::memory_order_release);
    push_ready(image);
    return true;
}

void FakeDaemon::push_ready(FakeImage& image) {
    FakeSocket* s = image.reader;
    if (s == nullptr || s->image.get() == &image || s->inbox_engine == nullptr) return;
    if (image.published == consumed_of(image)) return;
    auto* app = s->inbox_app->at<abi::InboxApp>();
    auto* engine = s->inbox_engine->at<abi::InboxEngine>();
    if (app->slots[image.slot].acked.load() != image.pushes) return;
    const uint32_t head = engine->head.load(std::memory_order_relaxed);
    engine->ring[head % abi::kInboxSlots].store(image.slot, std::memory_order_relaxed);
    ++image.pushes;
    engine->head.store(head + 1, std::memory_order_release);
}

void FakeDaemon::move_limit(FakeSocket& s) {
    uint64_t oldest = cell_of(s.cursor);
    for (auto& image : s.feeds)
        if (image->reader != nullptr && (image->flags & abi::kImageReliable) != 0)
            oldest = std::min(oldest, cell_of(consumed_of(*image)));
    const Position limit = cell_start(oldest + s.geometry.cells());
    if (limit > s.facts->limit) s.facts->limit.store(limit, std::memory_order_release);
}

void FakeDaemon::work() {
    if (is_paused_) return;
    for (auto& s : sockets_) {
        if (s->log == nullptr || s->fd < 0) continue;
        while (carry(*s)) {
        }
        move_limit(*s);
        if (s->feeds.empty()) continue;
        // A writer that is short of room waits for the slowest reader's next cell.
        for (auto& image : s->feeds)
            if (image->reader != nullptr && (image->flags & abi::kImageReliable) != 0)
                image->header().kick_at = cell_start(cell_of(consumed_of(*image)) + 1);
        move_limit(*s);
    }
}

// ---- descriptors ----

void FakeDaemon::read_interests(FakeSocket& s) {
    uint8_t bytes[64];
    const ssize_t n = recv(s.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0) s.interests = bytes[n - 1];
    if (n == 0) close(std::exchange(s.fd, -1));
}

bool FakeDaemon::holds(const FakeSocket& s) const {
    const bool is_all_there = s.facts->has_ended != 0 && (s.facts->close_error != 0 || s.image == nullptr ||
                                                          s.image->published >= s.image->header().final);
    if ((s.interests & abi::kWantRead) != 0) {
        if (is_all_there) return true;
        if (s.image != nullptr && s.image->published > std::max(s.app->consumed.load(), s.app->seen.load()))
            return true;
        if (s.inbox_engine != nullptr &&
            s.inbox_engine->at<abi::InboxEngine>()->head != s.inbox_app->at<abi::InboxApp>()->tail)
            return true;
    }
    if ((s.interests & abi::kWantAccept) != 0 && s.facts->backlog != 0) return true;
    if ((s.interests & abi::kWantConnect) != 0 && s.facts->connect_done != 0 && s.facts->is_joining == 0 &&
        s.facts->phase != static_cast<uint32_t>(abi::Phase::kJoining))
        return true;
    if ((s.interests & abi::kWantClose) != 0 && is_all_there) return true;
    if ((s.interests & abi::kWantWrite) != 0) {
        if (s.log == nullptr || s.facts->send_error != 0 || s.facts->has_ended != 0 || s.facts->leaves == 0)
            return true;
        const uint64_t commit = cell_of(s.log->at<abi::LogHeader>()->commit);
        if (cell_of(s.facts->limit) >= commit + s.geometry.cells() / 4 + 2) return true;
    }
    if ((s.interests & abi::kWantDelivered) != 0 && s.facts->has_delivered != 0) return true;
    return (s.interests & abi::kWantQos) != 0 && s.facts->qos_changes != s.app->qos_seen;
}

void FakeDaemon::serve_interests() {
    for (auto& s : sockets_) {
        if (s->fd >= 0 && s->is_lingering && is_delivered(*s)) s->facts->has_delivered = 1;
        if (s->fd < 0 || s->interests == 0 || !holds(*s)) continue;
        const char byte = 1;
        [[maybe_unused]] const ssize_t n = send(s->fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        s->interests = 0;
        ++n_signals_;
    }
}

}  // namespace xylem::test
