// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "control/config/config.h"
#include "control/config/flags.h"
#include "control/config/key_table.h"
#include "control/config/toml_reader.h"
#include "control/config/value_parsers.h"
#include "dataplane/base/address_text.h"

namespace xylem::config {
namespace {

Result<void> apply_file(Config& config, const std::string& path) {
    const Result<FileSettings> file = read_toml_file(path);
    if (!file) return file.error();
    for (const Setting& setting : file->settings)
        if (Result<void> done = apply(config, setting); !done) return done;
    for (const PeerEntry& entry : file->peers)
        if (Result<void> done = apply_peer(config, entry); !done) return done;
    return {};
}

}  // namespace

Result<std::string> default_socket_path(bool is_root, const char* runtime_dir) {
    if (is_root) return std::string("/run/xylem/xylemd.sock");
    if (runtime_dir == nullptr || *runtime_dir == '\0')
        return Error{
            EINVAL,
            "socket: XDG_RUNTIME_DIR is not set, so there is no default place for the control socket: name one "
            "with --socket PATH"};
    return std::string(runtime_dir) + "/xylem/xylemd.sock";
}

Result<Config> load(int argc, const char* const* argv) {
    const Result<Flags> flags = read_flags(argc, argv);
    if (!flags) return flags.error();
    Config config;
    config.answer_only = flags->answer_only;
    if (!config.answer_only.empty()) return config;
    if (flags->config_path)
        if (Result<void> done = apply_file(config, *flags->config_path); !done) return done.error();
    for (const Setting& setting : flags->settings)
        if (Result<void> done = apply(config, setting); !done) return done.error();
    if (config.socket.empty()) {
        Result<std::string> path = default_socket_path(geteuid() == 0, std::getenv("XDG_RUNTIME_DIR"));
        if (!path) return path.error();
        const Setting chosen{"socket", *path, "socket (from XDG_RUNTIME_DIR)", false};
        if (Result<void> done = apply(config, chosen); !done) return done.error();
    }
    if (Result<void> checked = check_together(config); !checked) return checked.error();
    return config;
}

std::vector<std::string> effective_lines(const Config& config) {
    std::vector<std::string> lines;
    for (const Key& key : keys())
        lines.push_back(key.name == "tls" ? "tls: off" : std::string(key.name) + " = " + key.show(config));
    for (const Peer& peer : config.peers)
        lines.push_back("peer = { address = " + toml_text(to_string(peer.address)) +
                        ", signal_port = " + std::to_string(peer.signal_port) + " }");
    return lines;
}

}  // namespace xylem::config
