// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/stage_world.h"

#include <bit>

namespace xylem::test {

namespace {

constexpr unsigned kFramesPerPoll = 32;

packet::Path path_of(uint8_t host) {
    packet::Path path;
    path.src_mac.bytes = {2, 0, 0, 0, 0, 1};
    path.dst_mac.bytes = {2, 0, 0, 0, 0, host};
    path.src = {IpAddress::v4(0x0100000A), 50000};
    path.dst = {IpAddress::v4(0x0000000A | static_cast<uint32_t>(host) << 24), kDataPort};
    return path;
}

bool start_eal() {
    static const auto eal = dpdk::Eal::init({});
    return static_cast<bool>(eal);
}

}  // namespace

dpdk::MbufPool make_pool(unsigned n_frames) {
    static unsigned n_made = 0;
    start_eal();
    auto pool = dpdk::MbufPool::create("stage_" + std::to_string(n_made++), n_frames, 2048);
    if (!pool) ADD_FAILURE() << pool.error().what;
    return std::move(*pool);
}

packet::ParsedFrame parse(const rte_mbuf* frame) {
    packet::ParsedFrame parsed;
    Drop why;
    packet::parse_frame(rte_pktmbuf_mtod(frame, const uint8_t*), frame->data_len, kDataPort, &parsed, &why);
    return parsed;
}

// ---- the wire ----

uint16_t Wire::take(rte_mbuf** burst, uint16_t n) {
    if (takes) n = std::min(n, takes(n));
    for (uint16_t i = 0; i < n; ++i)
        put(burst[i]);
    return n;
}

void Wire::put(rte_mbuf* frame) {
    ++n_taken;
    const packet::ParsedFrame parsed = parse(frame);
    const packet::Header& header = parsed.header;
    if (header.type == packet::FrameType::kData) ++sent_data[header.label][abi::position(header.cell, header.offset)];
    if (header.type == packet::FrameType::kNak) ++n_naks;
    if (happens(loss) || (loses && loses(parsed))) {
        ++n_lost;
        return rte_pktmbuf_free(frame);
    }
    const auto due = [&] {
        const uint64_t jitter = jitter_us == 0 ? 0 : random_() % (jitter_us * kTicksPerUs);
        return now_ + latency_us * kTicksPerUs + jitter;
    };
    if (happens(duplication)) {
        ++n_duplicated;
        under_way_.emplace(due(), rte_pktmbuf_copy(frame, copies_, 0, UINT32_MAX));
    }
    under_way_.emplace(due(), frame);
}

rte_mbuf* Wire::arrival() {
    const auto first = under_way_.begin();
    if (first == under_way_.end() || first->first > now_) return nullptr;
    rte_mbuf* frame = first->second;
    under_way_.erase(first);
    ++n_delivered;
    return frame;
}

void Wire::clear() {
    for (auto& [due, frame] : under_way_)
        rte_pktmbuf_free(frame);
    under_way_.clear();
}

size_t Wire::n_under_way(uint64_t label) const {
    return static_cast<size_t>(std::count_if(under_way_.begin(), under_way_.end(), [&](const auto& at) {
        const packet::Header header = parse(at.second).header;
        return header.label == label && header.type == packet::FrameType::kData;
    }));
}

// ---- the world ----

World::World(unsigned pool_frames, unsigned seed)
    : random(seed),
      pool(make_pool(pool_frames)),
      copies(make_pool(kPool)),
      out(random, now, copies.get()),
      other_out(random, now, copies.get()),
      back(random, now, copies.get()),
      waker(std::move(*engine::Waker::start())),
      sending(*waker, out, other_out, pool.get()),
      receiving(*waker, back, back, pool.get()),
      app(std::move(*engine::App::create(1))) {
    testing::Test::RecordProperty("seed", std::to_string(seed));
    std::printf("seed %u\n", seed);
}

World::~World() {
    expect_conserved();
    for (Host* host : {&sending, &receiving}) {
        host->egress.discard();
        host->other_egress.discard();
    }
    for (Wire* wire : {&out, &other_out, &back})
        wire->clear();
    EXPECT_EQ(pool.n_free(), pool.size());  // Invariant 6: pools are whole at the end
    EXPECT_EQ(copies.n_free(), copies.size());
}

/// Invariant 1: what entered was stored, taken as feedback, or dropped under a name.
void World::expect_conserved() {
    for (Host* host : {&sending, &receiving})
        EXPECT_EQ(host->n_in, host->n_stored + host->n_naks + host->n_statuses + host->n_heartbeats +
                                  host->context().drops.total());
    uint64_t received = 0, naks = 0;
    for (const auto& leaf : leaves) {
        if (leaf->replica.local == nullptr) received += leaf->image.received_bytes.get();
        naks += leaf->replica.naks.get();
    }
    EXPECT_EQ(receiving.stored_bytes, received);
    EXPECT_EQ(sending.n_naks, naks);
    for (Wire* wire : {&out, &other_out, &back})
        EXPECT_EQ(wire->n_taken + wire->n_duplicated, wire->n_lost + wire->n_delivered + wire->n_under_way());
    EXPECT_EQ(sending.egress.sent.get(), out.n_taken);
    EXPECT_EQ(sending.other_egress.sent.get(), other_out.n_taken);
    EXPECT_EQ(receiving.egress.sent.get(), back.n_taken);
}

Sender& World::add_sender(const Geometry& geometry, bool is_reliable) {
    senders.push_back(std::make_unique<Sender>());
    Sender& sender = *senders.back();
    engine::Stream& stream = sender.stream;
    sender.facts = &app->own().sockets[n_sockets_++];
    stream.geometry = geometry;
    stream.is_reliable = is_reliable;
    stream.facts = sender.facts;
    stream.log.emplace(std::move(*log::TxLog::create(geometry)));
    sender.writer = std::make_unique<LogWriter>(stream.log->fd(), geometry, 0);
    EXPECT_TRUE(stream.log->seal());
    sending.context().now = now;
    sender.facts->limit.store(abi::cell_start(geometry.cells()));  // as log_mapped does
    sending.worker.start_stream(stream);
    return sender;
}

stage::Group& World::group_at(Sender& sender, uint32_t at) {
    std::unique_ptr<stage::Group>& group = sender.stream.groups[at];
    if (group) return *group;
    group = std::make_unique<stage::Group>();
    group->egress = at == stage::TxStream::kLocalGroup ? nullptr : at == 1 ? &sending.other_egress : &sending.egress;
    group->capacity = 128;
    group->templates = std::make_unique<packet::FrameTemplate[]>(group->capacity);
    group->replicas = std::make_unique<stage::Replica*[]>(group->capacity);
    return *group;
}

Leaf& World::add_leaf(Sender& sender, const LeafSpec& spec) {
    log::ImageConfig config;
    config.geometry = spec.geometry;
    config.flags = spec.is_reliable ? abi::kImageReliable : 0;
    config.reorder_time = 200 * kTicksPerUs;
    config.n_prefault_cells = 0;
    leaves.push_back(std::make_unique<Leaf>(std::move(*log::Image::create(config))));
    Leaf& leaf = *leaves.back();
    Host& there = spec.is_local ? sending : receiving;
    const uint64_t label = next_label_++, feedback_label = next_label_++;
    leaf.image.label = label;
    leaf.replica.label = label;
    leaf.replica.feedback_label = spec.is_local ? 0 : feedback_label;
    leaf.replica.window_cells =
        spec.window_cells != 0 ? spec.window_cells : static_cast<uint32_t>(spec.geometry.cells());
    leaf.replica.local = spec.is_local ? &leaf.image : nullptr;
    for (Host* host : {&sending, &receiving})
        host->context().now = now;
    there.worker.add_image(leaf.image);
    if (!spec.is_local) {
        leaf.image.feedback_template = packet::FrameTemplate(path_of(1), feedback_label);
        leaf.image.feedback = &receiving.egress;
    }
    leaf.reader.image = &leaf.image;
    leaf.reader.consumed_word = &leaf.consumed;
    leaf.reader.socket = n_sockets_++;
    there.worker.add_reader(*app, leaf.reader);

    stage::Group& group = group_at(sender, spec.is_local ? stage::TxStream::kLocalGroup : spec.at);
    leaf.replica.is_up = &group != sender.stream.groups[stage::TxStream::kWaitingGroup].get();
    while (!sending.worker.add_replica(sender.stream, leaf.replica, group, packet::FrameTemplate(path_of(2), label)))
        step();
    group.max_frame_bytes = std::min(group.max_frame_bytes, spec.max_frame_bytes);
    leaf.p0 = leaf.replica.start.get();
    there.worker.go_live(leaf.image, leaf.p0);
    there.worker.reader_live(leaf.reader, leaf.p0);
    leaf.reading = std::make_unique<ReferenceReader>(leaf.image.image.fd(), spec.geometry, leaf.p0);
    return leaf;
}

void World::remove_leaf(Sender&, Leaf& leaf) {
    Host& there = leaf.replica.local != nullptr ? sending : receiving;
    sending.worker.remove_replica(leaf.replica);
    there.worker.remove_reader(*app, leaf.reader);
    there.worker.remove_image(leaf.image);
    leaf.is_removed = true;
}

void World::set_path(Leaf& leaf, bool is_up, uint32_t max_frame_bytes) {
    const packet::FrameTemplate header(path_of(2), leaf.replica.label);
    sending.worker.set_path(leaf.replica, header, is_up, max_frame_bytes);
}

void World::move(Leaf& leaf, uint32_t group) {
    const packet::FrameTemplate header(path_of(2), leaf.replica.label);
    auto& sender = *std::find_if(senders.begin(), senders.end(),
                                 [&](const auto& one) { return &one->stream == leaf.replica.stream; });
    sending.worker.move_replica(leaf.replica, group_at(*sender, group), header);
    sending.worker.set_path(leaf.replica, header, true, kWholeCells);
}

void World::finish(Sender& sender) { sending.worker.finish_stream(sender.stream, sender.writer->position()); }

void World::write_some(Sender& sender) {
    const uint64_t n = 1 + random() % 16;
    for (uint64_t i = 0; i < n && sender.n_left != 0; ++i) {
        const Position limit = sender.facts->limit.load(std::memory_order_acquire);
        if (!sender.writer->has_room(sender.longest + 24, limit)) break;
        std::string message(random() % (sender.longest + 1), '\0');
        for (char& byte : message)
            byte = static_cast<char>(random());
        Position start = sender.writer->position();
        if (sender.stream.geometry.cell_bytes - abi::offset_of(start) < 16)
            start = abi::cell_start(abi::cell_of(start) + 1);
        sender.writer->send(message);
        sender.messages.push_back(std::move(message));
        sender.starts.push_back(start);
        --sender.n_left;
    }
    sender.writer->commit();
}

void World::take_in(Host& host, rte_mbuf* frame) {
    const uint64_t drops_before = host.context().drops.total();
    const packet::ParsedFrame parsed = parse(frame);
    stage::ingress(&frame, 1, {.index = 0, .ifindex = kIfindex, .data_port = kDataPort}, host.worker.labels(),
                   host.context());
    ++host.n_in;
    const uint64_t dropped = host.context().drops.total() - drops_before;
    EXPECT_LE(dropped, 1U);  // one door
    if (dropped == 0) {
        switch (parsed.header.type) {
            case packet::FrameType::kData:
                ++host.n_stored;
                host.stored_bytes += parsed.payload_len;
                break;
            case packet::FrameType::kHeartbeat:
                ++host.n_heartbeats;
                break;
            case packet::FrameType::kNak:
                ++host.n_naks;
                break;
            case packet::FrameType::kStatus:
                ++host.n_statuses;
                break;
        }
    }
    rte_pktmbuf_free(frame);
}

void World::receive(Host& host, Wire& wire) {
    while (rte_mbuf* frame = wire.arrival())
        take_in(host, frame);
}

void World::send() {
    stage::Context& context = sending.context();
    for (auto& sender : senders) {
        stage::transmit(sender->stream, kFramesPerPoll, context);
        stage::update_limit(sender->stream);
        if (stage::take_finished(sender->stream)) sender->has_finished = true;
    }
}

void World::run_timers(Host& host) {
    stage::Context& context = host.context();
    for (stage::RxImage *image = context.timed_images.front(), *next = nullptr; image != nullptr; image = next) {
        next = context.timed_images.next(*image);
        if (stage::timer_of(*image) <= context.now) stage::on_image_timer(*image, context);
    }
    for (stage::TxStream *stream = context.timed_streams.front(), *next = nullptr; stream != nullptr; stream = next) {
        next = context.timed_streams.next(*stream);
        if (stream->heartbeat_at <= context.now) stage::on_stream_timer(*stream, context);
    }
}

void World::settle(Host& host) {
    while (stage::RxImage* image = host.context().touched.front()) {
        host.context().touched.remove(*image);
        stage::settle(*image, host.context());
    }
}

/// As an application reads: takes what is there, and rings when it has reached kick_at.
void World::read_some(Leaf& leaf) {
    if (!leaf.reads || leaf.is_removed) return;
    leaf.reading->drain();
    leaf.consumed.store(leaf.reading->position(), std::memory_order_release);
    if (leaf.reading->position() < leaf.image.image.header().kick_at.load(std::memory_order_relaxed)) return;
    Host& there = leaf.replica.local != nullptr ? sending : receiving;
    leaf.image.must_refresh = true;
    there.context().touched.add(leaf.image);
}

void World::step() {
    now += kStepUs * kTicksPerUs;
    for (auto& sender : senders)
        if (sender->n_left != 0 && random() % 4 != 0) write_some(*sender);
    for (Host* host : {&sending, &receiving}) {
        host->context().now = now;
        receive(*host, host == &sending ? back : out);
        if (host == &receiving) receive(*host, other_out);
        if (host == &sending) send();
        run_timers(*host);
        settle(*host);
        host->egress.flush();
        host->other_egress.flush();
    }
    for (auto& leaf : leaves)
        read_some(*leaf);
}

bool World::run_until(const std::function<bool()>& is_done, uint64_t max_ms) {
    const uint64_t end = now + max_ms * 1000 * kTicksPerUs;
    while (!is_done()) {
        if (now >= end) return false;
        step();
    }
    return true;
}

void World::run_for_us(uint64_t us) {
    for (uint64_t i = 0; i < us / kStepUs; ++i)
        step();
}

std::vector<std::string> World::expected(const Sender& sender, const Leaf& leaf) {
    const auto first = std::lower_bound(sender.starts.begin(), sender.starts.end(), leaf.p0);
    return {sender.messages.begin() + (first - sender.starts.begin()), sender.messages.end()};
}

bool World::is_all_read(const Sender& sender, const Leaf& leaf) {
    return sender.n_left == 0 && leaf.reading->position() >= sender.writer->position();
}

bool World::is_all_read(const Sender& sender) const {
    return std::all_of(leaves.begin(), leaves.end(), [&](const auto& leaf) {
        return leaf->is_removed || leaf->replica.stream != &sender.stream || is_all_read(sender, *leaf);
    });
}

bool World::is_acknowledged(const Sender& sender) const {
    return std::all_of(leaves.begin(), leaves.end(), [&](const auto& leaf) {
        return leaf->is_removed || leaf->replica.stream != &sender.stream ||
               leaf->replica.received.get() >= sender.writer->position();
    });
}

void World::expect_intact(const Sender& sender) const {
    EXPECT_EQ(sender.stream.hostile_words.get(), 0U);
    for (const auto& leaf : leaves) {
        if (leaf->is_removed || leaf->replica.stream != &sender.stream) continue;
        EXPECT_TRUE(leaf->reading->messages == expected(sender, *leaf)) << "leaf with label " << leaf->replica.label;
        EXPECT_EQ(leaf->reading->lost_bytes, 0U);
        EXPECT_FALSE(leaf->reading->is_hostile);
    }
}

// ---- frames by hand ----

void World::deliver(Host& host, const packet::FrameFields& fields, uint64_t label,
                    const std::vector<uint8_t>& payload) {
    packet::FrameFields whole = fields;
    whole.payload_len = static_cast<uint16_t>(payload.size());
    std::vector<uint8_t> bytes(packet::kIpv4FrameBytes + payload.size());
    packet::FrameTemplate(path_of(2), label).write(whole, bytes.data());
    std::copy(payload.begin(), payload.end(), bytes.begin() + packet::kIpv4FrameBytes);
    deliver_raw(host, bytes);
}

void World::deliver_raw(Host& host, const std::vector<uint8_t>& bytes) {
    rte_mbuf* frame = rte_pktmbuf_alloc(copies.get());
    std::copy(bytes.begin(), bytes.end(), rte_pktmbuf_mtod(frame, uint8_t*));
    frame->data_len = static_cast<uint16_t>(bytes.size());
    frame->pkt_len = frame->data_len;
    host.context().now = now;
    take_in(host, frame);
}

}  // namespace xylem::test
