// SPDX-License-Identifier: Apache-2.0
// The Hello exchange.
#include "control/signalling/hub.h"

#include <cerrno>
#include <cstring>

#include "dataplane/base/address_text.h"

namespace xylem::signalling {
namespace {

constexpr Milliseconds kLastWords{1000};  // how long a refused connection may take to read why

}  // namespace

Peers::Hub::Hub(asio::io_context& context, Config config, Listener& listener)
    : context_(context), config_(std::move(config)), listener_(&listener) {}

void Peers::Hub::accepted(asio::ip::tcp::socket socket) {
    counters_.accepted++;
    if (half_open_.size() >= config_.max_half_open)
        drop(links_.at(half_open_.front()), {.code = ENOBUFS, .counter = &Counters::half_open_evicted});
    auto connection = std::make_shared<Connection>(std::move(socket), context_, *this, config_);
    Link& link = links_[connection.get()];
    link.connection = connection;
    link.state = State::introducing;
    link.half_open = half_open_.insert(half_open_.end(), connection.get());
    link.is_half_open = true;
    connection->start();
}

void Peers::Hub::on_connected(Connection& connection) {
    Link& link = links_.at(&connection);
    link.state = State::awaiting_answer;
    connection.send(hello(false));
}

void Peers::Hub::on_envelope(Connection& connection, const proto::Envelope& envelope) {
    Link& link = links_.at(&connection);
    bool is_dial_answer = link.state == State::awaiting_answer;
    if (link.state == State::closing) return;
    if (link.state == State::up && !envelope.has_hello()) {
        if (!envelope.has_heartbeat() && listener_ != nullptr) listener_->on_message(link.peer, envelope);
    } else if (envelope.has_hello() && (is_dial_answer || link.state == State::introducing)) {
        hello_received(link, envelope.hello());
    } else if (envelope.has_reject() && is_dial_answer) {
        const proto::Reject& reject = envelope.reject();
        drop(link, {.code = refusal_errno(reject.code())});
    } else if (envelope.has_heartbeat() && link.state == State::awaiting_confirm &&
               find_instance(link.introduction.instance) == nullptr) {
        bring_up(link);
    } else {
        drop(link, {.code = EPROTO, .counter = &Counters::unexpected});
    }
}

void Peers::Hub::hello_received(Link& link, const proto::Hello& hello) {
    switch (check_hello(hello, link.introduction)) {
        case HelloFault::version:
            return wrong_version(link, hello);
        case HelloFault::bad:
            return drop(link, {.code = EPROTO, .counter = &Counters::bad_hello});
        case HelloFault::none:
            break;
    }
    if (!link.is_dialed) link.endpoint = {link.connection->remote_ip(), link.introduction.signal_port};
    if (!link.is_dialed && link.introduction.instance != own_) ask_for_life(link.endpoint, link.introduction.instance);
    if (link.is_dialed)
        decide_dialed(link);
    else
        decide_accepted(link);
}

void Peers::Hub::wrong_version(Link& link, const proto::Hello& hello) {
    std::string reason = "signalling version " + std::to_string(hello.version()) +
                         " is not spoken here, only version " + std::to_string(kSignallingVersion);
    TimePoint now = Clock::now();
    if (now >= next_version_notice_) {
        next_version_notice_ = now + std::chrono::minutes(1);
        notice(to_string(link.connection->remote_ip()) + ": " + reason + ": run the same release on both hosts");
    }
    if (link.is_dialed) return drop(link, {.code = EPROTONOSUPPORT, .counter = &Counters::version_mismatch});
    counters_.version_mismatch++;
    refuse(link, EPROTONOSUPPORT, reason);
}

void Peers::Hub::decide_accepted(Link& link) {
    const InstanceId& theirs = link.introduction.instance;
    bool is_up = find_instance(theirs) != nullptr;
    switch (judge_accepted(own_, theirs, is_up, is_hello_unanswered(link.endpoint))) {
        case AcceptVerdict::self:
            return answer_and_close(link, hello(false));
        case AcceptVerdict::known:
            counters_.duplicate++;
            join_address(by_instance_.at(theirs), link.endpoint, Evidence::claimed);
            return answer_and_close(link, hello(true));
        case AcceptVerdict::hold:
            link.state = State::held;
            return;
        case AcceptVerdict::await:
        case AcceptVerdict::establish:
            break;
    }
    if (peers_.size() >= config_.max_peers) {
        counters_.too_many_peers++;
        return refuse(link, ECONNREFUSED, "too many peers");
    }
    link.connection->send(hello(false));
    if (own_ > theirs)
        bring_up(link);
    else
        link.state = State::awaiting_confirm;
}

void Peers::Hub::decide_dialed(Link& link) {
    Endpoint endpoint = link.endpoint;
    const InstanceId theirs = link.introduction.instance;
    Peer* peer = find_instance(theirs);
    switch (judge_dialed(own_, theirs, peer != nullptr, link.introduction.is_known)) {
        case DialVerdict::self:
            answer_dial(endpoint, kSelf);
            return drop(link, {});
        case DialVerdict::existing: {
            counters_.duplicate++;
            PeerId id = by_instance_.at(theirs);
            join_address(id, endpoint, Evidence::found);
            answer_dial(endpoint, id);
            return drop(link, {});
        }
        case DialVerdict::wait: {
            Dial& dial = dials_.at(endpoint);
            dial.expected = theirs;
            retry_later(endpoint, dial);
            return drop(link, {});
        }
        case DialVerdict::confirm_establish: {
            proto::Envelope confirm;
            confirm.mutable_heartbeat();
            link.connection->send(confirm);
            return bring_up(link);
        }
        case DialVerdict::establish:
            return bring_up(link);
    }
}

// A dial of ours was decided: connections that were held back because of it are decided now.
void Peers::Hub::recheck_held() {
    std::vector<Connection*> held;
    for (auto& [connection, link] : links_)
        if (link.state == State::held) held.push_back(connection);
    for (Connection* connection : held)
        if (auto found = links_.find(connection); found != links_.end() && found->second.state == State::held)
            decide_accepted(found->second);
}

bool Peers::Hub::is_hello_unanswered(const Endpoint& endpoint) const {
    auto dial = dials_.find(endpoint);
    if (dial == dials_.end() || dial->second.connection == nullptr) return false;
    return links_.at(dial->second.connection).state == State::awaiting_answer;
}

proto::Envelope Peers::Hub::hello(bool is_known) const {
    proto::Envelope envelope;
    proto::Hello& hello = *envelope.mutable_hello();
    hello.set_version(kSignallingVersion);
    hello.set_instance(own_.data(), own_.size());
    hello.set_data_port(config_.data_port);
    hello.set_signal_port(acceptors_.empty() ? 0 : config_.signal_port);
    hello.set_heartbeat_interval_ms(config_.heartbeat_interval_ms);
    hello.set_software(config_.software);
    hello.set_is_known(is_known);
    return envelope;
}

void Peers::Hub::answer_and_close(Link& link, const proto::Envelope& last) {
    link.state = State::closing;
    link.connection->send(last);
    link.connection->close_after_flush(kLastWords);
}

void Peers::Hub::refuse(Link& link, int code, const std::string& reason) {
    proto::Envelope envelope;
    envelope.mutable_reject()->set_code(code);
    envelope.mutable_reject()->set_reason(reason);
    answer_and_close(link, envelope);
}

void Peers::Hub::bring_up(Link& link) {
    leave_half_open(link);
    link.state = State::up;
    PeerId id = link.peer = PeerId{++last_peer_id_};
    Endpoint endpoint = link.endpoint;
    const InstanceId theirs = link.introduction.instance;
    bool is_dialed = link.is_dialed;
    peers_[id] = {.connection = link.connection.get(),
                  .introduction = link.introduction,
                  .addresses = {},
                  .found_at = {},
                  .is_opened_here = is_dialed};
    by_instance_[theirs] = id;
    join_address(id, endpoint, is_dialed ? Evidence::found : Evidence::claimed);
    link.connection->go_live(Milliseconds(link.introduction.heartbeat_interval_ms));
    if (listener_ != nullptr) listener_->on_peer_up(id);
    if (is_dialed) answer_dial(endpoint, id);
    answer_dials_expecting(theirs, id);
    recheck_held();
}

// Ends the connection now, with everything that follows from its end.
void Peers::Hub::drop(Link& link, Ending ending) {
    link.connection->close();
    on_ended(*link.connection, ending);
}

void Peers::Hub::on_ended(Connection& connection, Ending ending) {
    auto found = links_.find(&connection);
    Link link = std::move(found->second);
    leave_half_open(link);
    links_.erase(found);
    if (ending.counter != nullptr) counters_.*ending.counter += 1;
    if (link.state == State::up) {
        lose(link.peer, ending.code);
    } else if (link.is_dialed) {
        dial_ended(link, ending);
        recheck_held();
    } else if (link.state == State::awaiting_confirm && find_instance(link.introduction.instance) != nullptr) {
        counters_.duplicate++;
        join_address(by_instance_.at(link.introduction.instance), link.endpoint, Evidence::claimed);
    }
    finish_shutdown_when_empty();
}

void Peers::Hub::leave_half_open(Link& link) {
    if (link.is_half_open) half_open_.erase(link.half_open);
    link.is_half_open = false;
}

}  // namespace xylem::signalling
