/* SPDX-License-Identifier: Apache-2.0 */
/* Network events (W-130 … W-154): recorded per socket, taken with xy_enum_events. */
#ifndef XYLEM_EVENTS_H
#define XYLEM_EVENTS_H
#include <poll.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define XY_FD_READ (1 << 0)
#define XY_FD_WRITE (1 << 1)
#define XY_FD_OOB (1 << 2)
#define XY_FD_ACCEPT (1 << 3)
#define XY_FD_CONNECT (1 << 4)
#define XY_FD_CLOSE (1 << 5)
#define XY_FD_QOS (1 << 6)

#define XY_FD_READ_BIT 0
#define XY_FD_WRITE_BIT 1
#define XY_FD_OOB_BIT 2
#define XY_FD_ACCEPT_BIT 3
#define XY_FD_CONNECT_BIT 4
#define XY_FD_CLOSE_BIT 5
#define XY_FD_QOS_BIT 6
#define XY_FD_MAX_EVENTS 10

/* What was recorded: a bit per event; error[bit] is an errno (XY_QOS_* for XY_FD_QOS), written only for set bits
 * (W-144). */
struct xy_events {
    uint32_t events;
    int32_t error[XY_FD_MAX_EVENTS];
};

/* Chooses which events of `s` are recorded (mask 0: none) and makes `s` nonblocking (W-141). `event_fd` -1: the
 * socket's own descriptor becomes readable while a recorded event is untaken; else an eventfd of the caller's,
 * signalled once per record. Replaces an earlier choice and clears the record (W-142). 0, or -1 with ENOTSOCK, EINVAL,
 * ENETDOWN. */
int xy_event_select(int s, int event_fd, unsigned mask);

/* Copies the record into *out and clears it (and resets `event_fd` when it is not -1) in one step (W-144).
 * 0, or -1 with ENOTSOCK, EFAULT, EINVAL. */
int xy_enum_events(int s, int event_fd, struct xy_events* out);

/* poll(2) over any mix of Xylem and other descriptors, with BSD readiness: POLLIN when xy_recv / xy_accept would not
 * block, POLLOUT when xy_send would not. Never reports a join's completion (W-133). */
int xy_poll(struct pollfd* fds, nfds_t count, int timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
