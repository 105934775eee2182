#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every source, build and script file has exactly one SPDX line, among its first three lines, with a licence of ours."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import read, run, tracked_files  # noqa: E402

ENDINGS = (".c", ".cc", ".h", ".hpp", ".py", ".sh", ".proto", ".def", ".map", ".toml", ".in", ".supp", ".example",
           ".1", ".3", ".5", ".7", ".8")
NAMES = ("meson.build", "meson_options.txt", ".clang-format", ".clang-tidy")
LICENCES = {"Apache-2.0"}
BPF_LICENCES = {"BSD-2-Clause OR GPL-2.0-only", "GPL-2.0-only OR BSD-2-Clause"}
# Headers beside a BPF program may be shared with it, and then carry both sides' licences.
SHARED_LICENCES = LICENCES | {"Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause"}
TAG = re.compile(r"^\s*(?://|/\*|#|\*|\.\\\x22)\s*SPDX-License-Identifier: (.+?)\W*$", re.M)


def is_ours_to_mark(root, name):
    base = name.rsplit("/", 1)[-1]
    if name.endswith(ENDINGS) or base in NAMES:
        return True
    return "." not in base and read(root, name).startswith("#!")


def allowed_licences(name):
    if name.endswith(".bpf.c"):
        return BPF_LICENCES
    return SHARED_LICENCES if name.startswith("dataplane/xdp/") and name.endswith(".h") else LICENCES


def check(root):
    violations = []
    for name in tracked_files(root):
        if not is_ours_to_mark(root, name) and not (name.startswith(".ci/")):
            continue
        text = read(root, name)
        allowed = allowed_licences(name)
        found = TAG.findall(text)
        if len(found) != 1:
            violations.append(f"{name}: {len(found)} SPDX lines, wanted one")
        elif found[0] not in allowed:
            violations.append(f"{name}: licence '{found[0]}', wanted {' or '.join(sorted(allowed))}")
        elif not TAG.search("\n".join(text.splitlines()[:3])):
            violations.append(f"{name}: the SPDX line belongs at the top")
    return violations


if __name__ == "__main__":
    sys.exit(run(check))
