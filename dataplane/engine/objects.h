// SPDX-License-Identifier: Apache-2.0
// What engine.h's opaque names stand for: the stages' objects with what the control thread keeps beside them. Members
// of the stage bases belong to the worker once a command has handed them over; the rest belongs to the control thread.
#pragma once
#include <memory>

#include "dataplane/engine/engine.h"
#include "dataplane/engine/waker.h"
#include "dataplane/log/memory.h"
#include "dataplane/stage/rx_image.h"
#include "dataplane/stage/tx_stream.h"

namespace xylem::engine {

class Stream : public stage::TxStream {
  public:
    AppId app = 0;
    uint32_t socket = 0;
    Armable writable;
    uint32_t n_live_replicas = 0;  // control's count
    bool is_mapped = false;        // control's: the log is sealed, its words may be read
};

class Replica : public stage::Replica {
  public:
    uint32_t at = stage::TxStream::kWaitingGroup;  // control's: its group, by the commands given
    uint64_t label = 0;
    Path path{};
};

class Image : public stage::RxImage {
  public:
    explicit Image(log::Image made) : stage::RxImage(std::move(made)) {}
    Armable readable;
};

class Reader : public stage::Reader {
  public:
    AppId app = 0;
    uint32_t socket = 0;
};

/// The receiving side of a socket with several images.
struct Inbox : stage::ReadyRing {
    log::SharedMemory engine_memory, app_memory;
    Armable readable;
};

/// What the worker knows of a socket.
struct SocketState {
    Stream* stream = nullptr;
    IntrusiveList<stage::Reader, &stage::Reader::in_socket> readers;
    std::unique_ptr<Inbox> inbox;  // control's
};

/// An attached application: its two segments and the descriptor by which it wakes the worker.
class App {
  public:
    static Result<std::unique_ptr<App>> create(AppId id);
    ~App();

    abi::AppSegment& shared() const { return *reinterpret_cast<abi::AppSegment*>(app_memory.bytes()); }
    abi::EngineSegment& own() const { return *reinterpret_cast<abi::EngineSegment*>(engine_memory.bytes()); }
    Result<void> make_inbox(uint32_t socket);

    AppId id = 0;
    log::SharedMemory app_memory, engine_memory;
    int kick_fd = -1;
    std::unique_ptr<SocketState[]> sockets;
    ListLink<App> in_worker;

  private:
    App() = default;
};

}  // namespace xylem::engine
