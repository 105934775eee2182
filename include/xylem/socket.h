/* SPDX-License-Identifier: Apache-2.0 */
/* The socket calls. Results: a value >= 0, or -1 with errno. What a function means where nothing is said here: the
 * W-rows of docs/winsock.md, then the BSD call of the same name. All functions are thread-safe; one socket's sends are
 * serialised, as are its receives. ENOTSOCK: not a Xylem descriptor of this process. ENETDOWN: the daemon is not there,
 * or went away. */
#ifndef XYLEM_SOCKET_H
#define XYLEM_SOCKET_H
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <xylem/qos.h>

#ifdef __cplusplus
extern "C" {
#endif

/* xy_socket flags (W-005): one XY_C_* and one XY_D_*. SOCK_NONBLOCK and SOCK_CLOEXEC go in `type`. */
#define XY_C_ROOT 0x02
#define XY_C_LEAF 0x04
#define XY_D_ROOT 0x08
#define XY_D_LEAF 0x10

/* Protocols. */
#define XY_PROTO_TREE 0  /* rooted control, rooted data: root to all leaves, each leaf to the root */
#define XY_PROTO_MESH 1  /* rooted control, nonrooted data: every member to all others */
#define XY_PROTO_GROUP 2 /* nonrooted: plain UDP over IP multicast */

/* xy_join_leaf flags (W-250). */
#define XY_SENDER_ONLY 1
#define XY_RECEIVER_ONLY 2
#define XY_BOTH 4

/* What a condition function returns (W-192 … W-195). */
#define XY_ACCEPT 0
#define XY_REJECT 1
#define XY_DEFER 2

/* xy_ioctl codes. */
#define XY_SIO_GET_QOS 0xC8000007u
#define XY_SIO_SET_QOS 0x8800000Bu
#define XY_SIO_MULTIPOINT_LOOPBACK 0x88000009u
#define XY_SIO_MULTICAST_SCOPE 0x8800000Au
#define XY_FIONBIO 0x8004667Eu  /* in: int, nonzero = nonblocking */
#define XY_FIONREAD 0x4004667Fu /* out: int, bytes of the next message (stream: bytes ready) */

/* Flags of sends, receives, spans and messages. Values of their own where Linux's MSG_* mean something else. */
#define XY_MSG_PEEK 0x02
#define XY_MSG_TRUNC 0x20
#define XY_MSG_DONTWAIT 0x40
#define XY_MSG_PARTIAL 0x10000
#define XY_MSG_BEGIN 0x20000 /* the piece starts a message */
#define XY_MSG_END 0x40000   /* the piece ends a message */

#define XY_CONNECT_DATA_MAX 1024    /* bytes of caller and callee data */
#define XY_DISCONNECT_DATA_MAX 1024 /* bytes */

/* Socket options at level XY_SOL. SOL_SOCKET's SO_ERROR, SO_TYPE, SO_LINGER, SO_REUSEADDR, SO_RCVTIMEO, SO_SNDTIMEO
 * work as well. */
#define XY_SOL 0x5879
#define XY_OPT_SLOW_LEAF_MS 1    /* uint32_t: a reader that holds the session back longer is evicted; default 1000 */
#define XY_OPT_RELIABILITY 2     /* uint32_t, read only: 0 best effort, 1 reliable */
#define XY_OPT_JOIN_TIMEOUT_MS 3 /* uint32_t: a join that nobody answers fails with ETIMEDOUT; default 30000 */
#define XY_OPT_LOG_BYTES 4       /* uint64_t: bytes of the log, rounded up to 2^k cells; before the first send */
#define XY_OPT_MAX_MSG_SIZE 5    /* uint64_t, read only: the longest message */
#define XY_OPT_DIRECTION 6       /* uint32_t, read only: XY_SENDER_ONLY, XY_RECEIVER_ONLY or XY_BOTH */
#define XY_OPT_CAPABILITIES 7    /* uint32_t, read only: XY_CAP_* of the socket */
/* XY_PROTO_GROUP alone, before the join. */
#define XY_OPT_MULTICAST_IF                                                                     \
    8 /* uint32_t: index of the interface to join and send at; 0: chosen by the kernel's route. \
         Read: the one in use. EADDRNOTAVAIL: no port of the daemon's (lo: `local`) */
#define XY_OPT_SOURCE                                                                          \
    9 /* struct sockaddr_storage, write only: one address to receive from; up to 32 (ENOBUFS). \
         None: from everybody */

/* Options of reliable multicast at level XY_SOL, for sockets of rooted sessions; their meaning here. */
#define XY_OPT_RM_RATE_WINDOW 32      /* struct xy_rm_rate_window, before the first join or send: sizes the log */
#define XY_OPT_RM_MESSAGE_BOUNDARY 33 /* uint32_t, write only: bytes of the next message, in several sends; 0: none */
#define XY_OPT_RM_FLUSHCACHE 34       /* ENOPROTOOPT */
#define XY_OPT_RM_WINDOW_ADVANCE_METHOD 35 /* uint32_t: XY_RM_ADVANCE_BY_TIME; as a cache: EOPNOTSUPP */
#define XY_OPT_RM_SENDER_STATS 36          /* struct xy_rm_sender_stats (stats.h), read only */
#define XY_OPT_RM_LATE_JOIN 37             /* uint32_t, percent, 0 to 75: only 0; more is ENOPROTOOPT */
#define XY_OPT_RM_SEND_IF 38               /* EOPNOTSUPP: the bound address and the routes choose it */
#define XY_OPT_RM_ADD_RECEIVE_IF 39        /* EOPNOTSUPP */
#define XY_OPT_RM_DEL_RECEIVE_IF 40        /* EOPNOTSUPP */
#define XY_OPT_RM_WINDOW_ADVANCE_RATE 41   /* uint32_t, percent, 1 to 50: stored; the log moves as leaves confirm */
#define XY_OPT_RM_USE_FEC 42               /* ENOPROTOOPT */
#define XY_OPT_RM_TTL 43                   /* uint32_t, 0 to 255: XY_SIO_MULTICAST_SCOPE of a root */
#define XY_OPT_RM_RECEIVER_STATS 44        /* struct xy_rm_receiver_stats (stats.h), read only */
#define XY_OPT_RM_HIGH_SPEED_INTRANET 45   /* uint32_t, boolean: stored */

#define XY_RM_ADVANCE_BY_TIME 1
#define XY_RM_ADVANCE_AS_CACHE 2

/* One invariant, window_bytes = rate_bytes_s * window_ms / 1000. Setting it, one of the three may be 0: it comes from
 * the others. The bytes become the log's, rounded up to 2^k cells. The rate is stored and reported, 0: none was set. */
struct xy_rm_rate_window {
    uint64_t rate_bytes_s; /* at most 10^12 */
    uint64_t window_ms;    /* at most 10^7 */
    uint64_t window_bytes;
};

/* Bits of xy_protocol.capabilities and XY_OPT_CAPABILITIES. */
#define XY_CAP_CONNECT_DATA 0x0080
#define XY_CAP_DISCONNECT_DATA 0x0100
#define XY_CAP_MULTIPOINT 0x0400
#define XY_CAP_ROOTED_CONTROL 0x0800
#define XY_CAP_ROOTED_DATA 0x1000
#define XY_CAP_QOS 0x2000
#define XY_CAP_LEAF_TO_ROOT 0x10000 /* rooted data is two-way (W-025) */
#define XY_CAP_SIDE_CHAT 0x20000    /* private data on the root's per-leaf descriptor (W-099) */

/* A stretch of the log (xy_reserve) or of an image (xy_borrow). Opaque but for data, len, flags and source. */
struct xy_span {
    void* data;
    size_t len;
    uint64_t cookie;
    uint32_t flags;  /* XY_MSG_BEGIN, XY_MSG_END */
    uint32_t source; /* leaf number, see xy_leaf_stats; MESH: of the sender, UINT32_MAX: the root */
};

/* One message of a batch. */
struct xy_msg {
    uint32_t size;  /* sizeof(struct xy_msg); the first element's is the stride */
    uint32_t flags; /* out: XY_MSG_END, XY_MSG_TRUNC */
    void* buf;
    size_t len;            /* in: bytes to send, or room */
    size_t received;       /* out: bytes received */
    uint64_t lost_bytes;   /* out, best effort: lost before this message */
    struct sockaddr* from; /* out: the sender; may be NULL */
    socklen_t from_len;    /* in: room at `from`; out: its length */
};

/* A join request as a condition function sees it; all pointers are valid during the call only. */
struct xy_request {
    uint32_t size;
    const struct sockaddr* caller;
    socklen_t caller_len;
    struct xy_data caller_data; /* NULL, 0: none */
    struct xy_qos* qos;         /* NULL: none; may be lowered */
    const struct sockaddr* callee;
    socklen_t callee_len;
    unsigned flags; /* XY_SENDER_ONLY … of the requester */
};

/* Decides a join request, in the thread that called xy_accept (W-190): XY_ACCEPT, XY_REJECT or XY_DEFER.
 * callee_data->len comes in as the room at callee_data->buf and goes out as the length of what is to be sent back (0:
 * none). */
typedef int xy_condition_fn(const struct xy_request* request, struct xy_data* callee_data, void* arg);

/* A protocol entry (W-001 … W-004). */
struct xy_protocol {
    uint32_t size;
    int32_t protocol;      /* XY_PROTO_* */
    int32_t type;          /* SOCK_DGRAM, SOCK_RDM, SOCK_STREAM */
    int32_t family;        /* AF_INET, AF_INET6 */
    uint32_t capabilities; /* XY_CAP_* */
    uint32_t max_message;  /* bytes at the default log size (GROUP: at MTU 1500); 0: a stream, no boundaries */
    char name[32];
};

/* Attaches this process to the daemon at `path` (NULL: $XYLEM_SOCKET, else the default path), and keeps it attached,
 * also without sockets and to a daemon that is started anew there, until xy_detach. Optional: else the first xy_socket
 * attaches, and the close of the last socket detaches. EISCONN when attached elsewhere, ENETDOWN when nobody listens
 * there, EACCES when the daemon refuses this user. */
int xy_attach(const char* path);
/* Closes every socket of this process and detaches. */
int xy_detach(void);

/* A new multipoint socket. EINVAL: flags that the protocol does not allow (W-009, W-010); EAFNOSUPPORT,
 * EPROTONOSUPPORT, EPROTOTYPE, ESOCKTNOSUPPORT, EMFILE, ENOBUFS, ENETDOWN (W-016). */
int xy_socket(int family, int type, int protocol, unsigned flags);
int xy_bind(int s, const struct sockaddr* addr, socklen_t addrlen);
/* The socket must be bound (EINVAL, W-061). Again: changes the backlog (W-070). */
int xy_listen(int s, int backlog);
/* Joins a leaf to a session (W-040 …). c_root: invites the leaf that listens at `name`, returns a new descriptor, the
 * leaf's. c_leaf: asks the root at `name`, returns `s` itself. Blocking: returns when decided. Nonblocking: a
 * descriptor means started; the outcome comes as XY_FD_CONNECT on `s`, and `callee_data` must stay valid until then.
 * `gqos` is ignored. */
int xy_join_leaf(int s, const struct sockaddr* name, socklen_t namelen, const struct xy_data* caller_data,
                 struct xy_data* callee_data, const struct xy_qos* sqos, const struct xy_qos* gqos, unsigned flags);
/* Takes the first queued request, lets `condition` decide (NULL: accept). Returns the leaf's descriptor at a root, the
 * session socket at a listening c_leaf. EAGAIN: none queued (nonblocking); EBUSY: deferred; ECONNREFUSED: rejected;
 * EACCES / ECONNRESET: withdrawn (W-122). */
int xy_accept(int s, struct sockaddr* addr, socklen_t* addrlen, xy_condition_fn* condition, void* arg);
/* c_leaf: a join with XY_BOTH and no data. Else EOPNOTSUPP. */
int xy_connect(int s, const struct sockaddr* name, socklen_t namelen);

ssize_t xy_send(int s, const void* buf, size_t len, int flags);
ssize_t xy_sendto(int s, const void* buf, size_t len, int flags, const struct sockaddr* to, socklen_t tolen);
ssize_t xy_recv(int s, void* buf, size_t len, int flags);
ssize_t xy_recvfrom(int s, void* buf, size_t len, int flags, struct sockaddr* from, socklen_t* fromlen);
ssize_t xy_sendmsg(int s, const struct msghdr* msg, int flags);
ssize_t xy_recvmsg(int s, struct msghdr* msg, int flags);
/* Sends up to `count` messages in order; returns the number sent (>= 1), or -1 when the first could not be. */
int xy_send_batch(int s, struct xy_msg* msgs, unsigned count, int flags);
/* Receives up to `count` messages; returns the number received (>= 1), 0 at the end of a stream, or -1. Waits only for
 * the first. */
int xy_recv_batch(int s, struct xy_msg* msgs, unsigned count, int flags);
/* Zero-copy send: `len` bytes of room in the log for one whole message. EMSGSIZE: more than a cell; EALREADY: one is
 * open. */
int xy_reserve(int s, size_t len, struct xy_span* out);
/* Publishes the first `len` bytes of the reservation as one message; 0 gives it back. */
int xy_commit(int s, const struct xy_span* span, size_t len);
/* Zero-copy receive: the next whole record, read-only, where it lies in the image. */
int xy_borrow(int s, struct xy_span* out);
/* Gives a borrowed span back, in any order. EOVERFLOW: a best-effort span was overwritten meanwhile. */
int xy_release(int s, const struct xy_span* span);

int xy_shutdown(int s, int how);
int xy_send_disconnect(int s, const struct xy_data* data);
int xy_recv_disconnect(int s, struct xy_data* data);
int xy_close(int s);

int xy_ioctl(int s, unsigned code, const void* in, size_t in_len, void* out, size_t out_len, size_t* returned);
int xy_setsockopt(int s, int level, int name, const void* value, socklen_t len);
int xy_getsockopt(int s, int level, int name, void* value, socklen_t* len);
int xy_getsockname(int s, struct sockaddr* addr, socklen_t* addrlen);
int xy_getpeername(int s, struct sockaddr* addr, socklen_t* addrlen);

/* Ends the blocking xy_ call of `thread` with EINTR. EINVAL: it is in none (W-241). */
int xy_cancel(pthread_t thread);

/* Fills up to `count` entries (out[0].size is the stride) and returns how many there are. */
int xy_enum_protocols(struct xy_protocol* out, unsigned count);

/* The library's version, "MAJOR.MINOR.PATCH". */
const char* xy_version(void);

#ifdef __cplusplus
}
#endif
#endif
