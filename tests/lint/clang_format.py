#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every C and C++ file is as clang-format leaves it. To mend: clang-format -i FILE."""
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import run, tracked_files  # noqa: E402

SOURCES = (".c", ".cc", ".h", ".hpp")


def check(root):
    files = [name for name in tracked_files(root) if name.endswith(SOURCES)]
    if not files:
        return []
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file", *files],
                            cwd=root, capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if ": error:" in line]
    return lines or (["clang-format failed: " + result.stderr] if result.returncode else [])


if __name__ == "__main__":
    if not shutil.which("clang-format"):
        print("no clang-format here; scripts/install-deps brings it")
        sys.exit(77)
    sys.exit(run(check))
