#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long after kill -9 of an application the daemon has everything back that it held.

Invariant 6: removal is complete: descriptors, mapped memory and sessions of the daemon are back at their start level.
"""
import os
import pathlib
import signal
import statistics
import time

from lab import BUILD, Daemon, Directory, await_true, main

HOSTILE = BUILD / "tests/hosts/hostile"
SLEEPER = BUILD / "tests/hosts/sleeper"
KILLS = 9
LIMIT_MS = 100


def holdings(pid):
    """How many descriptors and mapped memfds a process has."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    return len(os.listdir(f"/proc/{pid}/fd")), maps.count("/memfd:")


def kill_and_wait(daemon, victim, start_level):
    """Milliseconds from the signal until `daemon` holds no more than `start_level`."""
    before = time.monotonic()
    victim.signal(signal.SIGKILL)
    await_true(f"{start_level} descriptors and mappings, now {holdings(daemon.pid)}",
               lambda: holdings(daemon.pid) == start_level, 10, pause=0.001)
    return (time.monotonic() - before) * 1000


def measure(program, ready):
    with Directory() as directory, Daemon(directory, "--data-port", 7573, "--signal-port", 7572) as daemon:
        times_ms = []
        start_level = holdings(daemon.pid)
        for i in range(KILLS):
            with daemon.app(*program, f"127.0.0.1:{7890 + i}") as victim:
                victim.await_line(ready)
                held = holdings(daemon.pid)
                assert held[0] > start_level[0] and held[1] > start_level[1], f"a session holds nothing? {held}, {start_level}"
                times_ms.append(kill_and_wait(daemon, victim, start_level))
        status = daemon.status()
        assert status["sessions"] == [] and status["lingering"] == 0, status
        middle = statistics.median(times_ms)
        print(f"{ready}: all back {middle:.1f} ms after kill -9 (median of {KILLS}: {', '.join(f'{t:.1f}' for t in times_ms)})")
        assert middle <= LIMIT_MS, f"median {middle:.1f} ms, wanted {LIMIT_MS} ms"
        daemon.stop()


def killed_asleep():
    measure([SLEEPER], "asleep")


def killed_in_the_middle_of_a_transfer():
    measure([HOSTILE, "busy"], "busy")


if __name__ == "__main__":
    main(killed_asleep, killed_in_the_middle_of_a_transfer)
