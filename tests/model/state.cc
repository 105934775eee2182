// SPDX-License-Identifier: Apache-2.0
#include "tests/model/state.h"

#include <algorithm>

namespace xylem::model {

std::string content_of(const Message& message) {
    std::string bytes(message.bytes, '\0');
    uint64_t x = message.id * 0x9E3779B97F4A7C15ULL + 1;
    for (char& byte : bytes) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        byte = static_cast<char>(x >> 32);
    }
    return bytes;
}

size_t Queue::bytes() const {
    size_t sum = 0;
    for (const Message& message : pending)
        sum += message.bytes;
    return sum - taken_bytes;
}

unsigned Node::n_live() const {
    return static_cast<unsigned>(
        std::count_if(edges.begin(), edges.end(), [](const Edge* e) { return e->step == Edge::Step::kLive; }));
}

// Log bytes, generously.
size_t Node::outstanding_bytes() const {
    const auto cost = [](const Queue& queue) { return queue.bytes() + queue.pending.size() * 32; };
    if (is_leaf()) return edge != nullptr ? cost(edge->up) : 0;
    size_t most = 0;
    for (const Edge* e : edges)
        most = std::max(most, cost(e->down));
    return most;
}

std::string Node::state() const {
    std::string text;
    if (is_root()) {
        text = "root:";
        text += !local ? "open" : is_listening ? "listening" : "bound";
        if (!queue.empty()) text += "+queue";
        if (pending != nullptr) text += "+inviting";
        const unsigned n = n_live();
        text += n == 0 ? "" : n == 1 ? "+1leaf" : "+leaves";
        if (is_finishing) text += "+finishing";
    } else if (is_handle()) {
        std::set<int> codes;
        text = "handle:";
        text += edge->step == Edge::Step::kPending             ? "pending"
                : handle_has_ended(*edge, codes) != Truth::kNo ? "ended"
                : edge->step == Edge::Step::kLive              ? "live"
                                                               : "dead";
    } else {
        text = "leaf:";
        text += is_listening  ? (queue.empty() ? "listening" : "listening+queue")
                : pending     ? "joining"
                : has_ended() ? "ended"
                : edge        ? (edge->direction == XY_BOTH          ? "joined"
                                 : edge->direction == XY_SENDER_ONLY ? "joined-sender"
                                                                     : "joined-receiver")
                : local       ? "bound"
                              : "open";
    }
    if (is_shut_read) text += "-r";
    if (is_shut_write) text += "-w";
    return text;
}

Truth handle_has_ended(const Edge& edge, std::set<int>& codes) {
    if (!edge.handle_end.empty()) {
        codes = edge.handle_end;
        return Truth::kYes;
    }
    codes = {0};
    // What the leaf sent is read first, while there is somebody to read it (W-165).
    const bool is_up_read = edge.root == nullptr || !edge.leaf_sends() || edge.up.is_empty();
    if ((edge.has_leaf_left || edge.has_leaf_disconnected) && is_up_read) return Truth::kYes;
    if (!edge.is_root_finished) return Truth::kNo;
    const bool takes_nothing = edge.leaf == nullptr || edge.leaf->is_shut_read || !edge.leaf_receives();
    if (edge.has_leaf_left && edge.root != nullptr) return is_up_read ? Truth::kYes : Truth::kMaybe;
    if (!takes_nothing && edge.down.is_empty() && !edge.early.empty()) return Truth::kMaybe;
    if (takes_nothing || edge.down.is_empty()) return Truth::kYes;
    return edge.down.may_be_lost ? Truth::kMaybe : Truth::kNo;
}

}  // namespace xylem::model
