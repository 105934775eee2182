#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No tracked file names a path of the machine that somebody worked on: the tree builds and runs anywhere."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import read, run, tracked_files  # noqa: E402

# Written in pieces, so that this file does not name them itself.
PLACES = ("/" + "work/", "/" + "tmp/wt/", "/home/" + r"\w+/")
PATTERN = re.compile(r"(?<![\w.}])(?:" + "|".join(PLACES) + ")")


def check(root):
    return [f"{name}:{number}: a path of one machine: {line.strip()[:120]}"
            for name in tracked_files(root)
            for number, line in enumerate(read(root, name).splitlines(), 1) if PATTERN.search(line)]


if __name__ == "__main__":
    sys.exit(run(check))
