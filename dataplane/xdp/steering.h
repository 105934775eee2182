// SPDX-License-Identifier: Apache-2.0
// Our XDP program on one interface: what it lets through, what it counts, and that it is gone when we are. DPDK's
// driver loads and attaches the program from the path that we give it; Steering finds that program and its maps again
// among this process's own descriptors, needs no bpffs for it, and takes them over. A program that is not ours is never
// touched. Ours is the one whose identity stands in the runtime directory in a file that only we can have written,
// locked as long as its writer lives. So after a kill the next start knows what was left. Control thread only.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"
#include "dataplane/xdp/record.h"
#include "dataplane/xdp/steer_abi.h"

namespace xylem::xdp {

struct SteeringPlace {
    std::string text;  // what the operator called the port, for messages
    std::string interface;
    int ifindex = 0;
    std::string runtime_dir;
};

/// Removes the programs that killed daemons of this runtime directory left on interfaces of this network namespace,
/// whichever ports they had, and forgets them. What a living daemon holds, and what is foreign, stays. Call once at
/// start.
void remove_leftovers(const std::string& runtime_dir);

class Steering {
  public:
    using Counters = std::array<uint64_t, XYLEM_STEER_N_VERDICTS>;  // by xylem_steer_verdict

    /// Makes the interface ready for our program: locks it against other daemons of this runtime directory, removes
    /// what a killed predecessor left. EBUSY: a foreign program is attached (it is named), or another daemon has the
    /// interface.
    static Result<std::unique_ptr<Steering>> prepare(const SteeringPlace& place);
    /// Detaches our program, forgets it in the runtime directory, closes its descriptors.
    ~Steering();
    Steering(const Steering&) = delete;
    Steering& operator=(const Steering&) = delete;

    /// The program's object file, for whoever loads it. Valid as long as this object.
    std::string object_path() const;

    /// Takes over the program that was just loaded from object_path() and attached, and tells it what is ours. Called
    /// again, it moves to the newer program.
    Result<void> adopt(uint16_t data_udp_port);
    /// Takes our program off the interface, so that the driver can attach another one of ours. Frames pass to the
    /// kernel meanwhile.
    void detach();
    /// Whether somebody else's program is on the interface.
    bool is_foreign_attached() const;

    /// Sends what `queue` receives for us to that AF_XDP socket.
    Result<void> add_socket(uint32_t queue, int socket_fd);
    /// Lets UDP to `group`:`udp_port` through to the sockets, or no longer. ENOSPC at XYLEM_STEER_MAX_GROUPS.
    Result<void> add_group(const IpAddress& group, uint16_t udp_port);
    Result<void> remove_group(const IpAddress& group, uint16_t udp_port);

    Counters counters() const;
    uint32_t program_id() const { return program_id_; }

  private:
    struct Maps {
        int sockets = -1, config = -1, groups = -1, counters = -1;
        bool are_complete() const { return sockets >= 0 && config >= 0 && groups >= 0 && counters >= 0; }
    };

    explicit Steering(SteeringPlace place) : place_(std::move(place)) {}
    Result<void> make_object_file();
    Result<void> remove_predecessor();
    Result<void> find_program();
    Result<void> fill_maps();
    Result<void> write_config();
    void release_program();
    Error error(int code, const std::string& why) const { return Error{code, place_.text + ": " + why}; }

    SteeringPlace place_;
    Record record_;
    xylem_steer_config config_{};
    int object_fd_ = -1;
    int program_fd_ = -1;
    uint32_t program_id_ = 0;
    Maps maps_;
    std::vector<std::pair<uint32_t, int>> sockets_;  // (queue, descriptor)
    std::vector<xylem_steer_group> groups_;
};

}  // namespace xylem::xdp
