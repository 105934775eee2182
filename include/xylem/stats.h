/* SPDX-License-Identifier: Apache-2.0 */
/* What happened so far: counters of a socket, one row per leaf of a c_root, and the daemon's state. Structures begin
 * with `size`, set by the caller; for arrays the first element's size is the stride, so they can grow. */
#ifndef XYLEM_STATS_H
#define XYLEM_STATS_H
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* States of a leaf's row. */
#define XY_LEAF_PENDING 0 /* join in progress */
#define XY_LEAF_LIVE 1    /* receives and counts for flow control */
#define XY_LEAF_ENDED 2   /* gone: see reason and end_error */

/* Why a leaf's row ended (reason). */
#define XY_END_NONE 0      /* it has not */
#define XY_END_LEFT 1      /* the leaf closed */
#define XY_END_CLOSED 2    /* the root closed or shut down, and the leaf has confirmed the end */
#define XY_END_EVICTED 3   /* the root closed the leaf's descriptor */
#define XY_END_SLOW 4      /* it held the session back for longer than XY_OPT_SLOW_LEAF_MS */
#define XY_END_APP_DIED 5  /* its application died */
#define XY_END_PEER_LOST 6 /* its host was lost */
#define XY_END_REFUSED 7   /* the join was refused, or failed */

struct xy_stats {
    uint32_t size;
    uint32_t leaves;     /* live leaves (c_root), 1 or 0 (c_leaf) */
    uint64_t sent_bytes; /* log bytes committed by this socket's sends */
    uint64_t sent_messages;
    uint64_t confirmed_bytes; /* log bytes that every live leaf has confirmed */
    uint64_t repaired_bytes;  /* sent again on request */
    uint64_t received_bytes;  /* payload handed to the caller */
    uint64_t received_messages;
    uint64_t lost_bytes; /* best effort: lost before the reader */
    uint64_t lost_gaps;
    uint64_t thinned_bytes; /* dropped by the leaf's own contract */
};

struct xy_leaf_stats {
    uint32_t size;
    uint32_t number;          /* leaf number, unique in the session; xy_span.source */
    int32_t descriptor;       /* the leaf's descriptor, -1 when closed */
    uint32_t state;           /* XY_LEAF_* */
    uint32_t reason;          /* XY_END_* */
    int32_t end_error;        /* errno that came with XY_FD_CLOSE */
    uint64_t sent_bytes;      /* log bytes sent to it since it went live */
    uint64_t confirmed_bytes; /* of these, taken by its application */
    uint64_t repaired_bytes;
    uint64_t lost_bytes;    /* 0: a best-effort leaf's own xy_stats tells */
    uint64_t thinned_bytes; /* 0: as lost_bytes */
    uint64_t lag_bytes;     /* committed and not yet confirmed */
    struct sockaddr_storage address;
};

/* XY_OPT_RM_SENDER_STATS: the fields of reliable multicast, in its order. A cell is what one frame carries; 0: always.
 */
struct xy_rm_sender_stats {
    uint64_t data_bytes;          /* log bytes, once each */
    uint64_t total_bytes;         /* to all hosts together, with repairs */
    uint64_t naks;                /* received */
    uint64_t naks_late;           /* 0: nothing that a leaf has not confirmed leaves the log */
    uint64_t naks_outstanding;    /* 0: not counted */
    uint64_t naks_after_repair;   /* 0: not counted */
    uint64_t repair_frames;       /* in full frames */
    uint64_t space_bytes;         /* free in the log */
    uint64_t trailing_cell;       /* the first that is not confirmed by all */
    uint64_t leading_cell;        /* the last */
    uint64_t rate_bytes_s;        /* 0: two readings of data_bytes tell it */
    uint64_t recent_rate_bytes_s; /* 0 */
    uint64_t data_frames;
};

/* XY_OPT_RM_RECEIVER_STATS: as above. A root's: of all its leaves together. */
struct xy_rm_receiver_stats {
    uint64_t data_frames;      /* 0: not counted per stream */
    uint64_t repair_frames;    /* 0: not told apart */
    uint64_t duplicate_frames; /* in full frames */
    uint64_t data_bytes;
    uint64_t total_bytes;                                                       /* with duplicates */
    uint64_t rate_bytes_s, recent_rate_bytes_s;                                 /* 0 */
    uint64_t trailing_cell;                                                     /* the first that was not taken */
    uint64_t leading_cell;                                                      /* the last that is there */
    uint64_t average_cells_in_window, min_cells_in_window, max_cells_in_window; /* 0: not counted */
    uint64_t first_nak_cell;                                                    /* 0 */
    uint64_t naks_pending;                                                      /* 0 */
    uint64_t naks_outstanding;                                                  /* 0 */
    uint64_t frames_buffered;                                                   /* between the two cells */
    uint64_t naks_sent;
    uint64_t parity_naks_sent; /* 0: there is no FEC */
};

/* Counters of `s`. 0, or -1 with ENOTSOCK, EFAULT, ENETDOWN. */
int xy_stats(int s, struct xy_stats* out);

/* One row per leaf of the c_root `s`, in order of admission; out[0].size is the stride. A row lives until its
 * descriptor is closed. Returns the number of rows there are (at most `count` are written), or -1. count 0 only asks.
 */
int xy_leaf_stats(int s, struct xy_leaf_stats* out, unsigned count);

/* The daemon's state as JSON: the own uid's sessions (all for root). Returns the length needed without the final NUL;
 * writes at most `len` bytes, NUL-terminated when it fits. -1 with ENETDOWN, EFAULT. */
int xy_status(char* json, size_t len);

#ifdef __cplusplus
}
#endif
#endif
