// SPDX-License-Identifier: Apache-2.0
// A daemon for the shim's tests: it answers the commands of an application over a unix socket, makes the shared memory,
// and carries data from logs to images in this process, all in one thread. It keeps the contract of include/xylem/abi:
// what rings no doorbell is not looked at, what is not armed is not signalled. Tests look at its state, and change it,
// under its lock.
#pragma once
#include <xylem/abi/command.h>
#include <xylem/abi/image.h>
#include <xylem/abi/record.h>
#include <xylem/abi/segment.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace xylem::test {

/// Shared memory by memfd, mapped read-write here.
class Memory {
  public:
    explicit Memory(size_t bytes);
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    template <class T>
    T* at(size_t offset = 0) {
        return reinterpret_cast<T*>(base_ + offset);
    }
    int fd() const { return fd_; }

  private:
    int fd_;
    size_t bytes_;
    char* base_;
};

struct FakeSocket;

/// The copy of a stream for one reader.
struct FakeImage {
    FakeImage(const abi::Geometry& g, uint32_t flags, abi::Position start);
    abi::ImageHeader& header() { return *memory.at<abi::ImageHeader>(); }
    abi::CellEnd& end(uint64_t cell) { return memory.at<abi::CellEnd>(abi::image_ends_off())[cell & geometry.mask()]; }
    char* cell(uint64_t number) {
        return memory.at<char>(abi::image_cells_off(geometry) + (number & geometry.mask()) * geometry.cell_stride());
    }
    void close_cell(uint64_t cell, uint32_t used, abi::Position next, uint64_t lost);

    abi::Geometry geometry;
    Memory memory;
    uint32_t flags;
    abi::Position start, published;
    FakeSocket* reader = nullptr;
    uint32_t slot = 0;    // inbox slot of the reader
    uint32_t pushes = 0;  // of the slot
    uint32_t leaf_number = 0;
    abi::AddressBody source{};
    uint64_t lose_cells = 0;  // best effort: so many cells to come are lost
    uint64_t lost = 0;        // being lost
};

struct FakeJoin {
    uint64_t id = 0;
    FakeSocket* from = nullptr;    // null: withdrawn
    FakeSocket* branch = nullptr;  // root's invitation: the descriptor it got
    abi::JoinBody body{};
};

struct FakeSocket {
    uint32_t id = 0;
    abi::SocketBody kind{};
    int fd = -1;  // the daemon's end
    uint8_t interests = 0;
    abi::EngineSocket* facts = nullptr;
    abi::AppSocket* app = nullptr;
    abi::AddressBody name{}, peer{};
    std::deque<FakeJoin> backlog, taken;
    abi::JoinResultReply result{};
    FakeSocket* root = nullptr;    // a branch or a member: its root
    FakeSocket* member = nullptr;  // a branch: the leaf's own socket
    FakeSocket* branch = nullptr;  // a member: the root's descriptor of it
    uint32_t leaf_number = 0;

    std::unique_ptr<Memory> log;
    abi::Geometry geometry{};
    abi::Position cursor = 0;
    std::vector<std::shared_ptr<FakeImage>> feeds;  // where its stream goes
    std::shared_ptr<FakeImage> image;               // what it reads
    std::unique_ptr<Memory> inbox_engine, inbox_app;
    std::map<uint32_t, std::shared_ptr<FakeImage>> slots;
    std::vector<abi::AddressBody> destinations;  // GROUP; [0] the group joined
    uint32_t max_datagram_bytes = 1000;
    uint32_t n_asked = 0;  // for destinations
    abi::BlobBody disconnect{};
    bool was_aborted = false, is_lingering = false;
    int join_error = 0;  // what its joins fail with
};

class FakeDaemon {
  public:
    struct Options {
        uint32_t cell_bytes = 1408;
        uint32_t cells_log2 = 6;
    };
    FakeDaemon();
    explicit FakeDaemon(Options options, std::string path = {});
    ~FakeDaemon();

    const std::string& path() const { return path_; }
    /// As kill -9 would: every descriptor of the daemon's is closed, nothing is said.
    void die();
    /// Reads no log until it is let go on.
    void pause_worker(bool is_paused);
    /// Requests of that kind are not answered until Op{} is held; n_held() of them wait.
    void hold(abi::Op op);
    size_t n_held();

    /// Runs `f` while the daemon stands still; descriptors are looked at afterwards.
    template <class F>
    auto locked(F f) {
        struct AtEnd {
            FakeDaemon& d;
            ~AtEnd() {
                d.serve_interests();
                d.mutex_.unlock();
            }
        };
        mutex_.lock();
        AtEnd at_end{*this};
        return f();
    }

    /// With the lock held (inside locked()): the socket behind an application's descriptor number is not known to the
    /// daemon, so they are found in the order of their making. 0 is the first.
    FakeSocket& nth(size_t i) { return *order_.at(i); }
    size_t n_sockets() const { return order_.size(); }
    size_t n_open() const {
        return static_cast<size_t>(std::count_if(sockets_.begin(), sockets_.end(), [](auto& s) { return s->fd >= 0; }));
    }
    void end(FakeSocket& s, int close_error);
    /// Writes a record into an image as if it had come from the network; not published.
    static void put_record(char* at, uint32_t length, uint8_t type, uint8_t flags, const void* payload);
    uint64_t n_commands() const { return n_commands_; }
    uint64_t n_kicks() const { return n_kicks_; }
    uint64_t n_bells() const { return n_bells_; }
    uint64_t n_signals() const { return n_signals_; }

  private:
    struct Reply {
        int32_t error = 0;
        uint32_t value = 0;
        std::vector<char> body;
        std::vector<int> fds;
        std::vector<int> close_after;
        template <class T>
        void set(const T& t) {
            body.assign(reinterpret_cast<const char*>(&t), reinterpret_cast<const char*>(&t) + sizeof t);
        }
    };

    void run();
    void accept_app();
    bool serve_command();
    void reply_to(const char* request);
    void answer(const abi::RequestHeader& request, const char* body, Reply& reply);
    void answer_session(const abi::RequestHeader& request, const char* body, Reply& reply);
    void answer_data(const abi::RequestHeader& request, const char* body, Reply& reply);
    FakeSocket& open(const abi::SocketBody& kind, Reply& reply);
    bool is_delivered(const FakeSocket& s) const;
    void close_socket(FakeSocket& s, abi::CloseHow how, Reply& reply);
    FakeSocket* listener_at(const abi::AddressBody& name);
    void join(FakeSocket& s, const abi::JoinBody& body, Reply& reply);
    void cancel_join(FakeSocket& s, Reply& reply);
    template <class Whose>
    void withdraw(Whose is_it) {
        for (auto& s : sockets_)
            for (auto* queue : {&s->backlog, &s->taken})
                for (FakeJoin& request : *queue)
                    if (is_it(request)) request.from = nullptr;
    }
    void join_group(FakeSocket& s, const abi::JoinBody& body, Reply& reply);
    void destination(FakeSocket& s, const char* body, Reply& reply);
    void take(FakeSocket& s, Reply& reply);
    void decide(FakeSocket& s, const abi::AcceptDecideBody& body, Reply& reply);
    void connect(FakeSocket& root, FakeSocket& branch, FakeSocket& member, uint32_t flags, bool asked_by_root);
    void finish_join(FakeSocket& s, int outcome, const uint8_t* callee, uint32_t bytes);
    void leaf_stats(const FakeSocket& root, uint32_t count, Reply& reply);
    void finish_stream(FakeSocket& s);
    void make_log(FakeSocket& s, Reply& reply);

    void work();
    bool carry(FakeSocket& s);
    bool copy_to(FakeSocket& s, FakeImage& image, abi::Position from, abi::Position to, bool ends_cell, uint32_t used);
    abi::Position consumed_of(const FakeImage& image) const;
    void move_limit(FakeSocket& s);
    void push_ready(FakeImage& image);
    bool take_bells();
    void serve_interests();
    bool holds(const FakeSocket& s) const;
    void read_interests(FakeSocket& s);

    Options options_;
    std::string path_;
    std::mutex mutex_;
    std::thread thread_;
    int listen_fd_ = -1, app_fd_ = -1, kick_fd_ = -1, stop_fd_ = -1;
    bool must_stop_ = false, is_paused_ = false;
    abi::Op held_op_{};
    std::vector<std::vector<char>> held_;
    std::unique_ptr<Memory> app_, engine_;
    std::vector<std::unique_ptr<FakeSocket>> sockets_;
    std::vector<FakeSocket*> order_;
    uint32_t next_id_ = 0;
    uint32_t next_leaf_ = 1;
    uint64_t next_request_ = 1;
    uint16_t next_port_ = 40000;
    uint64_t n_commands_ = 0, n_kicks_ = 0, n_bells_ = 0, n_signals_ = 0;
};

}  // namespace xylem::test
