// SPDX-License-Identifier: Apache-2.0
// What a socket receives from: one image (a leaf), or the images behind an inbox, taken in turn (a d_root, a mesh
// member). Tells the engine what was taken: `consumed` is stored when the reader crosses into another cell or has taken
// all that is published, and never passes a borrowed span that was not given back. One thread at a time (the socket's
// receive mutex).
#pragma once
#include <xylem/abi/segment.h>

#include "shim/image_reader.h"

namespace xylem::shim {

struct Socket;

/// Spans that were borrowed from one image and not all given back, oldest first.
struct Borrowing {
    struct Span {
        abi::Position start;
        bool is_released;
    };
    Span* spans = nullptr;  // a ring of kMaxBorrowed, made at the first borrow
    uint64_t first = 0, next = 0;
};
inline constexpr uint64_t kMaxBorrowed = 4096;

struct Source {
    ImageReader reader;
    Borrowing borrowing;
    abi::Position told = 0;  // `consumed` as last stored
    std::atomic<abi::Position>* consumed = nullptr;
    uint32_t pushes = 0;      // inbox: entries of this slot taken from the ready ring
    uint32_t checked_at = 0;  // inbox: Receiver::n_leaves_closed when the image was last asked for
    bool is_ready = false;    // inbox: in the queue of ready slots
    bool is_broken = false;
    bool is_known = false;                                  // an image was got at least once
    bool is_own = false;                                    // what this socket sends itself
    uint64_t file = 0;                                      // its inode number
    std::atomic<abi::Position> read_end{abi::kNoPosition};  // as in ImageReply::end
};

struct Taken {
    Received received;
    const abi::AddressBody* from = nullptr;
    uint32_t leaf_number = 0;
    abi::Position start = 0;
    Source* source = nullptr;
    uint32_t slot = 0;
};

class Receiver {
  public:
    void open(bool has_inbox);
    void close();
    void forget();

    /// Maps what there is to read from. 0 also when nothing is there yet; else errno.
    int prepare(Socket& s);

    Outcome receive(Socket& s, Scatter& to, bool is_partial, bool is_peek, Taken& out);
    Outcome borrow(Socket& s, Taken& out, Borrowed& span);
    /// 0, EINVAL (no such span), EOVERFLOW (overwritten meanwhile).
    int release(Socket& s, uint32_t slot, uint64_t sequence);
    size_t next_bytes(Socket& s);
    /// Whether a whole message (a stream: a byte) is there, or the sender wrote nonsense.
    bool has_message(Socket& s);

    /// Nothing is left to take: says so to the engine, so that the descriptor stays quiet until more comes.
    void note_empty(Socket& s);
    /// Stores `consumed` as it is now.
    void flush(Socket& s);
    /// Whether something may be there to take; shared words only, any thread.
    bool may_have_something(const Socket& s) const;
    /// A leaf: everything up to the stream's end was taken, or there is no stream.
    bool is_at_end(Socket& s);
    /// The same as the engine sees it; any thread.
    bool is_at_end_shared() const;
    /// Something is published that was not looked at yet.
    bool has_unread(const Socket& s) const;
    bool has_image() const { return source_.reader.is_open(); }
    bool was_live() const { return source_.is_known; }

    /// What this socket sends from `end` on does not come back to it. With the receive mutex held.
    void end_own(abi::Position end);
    /// A leaf's descriptor was closed: its slot may be another's from now on.
    void note_leaf_closed() { n_leaves_closed_.fetch_add(1, std::memory_order_relaxed); }
    uint64_t lost_bytes() const;
    uint64_t lost_gaps() const;

    uint64_t received_bytes = 0, received_messages = 0;

  private:
    int open_image(Socket& s, uint32_t slot, Source& source);
    int open_inbox(Socket& s);
    void take_ready(Socket& s);
    Source* slot_source(Socket& s, uint32_t slot);
    Source* front(uint32_t& slot);
    void rotate(bool is_empty);
    void put_aside(Socket& s, Source& source, Outcome outcome);
    void give_up(Socket& s, Source& source);
    void tell(Socket& s, Source& source, bool must);
    void forget_seen(Socket& s);
    static abi::Position needed(const Source& source);
    static void drop(Source& source);

    Source source_;              // a leaf's
    Source** slots_ = nullptr;   // the inbox's, made when first seen
    uint16_t* ready_ = nullptr;  // a ring of kInboxSlots slot numbers
    uint32_t ready_first_ = 0;
    std::atomic<uint32_t> n_ready_{0};
    uint32_t tail_ = 0;  // entries taken from the ready ring; stored once all that they announced was taken
    Mapping inbox_engine_, inbox_app_;
    std::atomic<bool> is_open_{false};
    std::atomic<bool> is_gone_{false};  // a leaf's image went before it was mapped
    bool has_inbox_ = false;
    bool has_told_seen_ = false;
    std::atomic<uint32_t> n_leaves_closed_{0};
    uint64_t closed_lost_bytes_ = 0, closed_lost_gaps_ = 0;
};

}  // namespace xylem::shim
