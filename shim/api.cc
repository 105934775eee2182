// SPDX-License-Identifier: Apache-2.0
// The C border.
#pragma GCC visibility push(default)
#include <xylem/xylem.h>
#pragma GCC visibility pop

#include <cerrno>

namespace {
int not_there() {
    errno = ENOSYS;
    return -1;
}
}  // namespace

extern "C" {
int xy_attach(const char*) { return not_there(); }
int xy_detach() { return not_there(); }
int xy_socket(int, int, int, unsigned) { return not_there(); }
int xy_bind(int, const struct sockaddr*, socklen_t) { return not_there(); }
int xy_listen(int, int) { return not_there(); }
int xy_join_leaf(int, const struct sockaddr*, socklen_t, const struct xy_data*, struct xy_data*, const struct xy_qos*,
                 const struct xy_qos*, unsigned) {
    return not_there();
}
int xy_accept(int, struct sockaddr*, socklen_t*, xy_condition_fn*, void*) { return not_there(); }
int xy_connect(int, const struct sockaddr*, socklen_t) { return not_there(); }
ssize_t xy_send(int, const void*, size_t, int) { return not_there(); }
ssize_t xy_sendto(int, const void*, size_t, int, const struct sockaddr*, socklen_t) { return not_there(); }
ssize_t xy_recv(int, void*, size_t, int) { return not_there(); }
ssize_t xy_recvfrom(int, void*, size_t, int, struct sockaddr*, socklen_t*) { return not_there(); }
ssize_t xy_sendmsg(int, const struct msghdr*, int) { return not_there(); }
ssize_t xy_recvmsg(int, struct msghdr*, int) { return not_there(); }
int xy_send_batch(int, struct xy_msg*, unsigned, int) { return not_there(); }
int xy_recv_batch(int, struct xy_msg*, unsigned, int) { return not_there(); }
int xy_reserve(int, size_t, struct xy_span*) { return not_there(); }
int xy_commit(int, const struct xy_span*, size_t) { return not_there(); }
int xy_borrow(int, struct xy_span*) { return not_there(); }
int xy_release(int, const struct xy_span*) { return not_there(); }
int xy_shutdown(int, int) { return not_there(); }
int xy_send_disconnect(int, const struct xy_data*) { return not_there(); }
int xy_recv_disconnect(int, struct xy_data*) { return not_there(); }
int xy_close(int) { return not_there(); }
int xy_ioctl(int, unsigned, const void*, size_t, void*, size_t, size_t*) { return not_there(); }
int xy_setsockopt(int, int, int, const void*, socklen_t) { return not_there(); }
int xy_getsockopt(int, int, int, void*, socklen_t*) { return not_there(); }
int xy_getsockname(int, struct sockaddr*, socklen_t*) { return not_there(); }
int xy_getpeername(int, struct sockaddr*, socklen_t*) { return not_there(); }
int xy_cancel(pthread_t) { return not_there(); }
int xy_enum_protocols(struct xy_protocol*, unsigned) { return not_there(); }
const char* xy_version(void) { return XYLEM_VERSION; }
int xy_event_select(int, int, unsigned) { return not_there(); }
int xy_enum_events(int, int, struct xy_events*) { return not_there(); }
int xy_poll(struct pollfd*, nfds_t, int) { return not_there(); }
int xy_stats(int, struct xy_stats*) { return not_there(); }
int xy_leaf_stats(int, struct xy_leaf_stats*, unsigned) { return not_there(); }
int xy_status(char*, size_t) { return not_there(); }
}
