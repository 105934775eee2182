// SPDX-License-Identifier: Apache-2.0
// What a party sees of a socket from outside: events within a time, eventfds that take them, xy_poll, options.
#pragma once
#include <poll.h>

#include "tests/conformance/party.h"

namespace xylem::conformance {

/// The events that were recorded within the quiet period. A wake-up of the descriptor alone is none.
uint32_t recorded_within_quiet(Party& party, int s, Where where = Where::current());

/// Registers for FD_CLOSE, which must come: its code.
int end_of(Party& party, int s, Where where = Where::current());

/// A new eventfd of the party.
int make_eventfd(Party& party, Where where = Where::current());
Done select_on(Party& party, int s, int event_fd, unsigned mask, Where where = Where::current());
/// xy_enum_events that resets `event_fd`.
Events take_on(Party& party, int s, int event_fd, Where where = Where::current());
/// Whether the eventfd is signalled in time, or not within the quiet period.
bool is_signalled(Party& party, int event_fd, Where where = Where::current());
bool stays_unsignalled(Party& party, int event_fd, Where where = Where::current());

/// What xy_poll reports on `s` within the quiet period; 0: nothing.
short polled_within_quiet(Party& party, int s, short events, Where where = Where::current());
/// What xy_poll reports on `s` in time.
short polled(Party& party, int s, short events, Where where = Where::current());
/// Whether getpeername succeeds in time: the join is complete.
bool is_joined_in_time(Party& party, int s, Where where = Where::current());

Done set_number(Party& party, int s, int level, int name, uint32_t value, Where where = Where::current());
/// The option's value, or -1 with the error.
Done number_of(Party& party, int s, int level, int name, Where where = Where::current());
Done set_linger(Party& party, int s, bool is_on, int seconds, Where where = Where::current());

Done send_disconnect(Party& party, int s, const Text& text = {}, Where where = Where::current());
/// xy_recv_disconnect with `room` bytes.
Received receive_disconnect(Party& party, int s, size_t room = XY_DISCONNECT_DATA_MAX, Where where = Where::current());

}  // namespace xylem::conformance
