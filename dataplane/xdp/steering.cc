// SPDX-License-Identifier: Apache-2.0
#include "dataplane/xdp/steering.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/base/fd_list.h"
#include "dataplane/xdp/xylem_steer.skel.h"

namespace xylem::xdp {
namespace {

constexpr size_t kMaxMaps = 16;

/// What /proc says a descriptor is, such as "anon_inode:bpf-map".
bool is_kind(int fd, const char* kind) {
    char target[64] = {};
    const ssize_t n = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target - 1);
    return n > 0 && strcmp(target, kind) == 0;
}

bool describe_program(int fd, bpf_prog_info& out) {
    __u32 length = sizeof out;
    return bpf_obj_get_info_by_fd(fd, &out, &length) == 0;
}

bool describe_map(int fd, bpf_map_info& out) {
    __u32 length = sizeof out;
    return bpf_obj_get_info_by_fd(fd, &out, &length) == 0;
}

uint32_t attached_program(int ifindex) {
    uint32_t id = 0;
    return bpf_xdp_query_id(ifindex, 0, &id) == 0 ? id : 0;
}

/// A program's name by its id; "" if we may not know (that needs CAP_SYS_ADMIN) or it is gone.
std::string program_name(uint32_t id) {
    const int fd = bpf_prog_get_fd_by_id(id);
    if (fd < 0) return {};
    bpf_prog_info about{};
    const bool is_known = describe_program(fd, about);
    close(fd);
    return is_known ? about.name : "";
}

bool may_be_ours(uint32_t id) {
    const std::string name = program_name(id);
    return name.empty() || name == XYLEM_STEER_PROGRAM;
}

xylem_steer_group group_key(const IpAddress& group, uint16_t udp_port) {
    xylem_steer_group key{};
    std::memcpy(key.address, group.bytes.data(), group.is_v4() ? 4 : 16);
    key.port_be = htons(udp_port);
    key.family = group.is_v4() ? 4 : 6;
    return key;
}

bool is_same(const xylem_steer_group& a, const xylem_steer_group& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

void remove_leftovers(const std::string& runtime_dir) {
    constexpr char kPrefix[] = "xdp-";
    std::vector<std::string> interfaces;
    DIR* dir = opendir(runtime_dir.c_str());
    if (dir == nullptr) return;
    while (const dirent* entry = readdir(dir))
        if (strncmp(entry->d_name, kPrefix, strlen(kPrefix)) == 0)
            interfaces.emplace_back(entry->d_name + strlen(kPrefix));
    closedir(dir);
    for (const std::string& interface : interfaces) {
        const int ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        auto record = Record::open(kPrefix + interface, runtime_dir, interface, ifindex);
        if (!record || record->is_foreign()) continue;
        const uint32_t id = record->program_id();
        if (id != 0 && attached_program(ifindex) == id && may_be_ours(id)) bpf_xdp_detach(ifindex, 0, nullptr);
        if (id == 0 || attached_program(ifindex) != id) record->forget();
    }
}

Result<std::unique_ptr<Steering>> Steering::prepare(const SteeringPlace& place) {
    libbpf_set_print(nullptr);
    std::unique_ptr<Steering> steering(new Steering(place));
    auto record = Record::open(place.text, place.runtime_dir, place.interface, place.ifindex);
    if (!record) return record.error();
    steering->record_ = std::move(*record);
    if (auto removed = steering->remove_predecessor(); !removed) return removed.error();
    if (auto made = steering->make_object_file(); !made) return made.error();
    return steering;
}

Steering::~Steering() {
    if (program_id_ != 0) detach();
    release_program();
    if (object_fd_ >= 0) close(object_fd_);
    if (attached_program(place_.ifindex) != record_.program_id() || record_.program_id() == 0) record_.forget();
}

Result<void> Steering::remove_predecessor() {
    const uint32_t id = attached_program(place_.ifindex);
    if (id == 0) return {};
    const std::string name = program_name(id);
    if (id != record_.program_id() || (!name.empty() && name != XYLEM_STEER_PROGRAM))
        return error(EBUSY, "XDP program id " + std::to_string(id) + (name.empty() ? "" : " (" + name + ")") +
                                " is attached and is not ours; stop its owner or `ip link set " + place_.interface +
                                " xdp off`");
    const int failure = bpf_xdp_detach(place_.ifindex, 0, nullptr);
    if (failure == 0) return {};
    return error(-failure, "our XDP program id " + std::to_string(id) +
                               " of an earlier run does not come off; `ip link set " + place_.interface + " xdp off`");
}

Result<void> Steering::make_object_file() {
    size_t n_bytes = 0;
    const void* bytes = xylem_steer_bpf__elf_bytes(&n_bytes);
    object_fd_ = memfd_create(XYLEM_STEER_PROGRAM, MFD_CLOEXEC);
    if (object_fd_ >= 0 && write(object_fd_, bytes, n_bytes) == static_cast<ssize_t>(n_bytes)) return {};
    return error(errno, "no memory for the XDP program");
}

std::string Steering::object_path() const { return "/proc/self/fd/" + std::to_string(object_fd_); }

Result<void> Steering::adopt(uint16_t data_udp_port) {
    config_.data_port_be = htons(data_udp_port);
    release_program();
    if (auto found = find_program(); !found) return found;
    if (auto recorded = record_.remember(program_id_); !recorded) return recorded;
    return fill_maps();
}

/// The attached program is one that this process holds a descriptor of, and so are its maps: whoever loaded it has not
/// closed them.
Result<void> Steering::find_program() {
    const uint32_t id = attached_program(place_.ifindex);
    const std::vector<int> fds = list_fds();
    std::array<uint32_t, kMaxMaps> map_ids{};
    uint32_t n_maps = 0;
    for (const int fd : fds) {
        bpf_prog_info about{};
        about.nr_map_ids = kMaxMaps;
        about.map_ids = reinterpret_cast<uintptr_t>(map_ids.data());
        if (!is_kind(fd, "anon_inode:bpf-prog") || !describe_program(fd, about) || about.id != id) continue;
        program_fd_ = fd;
        program_id_ = id;
        n_maps = std::min<uint32_t>(about.nr_map_ids, kMaxMaps);
        break;
    }
    const auto maps_end = map_ids.begin() + n_maps;
    for (const int fd : fds) {
        bpf_map_info about{};
        if (!is_kind(fd, "anon_inode:bpf-map") || !describe_map(fd, about)) continue;
        if (std::find(map_ids.begin(), maps_end, about.id) == maps_end) continue;
        if (strcmp(about.name, XYLEM_STEER_SOCKETS) == 0) maps_.sockets = fd;
        if (strcmp(about.name, XYLEM_STEER_CONFIG) == 0) maps_.config = fd;
        if (strcmp(about.name, XYLEM_STEER_GROUPS) == 0) maps_.groups = fd;
        if (strcmp(about.name, XYLEM_STEER_COUNTERS) == 0) maps_.counters = fd;
    }
    if (program_fd_ >= 0 && maps_.are_complete()) return {};
    return error(EIO, "the XDP program was loaded but is not found again among our descriptors");
}

Result<void> Steering::fill_maps() {
    const uint8_t joined = 1;
    for (const auto& [queue, socket_fd] : sockets_)
        if (const int failure = bpf_map_update_elem(maps_.sockets, &queue, &socket_fd, BPF_ANY); failure != 0)
            return error(-failure, "queue " + std::to_string(queue) + " does not get its AF_XDP socket");
    for (const xylem_steer_group& group : groups_)
        if (const int failure = bpf_map_update_elem(maps_.groups, &group, &joined, BPF_ANY); failure != 0)
            return error(-failure, "a group does not go into the XDP program");
    return write_config();
}

Result<void> Steering::write_config() {
    const uint32_t only = 0;
    config_.n_groups = static_cast<uint32_t>(groups_.size());
    const int failure = bpf_map_update_elem(maps_.config, &only, &config_, BPF_ANY);
    return failure == 0 ? Result<void>{} : error(-failure, "the XDP program does not take its configuration");
}

void Steering::detach() {
    if (program_id_ != 0 && attached_program(place_.ifindex) == program_id_) bpf_xdp_detach(place_.ifindex, 0, nullptr);
}

bool Steering::is_foreign_attached() const {
    const uint32_t id = attached_program(place_.ifindex);
    if (id == 0 || id == program_id_) return false;
    const std::vector<int> fds = list_fds();
    return std::none_of(fds.begin(), fds.end(), [id](int fd) {
        bpf_prog_info about{};
        return is_kind(fd, "anon_inode:bpf-prog") && describe_program(fd, about) && about.id == id;
    });
}

/// The loader has forgotten these descriptors. They are known to be still the same, since nobody else closes them.
void Steering::release_program() {
    for (const int fd : {program_fd_, maps_.sockets, maps_.config, maps_.groups, maps_.counters})
        if (fd >= 0) close(fd);
    program_fd_ = -1;
    program_id_ = 0;
    maps_ = {};
}

Result<void> Steering::add_socket(uint32_t queue, int socket_fd) {
    sockets_.emplace_back(queue, socket_fd);
    return fill_maps();
}

Result<void> Steering::add_group(const IpAddress& group, uint16_t udp_port) {
    const xylem_steer_group key = group_key(group, udp_port);
    const uint8_t joined = 1;
    if (std::any_of(groups_.begin(), groups_.end(), [&](const auto& other) { return is_same(key, other); })) return {};
    if (const int failure = bpf_map_update_elem(maps_.groups, &key, &joined, BPF_ANY); failure != 0)
        return error(ENOSPC, "no room for one more group; at most " + std::to_string(XYLEM_STEER_MAX_GROUPS));
    groups_.push_back(key);
    return write_config();
}

Result<void> Steering::remove_group(const IpAddress& group, uint16_t udp_port) {
    const xylem_steer_group key = group_key(group, udp_port);
    if (std::erase_if(groups_, [&](const auto& other) { return is_same(key, other); }) == 0) return {};
    bpf_map_delete_elem(maps_.groups, &key);
    return write_config();
}

Steering::Counters Steering::counters() const {
    Counters sums{};
    std::vector<uint64_t> per_cpu(static_cast<size_t>(std::max(1, libbpf_num_possible_cpus())));
    for (uint32_t verdict = 0; verdict < sums.size(); ++verdict)
        if (maps_.counters >= 0 && bpf_map_lookup_elem(maps_.counters, &verdict, per_cpu.data()) == 0)
            for (const uint64_t count : per_cpu)
                sums[verdict] += count;
    return sums;
}

}  // namespace xylem::xdp
