// SPDX-License-Identifier: Apache-2.0
// Network events of a socket (W-130 … W-154), computed from the engine's words when somebody looks: an event is enabled
// until it is recorded, and then again after its re-enabling call. While an event is enabled and does not hold, the
// descriptor is armed for it. Locks: the events mutex is taken before the others, never inside one.
#pragma once
#include <xylem/events.h>

#include <atomic>
#include <cstdint>

#include "shim/mutex.h"

namespace xylem::shim {

struct Socket;

struct Events {
    Mutex mutex;
    std::atomic<uint32_t> mask{0};
    int event_fd = -1;  // the application's eventfd; -1: the socket's own descriptor
    uint32_t enabled = 0;
    uint32_t recorded = 0;
    int32_t error[XY_FD_MAX_EVENTS] = {};
    uint32_t connects_seen = 0;  // joins decided whose outcome was reported
    uint32_t qos_seen = 0;
};

/// xy_event_select, xy_enum_events. 0 or errno.
int select_events(Socket& s, int event_fd, uint32_t mask);
int take_events(Socket& s, int event_fd, xy_events& out);

/// A new socket takes over the registration of the one it came from (W-095, W-151).
void inherit_events(Socket& s, Socket& from);

/// A re-enabling call is being made (W-146). The caller ends with refresh_interests when this returns true.
bool reenable(Socket& s, uint32_t events);
/// The interests of the descriptor follow the events that are enabled.
void refresh_interests(Socket& s);
/// The same after the descriptor was found readable: what it shows is taken.
void renew_interests(Socket& s);
void renew_interests_locked(Socket& s);

/// Moves enabled events that hold into the record; returns the record.
uint32_t record_events(Socket& s);

/// The thread that serves registrations with an eventfd of the application's.
int watch_events(Socket& s);
void unwatch_events(Socket& s);
void abandon_event_thread_in_child();

}  // namespace xylem::shim
