#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The examples of the manual are C that compiles without a warning: man_examples.py SOURCE_ROOT COMPILER…"""
import pathlib
import subprocess
import sys

root, *compiler = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(root, "tests/lint")))
from man import displays  # noqa: E402

FLAGS = ["-std=c11", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{root}/include", "-x", "c", "-"]
n_examples, failed = 0, []
for page in sorted(pathlib.Path(root, "docs/man").glob("*.[37]")):
    _, _, examples = page.read_text().partition("\n.Sh EXAMPLES\n")
    for number, example in enumerate(displays(examples.split("\n.Sh ")[0]), 1):
        n_examples += 1
        done = subprocess.run([*compiler, *FLAGS], input=example, capture_output=True, text=True)
        if done.returncode != 0:
            failed.append(f"{page.name}, example {number}:\n{done.stderr}")
if n_examples < 10:
    failed.append(f"only {n_examples} examples found")
print("\n".join(failed) or f"{n_examples} examples compile")
sys.exit(bool(failed))
