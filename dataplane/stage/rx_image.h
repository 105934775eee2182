// SPDX-License-Identifier: Apache-2.0
// An image with what surrounds it on the receiving host: its readers, its feedback to the sender, its timers. One
// worker owns it.
#pragma once
#include <atomic>

#include <xylem/abi/segment.h>
#include "dataplane/base/address.h"
#include "dataplane/base/counter.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/log/image.h"
#include "dataplane/packet/frame.h"
#include "dataplane/stage/egress.h"

namespace xylem::stage {

using abi::Position;

inline constexpr uint64_t kNever = ~0ULL;

struct RxImage;
struct Replica;

/// The receiving side of a socket with several images: the ready ring. Words of `app` are hostile: they mislead only
/// their own socket.
struct ReadyRing {
    abi::InboxEngine* engine = nullptr;
    abi::InboxApp* app = nullptr;
    std::atomic<bool>* is_armed = nullptr;  // the waker's bit of this inbox
};

/// A local socket that reads an image.
struct Reader {
    RxImage* image = nullptr;
    const std::atomic<Position>* consumed_word = nullptr;  // the application's
    std::atomic<Position> consumed{0};                     // clamped copy: worker writes, control reads
    bool is_live = false;
    bool has_finished = false;
    ReadyRing* ring = nullptr;  // null: a d_leaf, which has one image
    uint32_t slot = 0;
    uint32_t n_pushed = 0;
    ListLink<Reader> in_image;
    ListLink<Reader> in_socket;
};

struct RxImage {
    explicit RxImage(log::Image made) : image(std::move(made)) {}

    log::Image image;
    uint64_t label = 0;
    Endpoint group;           // with a UDP port: the datagrams that it holds; no address: a stream's
    uint32_t group_port = 0;  // where they come in
    RxImage* next_in_bucket = nullptr;
    IntrusiveList<Reader, &Reader::in_image> readers;

    // Feedback. No egress: a local stream feeds it (`feeder`), or the way back is not known yet.
    Egress* feedback = nullptr;
    packet::FrameTemplate feedback_template{};
    Replica* feeder = nullptr;

    Position final = abi::kNoPosition;
    Position min_consumed = 0;  // by the slowest reader
    Position told_consumed = 0, told_published = 0;
    uint32_t highest_packet = 0;
    bool has_packet = false;  // highest_packet is that of a frame
    uint32_t n_since_status = 0;
    bool must_tell = false;     // a STATUS is due
    bool must_refresh = false;  // a reader rang
    uint64_t nak_at = kNever;
    uint64_t nak_interval = 0;
    Position nak_progress = 0;
    uint64_t end_check_at = kNever;  // the end is known, and a reader has not told that it is there

    // Tested by the worker after `published` moved.
    std::atomic<bool>* is_armed = nullptr;

    Counter received_bytes, duplicate_bytes, naks_sent, published, lost_bytes, lost_gaps;

    ListLink<RxImage> in_touched;  // got something in this poll
    ListLink<RxImage> in_timed;    // has a deadline
};

}  // namespace xylem::stage
