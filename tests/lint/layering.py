#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the may-include table of docs/architecture.md: folders are walls.

For each C and C++ file: an own include is a full path from the root ("dataplane/base/result.h", <xylem/...>) and lies in a
folder that the file's folder may see; a system include is none that the folder may not see. For each meson.build: the
static libraries and the DPDK dependency that it names are those of folders that it may see, so that the linker is no way
around the table.
"""
import pathlib
import re
import sys
from dataclasses import dataclass

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import read, run, tracked_files  # noqa: E402

API, ABI = "include/xylem", "include/xylem/abi"
BASE, PACKET, LOG = "dataplane/base", "dataplane/packet", "dataplane/log"
DPDK_DIR, XDP, STAGE, ENGINE = "dataplane/dpdk", "dataplane/xdp", "dataplane/stage", "dataplane/engine"
CONTROL = tuple(f"control/{name}" for name in ("config", "signalling", "qos", "netlink", "session", "api", "daemon"))

RTE = r"rte_"
# <arpa/inet.h> turns text into addresses and back; it opens nothing.
SOCKETS = r"sys/(socket|un|epoll|uio)\.h|netinet/|netdb\.h|poll\.h|linux/(if|netlink|rtnetlink)"
CONTROL_LIBRARIES = r"asio|openssl/|google/|netlink/|spdlog/|toml\+\+|toml\.hpp|CLI/|nlohmann/|systemd/"
ANY_LIBRARY = f"{RTE}|bpf/|xdp/|fmt/|{CONTROL_LIBRARIES}"


@dataclass
class Rule:
    """What files of a folder may include beside their own folder: whole folders, single headers; and never `hidden`."""

    folders: tuple = ()
    headers: tuple = ()
    hidden: str = "(?!)"


def data(folders, hidden="", headers=()):
    return Rule(folders, headers, "|".join(filter(None, (hidden, CONTROL_LIBRARIES))))


ENGINE_DOOR = ("dataplane/engine/engine.h",)
RULES = {
    API: Rule(hidden=ANY_LIBRARY),
    ABI: Rule((API,), hidden=ANY_LIBRARY),
    "shim": Rule((API, ABI), hidden=ANY_LIBRARY),
    BASE: data((), f"{RTE}|bpf/|xdp/|{SOCKETS}"),
    PACKET: data((BASE,), f"{RTE}|bpf/|xdp/"),
    LOG: data((BASE, API, ABI), f"{RTE}|bpf/|xdp/"),
    DPDK_DIR: data((BASE, PACKET, XDP)),
    XDP: data((BASE, PACKET)),
    STAGE: data((BASE, PACKET, LOG, API, ABI), r"rte_(eal|ethdev|eth_|bus|dev\.h|launch|lcore)|sys/|bpf/|xdp/",
                (f"{DPDK_DIR}/burst.h", f"{DPDK_DIR}/mbuf.h")),
    ENGINE: data((BASE, PACKET, LOG, DPDK_DIR, XDP, STAGE, API, ABI)),
    "control/cli": Rule((API, BASE), hidden=RTE),
    "examples": Rule((API,), hidden=ANY_LIBRARY),
    "scripts": Rule(hidden="(?!linux/|bpf/|stddef)"),  # BPF objects of the laboratory
    "bench": Rule(("shim", API, ABI, "control/cli", BASE, PACKET, LOG, DPDK_DIR, XDP, STAGE, ENGINE, *CONTROL)),
    "tests": Rule(("shim", API, ABI, "control/cli", "bench", BASE, PACKET, LOG, DPDK_DIR, XDP, STAGE, ENGINE, *CONTROL)),
}
for name in CONTROL[:4]:
    RULES[name] = Rule((BASE,), hidden=f"{RTE}|bpf/|xdp/")
# Flow specifications are the same structure in the interface and in what the daemons negotiate.
for name in ("control/signalling", "control/qos"):
    RULES[name] = Rule((BASE,), (f"{API}/qos.h",), hidden=f"{RTE}|bpf/|xdp/")
for name in CONTROL[4:]:
    RULES[name] = Rule((*CONTROL, BASE, API, ABI), ENGINE_DOOR, hidden=RTE)

# The engine's library may be linked where its door may be included.
DOOR_LINKS = {ENGINE_DOOR[0]: ENGINE}
# Applications link the library whose API they include.
API_USERS = {"control/cli", "examples"}
DPDK_USERS = {DPDK_DIR, XDP, STAGE, ENGINE, "tests", "bench"}
SOURCES = (".c", ".cc", ".h", ".hpp")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
DEPENDENCY = re.compile(r"\b(?:xy|xylem|libxylem)_(\w+?)(?:_dep|_lib)?\b")


def folder_of(path):
    """The row of the table that a path belongs to: its longest matching prefix, or None."""
    matches = [f for f in RULES if path.startswith(f + "/")]
    return max(matches, key=len) if matches else None


def check_include(path, folder, bracket, target):
    rule = RULES[folder]
    if bracket == "<" and target.startswith("xylem/"):
        target = "include/" + target
    elif bracket == "<":
        if re.match(rule.hidden, target):
            return f"{folder} may not see <{target}>"
        return None
    elif target.startswith("xylem/") or target.startswith("include/"):
        return f'"{target}": public headers are included as <xylem/...>'
    seen = folder_of(target)
    if seen is None:
        return f'"{target}" is not a full path from the root'
    if seen == folder or seen in rule.folders or target in rule.headers:
        return None
    return f"{folder} may not include {target}"


def check_source(root, path, folder):
    for number, line in enumerate(read(root, path).splitlines(), 1):
        match = INCLUDE.match(line)
        complaint = match and check_include(path, folder, *match.groups())
        if complaint:
            yield f"{path}:{number}: {complaint}"


def check_meson(root, path, folder):
    rule = RULES[folder]
    may_link = {folder, *rule.folders, *(DOOR_LINKS[h] for h in rule.headers if h in DOOR_LINKS)}
    if folder in API_USERS:
        may_link.add("shim")
    by_name = {f.rsplit("/", 1)[-1]: f for f in RULES}
    for number, line in enumerate(read(root, path).splitlines(), 1):
        code = line.split("#", 1)[0]
        for match in DEPENDENCY.finditer(code):
            target = by_name.get(match.group(1))
            if target and target not in may_link:
                yield f"{path}:{number}: {folder} may not link {target} ({match.group(0)})"
        if re.search(r"\blibdpdk\b", code) and folder not in DPDK_USERS:
            yield f"{path}:{number}: {folder} may not link DPDK"


def check(root):
    violations = []
    for path in tracked_files(root):
        folder = folder_of(path)
        if folder is None:
            if path.endswith(SOURCES):
                violations.append(f"{path}: in no folder of the layering table")
        elif path.endswith(SOURCES):
            violations += check_source(root, path, folder)
        elif path.endswith("/meson.build"):
            violations += check_meson(root, path, folder)
    return violations


if __name__ == "__main__":
    sys.exit(run(check))
