// SPDX-License-Identifier: Apache-2.0
// The control segment of an application, in two memfds: AppSegment, written by the application (hostile to the engine),
// and EngineSegment, written by the engine and mapped read-only by the application. One struct each, two views. A
// socket id is an index into both socket tables. A c_root (and a mesh member) that receives from several images has an
// inbox beside: InboxEngine and InboxApp.
#pragma once
#include <xylem/abi/position.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace xylem::abi {

inline constexpr uint32_t kAppMagic = 0x58415050;     // "XAPP"
inline constexpr uint32_t kEngineMagic = 0x58454E47;  // "XENG"
inline constexpr uint32_t kMaxSockets = 4096;         // per application
inline constexpr uint32_t kInboxSlots = 4096;         // images one socket can receive from; a power of two

// ---- written by the application ----

struct alignas(64) AppSocket {
    std::atomic<Position>
        consumed;                // d_leaf: everything before it is taken (release); partner: the worker's acquire load
    std::atomic<Position> seen;  // `published` when the shim last looked and found no whole message, stored before it
                                 // arms: the descriptor stays quiet until more is published than that
    std::atomic<uint32_t> qos_seen;  // qos_changes that the shim has recorded; stored before it arms kWantQos
    uint8_t pad_to_line[44];
};
static_assert(sizeof(AppSocket) == 64);

/// Two-level doorbell: bit s%64 of bell[s/64] says that socket s has something for its worker (a commit, a consumption
/// that reached kick_at), bit s/64 of `summary` that bell[s/64] is not empty. Set bell, then summary; the worker clears
/// summary, then bell.
struct AppSegment {
    uint32_t magic;
    uint32_t version;
    uint8_t pad_to_line[56];
    alignas(64) std::atomic<uint64_t> summary;
    uint8_t pad_line2[56];
    alignas(64) std::atomic<uint64_t> bell[kMaxSockets / 64];
    uint8_t pad_to_page[4096 - 128 - kMaxSockets / 8];
    AppSocket sockets[kMaxSockets];
};
static_assert(offsetof(AppSegment, summary) == 64);
static_assert(offsetof(AppSegment, bell) == 128);
static_assert(offsetof(AppSegment, sockets) == 4096);

// ---- written by the engine ----

enum class Phase : uint32_t { kFree, kOpen, kBound, kListening, kJoining, kJoined, kEnded };

struct EngineSocket {
    // The worker's line.
    alignas(64) std::atomic<Position> limit;  // how far the log may be written: the writer stays below (acquire)
    std::atomic<uint32_t> is_watched;         // 1: the worker polls `commit` anyway, no doorbell needed
    std::atomic<int32_t> send_error;          // errno of every send from now on; 0: none
    uint8_t pad_line1[48];
    // The control thread's line.
    alignas(64) std::atomic<uint32_t> phase;  // Phase
    std::atomic<uint32_t>
        connect_done;  // number of joins on this socket that were decided (the outcome of the last: connect_error)
    std::atomic<int32_t> connect_error;  // errno, 0: joined
    std::atomic<uint32_t> has_ended;     // 1: the session is over for this socket (close_error says how)
    std::atomic<int32_t> close_error;    // 0: gracefully: readers go on to the image's final position first
    std::atomic<uint32_t> backlog;       // join requests queued
    std::atomic<uint32_t> leaves;        // d_root: live leaves; d_leaf: 1 while joined. 0: send fails with ENOTCONN
    std::atomic<uint32_t> direction;     // XY_SENDER_ONLY, XY_RECEIVER_ONLY, XY_BOTH of this socket
    std::atomic<uint32_t> is_live;       // 1: kGetImage (d_leaf) has something to give
    std::atomic<uint32_t> qos_changes;   // counts; each is an XY_FD_QOS
    std::atomic<int32_t> qos_code;       // XY_QOS_*
    std::atomic<uint32_t> is_joining;    // 1: a join of this socket is in progress: kWantConnect waits
    std::atomic<uint64_t> generation;    // changes whenever the slot is given to another socket
    uint8_t pad_line2[8];
    // The control thread's second line.
    alignas(64) std::atomic<Position> read_end;  // where this socket's reading of its image ends, though the image goes
                                                 // on (this leaf alone was evicted); kNoPosition: only where the image
                                                 // ends. Stored before has_ended
    std::atomic<uint32_t> has_inbox;             // 1: a d_leaf also receives from images behind an inbox (kGetInbox)
    std::atomic<uint32_t> app_id;                // the engine's number of the application: see GroupReceived::origin
    std::atomic<uint32_t> destinations_changed;  // GROUP: counts; what kDestination has told is to be asked anew
    std::atomic<uint32_t> has_delivered;  // 1: what was sent before CloseHow::kLinger was confirmed, or is given up
    uint8_t pad_line3[40];
};
static_assert(sizeof(EngineSocket) == 192);

struct EngineSegment {
    uint32_t magic;
    uint32_t version;
    uint8_t pad_to_line[56];
    alignas(64) std::atomic<uint32_t> worker_sleeps;  // 1: kick after ringing a doorbell. App: ring, seq_cst fence,
                                                      // load; worker: store, fence, check bells
    uint8_t pad_to_page[4096 - 68];
    EngineSocket sockets[kMaxSockets];
};
static_assert(offsetof(EngineSegment, worker_sleeps) == 64);
static_assert(offsetof(EngineSegment, sockets) == 4096);

// ---- receiving from several images ----

/// Ready ring: the worker puts in the slot of an image that got something, at most one entry per slot at a time: it
/// pushes when the slot's `acked` equals the number of pushes so far. The application takes an entry, stores acked =
/// that number + 1 (seq_cst), and only then reads the image until nothing is left.
struct InboxEngine {
    alignas(64) std::atomic<uint32_t> head;  // entries put in, release; entry i is ring[i % kInboxSlots]
    uint8_t pad_to_line[60];
    std::atomic<uint32_t> ring[kInboxSlots];
};
static_assert(offsetof(InboxEngine, ring) == 64);

struct InboxSlot {
    std::atomic<Position> consumed;
    std::atomic<uint32_t> acked;  // pushes of this slot seen
    uint32_t reserved_zero;
};
static_assert(sizeof(InboxSlot) == 16);

struct InboxApp {
    alignas(64) std::atomic<uint32_t> tail;  // entries taken out
    uint8_t pad_to_line[60];
    InboxSlot slots[kInboxSlots];
};
static_assert(offsetof(InboxApp, slots) == 64);

// ---- descriptors ----
// A socket's descriptor is one end of a stream socketpair. Engine to application: a byte = there is something.
// Application to engine: a byte = arm me for these interests (it replaces what was armed); the engine answers at once
// when one already holds.

inline constexpr uint8_t kWantRead = 1;        // something to receive, or the end
inline constexpr uint8_t kWantAccept = 2;      // a join request is queued
inline constexpr uint8_t kWantConnect = 4;     // the join in progress was decided
inline constexpr uint8_t kWantClose = 8;       // the session is over (gracefully: and all of it is published)
inline constexpr uint8_t kWantWrite = 16;      // a quarter of the log is free, or sending fails
inline constexpr uint8_t kWantQos = 32;        // qos_changes is beyond AppSocket::qos_seen
inline constexpr uint8_t kWantDelivered = 64;  // has_delivered

}  // namespace xylem::abi
