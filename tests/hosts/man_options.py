#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each option that xylemd and xylem tell of in --help is in its manual page, and none that they do not have:
man_options.py SOURCE_ROOT XYLEMD XYLEM."""
import pathlib
import re
import subprocess
import sys

source, xylemd, xylem = sys.argv[1:]
COMMANDS = [[], ["root"], ["leaf"], ["status"], ["bench"], ["bench", "send"], ["bench", "recv"]]


def help_flags(*command):
    text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    flags = set()
    for line in re.findall(r"^  (-\S.*)$", text, re.M):
        flags |= set(re.match(r"-[-\w]+(?:,-[-\w]+)*", line)[0].split(","))
    return flags


def page_flags(page):
    text = pathlib.Path(source, "docs/man", page).read_text()
    flags = set()
    for operands in re.findall(r"\bFl ([^\n]*)", text):
        # Up to the next macro: `Fl v , -verbose`, `Fl -help | -version`, `Fl -port Ar KIND`.
        for word in operands.split():
            if not re.fullmatch(r"-?[a-z][-\w]*|[,|]", word):
                break
            if word not in ",|":
                flags.add("-" + word)
    return flags


complaints = []
for page, commands in (("xylemd.8", [[xylemd]]), ("xylem.1", [[xylem, *c] for c in COMMANDS])):
    has, told = set().union(*(help_flags(*c) for c in commands)), page_flags(page)
    if len(has) < 5:
        complaints.append(f"{page}: only {sorted(has)} found in --help")
    complaints += [f"{page} does not tell of {f}" for f in sorted(has - told)]
    complaints += [f"{page} tells of {f}, which --help does not have" for f in sorted(told - has)]
print("\n".join(complaints) or "the pages have every option")
sys.exit(bool(complaints))
