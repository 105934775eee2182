// SPDX-License-Identifier: Apache-2.0
// The writing end of a socket's TX log: cuts messages into records that never cross a cell's end, and publishes them by
// one store of `commit`. Invariant: `commit` lies at a record boundary, below or at the engine's limit, and the used
// length of every cell before it is stored. One thread at a time (the socket's send mutex). No system calls.
#pragma once
#include <xylem/abi/command.h>
#include <xylem/abi/record.h>

#include "shim/boundary.h"
#include "shim/mapping.h"
#include "shim/scatter.h"

namespace xylem::shim {

class Sender {
  public:
    /// Takes over a log that was mapped; false when the reply or the header makes no sense.
    bool open(Mapping&& log, const abi::LogReply& reply, const std::atomic<abi::Position>& limit, bool is_stream);
    void close();
    void forget() { log_.forget(); }
    bool is_open() const { return static_cast<bool>(log_); }

    uint64_t max_message_bytes() const { return max_message_bytes_; }

    /// Writes the whole of `from` as one message, or a piece of one (stream: as bytes), if it fits below the limit; not
    /// committed yet.
    bool write(Scatter& from, Piece piece = {}) {
        if (!has_room_until(end_of(from.left()))) return false;
        write_records(from, piece, true, abi::kNoPosition);
        return true;
    }
    /// Writes as many whole records as fit now; `piece`: of what. True: the message is all
    /// written. Streams: every record stands alone.
    bool write_some(Scatter& from, Piece piece);
    /// Whether write_some would write at least one record for `bytes` more bytes.
    bool has_room_for_a_record(size_t bytes);
    /// Publishes what was written (release).
    void commit() {
        committed_ = position_;
        header().commit.store(position_, std::memory_order_release);
    }
    bool has_unpublished() const { return position_ != committed_; }

    /// Writes `prefix` and the whole of `from` as one record, which never spans cells, if there is room below the
    /// limit; not committed yet. At most max_record_bytes together.
    bool write_whole(const void* prefix, uint32_t prefix_bytes, Scatter& from);
    /// Room for one record of `bytes` payload bytes. Null: no room now.
    char* reserve(uint32_t bytes);
    void commit_reserved(uint32_t bytes);

    /// A quarter of the log is free: when FD_WRITE is recorded.
    bool has_quarter_free() const;
    uint32_t max_record_bytes() const { return geometry_.cell_bytes - abi::kRecordHeaderBytes; }
    abi::Position position() const { return position_; }
    /// Everything before it is published.
    abi::Position committed() const { return committed_; }
    /// Any thread.
    uint64_t log_bytes() const { return log_bytes_written_.load(std::memory_order_relaxed); }

  private:
    // Where to go on when less than this is left in a cell and the message does not fit.
    static constexpr uint32_t kSmallRest = 64;

    abi::LogHeader& header() const { return *log_.as<abi::LogHeader>(); }
    char* cell(uint64_t number) const {
        return log_.bytes() + cells_off_ + (number & geometry_.mask()) * geometry_.cell_stride();
    }
    bool has_room_until(abi::Position end) {
        if (end <= limit_) return true;
        limit_ = limit_word_->load(std::memory_order_acquire);
        return end <= limit_;
    }
    bool closes_early(uint32_t offset, size_t bytes) const {
        const uint32_t room = geometry_.cell_bytes - offset;
        return room < kSmallRest && (bytes > room || abi::record_bytes(static_cast<uint32_t>(bytes)) > room);
    }
    abi::Position after(abi::Position p, uint32_t bytes) const;
    abi::Position start_for(size_t bytes) const;
    abi::Position end_of(size_t bytes) const;
    void close_cell(uint32_t used);
    void finish_reserved(uint32_t bytes);
    void pass(uint32_t bytes);
    bool write_records(Scatter& from, Piece piece, bool is_certain, abi::Position limit);
    void write_record(Scatter& from, uint32_t bytes, uint8_t flags);

    Mapping log_;
    abi::Geometry geometry_{};
    const std::atomic<abi::Position>* limit_word_ = nullptr;
    abi::Position position_ = 0;  // where the next record goes
    abi::Position committed_ = 0;
    abi::Position limit_ = 0;     // as last loaded
    abi::Position reserved_ = 0;  // where the open reservation lies
    uint64_t cells_off_ = 0;
    uint64_t max_message_bytes_ = 0;
    std::atomic<uint64_t> log_bytes_written_{0};  // no partner: a count, written by the one who holds the send mutex
    bool is_stream_ = false;
};

}  // namespace xylem::shim
