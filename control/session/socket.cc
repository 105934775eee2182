// SPDX-License-Identifier: Apache-2.0
#include "control/session/socket.h"

#include <algorithm>

namespace xylem::session {

unsigned Root::n_live() const {
    return static_cast<unsigned>(
        std::count_if(edges.begin(), edges.end(), [](const RootEdgeRef& edge) { return edge->state == XY_LEAF_LIVE; }));
}

Socket::Socket(App& owner, SlotRef the_slot, Role the_role, int the_family, int the_type, uint32_t the_flags,
               const Options& the_options)
    : app(owner),
      slot(std::move(the_slot)),
      role(the_role),
      family(the_family),
      type(the_type),
      flags(the_flags),
      options(the_options) {
    set_direction(XY_BOTH);
    set_phase(abi::Phase::kOpen);
}

void Socket::set_phase(abi::Phase to) {
    phase = to;
    facts().phase.store(static_cast<uint32_t>(to), std::memory_order_release);
    slot->facts_changed();
}

void Socket::set_leaves(uint32_t leaves) {
    facts().leaves.store(leaves, std::memory_order_release);
    slot->facts_changed();
}

void Socket::set_backlog() {
    facts().backlog.store(static_cast<uint32_t>(queue.size()), std::memory_order_release);
    slot->facts_changed();
}

void Socket::set_direction(uint32_t direction) { facts().direction.store(direction, std::memory_order_release); }

void Socket::set_live() { facts().is_live.store(1, std::memory_order_release); }

void Socket::set_read_end(engine::Position end) { facts().read_end.store(end, std::memory_order_release); }

void Socket::set_delivered() {
    facts().has_delivered.store(1, std::memory_order_release);
    slot->facts_changed();
}

void Socket::set_joining(bool is_under_way) {
    is_joining = is_under_way;
    facts().is_joining.store(is_under_way ? 1 : 0, std::memory_order_release);
}

void Socket::decide_join(int code, Bytes data) {
    has_outcome = true;
    outcome = code;
    callee_data = std::move(data);
    facts().connect_error.store(code, std::memory_order_relaxed);
    facts().connect_done.fetch_add(1, std::memory_order_release);
    set_joining(false);
    slot->facts_changed();
}

void Socket::end(int code, bool is_broken_off) {
    if (has_ended && !is_broken_off) return;
    has_ended = true;
    facts().close_error.store(code, std::memory_order_relaxed);
    facts().has_ended.store(1, std::memory_order_release);
    set_phase(abi::Phase::kEnded);
}

}  // namespace xylem::session
