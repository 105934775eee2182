#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every row of docs/winsock.md has a test that carries its number, or stands, once, in one of two lists beside this file:

  not_applicable.txt  `W-nnn sentence.`  what cannot apply here, and why; shown in docs/conformance.md
  pending.txt         `W-nnn [reason]`   whose test is still to be written

  coverage.py ROOT BINARY   prints the coverage table; fails on a row with neither test nor entry, a test without a row,
                            a row with both, an entry without a row, and an old docs/conformance.md
  coverage.py ROOT --write  makes docs/conformance.md anew

A disabled test (DISABLED_W_nnn_…) counts as none: its row is pending.
"""
import pathlib
import re
import subprocess
import sys

TABLE, PAGE = "docs/winsock.md", "docs/conformance.md"
NOT_APPLICABLE, PENDING = "tests/conformance/not_applicable.txt", "tests/conformance/pending.txt"
MOST_NOT_APPLICABLE = 25  # a table that half does not apply would show nothing
ROW = re.compile(r"^\| (W-\d{3}) \| ([NRO]) \| ", re.M)
SECTION = re.compile(r"^### (1\.\w) (.+)$")
ENTRY = re.compile(r"^(W-\d{3})(?:\s+(\S.*))?$")
TEST = re.compile(r"^W_(\d{3})_[A-Z]\w*$")
OWN_SUITE = "Framework."  # what the tests stand on, tested itself


def rows(text):
    """[(id, strength, section)] in the order of the page, and what is wrong with it."""
    found, problems, section = [], [], ""
    for line in text.splitlines():
        if heading := SECTION.match(line):
            section = f"{heading[1]} {heading[2]}"
        elif row := ROW.match(line):
            if row[1] in [id for id, _, _ in found]:
                problems.append(f"{TABLE}: {row[1]} stands there twice")
            else:
                found.append((row[1], row[2], section))
        elif line.startswith("| W-"):
            problems.append(f"{TABLE}: not a row: {line[:60]}")
    return found, problems


def entries(name, text):
    """{id: reason} of a list, and what is wrong with it."""
    found, problems = {}, []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        entry = ENTRY.match(line)
        if not entry:
            problems.append(f"{name}: not an entry: {line[:60]}")
        elif entry[1] in found:
            problems.append(f"{name}: {entry[1]} stands there twice")
        else:
            found[entry[1]] = entry[2] or ""
    return found, problems


def tests(listing):
    """{id: number of tests} of what --gtest_list_tests printed, and what is wrong with it. Tests with parameters count
    once per parameter."""
    found, problems, suite = {}, [], ""
    for line in listing.splitlines():
        line = line.split("#")[0].rstrip()
        if not line:
            continue
        if not line.startswith(" "):
            suite = line
            continue
        name = line.strip().split("/")[0]
        if suite == OWN_SUITE or name.startswith("DISABLED_") or "DISABLED_" in suite:
            continue
        if test := TEST.match(name):
            id = f"W-{test[1]}"
            found[id] = found.get(id, 0) + 1
        else:
            problems.append(f"{suite}{name}: a conformance test is named W_nnn_Sentence")
    return found, problems


def compare(table, tested, not_applicable, pending):
    """What is wrong with the tests and the two lists, row by row."""
    known = [id for id, _, _ in table]
    problems = [f"{id}: a test, but no row in {TABLE}" for id in sorted(tested) if id not in known]
    for name, listed in ((NOT_APPLICABLE, not_applicable), (PENDING, pending)):
        problems += [f"{name}: {id}: no such row in {TABLE}" for id in listed if id not in known]
    for id in known:
        places = [place for place, ids in (("tested", tested), (NOT_APPLICABLE, not_applicable), (PENDING, pending)) if id in ids]
        if not places:
            problems.append(f"{id}: no test W_{id[2:]}_…, and in neither list")
        elif len(places) > 1:
            problems.append(f"{id}: {' and '.join(places)}: one of them is wrong")
    problems += [f"{NOT_APPLICABLE}: {id}: say why, in one sentence" for id, reason in not_applicable.items()
                 if not reason.endswith(".")]
    if len(not_applicable) > MOST_NOT_APPLICABLE:
        problems.append(f"{NOT_APPLICABLE}: {len(not_applicable)} rows, at most {MOST_NOT_APPLICABLE}: what can apply is tested")
    return problems


def summary(table, tested, not_applicable, pending):
    """The coverage table: a line per section and one for all."""
    sections = list(dict.fromkeys(section for _, _, section in table)) + ["all"]
    width = max(len(section) for section in sections)
    lines = [f"{'section':{width}}  rows  tested  not applicable  pending"]
    for section in sections:
        ids = [id for id, _, own in table if section in ("all", own)]
        counts = [sum(id in listed for id in ids) for listed in (tested, not_applicable, pending)]
        lines.append(f"{section:{width}}  {len(ids):4}  {counts[0]:6}  {counts[1]:14}  {counts[2]:7}")
    return "\n".join(lines)


def page(not_applicable):
    """docs/conformance.md."""
    lines = [
        "# Conformance",
        "",
        "[winsock.md](winsock.md) is the table of what the API promises, row by row. `meson test --suite conformance` runs a test",
        "per row, named after it (`W_060_InvitedSideMustListen`), against a daemon on this host and, where they matter, between",
        "hosts. A test of an ambiguous row (strength R) names its A-id when it fails. `tests/conformance/coverage.py` compares the",
        f"tests with the table and fails on every row that has neither a test nor an entry in `{PENDING}`",
        "(still to be written) or below. Which reading an ambiguous row follows where two are left: [decision",
        "0011](decisions/0011-the-readings-of-winsock.md).",
        "",
        "## Rows that do not apply",
        "",
        "| row | why |",
        "| --- | --- |",
    ]
    lines += [f"| {id} | {reason} |" for id, reason in sorted(not_applicable.items())]
    lines += ["", f"This page is made from `{NOT_APPLICABLE}` by `tests/conformance/coverage.py . --write`."]
    return "\n".join(lines) + "\n"


def check(root, listing):
    """(the coverage table, what is wrong)."""
    read = lambda name: pathlib.Path(root, name).read_text(encoding="utf-8") if pathlib.Path(root, name).exists() else ""
    table, problems = rows(read(TABLE))
    if not table:
        problems.append(f"{TABLE}: no rows in it")
    tested, in_tests = tests(listing)
    not_applicable, in_not_applicable = entries(NOT_APPLICABLE, read(NOT_APPLICABLE))
    pending, in_pending = entries(PENDING, read(PENDING))
    problems += in_tests + in_not_applicable + in_pending + compare(table, tested, not_applicable, pending)
    if read(PAGE) != page(not_applicable):
        problems.append(f"{PAGE}: differs from {NOT_APPLICABLE}; run tests/conformance/coverage.py . --write")
    return summary(table, tested, not_applicable, pending) if table else "", problems


def write(root):
    text = pathlib.Path(root, NOT_APPLICABLE).read_text(encoding="utf-8")
    pathlib.Path(root, PAGE).write_text(page(entries(NOT_APPLICABLE, text)[0]), encoding="utf-8")


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    if sys.argv[2] == "--write":
        write(sys.argv[1])
        return 0
    listing = subprocess.run([sys.argv[2], "--gtest_list_tests"], check=True, capture_output=True, text=True).stdout
    table, problems = check(sys.argv[1], listing)
    print(table)
    for line in problems:
        print(line)
    print(f"{len(problems)} problem(s)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
