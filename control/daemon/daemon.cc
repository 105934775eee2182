// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/daemon.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "control/config/log.h"
#include "control/config/service.h"
#include "dataplane/base/clock.h"

namespace xylem::daemon {

namespace {

constexpr auto kTick = std::chrono::milliseconds(50);

uint64_t now_ms() { return monotonic_ns() / 1'000'000; }

engine::EngineConfig engine_config(const config::Config& config, const std::string& runtime_dir) {
    engine::EngineConfig out;
    for (const dpdk::PortSpec& port : config.ports)
        if (port.kind != dpdk::PortKind::kLocal) out.ports.push_back(port);
    out.idle = config.idle == config::Idle::kBusy ? engine::IdlePolicy::kBusy : engine::IdlePolicy::kAdaptive;
    out.worker_cpus = config.lcores;
    out.data_port = config.data_port;
    out.huge_pages = config.huge_pages;
    out.lab_ports = config.lab_ports;
    out.memory_mb = config.memory_mb;
    out.reorder_us = config.reorder_us;
    out.runtime_dir = runtime_dir;
    return out;
}

session::Settings session_settings(const config::Config& config) {
    session::Settings out;
    out.cell_bytes = config.cell_bytes;
    out.log_cells = config.log_cells;
    out.image_cells = config.image_cells;
    out.slow_leaf_ms = config.slow_leaf_ms;
    out.join_timeout_ms = config.join_timeout_ms;
    out.data_port = config.data_port;
    out.version = XYLEM_VERSION;
    out.now_ms = now_ms;
    return out;
}

/// No other user gets more than about a quarter of the descriptors (two per socket, some for each application).
api::ServerConfig server_config(const config::Config& config) {
    api::ServerConfig out{.path = config.socket, .allow_uids = config.allow_uids, .version = XYLEM_VERSION};
    out.notice = [](const std::string& sentence) { log::warn("api", sentence); };
    rlimit descriptors{};
    out.owner_uid = geteuid();
    if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return out;
    out.max_connections_per_uid = std::min<size_t>(out.max_connections_per_uid, descriptors.rlim_cur / 32);
    out.max_sockets_per_uid = std::min<size_t>(out.max_sockets_per_uid, descriptors.rlim_cur / 8);
    return out;
}

}  // namespace

Result<void> Daemon::set_up() {
    auto dir = RuntimeDir::open(config_.socket);
    if (!dir) return dir.error();
    runtime_dir_.emplace(std::move(*dir));
    auto reservation = netlink::PortReservation::open(config_.data_port);
    if (!reservation) return reservation.error();
    reservation_.emplace(std::move(*reservation));
    auto resolver = netlink::Resolver::open();
    if (!resolver) return resolver.error();
    resolver_ = std::move(*resolver);
    auto engine = engine::start_engine(engine_config(config_, runtime_dir_->path()));
    if (!engine) return engine.error();
    engine_ = std::move(*engine);
    network_ = std::make_unique<NetworkPaths>(*engine_, *resolver_, now_ms);
    links_ = std::make_unique<PeerLinks>(context_, config_, *network_);
    if (auto listening = links_->peers_socket().listen(); !listening) return listening;
    sessions_ = std::make_unique<session::Sessions>(*engine_, *links_, *network_, session_settings(config_));
    links_->set_sessions(sessions_.get());
    auto server = api::Server::open(context_, *sessions_, server_config(config_));
    if (!server) return server.error();
    server_ = std::move(*server);
    return {};
}

Result<void> Daemon::run() {
    signals_.add(SIGINT);
    signals_.add(SIGTERM);
    std::signal(SIGPIPE, SIG_IGN);
    if (auto done = set_up(); !done) return done;
    signals_.async_wait([this](const std::error_code& error, int signal) {
        if (!error) begin_stop(signal);
    });
    engine_fd_.assign(dup(engine_->event_fd()));
    kernel_fd_.assign(dup(resolver_->fd()));
    watch_engine();
    watch_kernel();
    tick();
    std::puts("ready");
    std::fflush(stdout);
    log::info("daemon", "ready", {{"socket", config_.socket}});
    config::notify_ready();
    context_.run();
    return {};
}

void Daemon::watch_engine() {
    engine_fd_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& error) {
        if (error) return;
        engine_->run_events();
        if (network_->has_new()) network_->tell_new();
        watch_engine();
    });
}

void Daemon::watch_kernel() {
    kernel_fd_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& error) {
        if (error) return;
        resolver_->on_readable(now_ms());
        arm_kernel_timer();
        watch_kernel();
    });
    arm_kernel_timer();
}

void Daemon::arm_kernel_timer() {
    const auto at = resolver_->next_timer_ms();
    if (!at) return;
    kernel_timer_.expires_after(std::chrono::milliseconds(*at > now_ms() ? *at - now_ms() : 0));
    kernel_timer_.async_wait([this](const std::error_code& error) {
        if (error) return;
        resolver_->on_timer(now_ms());
        arm_kernel_timer();
    });
}

void Daemon::tick() {
    sessions_->tick();
    if (network_->has_new()) network_->tell_new();  // a message of a peer made it, and the engine has nothing to say
    tick_timer_.expires_after(kTick);
    tick_timer_.async_wait([this](const std::error_code& error) {
        if (!error) tick();
    });
}

void Daemon::begin_stop(int signal) {
    if (is_stopping_) return context_.stop();  // asked twice: at once
    is_stopping_ = true;
    log::info("daemon", "stopping", {{"signal", strsignal(signal)}});
    config::notify_stopping();
    signals_.async_wait([this](const std::error_code& error, int again) {
        if (!error) begin_stop(again);
    });
    server_->stop_accepting();
    sessions_->stop([this] { links_->peers_socket().shutdown([this] { context_.stop(); }); });
}

}  // namespace xylem::daemon
