// SPDX-License-Identifier: Apache-2.0
// What the driver of a world asks its worker processes to do: one call of the public API per request, over a
// SOCK_SEQPACKET pair. A request may name errors that are only passing (the effect of an earlier call is still on its
// way): the worker repeats the call until another outcome comes or the deadline is over.
#pragma once
#include <sys/socket.h>
#include <xylem/xylem.h>

#include <cstdint>
#include <string>

namespace xylem::model {

enum class Call : uint32_t {
    kSocket,
    kBind,
    kListen,
    kJoin,
    kConnect,
    kCallee,  // the callee data that a join left in its buffer
    kAccept,
    kSend,
    kReceive,
    kShutdown,
    kSendDisconnect,
    kReceiveDisconnect,
    kClose,
    kSelect,
    kEnumerate,
    kSetBlocking,
    kNextBytes,
    kSetOption,
    kGetOption,
    kName,
    kPoll,
    kStats,
    kLeafStats,
    kStatus,
    // Not calls of the API.
    kAwaitLeaves,     // until xy_stats shows `a` leaves
    kAwaitReadable,   // until xy_poll shows POLLIN
    kAwaitSendError,  // until a send that could not be carried out anyway tells that the session is over
    kCountDescriptors,
    kCloseAll,
    kEnd,
};

/// How a worker waits between two attempts.
enum class Patience : uint32_t { kNone, kNap, kDescriptor, kXyPoll };

inline constexpr size_t kMaxData = 48 * 1024;
inline constexpr int kDeadlineMs = 20'000;
inline constexpr int kShrinkDeadlineMs = 1'500;  // a sequence that has failed already

struct RequestHead {
    Call call;
    int32_t fd;
    int32_t a, b, c, d;
    uint64_t n;
    Patience patience;
    int32_t deadline_ms;
    int32_t passing[4];  // errnos; 0: none
    sockaddr_storage address;
    uint32_t address_bytes;
    uint32_t data_bytes;
};

struct ReplyHead {
    int64_t result;
    int32_t error;
    int32_t was_late;  // the deadline passed
    int64_t values[16];
    sockaddr_storage address;
    uint32_t address_bytes;
    uint32_t data_bytes;
};

struct Request : RequestHead {
    std::string data;
};

struct Reply : ReplyHead {
    std::string data;
};

Request request_for(Call call, int fd, int a = 0, int b = 0, int c = 0, int d = 0);

/// False: the other end is gone.
bool put(int channel, const Request& request);
bool put(int channel, const Reply& reply);
bool get(int channel, Request& request);
bool get(int channel, Reply& reply);

/// Serves one channel until it is closed: a thread of a worker process.
void serve(int channel);

}  // namespace xylem::model
