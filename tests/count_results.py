#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up meson's test results of several build trees and prints the closing line of scripts/test.

    count_results.py [--strict] BUILD_DIR...

A tree without results (it did not configure or build) counts as one failure. With --strict a skipped test counts as
failed, because the machine can run it. The exit status is 0 only when nothing failed and something passed.
"""
import json
import pathlib
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP", "IGNORED"}


def results(build_dir):
    """(name, result) of each test in the tree's last run; None when there was no run."""
    log = pathlib.Path(build_dir, "meson-logs", "testlog.json")
    if not log.exists():
        return None
    rows = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
    return [(row["name"], row["result"]) for row in rows]


def main(args):
    strict = "--strict" in args
    passed = failed = skipped = 0
    complaints = []
    for build_dir in (a for a in args if a != "--strict"):
        rows = results(build_dir)
        if rows is None:
            failed += 1
            complaints.append(f"{build_dir}: no test ran (see {build_dir}/meson-logs/build.log)")
            continue
        for name, result in rows:
            if result in PASSED:
                passed += 1
            elif result in SKIPPED and not strict:
                skipped += 1
                complaints.append(f"{build_dir}: skipped: {name}")
            else:
                failed += 1
                why = "skipped, and this machine can run it" if result in SKIPPED else result.lower()
                complaints.append(f"{build_dir}: {why}: {name}")
    print("\n".join(["", *complaints]))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
