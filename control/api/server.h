// SPDX-License-Identifier: Apache-2.0
// Where applications attach: a SOCK_SEQPACKET socket in the file system. Each connection is one application; its end
// (hang-up, or the death of the process, whichever shows first) is the application's end, after the commands that it
// had sent are done, so that what it closed is closed and lingers. Invariant: an application can neither block the
// daemon (nothing waits for it to read) nor make it read beyond what it sent. Thread: that of the io_context.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/session/sessions.h"
#include "dataplane/base/result.h"

namespace asio {
class io_context;
}

namespace xylem::api {

struct ServerConfig {
    std::string path;                  // of the socket; its folder is there
    std::vector<uint32_t> allow_uids;  // who may attach; empty: everyone. root always may
    std::string version;
    // What one user's applications may take of the daemon's descriptors together, so that others can still attach. The
    // daemon's own user, who could as well stop it, is not limited.
    uint32_t owner_uid = ~0U;
    size_t max_connections_per_uid = 1024;
    size_t max_sockets_per_uid = 16384;
    std::function<void(const std::string&)> notice;  // something that the operator should read; may be empty
};

struct ServerCounters {
    uint64_t n_attached = 0;   // so far
    uint64_t n_refused = 0;    // for their uid, because it has too many, or because there was no memory
    uint64_t n_malformed = 0;  // connections ended for a request of the wrong size, magic or version
    uint64_t n_pauses = 0;     // times that accepting paused because descriptors or memory ran out
    uint64_t n_deaf = 0;       // connections ended because they did not read their replies
};

class Server {
  public:
    /// Listens. `context` and `sessions` outlive it. EADDRINUSE: another daemon serves that path, or it is no socket;
    /// EACCES, ENAMETOOLONG, … A socket file that nobody listens on is replaced.
    static Result<std::unique_ptr<Server>> open(asio::io_context& context, session::Sessions& sessions,
                                                const ServerConfig& config);
    /// Removes the socket file and ends every connection (to the applications: ENETDOWN).
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// No new applications from now on; those attached go on.
    void stop_accepting();
    const ServerCounters& counters() const;
    size_t n_connections() const;

  private:
    class Listener;
    explicit Server(std::shared_ptr<Listener> listener);
    std::shared_ptr<Listener> listener_;
};

}  // namespace xylem::api
