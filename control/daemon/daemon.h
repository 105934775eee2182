// SPDX-License-Identifier: Apache-2.0
// Everything of one xylemd put together, in order of construction: what is made last is ended first.
#pragma once
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <optional>

#include "control/api/server.h"
#include "control/config/config.h"
#include "control/daemon/links.h"
#include "control/daemon/network.h"
#include "control/daemon/runtime_dir.h"
#include "control/netlink/port_reservation.h"
#include "control/session/sessions.h"
#include "dataplane/engine/engine.h"

namespace xylem::daemon {

class Daemon {
  public:
    explicit Daemon(const config::Config& config) : config_(config) {}

    /// Until SIGTERM or SIGINT. An error says what could not be set up; nothing is left behind.
    Result<void> run();

  private:
    Result<void> set_up();
    void watch_engine();
    void watch_kernel();
    void arm_kernel_timer();
    void tick();
    void begin_stop(int signal);

    const config::Config& config_;
    asio::io_context context_;
    std::optional<RuntimeDir> runtime_dir_;
    std::optional<netlink::PortReservation> reservation_;
    std::unique_ptr<netlink::Resolver> resolver_;
    std::unique_ptr<engine::Engine> engine_;
    std::unique_ptr<NetworkPaths> network_;
    std::unique_ptr<PeerLinks> links_;
    std::unique_ptr<session::Sessions> sessions_;
    std::unique_ptr<api::Server> server_;
    asio::posix::stream_descriptor engine_fd_{context_}, kernel_fd_{context_};
    asio::steady_timer tick_timer_{context_}, kernel_timer_{context_};
    asio::signal_set signals_{context_};
    bool is_stopping_ = false;
};

}  // namespace xylem::daemon
