// SPDX-License-Identifier: Apache-2.0
// Writes the log of a GROUP stream as an application's shim does: one record of one cell per datagram.
#pragma once
#include <xylem/abi/group.h>

#include <string>

#include "tests/unit/log_writer.h"

namespace xylem::test {

class GroupWriter : public LogWriter {
  public:
    GroupWriter(int fd, const abi::Geometry& geometry) : LogWriter(fd, geometry, 0), cell_bytes_(geometry.cell_bytes) {}

    void send_to(uint32_t destination, const std::string& payload) {
        const abi::GroupSend head{destination, 0};
        const uint32_t bytes = abi::record_bytes(static_cast<uint32_t>(sizeof head + payload.size()));
        if (abi::offset_of(position()) + bytes > cell_bytes_) close_cell();
        send(std::string(reinterpret_cast<const char*>(&head), sizeof head) + payload);
    }
    bool has_room_for_one(abi::Position limit) const { return abi::cell_of(position()) + 2 < abi::cell_of(limit); }

  private:
    const uint32_t cell_bytes_;
};

/// A message of a group's image in its two parts.
struct Received {
    explicit Received(const std::string& message) : payload(message.substr(sizeof from)) {
        std::memcpy(&from, message.data(), sizeof from);
    }
    abi::GroupReceived from{};
    std::string payload;
};

}  // namespace xylem::test
