// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dataplane/engine/objects.h"

namespace xylem::engine {

namespace {

/// For memory that an application maps for writing at a time of its choosing: its size cannot change under us; holes
/// that it punches read as zero.
Result<void> fix_size(const log::SharedMemory& memory) {
    if (fcntl(memory.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) return {};
    return Error{errno, std::string("cannot seal a control segment: ") + std::strerror(errno)};
}

/// Made, prefaulted where it is hot, and sealed: `is_ours` against every write but through our own mapping.
Result<log::SharedMemory> make_segment(const char* name, uint64_t bytes, uint64_t hot_bytes, bool is_ours) {
    auto memory = log::SharedMemory::create(name, abi::round_up_page(bytes));
    if (!memory) return memory.error();
    if (auto done = memory->prefault(0, hot_bytes); !done) return done.error();
    auto sealed = is_ours ? memory->seal() : fix_size(*memory);
    if (!sealed) return sealed.error();
    return memory;
}

}  // namespace

Result<std::unique_ptr<App>> App::create(AppId id) {
    std::unique_ptr<App> app(new App());
    app->id = id;
    auto shared = make_segment("xylem-app", sizeof(abi::AppSegment), 4096, false);
    if (!shared) return shared.error();
    auto own = make_segment("xylem-engine", sizeof(abi::EngineSegment), 4096, true);
    if (!own) return own.error();
    app->app_memory = std::move(*shared);
    app->engine_memory = std::move(*own);
    app->shared().magic = abi::kAppMagic;
    app->shared().version = abi::kAbiVersion;
    app->own().magic = abi::kEngineMagic;
    app->own().version = abi::kAbiVersion;
    app->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (app->kick_fd < 0) return Error{errno, std::string("eventfd: ") + std::strerror(errno)};
    app->sockets = std::make_unique<SocketState[]>(abi::kMaxSockets);
    return app;
}

App::~App() {
    if (kick_fd >= 0) close(kick_fd);
}

Result<void> App::make_inbox(uint32_t socket) {
    auto inbox = std::make_unique<Inbox>();
    auto own = make_segment("xylem-inbox", sizeof(abi::InboxEngine), 4096, true);
    if (!own) return own.error();
    auto shared = make_segment("xylem-inbox-app", sizeof(abi::InboxApp), 4096, false);
    if (!shared) return shared.error();
    inbox->engine_memory = std::move(*own);
    inbox->app_memory = std::move(*shared);
    inbox->engine = reinterpret_cast<abi::InboxEngine*>(inbox->engine_memory.bytes());
    inbox->app = reinterpret_cast<abi::InboxApp*>(inbox->app_memory.bytes());
    inbox->is_armed = &inbox->readable.is_armed;
    sockets[socket].inbox = std::move(inbox);
    return {};
}

}  // namespace xylem::engine
