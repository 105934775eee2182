// SPDX-License-Identifier: Apache-2.0
// The reading end of an image: finds records, puts messages together, and notices losses. Every word of the image may
// be hostile (records were written by a remote sender) or, in a best-effort image, overwritten while it is read; so
// nothing is believed before it was checked against the cell, and nothing copied counts before `floor` was looked at
// again. Invariant: position() is a record boundary; everything before it was handed out, or counted as lost. One
// thread at a time (the socket's receive mutex). No system calls.
#pragma once
#include <xylem/abi/command.h>
#include <xylem/abi/image.h>
#include <xylem/abi/record.h>

#include <algorithm>

#include "shim/group_filter.h"
#include "shim/mapping.h"
#include "shim/scatter.h"
#include "shim/wire_types.h"

namespace xylem::shim {

enum class Outcome : uint8_t {
    kTaken,
    kNone,     // no whole message (partial: no record) is published
    kTooLong,  // the next message is longer than the buffer; it stays
    kBroken,   // the sender wrote nonsense: the session is over
};

struct Received {
    size_t bytes = 0;
    uint32_t flags = 0;       // XY_MSG_BEGIN, XY_MSG_END, XY_MSG_TRUNC
    uint64_t lost_bytes = 0;  // lost before this message
};

/// A record where it lies in the image.
struct Borrowed {
    const char* payload;
    uint32_t bytes;
    uint32_t flags;  // XY_MSG_BEGIN, XY_MSG_END
    abi::Position start;
};

class ImageReader {
  public:
    /// False when the reply makes no sense. `read_end`: where reading ends though the image goes on (EngineSocket::
    /// read_end); null: nowhere. `filter`: what is taken of a GROUP image; null: everything.
    bool open(Mapping&& image, const abi::ImageReply& reply, const std::atomic<abi::Position>* read_end = nullptr,
              const GroupFilter* filter = nullptr);
    void close();
    void forget() { image_.forget(); }
    bool is_open() const { return static_cast<bool>(image_); }

    /// The next whole message; streams and `is_partial`: as many bytes as there are and fit.
    Outcome receive(Scatter& to, bool is_partial, bool is_peek, Received& out);
    Outcome borrow(Borrowed& out);
    /// Best effort: whether the cell that `start` lies in was not overwritten.
    bool is_intact(abi::Position start) const;
    /// Bytes of the next whole message; streams: bytes ready.
    size_t next_bytes();
    /// Whether receive, with room enough, returns something else than kNone.
    bool has_message();

    abi::Position position() const { return position_; }
    /// `published` as last loaded.
    abi::Position seen() const { return published_; }
    /// Shared words only: any thread.
    bool is_published_beyond_both(abi::Position a, abi::Position b) const {
        const abi::Position there = published();
        return there > a && there > b;
    }
    bool has_more() const { return position_ < published_; }
    /// The same, by what is published now: before a source is put aside until the engine announces it again.
    bool has_more_now() { return is_published_beyond(position_); }
    /// Where reading ends: with the stream, or before.
    abi::Position final() const { return std::min(read_end(), header().final.load(std::memory_order_acquire)); }
    /// Everything up to there is here. Shared words only: any thread.
    bool has_all() const { return published() >= final(); }
    /// Nothing more can be taken. Passes over a message at the end that was not finished.
    bool is_at_final();
    /// A hostile sender's: nothing of it is read any more.
    void pass_over_all() { position_ = header().published.load(std::memory_order_acquire); }
    bool has_reached_kick() const { return position_ >= header().kick_at.load(std::memory_order_relaxed); }

    uint32_t leaf_number() const { return leaf_number_; }
    /// Whose message was taken last.
    const abi::AddressBody& source() {
        if (is_group_) sender_to(sender_, source_);
        return source_;
    }
    uint64_t lost_bytes() const { return lost_bytes_; }
    uint64_t lost_gaps() const { return lost_gaps_; }

  private:
    enum class Step : uint8_t { kRecord, kNone, kGap, kLapped, kBroken };
    struct Record {
        const char* payload;
        uint32_t bytes;  // kGap: bytes lost
        uint8_t flags;
        abi::Position end;
        uint64_t lost;
    };

    const abi::ImageHeader& header() const { return *image_.as<const abi::ImageHeader>(); }
    abi::Position read_end() const {
        return read_end_ != nullptr ? read_end_->load(std::memory_order_acquire) : abi::kNoPosition;
    }
    abi::Position published() const { return std::min(header().published.load(std::memory_order_acquire), read_end()); }
    const abi::CellEnd& end_of_cell(uint64_t cell) const {
        return image_
            .as<const abi::CellEnd>()[abi::image_ends_off() / sizeof(abi::CellEnd) + (cell & geometry_.mask())];
    }
    const char* cell(uint64_t number) const {
        return image_.bytes() + cells_off_ + (number & geometry_.mask()) * geometry_.cell_stride();
    }
    bool is_published_beyond(abi::Position p);
    Step look(abi::Position& p, Record& out);
    Step strip(abi::Position p, Record& datagram) const;
    Step look_at_end(abi::Position& p, Record& out);
    void pass_cell_end();
    Step check(abi::Position p, Step otherwise) const;
    void lose(uint64_t bytes, bool is_gap);
    void skip_gap(const Record& gap);
    void resume_at_floor();
    bool passes(const Record& datagram);
    Step find_message(Record& first);
    Step measure(const Record& first, uint64_t& bytes, abi::Position& end);
    Step next_message(uint64_t& bytes);
    Outcome take_message(Scatter& to, bool is_peek, Received& out);
    Outcome take_pieces(Scatter& to, bool is_peek, Received& out);
    bool copy(Scatter& to, size_t bytes);

    Mapping image_;
    const std::atomic<abi::Position>* read_end_ = nullptr;
    abi::Geometry geometry_{};
    uint64_t cells_off_ = 0;
    abi::Position position_ = 0;
    abi::Position published_ = 0;  // as last loaded
    abi::Position scanned_ = 0;    // the message at position_ is known up to there …
    uint64_t scanned_bytes_ = 0;   // … and has so many bytes so far; 0: not scanned
    uint32_t taken_ = 0;           // bytes of the record at position_ that were handed out
    bool is_reliable_ = false, is_stream_ = false, is_group_ = false;
    const GroupFilter* filter_ = nullptr;
    abi::GroupReceived sender_{};  // of the datagram that was found last
    bool is_inside_ = false;       // position_ lies in a message whose first part was handed out
    bool is_discarding_ = false;   // until a record that begins a message
    uint32_t leaf_number_ = 0;
    uint64_t lost_bytes_ = 0, lost_gaps_ = 0;
    uint64_t lost_unreported_ = 0;
    abi::AddressBody source_{};
};

}  // namespace xylem::shim
