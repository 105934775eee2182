// SPDX-License-Identifier: Apache-2.0
// Sockets, names, joins, accepts and endings: the calls that are commands to the daemon. All return a value >= 0, or -1
// with errno.
#pragma once
#include <xylem/socket.h>

namespace xylem::shim {

struct Socket;

int make_socket(int family, int type, int protocol, unsigned flags);
int bind_socket(Socket& s, const sockaddr* address, socklen_t length);
int listen_on(Socket& s, int backlog);
int name_of(Socket& s, bool is_peer, sockaddr* address, socklen_t* length);

struct JoinArguments {
    const sockaddr* name;
    socklen_t name_length;
    const xy_data* caller_data;
    xy_data* callee_data;
    const xy_qos* qos;
    unsigned flags;
};
int join_leaf(int fd, const JoinArguments& arguments);
int accept_leaf(int fd, sockaddr* address, socklen_t* length, xy_condition_fn* condition, void* argument);

int shut_down(Socket& s, int how);
int send_disconnect(Socket& s, const xy_data* data);
int receive_disconnect(Socket& s, xy_data* data);

/// A nonblocking join was started and is not decided yet.
bool is_join_under_way(const Socket& s);
/// A join was decided and its outcome not reported yet: fills the application's callee buffer. Once per join.
bool take_join_outcome(Socket& s, int& error);

/// -1 with errno set to `error`; 0 when there is none.
int result_of(int error);

}  // namespace xylem::shim
