// SPDX-License-Identifier: Apache-2.0
#include "tests/conformance/watch.h"

#include <sys/eventfd.h>

#include <chrono>
#include <thread>

namespace xylem::conformance {

namespace {

using Clock = std::chrono::steady_clock;

uint32_t recorded_until(int s, Clock::time_point end) {
    uint32_t all = 0;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
        if (left <= 0) return all | calls::enum_events(s).events;
        calls::await_readable(s, static_cast<int>(left));
        all |= calls::enum_events(s).events;
    }
}

short poll_for(int s, short events, int timeout_ms) {
    pollfd ready{s, events, 0};
    return xy_poll(&ready, 1, timeout_ms) > 0 ? ready.revents : static_cast<short>(0);
}

}  // namespace

uint32_t recorded_within_quiet(Party& party, int s, Where where) {
    return party.run([=] { return recorded_until(s, Clock::now() + std::chrono::milliseconds(kQuietMs)); }, where);
}

int end_of(Party& party, int s, Where where) {
    must(party.select(s, XY_FD_CLOSE, where), "select");
    const Events events = party.await(s, XY_FD_CLOSE, where);
    must(events, "FD_CLOSE");
    return events.error_of[XY_FD_CLOSE_BIT];
}

int make_eventfd(Party& party, Where where) {
    return must(party.run([] { return done(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }, where), "eventfd");
}

Done select_on(Party& party, int s, int event_fd, unsigned mask, Where where) {
    return party.run([=] { return done(xy_event_select(s, event_fd, mask)); }, where);
}

Events take_on(Party& party, int s, int event_fd, Where where) {
    return party.run(
        [=] {
            Events out;
            xy_events events{};
            static_cast<Done&>(out) = done(xy_enum_events(s, event_fd, &events));
            if (out.value < 0) return out;
            out.events = events.events;
            std::memcpy(out.error_of, events.error, sizeof events.error);
            return out;
        },
        where);
}

bool is_signalled(Party& party, int event_fd, Where where) {
    return party.run([=] { return calls::await_readable(event_fd, kPatienceMs); }, where);
}

bool stays_unsignalled(Party& party, int event_fd, Where where) {
    return party.run([=] { return !calls::await_readable(event_fd, kQuietMs); }, where);
}

short polled_within_quiet(Party& party, int s, short events, Where where) {
    return party.run([=] { return poll_for(s, events, kQuietMs); }, where);
}

short polled(Party& party, int s, short events, Where where) {
    return party.run([=] { return poll_for(s, events, kPatienceMs); }, where);
}

bool is_joined_in_time(Party& party, int s, Where where) {
    return party.run(
        [=] {
            const auto end = Clock::now() + std::chrono::milliseconds(kPatienceMs);
            for (Address peer; calls::name(s, true, peer).value < 0;) {
                if (Clock::now() > end) return false;
                std::this_thread::yield();
            }
            return true;
        },
        where);
}

Done set_number(Party& party, int s, int level, int name, uint32_t value, Where where) {
    return party.run([=] { return done(xy_setsockopt(s, level, name, &value, sizeof value)); }, where);
}

Done number_of(Party& party, int s, int level, int name, Where where) {
    return party.run(
        [=] {
            uint32_t value = 0;
            socklen_t length = sizeof value;
            Done result = done(xy_getsockopt(s, level, name, &value, &length));
            if (result.value == 0) result.value = value;
            return result;
        },
        where);
}

Done set_linger(Party& party, int s, bool is_on, int seconds, Where where) {
    return party.run(
        [=] {
            const linger value{is_on ? 1 : 0, seconds};
            return done(xy_setsockopt(s, SOL_SOCKET, SO_LINGER, &value, sizeof value));
        },
        where);
}

Done send_disconnect(Party& party, int s, const Text& text, Where where) {
    return party.run(
        [=] {
            const xy_data data{const_cast<char*>(text.bytes), text.length};
            return done(xy_send_disconnect(s, text.length != 0 ? &data : nullptr));
        },
        where);
}

Received receive_disconnect(Party& party, int s, size_t room, Where where) {
    return party.run(
        [=] {
            Received out;
            xy_data data{out.text.bytes, room};
            static_cast<Done&>(out) = done(xy_recv_disconnect(s, &data));
            if (out.value == 0) out.text.length = static_cast<uint32_t>(data.len);
            return out;
        },
        where);
}

}  // namespace xylem::conformance
