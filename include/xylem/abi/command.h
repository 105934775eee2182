// SPDX-License-Identifier: Apache-2.0
// Commands of an application, as messages on the SOCK_SEQPACKET attach socket (docs/decisions/0001). A request is a
// RequestHeader and its op's body, sent whole; the reply is a ReplyHeader and the op's answer, with descriptors by
// SCM_RIGHTS. Replies carry the request's sequence; nothing but kAcceptDecide waits for the network (waiting is
// done on the socket's own descriptor), and replies to other requests overtake it. A request of the wrong size ends the
// connection.
#pragma once
#include <sys/socket.h>
#include <xylem/abi/log.h>
#include <xylem/qos.h>

#include <cstdint>

namespace xylem::abi {

inline constexpr uint32_t kCommandMagic = 0x58434D44;  // "XCMD"
inline constexpr uint32_t kMaxCommandBytes = 4096;
inline constexpr uint32_t kMaxConnectData = 1024;

enum class Op : uint16_t {
    kAttach = 1,  // Attach -> AttachReply; fds: app segment (rw), engine segment (ro), kick eventfd
    kSocket,      // SocketBody -> SocketReply; fd: descriptor
    kBind,        // AddressBody -> AddressBody (the address bound)
    kListen,      // ListenBody -> nothing
    kJoin,  // JoinBody -> SocketReply (c_root: the new socket; fd: its descriptor. c_leaf: id = the socket itself, no
            // fd)
    kJoinResult,  // nothing -> JoinResultReply: outcome of the last decided join on this socket; EINPROGRESS: not
                  // decided
    kAcceptTake,  // nothing -> AcceptTakeReply; EAGAIN: none; EACCES / ECONNRESET: the head was withdrawn (and is gone
                  // now)
    kAcceptDecide,    // AcceptDecideBody -> SocketReply; fd: descriptor (XY_ACCEPT only; else an empty SocketReply)
    kShutdown,        // HowBody -> nothing
    kClose,           // CloseBody -> nothing
    kSendDisconnect,  // BlobBody -> nothing
    kRecvDisconnect,  // nothing -> BlobBody
    kSetOption,       // OptionBody -> nothing
    kGetOption,       // OptionBody (value ignored) -> OptionBody
    kName,            // NameBody -> AddressBody; ENOTCONN / EINVAL
    kMakeLog,         // nothing -> LogReply; fd: the log (rw). Map it, then kLogMapped
    kLogMapped,       // nothing -> nothing; the engine seals the log and starts to pull
    kGetInbox,        // nothing -> nothing; fds: InboxEngine (ro), InboxApp (rw)
    kGetImage,        // ImageBody -> ImageReply; fd: the image (ro). ENOTCONN: not live yet
    kStats,           // nothing -> StatsReply
    kLeafStats,       // LeafStatsBody -> nothing; fd: a memfd with xy_leaf_stats rows; ReplyHeader.value = rows
    kStatus,          // nothing -> nothing; fd: a memfd with JSON; ReplyHeader.value = its length
    kSetQos,          // QosBody -> nothing
    kGetQos,          // nothing -> QosBody
    kCancelJoin,      // nothing -> nothing: a blocking join was cancelled; the socket is as before it. EINVAL: none
    kDestination,     // GROUP: AddressBody -> DestinationReply. Binds the socket if need be. ENOBUFS: kMaxDestinations
    kSideChat,  // a leaf -> SocketReply; fd: the hidden socket whose log goes to the root's descriptor of this leaf
};

struct RequestHeader {
    uint32_t magic;  // kCommandMagic
    uint16_t op;
    uint16_t version;  // kAbiVersion
    uint64_t sequence;
    uint32_t socket;  // socket id, where the op has one
    uint32_t body_bytes;
};
static_assert(sizeof(RequestHeader) == 24);

struct ReplyHeader {
    uint32_t magic;
    int32_t error;  // 0 or errno; then no body and no descriptors
    uint64_t sequence;
    uint32_t value;
    uint32_t body_bytes;
};
static_assert(sizeof(ReplyHeader) == 24);

struct AttachReply {
    uint64_t app_bytes, engine_bytes;  // sizes of the two segments
    uint32_t abi_version;
    uint32_t is_root_daemon;  // 1: the daemon runs as root
    char daemon_version[32];
};

struct SocketBody {
    int32_t family, type, protocol;  // type without SOCK_NONBLOCK and SOCK_CLOEXEC
    uint32_t flags;                  // XY_C_*, XY_D_*
};

struct SocketReply {
    uint32_t socket;
    uint32_t leaf_number;
    uint32_t roles;  // XY_C_* | XY_D_* of the new socket
    uint32_t direction;
};

struct AddressBody {
    sockaddr_storage address;
    uint32_t length;
    uint32_t reserved_zero;
};

struct ListenBody {
    int32_t backlog;
    uint32_t reserved_zero;
};

struct Qos {
    uint32_t is_present;
    uint32_t reserved_zero;
    xy_flowspec sending, receiving;
};

struct JoinBody {
    AddressBody name;
    uint32_t flags;  // XY_SENDER_ONLY, XY_RECEIVER_ONLY, XY_BOTH
    uint32_t caller_bytes;
    Qos qos;
    uint8_t caller[kMaxConnectData];
};

struct JoinResultReply {
    int32_t outcome;  // 0 or errno
    uint32_t callee_bytes;
    uint8_t callee[kMaxConnectData];
};

struct AcceptTakeReply {
    uint64_t request;
    AddressBody caller, callee;
    uint32_t flags;
    uint32_t caller_bytes;
    Qos qos;
    uint8_t caller_data[kMaxConnectData];
};

struct AcceptDecideBody {
    uint64_t request;
    uint32_t decision;  // XY_ACCEPT, XY_REJECT, XY_DEFER
    uint32_t callee_bytes;
    Qos qos;
    uint8_t callee[kMaxConnectData];
};

struct HowBody {
    int32_t how;
    uint32_t reserved_zero;
};

/// Closing with SO_LINGER (W-170, W-171). Only the first two end the socket.
enum class CloseHow : uint32_t {
    kGraceful,  // what is on its way is delivered in the background
    kAbortive,  // it is dropped, and the peers get ECONNRESET
    kAsk,       // EAGAIN: not all that was sent is confirmed. Nothing happens
    kLinger,  // begins a graceful end: nothing more is sent or received. EngineSocket::has_delivered tells when all was
              // confirmed
};

struct CloseBody {
    uint32_t how;  // CloseHow
    uint32_t reserved_zero;
};

struct BlobBody {
    uint32_t bytes;
    uint32_t reserved_zero;
    uint8_t blob[kMaxConnectData];
};

struct OptionBody {
    int32_t level, name;
    uint32_t bytes;
    uint32_t reserved_zero;
    uint8_t value[256];
};

struct NameBody {
    uint32_t is_peer;  // 0: getsockname, 1: getpeername
    uint32_t reserved_zero;
};

struct LogReply {
    uint32_t cell_bytes, cells_log2;
    Position start;  // first position to write
    uint64_t max_message_bytes;
};

struct ImageBody {
    uint32_t slot;  // inbox slot; 0 for a d_leaf
    uint32_t reserved_zero;
};

struct ImageReply {
    uint32_t cell_bytes, cells_log2;
    uint32_t flags;        // kImage*
    uint32_t leaf_number;  // whose data it is (d_root)
    Position start;        // first position to read
    AddressBody source;    // the sender's address
    Position end;          // behind an inbox: where reading ends though the image goes on; kNoPosition: it does not
    uint32_t is_own;       // 1: the socket's own traffic (MESH, while its loopback is on)
    uint32_t reserved_zero;
};

struct StatsReply {
    uint32_t leaves;
    uint32_t reserved_zero;
    uint64_t confirmed_bytes, repaired_bytes, thinned_bytes;  // the rest is counted by the shim
};

struct LeafStatsBody {
    uint32_t count;
    uint32_t reserved_zero;
};

struct QosBody {
    Qos qos;
};

/// Where datagrams of a GROUP socket may go. Valid until EngineSocket::destinations_changed changes.
struct DestinationReply {
    uint32_t index;      // for GroupSend
    uint32_t max_bytes;  // of one datagram's payload
    uint32_t is_up;      // 0: its neighbour is not known yet: datagrams are dropped until it is
    uint32_t reserved_zero;
};

/// Names at level XY_SOL that kSetOption takes from the shim alone: what an application sets with xy_ioctl.
inline constexpr int32_t kOptionScope = 0x10000;     // int32_t, 0 to 255: XY_SIO_MULTICAST_SCOPE
inline constexpr int32_t kOptionLoopback = 0x10001;  // int32_t: XY_SIO_MULTIPOINT_LOOPBACK of a MESH member

}  // namespace xylem::abi
