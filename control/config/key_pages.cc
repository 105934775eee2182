// SPDX-License-Identifier: Apache-2.0
// The pages that list every key, made from the key table.
#include "control/config/key_table.h"

namespace xylem::config {
namespace {

std::string example_value(const Key& key) {
    return key.name == "socket" ? "\"/run/xylem/xylemd.sock\"" : key.show(Config{});
}

std::string_view flag_cell(const Key& key) { return key.flag.empty() ? "–" : key.flag; }

/// Text lines of a manual page, one sentence each, with nothing in them that roff would take for a request.
std::string roff(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        const bool begins_line = out.empty() || out.back() == '\n';
        if (begins_line && (text[i] == '.' || text[i] == '\'')) out += "\\&";
        if (text[i] == '\\')
            out += "\\e";
        else if (text[i] == ' ' && i > 0 && text[i - 1] == '.')
            out += '\n';
        else
            out += text[i];
    }
    return out;
}

constexpr std::string_view kManualHead = R"(.\" SPDX-License-Identifier: Apache-2.0
.\" Made from control/config/key_table.cc: ninja config-pages
.Dd November 20, 2026
.Dt XYLEMD.TOML 5
.Os Xylem
.Sh NAME
.Nm xylemd.toml
.Nd configuration of the Xylem daemon
.Sh DESCRIPTION
.Xr xylemd 8
reads the file that
.Fl -config
names.
It is TOML: one
.Li key = value
on a line, texts in double quotes, lists in brackets, comments after #.
Options override it, and what neither says has its default.
.Pp
A key that is unknown, of the wrong type or outside its limits ends the start with status 2.
One line on standard error names it, its file and line, and the cure.
.Bl -tag -width Ds
)";

constexpr std::string_view kManualTail = R"(.El
.Ss Peers
A
.Li [[peer]]
entry names a daemon whose signalling does not listen on our own
.Li signal_port .
There may be any number, one for each address.
Both keys are needed.
.Bl -tag -width Ds
.It Li address
Its IPv4 or IPv6 address, as text.
.It Li signal_port
Its TCP port, 1 to 65535.
.El
.Sh EXAMPLES
.Bd -literal -offset indent
ports = ["af_xdp:eth0"]
idle = "busy"
lcores = "3"
allow_uids = [0, 1000]

[[peer]]
address = "192.0.2.7"
signal_port = 7480
.Ed
.Sh SEE ALSO
.Xr xy_setsockopt 3 ,
.Xr xylem 7 ,
.Xr xylemd 8
)";

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

std::string manual_text() {
    std::string out(kManualHead);
    for (const Key& key : keys()) {
        out.append(".It Li ").append(key.name).append("\n").append(roff(key.about)).append("\n.Pp\n");
        out.append("Unit: ").append(roff(key.unit)).append(".\nDefault: ").append(roff(default_of(key)));
        out.append(".\nLimits: ").append(roff(limits_of(key))).append(".\n");
        if (!key.flag.empty()) out.append("Option:\n.Fl ").append(key.flag.substr(1)).append(" .\n");
    }
    return out.append(kManualTail);
}

}  // namespace xylem::config
