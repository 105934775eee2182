// SPDX-License-Identifier: Apache-2.0
// Two rtnetlink sockets' worth of conversation with the kernel: questions that are answered at once, and announcements.
// A socket belongs to the network namespace in which it was opened. Thread: one.
#pragma once
#include <netlink/socket.h>

#include <functional>
#include <memory>

#include "control/netlink/messages.h"
#include "dataplane/base/result.h"

namespace xylem::netlink {

using OnMessage = std::function<void(const nlmsghdr&)>;

/// Asks and waits for the answer, which the kernel gives within the call (some 10 µs).
class QuerySocket {
  public:
    static Result<QuerySocket> open();
    /// Sends `message` (null: ENOMEM) and hands every message of the answer to `on_message`. The error's code is the
    /// kernel's.
    Result<void> ask(Message message, const OnMessage& on_message);

  private:
    struct Free {
        void operator()(nl_sock* socket) const { nl_socket_free(socket); }
    };
    std::unique_ptr<nl_sock, Free> socket_;
    friend class EventSocket;
};

/// Hears what changes: links, addresses, routes, rules, neighbours.
class EventSocket {
  public:
    static Result<EventSocket> open();
    int fd() const { return nl_socket_get_fd(socket_.get()); }
    /// Hands over all that is there, without waiting. False: announcements were lost, look at everything anew.
    bool read(const OnMessage& on_message);

  private:
    std::unique_ptr<nl_sock, QuerySocket::Free> socket_;
};

}  // namespace xylem::netlink
