// SPDX-License-Identifier: Apache-2.0
#include "control/config/key_table.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "control/config/value_parsers.h"

namespace xylem::config {
namespace {

constexpr size_t kMaxSocketPath = 107;  // sun_path less its terminating zero
constexpr std::string_view kLevelWords[] = {"error", "warn", "info", "debug"};

const std::string& text_of(const Value& value) { return std::get<std::string>(value); }

std::string truth(bool value) { return value ? "true" : "false"; }

template <auto Member>
Result<void> set_number(Config& config, const Value& value) {
    config.*Member = static_cast<std::remove_reference_t<decltype(config.*Member)>>(std::get<int64_t>(value));
    return {};
}

template <auto Member>
std::string show_number(const Config& config) {
    return std::to_string(config.*Member);
}

template <auto Member>
Result<void> set_flag(Config& config, const Value& value) {
    config.*Member = std::get<bool>(value);
    return {};
}

template <auto Member>
std::string show_flag(const Config& config) {
    return truth(config.*Member);
}

/// What two ports may not share.
std::string device_of(const dpdk::PortSpec& port) {
    if (!port.interface.empty()) return port.interface;
    return port.memif_path.empty() ? port.text : port.memif_path;
}

Result<void> set_ports(Config& config, const Value& value) {
    config.ports = Config{}.ports;
    for (const std::string& text : std::get<std::vector<std::string>>(value)) {
        Result<dpdk::PortSpec> port = dpdk::parse_port_spec(text);
        if (!port) return port.error();
        const auto is_same = [&](const dpdk::PortSpec& known) { return device_of(known) == device_of(*port); };
        const bool is_known = std::any_of(config.ports.begin(), config.ports.end(), is_same);
        if (is_known && port->kind != dpdk::PortKind::kLocal)
            return Error{EINVAL, toml_text(text) + ": " + device_of(*port) + " has a port already: name it once"};
        if (!is_known) config.ports.push_back(std::move(*port));
    }
    return {};
}

std::string show_ports(const Config& config) {
    std::string out;
    for (const dpdk::PortSpec& port : config.ports)
        out += (out.empty() ? "[" : ", ") + toml_text(port.text);
    return out + "]";
}

Result<void> set_socket(Config& config, const Value& value) {
    const std::string& path = text_of(value);
    if (path.empty() || path.size() > kMaxSocketPath || path.find('\0') != path.npos)
        return Error{EINVAL, toml_text(path) + " has " + std::to_string(path.size()) +
                                 " bytes: choose a path of 1 to 107 bytes, none of them zero"};
    config.socket = path;
    return {};
}

Result<void> set_lcores(Config& config, const Value& value) {
    Result<std::vector<unsigned>> lcores = parse_lcores(text_of(value));
    if (!lcores) return lcores.error();
    if (lcores->size() > 1)
        return Error{EINVAL, toml_text(text_of(value)) + " names " + std::to_string(lcores->size()) +
                                 " CPUs: this version runs one worker: name one CPU"};
    config.lcores = std::move(*lcores);
    return {};
}

Result<void> set_idle(Config& config, const Value& value) {
    const std::string& word = text_of(value);
    if (word != "busy" && word != "adaptive")
        return Error{EINVAL, toml_text(word) + " is unknown: use busy or adaptive"};
    config.idle = word == "busy" ? Idle::kBusy : Idle::kAdaptive;
    return {};
}

Result<void> set_tls(Config&, const Value& value) {
    if (text_of(value) == "off") return {};
    return Error{EINVAL,
                 toml_text(text_of(value)) + ": this version has no TLS yet: set tls = \"off\" or remove the key"};
}

Result<void> set_log_level(Config& config, const Value& value) {
    for (size_t i = 0; i < std::size(kLevelWords); ++i) {
        if (text_of(value) != kLevelWords[i]) continue;
        config.log_level = static_cast<LogLevel>(i);
        return {};
    }
    return Error{EINVAL, toml_text(text_of(value)) + " is unknown: use error, warn, info or debug"};
}

Result<void> set_allow_uids(Config& config, const Value& value) {
    config.allow_uids.clear();
    for (const int64_t uid : std::get<std::vector<int64_t>>(value))
        config.allow_uids.push_back(static_cast<uint32_t>(uid));
    return {};
}

std::string show_allow_uids(const Config& config) {
    std::string out = "[";
    for (const uint32_t uid : config.allow_uids)
        out += (out.size() == 1 ? "" : ", ") + std::to_string(uid);
    return out + "]";
}

Result<void> set_cell_bytes(Config& config, const Value& value) {
    const int64_t bytes = std::get<int64_t>(value);
    if (bytes % 8 != 0) return Error{EINVAL, std::to_string(bytes) + " is no multiple of 8: choose one that is"};
    return set_number<&Config::cell_bytes>(config, value);
}

template <auto Member>
Result<void> set_cells(Config& config, const Value& value) {
    const int64_t cells = std::get<int64_t>(value);
    if (cells != 0 && !std::has_single_bit(static_cast<uint64_t>(cells)))
        return Error{EINVAL, std::to_string(cells) + " is no power of two: choose one from 64 to 65536"};
    if (cells != 0 && cells < 64) return Error{EINVAL, std::to_string(cells) + " is below 64: choose 64 to 65536"};
    return set_number<Member>(config, value);
}

constexpr KeyType kBool = KeyType::kBoolean, kInt = KeyType::kInteger, kText = KeyType::kText;

const Key kKeys[] = {
    {.name = "ports",
     .flag = "--port",
     .flag_arg = "KIND",
     .type = KeyType::kTexts,
     .unit = "list of port specs",
     .limits = "local, null, af_packet:IF, af_xdp:IF, memif:PATH,… (memif needs lab_ports); each once",
     .about = "What carries frames to other hosts; may be given several times. local is always there.",
     .set = set_ports,
     .show = show_ports},
    {.name = "socket",
     .flag = "--socket",
     .flag_arg = "PATH",
     .type = kText,
     .unit = "path",
     .limits = "1 to 107 bytes",
     .default_words = "\"/run/xylem/xylemd.sock\" for root, else \"$XDG_RUNTIME_DIR/xylem/xylemd.sock\"",
     .about = "Control socket that apps attach to. Its folder is the runtime directory.",
     .set = set_socket,
     .show = [](const Config& c) { return toml_text(c.socket); }},
    {.name = "lcores",
     .flag = "--lcores",
     .flag_arg = "CPU",
     .type = kText,
     .unit = "CPU number",
     .limits = "empty, or one of 0 to 1023",
     .about = "Pins the worker to this CPU (this version runs one worker). Empty: it floats over the allowed CPUs.",
     .set = set_lcores,
     .show = [](const Config& c) { return toml_text(lcores_text(c.lcores)); }},
    {.name = "idle",
     .flag = "--idle",
     .flag_arg = "busy|adaptive",
     .type = kText,
     .unit = "word",
     .limits = "busy or adaptive",
     .about = "What a worker without work does: busy polls on (for pinned, isolated CPUs), adaptive goes to sleep.",
     .set = set_idle,
     .show = [](const Config& c) { return toml_text(c.idle == Idle::kBusy ? "busy" : "adaptive"); }},
    {.name = "signal_port",
     .flag = "--signal-port",
     .flag_arg = "N",
     .type = kInt,
     .unit = "TCP port",
     .min = 1,
     .max = 65535,
     .about = "Where other daemons reach this one, and where this one dials them.",
     .set = set_number<&Config::signal_port>,
     .show = show_number<&Config::signal_port>},
    {.name = "data_port",
     .flag = "--data-port",
     .flag_arg = "N",
     .type = kInt,
     .unit = "UDP port",
     .min = 1,
     .max = 65535,
     .about = "Where this daemon receives frames. Peers learn it when they connect.",
     .set = set_number<&Config::data_port>,
     .show = show_number<&Config::data_port>},
    {.name = "lab_ports",
     .flag = "--lab-ports",
     .type = kBool,
     .unit = "truth value",
     .about = "Allows memif ports: for benches and labs between daemons that trust each other.",
     .set = set_flag<&Config::lab_ports>,
     .show = show_flag<&Config::lab_ports>},
    {.name = "tls",
     .flag = "--no-tls",
     .type = kText,
     .unit = "word",
     .limits = "off",
     .about = "Encryption of the signalling. This version has none, so off is the only value.",
     .set = set_tls,
     .show = [](const Config&) { return toml_text("off"); }},
    {.name = "log_level",
     .flag = "--log-level",
     .flag_arg = "L",
     .type = kText,
     .unit = "word",
     .limits = "error, warn, info or debug",
     .about = "The least grave events that are written to standard error.",
     .set = set_log_level,
     .show = [](const Config& c) { return toml_text(kLevelWords[static_cast<size_t>(c.log_level)]); }},
    {.name = "allow_uids",
     .type = KeyType::kIntegers,
     .unit = "list of user ids",
     .min = 0,
     .max = 4294967294,
     .about = "The only users whose apps may attach. Empty: every local user may.",
     .set = set_allow_uids,
     .show = show_allow_uids},
    {.name = "huge_pages",
     .type = kBool,
     .unit = "truth value",
     .about = "Takes the engine's memory from huge pages (reserve them first).",
     .set = set_flag<&Config::huge_pages>,
     .show = show_flag<&Config::huge_pages>},
    {.name = "memory_mb",
     .type = kInt,
     .unit = "MiB",
     .min = 64,
     .max = 1048576,
     .about = "Memory of the packet engine: frame pools and tables, not the logs.",
     .set = set_number<&Config::memory_mb>,
     .show = show_number<&Config::memory_mb>},
    {.name = "heartbeat_interval_ms",
     .type = kInt,
     .unit = "ms",
     .min = 10,
     .max = 60000,
     .about = "How often daemons assure each other that they live; a silent one is given up after three.",
     .set = set_number<&Config::heartbeat_interval_ms>,
     .show = show_number<&Config::heartbeat_interval_ms>},
    {.name = "join_timeout_ms",
     .type = kInt,
     .unit = "ms",
     .min = 100,
     .max = 600000,
     .about = "When a join that nobody has answered fails. Sockets may set their own (XY_OPT_JOIN_TIMEOUT_MS).",
     .set = set_number<&Config::join_timeout_ms>,
     .show = show_number<&Config::join_timeout_ms>},
    {.name = "cell_bytes",
     .type = kInt,
     .unit = "bytes",
     .limits = "256 to 8896, a multiple of 8",
     .min = 256,
     .max = 8896,
     .about = "Log bytes that one frame carries; 1408 fits an MTU of 1500 with IPv6 and VLAN.",
     .set = set_cell_bytes,
     .show = show_number<&Config::cell_bytes>},
    {.name = "log_cells",
     .type = kInt,
     .unit = "cells",
     .limits = "64 to 65536, a power of two",
     .min = 64,
     .max = 65536,
     .about = "Length of a sender's log. Sockets may set their own (XY_OPT_LOG_BYTES).",
     .set = set_cells<&Config::log_cells>,
     .show = show_number<&Config::log_cells>},
    {.name = "image_cells",
     .type = kInt,
     .unit = "cells",
     .limits = "0, or 64 to 65536 and a power of two",
     .min = 0,
     .max = 65536,
     .about = "Length of the copy of a stream on a receiving host. 0: as the sender's log.",
     .set = set_cells<&Config::image_cells>,
     .show = show_number<&Config::image_cells>},
    {.name = "slow_leaf_ms",
     .type = kInt,
     .unit = "ms",
     .min = 10,
     .max = 3600000,
     .about = "How long one leaf may hold up a reliable stream before it is evicted (XY_OPT_SLOW_LEAF_MS).",
     .set = set_number<&Config::slow_leaf_ms>,
     .show = show_number<&Config::slow_leaf_ms>},
    {.name = "reorder_us",
     .type = kInt,
     .unit = "µs",
     .min = 0,
     .max = 1000000,
     .about = "How long a best-effort stream waits for a late frame before its bytes count as lost.",
     .set = set_number<&Config::reorder_us>,
     .show = show_number<&Config::reorder_us>},
};

}  // namespace

std::span<const Key> keys() { return kKeys; }

}  // namespace xylem::config
