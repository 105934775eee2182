// SPDX-License-Identifier: Apache-2.0
// Reads an image as <xylem/abi/image.h> says, in the plainest way: what the shim must agree with.
#pragma once
#include <sys/mman.h>
#include <xylem/abi/image.h>
#include <xylem/abi/record.h>

#include <cstring>
#include <string>
#include <vector>

namespace xylem::test {

class ReferenceReader {
  public:
    /// Maps the image read-only, as an application does, and begins at `start`.
    ReferenceReader(int fd, const abi::Geometry& geometry, abi::Position start)
        : geometry_(geometry), position_(start), total_(abi::image_total_bytes(geometry)) {
        base_ = static_cast<const uint8_t*>(mmap(nullptr, total_, PROT_READ, MAP_SHARED, fd, 0));
    }
    ~ReferenceReader() { munmap(const_cast<uint8_t*>(base_), total_); }
    ReferenceReader(const ReferenceReader&) = delete;
    ReferenceReader& operator=(const ReferenceReader&) = delete;

    /// Takes at most one record or end of a cell. False: nothing to take now (or `is_hostile`).
    bool step() {
        const abi::Position published = header().published.load(std::memory_order_acquire);
        if (is_hostile || position_ >= published) return false;
        const uint64_t cell = abi::cell_of(position_);
        const uint32_t offset = abi::offset_of(position_);
        const bool is_whole = abi::cell_of(published) > cell;
        const abi::CellEnd& end = ends()[cell & geometry_.mask()];
        const uint32_t used = is_whole ? end.used.load(std::memory_order_relaxed) : abi::offset_of(published);
        const abi::Position next = end.next.load(std::memory_order_relaxed);
        const uint64_t lost = end.lost.load(std::memory_order_relaxed);
        abi::RecordHeader record{};
        std::vector<uint8_t> payload;
        const bool has_record = offset < used && copy(cell, offset, used, &record, &payload);
        if (was_lapped(cell)) return true;
        if (has_record) {
            take(record, payload);
            position_ += abi::record_bytes(record.length);
            return true;
        }
        if (!is_whole) return false;
        if (offset != used || next <= position_) return !(is_hostile = true);
        lose(lost);
        position_ = next;
        return true;
    }
    void drain() {
        while (step()) {
        }
    }

    abi::Position position() const { return position_; }

    std::vector<std::string> messages;
    std::vector<abi::RecordHeader> gaps;
    uint64_t lost_bytes = 0;   // given up by the image, or overwritten before this reader came
    uint64_t taken_bytes = 0;  // of records, with those discarded for want of their beginning
    uint64_t n_laps = 0;
    bool is_hostile = false;

  private:
    const abi::ImageHeader& header() const { return *reinterpret_cast<const abi::ImageHeader*>(base_); }
    const abi::CellEnd* ends() const { return reinterpret_cast<const abi::CellEnd*>(base_ + abi::image_ends_off()); }

    bool copy(uint64_t cell, uint32_t offset, uint32_t used, abi::RecordHeader* record, std::vector<uint8_t>* payload) {
        const uint8_t* at =
            base_ + abi::image_cells_off(geometry_) + (cell & geometry_.mask()) * geometry_.cell_stride() + offset;
        const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(at), __ATOMIC_ACQUIRE);
        std::memcpy(record, &word, sizeof(word));
        if (record->length > used - offset - abi::kRecordHeaderBytes) return false;
        payload->assign(at + abi::kRecordHeaderBytes, at + abi::kRecordHeaderBytes + record->length);
        return true;
    }

    bool was_lapped(uint64_t cell) {
        std::atomic_thread_fence(std::memory_order_acquire);
        const abi::Position floor = header().floor.load(std::memory_order_relaxed);
        if (cell >= abi::cell_of(floor)) return false;
        lose((abi::cell_of(floor) - cell) * geometry_.cell_bytes + abi::offset_of(floor) - abi::offset_of(position_));
        position_ = floor;
        ++n_laps;
        return true;
    }

    void lose(uint64_t bytes) {
        if (bytes == 0) return;
        lost_bytes += bytes;
        message_.clear();
        is_inside_ = false;
    }

    void take(const abi::RecordHeader& record, const std::vector<uint8_t>& payload) {
        if (record.type == abi::kRecordGap) {
            gaps.push_back(record);
            lose(record.length + abi::kRecordHeaderBytes);
            return;
        }
        taken_bytes += abi::record_bytes(record.length);
        if ((record.flags & abi::kRecordBegin) != 0) {
            message_.clear();
            is_inside_ = true;
        }
        if (!is_inside_) return;
        message_.append(payload.begin(), payload.end());
        if ((record.flags & abi::kRecordEnd) == 0) return;
        messages.push_back(message_);
        is_inside_ = false;
    }

    abi::Geometry geometry_;
    abi::Position position_;
    uint64_t total_;
    const uint8_t* base_;
    std::string message_;
    bool is_inside_ = false;
};

}  // namespace xylem::test
