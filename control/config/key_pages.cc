// SPDX-License-Identifier: Apache-2.0
// The pages that list every key, made from the key table.
#include "control/config/key_table.h"

namespace xylem::config {
namespace {

std::string example_value(const Key& key) {
    return key.name == "socket" ? "\"/run/xylem/xylemd.sock\"" : key.show(Config{});
}

std::string_view flag_cell(const Key& key) { return key.flag.empty() ? "–" : key.flag; }

}  // namespace

std::string example_text() {
    std::string out =
        "# SPDX-License-Identifier: Apache-2.0\n"
        "# Every key of xylemd's configuration, with meaning, unit, default and limits. A key that is commented out "
        "has its\n"
        "# default. Start it with: xylemd --config FILE. Flags override the file.\n";
    for (const Key& key : keys()) {
        out.append("\n# ").append(key.about).append("\n# Unit: ").append(key.unit);
        out.append(". Default: ").append(default_of(key)).append(". Limits: ").append(limits_of(key)).append(".");
        if (!key.flag.empty()) out.append(" Flag: ").append(key.flag).append(".");
        out.append("\n#").append(key.name).append(" = ").append(example_value(key)).append("\n");
    }
    return out +
           "\n# A daemon whose signalling does not listen on our own signal_port; one entry per address, any number.\n"
           "# address: IPv4 or IPv6. signal_port: TCP port, 1 to 65535. Both are needed. Default: no entry.\n"
           "#[[peer]]\n"
           "#address = \"192.0.2.7\"\n"
           "#signal_port = 7480\n";
}

std::string reference_text() {
    std::string out =
        "# Configuration of xylemd\n\n"
        "`xylemd --config FILE` reads a TOML file; flags override it; what neither says has the default below. "
        "`xylemd.toml.example`\n"
        "holds every key, commented out. The daemon prints its effective configuration when it starts. A key or flag "
        "that is\n"
        "unknown, of the wrong type or outside its limits is one line on standard error that names it, its file and "
        "line, and the\n"
        "cure; the exit status is 2.\n\n"
        "| key | flag | unit | default | limits | meaning |\n"
        "| --- | --- | --- | --- | --- | --- |\n";
    for (const Key& key : keys()) {
        out.append("| `").append(key.name).append("` | ").append(flag_cell(key)).append(" | ").append(key.unit);
        out.append(" | ").append(default_of(key)).append(" | ").append(limits_of(key)).append(" | ").append(key.about);
        out.append(" |\n");
    }
    return out +
           "\n`[[peer]]` entries (`address`, `signal_port`, both needed) name daemons whose signalling does not listen "
           "on our own\n"
           "`signal_port`.\n\n"
           "Flags without a key: `--config FILE`, `--help`, `--version`.\n";
}

}  // namespace xylem::config
