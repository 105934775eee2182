// SPDX-License-Identifier: Apache-2.0
// Every entry from outside opens a Scope. When the outermost one closes, the messages that this daemon sent to itself
// are delivered, one after the other, so that no handler runs inside another.
#pragma once
#include "control/session/sessions.h"

namespace xylem::session {

class Sessions::Scope {
  public:
    explicit Scope(Sessions& sessions) : sessions_(sessions) { ++sessions_.depth_; }
    ~Scope() {
        while (sessions_.depth_ == 1 && !sessions_.loopback_.empty()) {
            const proto::Envelope message = std::move(sessions_.loopback_.front());
            sessions_.loopback_.pop_front();
            sessions_.dispatch(kSelf, message);
        }
        --sessions_.depth_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

  private:
    Sessions& sessions_;
};

}  // namespace xylem::session
