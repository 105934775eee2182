// SPDX-License-Identifier: Apache-2.0
// Writes a TX log as an application's shim does: messages cut into records that never cross a cell.
#pragma once
#include <sys/mman.h>
#include <xylem/abi/log.h>
#include <xylem/abi/record.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace xylem::test {

class LogWriter {
  public:
    LogWriter(int fd, const abi::Geometry& geometry, abi::Position start)
        : geometry_(geometry), position_(start), total_(abi::log_total_bytes(geometry)) {
        base_ = static_cast<uint8_t*>(mmap(nullptr, total_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    }
    ~LogWriter() { munmap(base_, total_); }
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    abi::LogHeader& header() { return *reinterpret_cast<abi::LogHeader*>(base_); }
    uint16_t* used() { return reinterpret_cast<uint16_t*>(base_ + abi::log_used_off()); }
    abi::Position position() const { return position_; }
    uint64_t written_bytes() const { return written_bytes_; }

    /// Whether `bytes` fit before `limit`, however they fall into cells.
    bool has_room(size_t bytes, abi::Position limit) const {
        const uint64_t n_cells = bytes / (geometry_.cell_bytes - 8) + 3;
        return abi::cell_of(position_) + n_cells < abi::cell_of(limit);
    }

    void send(const std::string& message) {
        size_t at = 0;
        uint8_t flags = abi::kRecordBegin;
        do {
            if (geometry_.cell_bytes - abi::offset_of(position_) < 16) close_cell();
            const uint32_t room = geometry_.cell_bytes - abi::offset_of(position_) - abi::kRecordHeaderBytes;
            const uint32_t length = static_cast<uint32_t>(std::min<size_t>(room, message.size() - at));
            if (at + length == message.size()) flags |= abi::kRecordEnd;
            put({length, abi::kRecordMessage, flags, 0}, message.data() + at);
            at += length;
            flags = 0;
        } while (at < message.size());
    }

    void close_cell() {
        const uint64_t cell = abi::cell_of(position_);
        used()[cell & geometry_.mask()] = static_cast<uint16_t>(abi::offset_of(position_));
        position_ = abi::cell_start(cell + 1);
    }

    /// Of an enemy: a word anywhere in the cells.
    void overwrite(uint64_t cells_off, uint64_t word) {
        std::memcpy(base_ + abi::log_cells_off(geometry_) + (cells_off & ~7ULL), &word, sizeof word);
    }
    void overwrite(abi::Position at, const abi::RecordHeader& header) {
        uint64_t word;
        std::memcpy(&word, &header, sizeof word);
        overwrite((abi::cell_of(at) & geometry_.mask()) * geometry_.cell_stride() + abi::offset_of(at), word);
    }

    void commit() { header().commit.store(position_, std::memory_order_release); }

  private:
    void put(const abi::RecordHeader& record, const char* payload) {
        uint8_t* cell = base_ + abi::log_cells_off(geometry_) +
                        (abi::cell_of(position_) & geometry_.mask()) * geometry_.cell_stride();
        uint8_t* at = cell + abi::offset_of(position_);
        std::memcpy(at, &record, sizeof(record));
        if (record.length > 0) std::memcpy(at + sizeof(record), payload, record.length);
        position_ += abi::record_bytes(record.length);
        written_bytes_ += abi::record_bytes(record.length);
        if (abi::offset_of(position_) == geometry_.cell_bytes) close_cell();
    }

    abi::Geometry geometry_;
    abi::Position position_;
    uint64_t total_;
    uint64_t written_bytes_ = 0;
    uint8_t* base_;
};

}  // namespace xylem::test
