// SPDX-License-Identifier: Apache-2.0
// A leaf's way into a session, and what its end means.
#pragma once
#include <xylem/xylem.h>

#include <cstdint>

#include "control/cli/options.h"
#include "control/cli/watcher.h"
#include "dataplane/base/result.h"

namespace xylem::cli {

class LeafSession {
  public:
    LeafSession(const Options& options, Watcher& watcher) : options_(options), watcher_(watcher) {}
    ~LeafSession();
    LeafSession(const LeafSession&) = delete;
    LeafSession& operator=(const LeafSession&) = delete;

    /// Attaches and joins the root, or with --listen waits for an invitation and accepts it.
    Result<void> join();
    /// The socket to receive on.
    int descriptor() const { return socket_; }
    /// What the errno of a receive says: nothing for a graceful end.
    Result<void> end_of(int code) const;
    /// Bytes lost before this reader (best effort).
    uint64_t lost_bytes() const;

  private:
    Result<void> ask(const char* where);
    Result<void> await_invitation(const char* where);

    const Options& options_;
    Watcher& watcher_;
    int socket_ = -1;
};

}  // namespace xylem::cli
