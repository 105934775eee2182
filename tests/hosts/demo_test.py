#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo in small sizes: every byte at every leaf, and nothing left behind.

Invariant 7: no fan-out is shortened; each leaf's bytes are compared with the input.
Invariant 6: after the demo no process, namespace or file of it is there.
"""
import json
import os
import pathlib
import subprocess
import sys

from lab import BUILD, NOBODY, SOURCE, as_user, await_true, Directory, need_root


def namespaces():
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()


def processes_that_name(text):
    found = []
    for cmdline in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in cmdline.read_text():
                found.append(cmdline.parent.name)
        except OSError:
            pass
    return found


def demo(*args, as_nobody=False):
    before = set(namespaces())
    user = NOBODY if as_nobody else None
    with Directory(user) as directory:
        command = [str(SOURCE / "scripts/demo"), "--build-dir", str(BUILD), "--json", *args]
        done = subprocess.run(as_user(command, user), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=110,
                              env={**os.environ, "TMPDIR": str(directory)})
        print(done.stderr)
        assert done.returncode == 0, f"exit status {done.returncode}: {done.stdout}"
        assert not list(directory.iterdir()), f"left in TMPDIR: {list(directory.iterdir())}"
        await_true("end of the demo's processes", lambda: not processes_that_name(str(directory)))
    assert set(namespaces()) <= before, f"namespaces left: {set(namespaces()) - before}"
    return json.loads(done.stdout.splitlines()[-1])


def check(result, **wanted):
    for key, value in wanted.items():
        assert result[key] == value, f"{key}: {result[key]}, wanted {value}"
    assert result["seconds"] > 0 and result["gbit_s"] > 0, result


CASES = {
    "local": lambda: check(demo("--bytes", "8M"), hosts=0, leaves=4, bytes=8 << 20, intact=4),
    "unprivileged": lambda: check(demo("--bytes", "8M", as_nobody=True), hosts=0, leaves=4, bytes=8 << 20, intact=4),
    "stream": lambda: check(demo("--bytes", "3000001", "--type", "stream", "--leaves", "2"), bytes=3000001, intact=2),
    "empty": lambda: check_empty(demo("--bytes", "0", "--leaves", "1")),
    "af_xdp": lambda: check(demo("--hosts", "4", "--leaves", "8", "--bytes", "16M"), hosts=4, leaves=8, bytes=16 << 20, intact=8),
    "af_packet": lambda: check(demo("--hosts", "2", "--leaves", "4", "--bytes", "8M", "--port", "af_packet"), intact=4),
    "loss": lambda: check(demo("--hosts", "2", "--leaves", "4", "--bytes", "8M", "--loss", "1"), intact=4),
    "heavy-loss": lambda: check(demo("--hosts", "1", "--leaves", "1", "--bytes", "1M", "--loss", "20"), intact=1),
}


def check_empty(result):
    assert result["intact"] == 1 and result["bytes"] == 0, result


if __name__ == "__main__":
    case = sys.argv[1]
    if case not in ("local", "stream", "empty"):
        need_root()
    CASES[case]()
