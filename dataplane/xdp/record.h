// SPDX-License-Identifier: Apache-2.0
// What this daemon has attached to an interface, on file in the runtime directory, so that the next start after a kill
// knows it. The file is locked as long as its writer lives; it counts only if it is a regular file of ours, written
// since this boot, in this network namespace, about this interface. Control thread only.
#pragma once
#include <cstdint>
#include <string>

#include "dataplane/base/result.h"

namespace xylem::xdp {

class Record {
  public:
    Record() = default;
    Record(Record&& other) noexcept;
    Record& operator=(Record&& other) noexcept;
    /// Releases the lock; the file stays unless forget() was called.
    ~Record();

    /// Opens or makes RUNTIME_DIR/xdp-INTERFACE and locks it. EBUSY: a living process has it. `text` begins messages.
    static Result<Record> open(const std::string& text, const std::string& runtime_dir, const std::string& interface,
                               int ifindex);

    /// The program that the file names, 0 if it names none that can be ours still.
    uint32_t program_id() const { return program_id_; }
    /// The file was written in another network namespace since this boot: what it names may be alive there.
    bool is_foreign() const { return is_foreign_; }
    /// Writes that `program_id` is ours.
    Result<void> remember(uint32_t program_id);
    /// Removes the file.
    void forget();

  private:
    void read_back();

    std::string text_, path_;
    int ifindex_ = 0;
    int fd_ = -1;
    uint32_t program_id_ = 0;
    bool is_foreign_ = false;
};

}  // namespace xylem::xdp
