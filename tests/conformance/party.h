// SPDX-License-Identifier: Apache-2.0
// A party of a session: a process on one of the hosts that the runner started daemons for, with the calls of the
// interface. Blocking calls have a start_… that does not wait.
//
// A test writes for three hosts; where the runner has fewer (`local` has one) they fall together.
#pragma once
#include <string>

#include "tests/conformance/calls.h"
#include "tests/conformance/process.h"

namespace xylem::conformance {

struct Host {
    std::string socket;   // the daemon's
    std::string address;  // "10.77.0.1"
    pid_t daemon = 0;     // whose /proc shows what the host's kernel holds
};

/// Host `i` of the play.
const Host& host(size_t i);
/// Whether the daemons are several, joined by a network.
bool is_network();
/// The address of a host of the network on which nobody is.
std::string absent_host();

class Party : public Process {
  public:
    Party(const Host& at, std::string name) : Process(std::move(name), {{"XYLEM_SOCKET", at.socket}}), at_(at) {}

    const Host& at() const { return at_; }
    Address address(uint16_t port = 0) const { return Address::of(at_.address, port); }

    Done socket(const Kind& kind, unsigned roles, Where where = Where::current());
    Done bind(int s, const Address& name, Where where = Where::current());
    Done listen(int s, int backlog = 16, Where where = Where::current());
    Joined join(int s, const Address& name, const JoinWish& wish = {}, Where where = Where::current());
    Pending<Joined> start_join(int s, const Address& name, const JoinWish& wish = {}, Where where = Where::current());
    Joined callee_of(int s, Where where = Where::current());
    Done connect(int s, const Address& name, Where where = Where::current());
    /// Waits for a request on a nonblocking socket as well.
    Accepted accept(int s, const Answer& answer = {}, Where where = Where::current());
    /// Just the call.
    Accepted accept_now(int s, const Answer& answer = {}, Where where = Where::current());
    Pending<Accepted> start_accept(int s, const Answer& answer = {}, Where where = Where::current());
    Done send(int s, const Text& text, int flags = 0, Where where = Where::current());
    Done send_to(int s, const Text& text, const Address& to, Where where = Where::current());
    /// Waits for a message on a nonblocking socket as well.
    Received receive(int s, Where where = Where::current());
    /// Just the call.
    Received receive_now(int s, size_t room = sizeof(Text::bytes), int flags = XY_MSG_DONTWAIT,
                         Where where = Where::current());
    Pending<Received> start_receive(int s, Where where = Where::current());
    Done shutdown(int s, int how, Where where = Where::current());
    Done close(int s, Where where = Where::current());

    /// The address, or throws.
    Address name_of(int s, Where where = Where::current());
    Done peer_of(int s, Address* out = nullptr, Where where = Where::current());
    Done set_nonblocking(int s, bool is_nonblocking, Where where = Where::current());

    Done select(int s, unsigned mask, Where where = Where::current());
    /// What is recorded now.
    Events events(int s, Where where = Where::current());
    /// Waits until all of `wanted` are recorded; Fails(ETIME) when they do not come.
    Events await(int s, unsigned wanted, Where where = Where::current());
    /// Whether nothing is recorded on `s` (or, without a mask, nothing to take) within the quiet period.
    bool is_quiet(int s, Where where = Where::current());
    Protocols protocols(Where where = Where::current());
    /// XY_CAP_* of the protocol entry; 0: there is none.
    uint32_t capabilities(const Kind& kind, Where where = Where::current());

  private:
    const Host at_;
};

}  // namespace xylem::conformance
