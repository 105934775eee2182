// SPDX-License-Identifier: Apache-2.0
// A root's session from the first call to the last: opened, its leaves gathered, data sent by the caller, ended and
// accounted for leaf by leaf. One thread; blocking calls end with an error when the watcher stops.
#pragma once
#include <xylem/xylem.h>

#include <cstdint>
#include <string>
#include <vector>

#include "control/cli/options.h"
#include "control/cli/watcher.h"
#include "dataplane/base/result.h"

namespace xylem::cli {

/// A function of the same name hides the structure.
using LeafRow = struct xy_leaf_stats;

class RootSession {
  public:
    RootSession(const Options& options, Watcher& watcher) : options_(options), watcher_(watcher) {}
    ~RootSession();
    RootSession(const RootSession&) = delete;
    RootSession& operator=(const RootSession&) = delete;

    /// Attaches, binds, listens, sets the flow specification.
    Result<void> open();
    /// Invites and accepts until every leaf that the options ask for is there.
    Result<void> gather();
    /// The socket to send on.
    int descriptor() const { return socket_; }
    /// The longest message of this session, bytes.
    uint64_t max_message_bytes() const;
    /// Ends the stream, waits until each leaf confirmed it or was lost. Error: the leaves that did not get all of it.
    Result<void> finish();
    unsigned leaves() const { return static_cast<unsigned>(leaves_.size()); }

  private:
    struct Leaf {
        int descriptor;
        std::string name;
        bool has_closed = false;
        int close_error = 0;
    };

    Result<void> set_flow_spec();
    Result<void> invite(const Endpoint& leaf);
    Result<void> accept_one();
    Result<void> admit(int descriptor, std::string name);
    void note(const std::string& text) const;
    bool wait_for_closes();
    void take_close(Leaf& leaf, short revents);
    std::vector<LeafRow> rows() const;
    std::string complaint(const Leaf& leaf, const LeafRow* row) const;

    const Options& options_;
    Watcher& watcher_;
    int socket_ = -1;
    std::vector<Leaf> leaves_;
};

}  // namespace xylem::cli
