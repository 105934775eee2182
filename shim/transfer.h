// SPDX-License-Identifier: Apache-2.0
// Sending and receiving: blocking, errors and notification around Sender and Receiver. All return a value >= 0, or -1
// with errno. While there is room, or data, no system call is made.
#pragma once
#include <sys/uio.h>
#include <xylem/socket.h>

namespace xylem::shim {

/// `to`: where a datagram goes; null, and for the other protocols: to the session.
ssize_t send_message(int fd, const iovec* parts, size_t n_parts, int flags, const sockaddr* to, socklen_t to_length);
int send_batch(int fd, xy_msg* messages, unsigned count, int flags);
int reserve_span(int fd, size_t bytes, xy_span& out);
int commit_span(int fd, const xy_span& span, size_t bytes);

struct ReceiveResult {
    uint32_t flags = 0;  // XY_MSG_*
    sockaddr* from = nullptr;
    socklen_t* from_length = nullptr;
};
ssize_t receive_message(int fd, const iovec* parts, size_t n_parts, int flags, ReceiveResult& result);
int receive_batch(int fd, xy_msg* messages, unsigned count, int flags);
int borrow_span(int fd, xy_span& out);
int release_span(int fd, const xy_span& span);

struct Socket;
/// Why a send would be refused now, apart from room; 0: it would not. `has_address`: a datagram that needs no session.
int send_refusal(const Socket& s, bool has_address = false);
/// XY_OPT_RM_MESSAGE_BOUNDARY. 0 or errno; EALREADY: in the middle of a message.
int set_message_boundary(Socket& s, uint32_t bytes);
/// Makes the log if there is none yet. 0 or errno. With the send mutex held.
int prepare_log(Socket& s);
/// Whether a receive would not block: something is there, or the end, or an error.
bool would_not_block(Socket& s, uint64_t unused);
/// FIONREAD.
int next_bytes(Socket& s, int& bytes);

}  // namespace xylem::shim
