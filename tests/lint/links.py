#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links in the Markdown pages to files of the repository, and to headings of a page, lead somewhere."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import read, run, tracked_files  # noqa: E402

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
HEADING = re.compile(r"^#+ (.+)$", re.M)


def slugs(text):
    """Anchors of a page's headings, as forges make them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in HEADING.findall(text)}


def check(root):
    violations = []
    for name in (n for n in tracked_files(root) if n.endswith(".md")):
        for target in LINK.findall(CODE.sub("", read(root, name))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (pathlib.Path(root, name).parent / path) if path else pathlib.Path(root, name)
            if not file.exists():
                violations.append(f"{name}: link to {target}: no such file")
            elif anchor and file.suffix == ".md" and anchor not in slugs(file.read_text(encoding="utf-8")):
                violations.append(f"{name}: link to {target}: no such heading")
    return violations


if __name__ == "__main__":
    sys.exit(run(check))
