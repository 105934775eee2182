#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every drop has a name in dataplane/base/drops.def, a test that provokes it, and a line in docs/drops.md.

docs/drops.md is made from the table; after a change of the table: tests/lint/drops.py . --write
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import read, run, tracked_files  # noqa: E402

TABLE, PAGE = "dataplane/base/drops.def", "docs/drops.md"
ROW = re.compile(r'^\s*XY_DROP\(\s*(\w+)\s*,\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\)', re.M)


def drops(root):
    """(name, sentence) of each row of the table."""
    rows = ROW.findall(read(root, TABLE))
    return [(name, "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', sentence))) for name, sentence in rows]


def mentions(name):
    """How a test names a drop: Drop::name, kName, or the counter's name in quotes. A bare word would be any comment."""
    constant = "k" + "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return re.compile(rf"\bDrop::{name}\b|\b{constant}\b|[\"']{name}[\"']")


def page(rows):
    lines = [
        "# Drops",
        "",
        "Every frame that enters a stage is sent, held, or counted under one of these names. `xylem status` shows the counters.",
        "This page is made from `dataplane/base/drops.def` by `tests/lint/drops.py . --write`.",
        "",
        "| name | what happened |",
        "| --- | --- |",
    ]
    return "\n".join(lines + [f"| `{name}` | {sentence} |" for name, sentence in rows]) + "\n"


def check(root):
    if not pathlib.Path(root, TABLE).exists():
        return []
    rows = drops(root)
    if not rows:
        return [f"{TABLE}: no XY_DROP(name, \"sentence\") in it"]
    tests = [n for n in tracked_files(root) if n.startswith("tests/") and not n.startswith("tests/lint/")]
    text = "\n".join(read(root, n) for n in tests)
    violations = [f"{TABLE}: no test names the drop {name} (as Drop::{name} or \"{name}\")"
                  for name, _ in rows if not mentions(name).search(text)]
    if not pathlib.Path(root, PAGE).exists() or read(root, PAGE) != page(rows):
        violations.append(f"{PAGE}: differs from {TABLE}; run tests/lint/drops.py . --write")
    return violations


if __name__ == "__main__":
    if sys.argv[2:] == ["--write"]:
        pathlib.Path(sys.argv[1], PAGE).write_text(page(drops(sys.argv[1])))
        sys.exit(0)
    sys.exit(run(check))
