#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each invariant of docs/architecture.md (1 to 7) is named by a test: a comment `Invariant N` in a file under tests/."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import read, run, tracked_files  # noqa: E402

N_INVARIANTS = 7


def check(root):
    tests = [n for n in tracked_files(root) if n.startswith("tests/") and not n.startswith("tests/lint/")]
    named = {int(n) for name in tests for n in re.findall(r"\b[Ii]nvariant (\d+)\b", read(root, name))}
    return [f"invariant {n}: no test names it" for n in range(1, N_INVARIANTS + 1) if n not in named]


if __name__ == "__main__":
    sys.exit(run(check))
