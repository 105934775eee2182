// SPDX-License-Identifier: Apache-2.0
// Recording and re-enabling of events (W-130 … W-153). An event must be told when it is enabled and holds; it may be
// told when it held at some time since it was enabled.
#include <algorithm>
#include <cerrno>

#include "tests/model/world.h"

namespace xylem::model {

namespace {
constexpr size_t kSurelyWritableBytes = 8 * 1024;

}  // namespace

Truth World::truth(const Node& s, unsigned bit, std::set<int>& codes) const {
    codes = {0};
    switch (bit) {
        case XY_FD_READ_BIT: {
            if (s.is_handle()) return s.is_live() ? Truth::kMaybe : Truth::kNo;
            if (s.is_shut_read) return Truth::kNo;
            Truth most = Truth::kNo;
            for (const Edge* e : sources(const_cast<Node&>(s)))
                most = std::max(most, e->down.is_empty() && !s.is_root()            ? Truth::kMaybe
                                      : (s.is_root() ? e->up : e->down).may_be_lost ? Truth::kMaybe
                                                                                    : Truth::kYes);
            return most;
        }
        case XY_FD_WRITE_BIT:
            if (s.is_handle()) return s.is_live() ? Truth::kMaybe : Truth::kNo;
            if (send_refusal(s) != 0) return Truth::kNo;
            return s.outstanding_bytes() < kSurelyWritableBytes ? Truth::kYes : Truth::kMaybe;
        case XY_FD_ACCEPT_BIT:
            return s.queue.empty() ? Truth::kNo : Truth::kYes;
        case XY_FD_CONNECT_BIT:
            codes = s.stale_codes;
            if (s.is_connect_due) codes.insert(s.connect_codes.begin(), s.connect_codes.end());
            return s.is_connect_due ? Truth::kYes : s.stale_codes.empty() ? Truth::kNo : Truth::kMaybe;
        case XY_FD_CLOSE_BIT:
            if (s.is_handle()) return handle_has_ended(*s.edge, codes);
            if (!s.is_leaf() || !s.has_ended()) return Truth::kNo;
            codes = s.edge->leaf_end;
            if (!codes.contains(0) || s.is_shut_read || !s.edge->leaf_receives()) return Truth::kYes;
            if (s.edge->down.is_empty()) return s.edge->early.empty() ? Truth::kYes : Truth::kMaybe;  // W-165
            return s.edge->down.may_be_lost ? Truth::kMaybe : Truth::kNo;
        default:
            return Truth::kNo;
    }
}

void World::note_truths() {
    for (const auto& [id, node] : nodes_) {
        Node& s = *node;
        const uint32_t enabled = s.enabled | s.may_be_enabled;
        for (unsigned bit = 0; enabled >> bit != 0; ++bit) {
            std::set<int> codes;
            if ((enabled >> bit & 1) != 0 && truth(s, bit, codes) != Truth::kNo) s.was_true |= 1U << bit;
        }
    }
}

void World::reenable(Node& s, uint32_t events) {
    const uint32_t renewed = s.mask & events & ~s.enabled;
    if (s.owner_of_event_fd >= 0) s.may_be_both |= s.mask & events & s.enabled & s.was_true;
    s.enabled |= renewed;
    s.was_true &= ~renewed | s.may_be_enabled;
    s.may_be_enabled &= ~renewed;
}

void World::select(Node& s, const Op& op) {
    const uint32_t all[] = {XY_FD_READ, XY_FD_WRITE, XY_FD_ACCEPT, XY_FD_CONNECT, XY_FD_CLOSE};
    uint32_t mask = 0;
    for (unsigned i = 0; i < std::size(all); ++i)
        if ((op.r[0] >> i & 1) != 0) mask |= all[i];
    if (op.r[1] % 4 == 0) mask = XY_FD_READ | XY_FD_WRITE | XY_FD_ACCEPT | XY_FD_CONNECT | XY_FD_CLOSE;
    if (op.r[1] % 10 == 1) mask = 0;
    const bool is_wrong = op.r[1] % 20 == 2;
    if (is_wrong) mask |= 1U << 12;
    const bool has_event_fd = op.r[2] % 3 == 0;
    const Reply reply = ask(s, request_for(Call::kSelect, s.fd, static_cast<int>(mask), has_event_fd ? 1 : 0));
    if (check(&s, "event_select(" + std::to_string(mask) + (has_event_fd ? ", eventfd)" : ")"), reply,
              {is_wrong ? EINVAL : 0}) != 0)
        return;
    // An outcome that was recorded and not taken is gone with the record (W-142), or told again (W-135).
    s.is_connect_doubtful = s.is_connect_due && (s.is_connect_doubtful || (s.mask & XY_FD_CONNECT) != 0);
    s.mask = s.enabled = mask;
    s.was_true = s.may_be_both = s.may_be_enabled = 0;
    s.stale_codes.clear();
    s.owner_of_event_fd = has_event_fd && mask != 0 ? s.fd : -1;
    s.is_nonblocking = true;  // W-141
}

void World::enumerate(Node& s) {
    uint32_t must = 0, may = s.was_true & (s.enabled | s.may_be_enabled);
    std::array<std::set<int>, XY_FD_MAX_EVENTS> codes;
    for (unsigned bit = 0; bit < XY_FD_MAX_EVENTS; ++bit) {
        if (((s.enabled | s.may_be_enabled) >> bit & 1) == 0) continue;
        const Truth now = truth(s, bit, codes[bit]);
        if (now != Truth::kNo) may |= 1U << bit;
        if (now == Truth::kYes) must |= s.enabled & 1U << bit;
    }
    if (s.is_connect_doubtful) must &= ~static_cast<uint32_t>(XY_FD_CONNECT);
    const Reply reply = ask(s, request_for(Call::kEnumerate, s.fd, static_cast<int>(must), s.owner_of_event_fd));
    const auto got = static_cast<uint32_t>(reply.values[15]);
    check(&s,
          "enum_events(must " + std::to_string(must) + ", may " + std::to_string(may) + ", got " + std::to_string(got) +
              ")",
          reply, {0});
    if ((got & must) != must) fail("events " + std::to_string(must & ~got) + " were not told in state " + before_);
    if ((got & ~may) != 0)
        fail("events " + std::to_string(got & ~may) + " were told that do not hold in state " + before_);
    const bool is_doubled = (reply.values[14] & ~(s.stale_codes.empty() ? 0 : XY_FD_CONNECT)) != 0;
    if (is_doubled) fail("events " + std::to_string(reply.values[14]) + " were told twice");
    for (unsigned bit : {XY_FD_CONNECT_BIT, XY_FD_CLOSE_BIT}) {
        if ((got >> bit & 1) == 0) continue;
        ++coverage_[before_ + (bit == XY_FD_CLOSE_BIT ? " FD_CLOSE " : " FD_CONNECT ") +
                    name_of_error(static_cast<int>(reply.values[bit]))];
        if (!codes[bit].contains(static_cast<int>(reply.values[bit])))
            fail("event " + std::to_string(bit) + " came with " + name_of_error(static_cast<int>(reply.values[bit])) +
                 " in state " + before_);
    }
    // One bit holds one outcome (W-138): what came may be that of a join before the last, which is then still to be
    // told.
    const bool is_stale = (got & XY_FD_CONNECT) != 0 && !s.stale_codes.empty();
    if (is_stale) s.stale_codes.clear(), s.is_connect_doubtful = s.is_connect_due;
    s.may_be_enabled = (s.may_be_enabled & ~got) | (got & s.may_be_both);
    s.may_be_both &= ~got;
    s.enabled &= ~(is_stale ? got & ~static_cast<uint32_t>(XY_FD_CONNECT) : got);
    s.was_true &= ~got;
    if ((got & XY_FD_CONNECT) == 0 || is_stale) return;
    s.is_connect_due = s.is_connect_doubtful = false;
    if (!s.has_callee_room) return;
    const Reply callee = ask(s, request_for(Call::kCallee, s.fd));
    const bool is_joined = reply.values[XY_FD_CONNECT_BIT] == 0;
    if (callee.data != (is_joined ? s.expected_callee : std::string()))  // W-186
        fail("the callee data are not what accept gave");
    s.has_callee_room = false;
}

}  // namespace xylem::model
