# SPDX-License-Identifier: Apache-2.0
"""Which files a lint looks at: those git tracks, or, in a tree without git (a tarball, a self-test), all but build trees."""
import pathlib
import subprocess
import sys


def tracked_files(root):
    """Paths relative to root, with '/', sorted; only files that exist."""
    root = pathlib.Path(root)
    if (root / ".git").exists():
        # A clone that belongs to another user (a chroot, a container) is read all the same.
        command = ["git", "-c", "safe.directory=*", "-C", str(root), "ls-files", "-z"]
        names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    else:
        names = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
        names = [n for n in names if not n.split("/")[0].startswith("build") and "__pycache__" not in n]
    return sorted(n for n in names if n and (root / n).is_file())


def read(root, name):
    return pathlib.Path(root, name).read_text(encoding="utf-8", errors="replace")


def run(check):
    """Runs check(root) -> list of violations on the tree named on the command line; the exit status says if it is clean."""
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    violations = check(root)
    for line in violations:
        print(line)
    print(f"{len(violations)} violation(s)")
    return 1 if violations else 0
