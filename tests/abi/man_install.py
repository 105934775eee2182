#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `meson install` puts under man: `man NAME` finds a page for each function that the library exports, and for
each program: man_install.py MESON SOURCE_ROOT BUILD_ROOT."""
import pathlib
import re
import subprocess
import sys
import tempfile

meson, source, build = sys.argv[1:]
functions = re.findall(r"^\s+(xy_\w+);", pathlib.Path(source, "shim/xylem.map").read_text(), re.M)
wanted = [f"man3/{f}.3" for f in functions]
wanted += ["man1/xylem.1", "man5/xylemd.toml.5", "man7/xylem.7", "man7/xylem_events.7", "man8/xylemd.8"]
complaints = ["no functions found in shim/xylem.map"] if not functions else []
with tempfile.TemporaryDirectory(prefix="xylem-man-") as directory:
    subprocess.run([meson, "install", "-C", build, "--no-rebuild", "--quiet", "--tags", "man", "--destdir", directory], check=True)
    installed = {f"{p.parent.name}/{p.name}": p for p in pathlib.Path(directory).rglob("man[0-9]/*")}
    for place in wanted:
        name = pathlib.Path(place).stem
        if place not in installed:
            complaints.append(f"{place} is not installed")
        elif not re.search(rf"^\.Nm {re.escape(name)}\b", installed[place].read_text(), re.M):
            complaints.append(f"{place} does not name {name}")
print("\n".join(complaints) or f"{len(installed)} pages and names")
sys.exit(bool(complaints))
