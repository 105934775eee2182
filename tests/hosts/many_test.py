#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A thousand leaves of one root, and a thousand sessions of one daemon.

Invariants 5 and 6: the leaves that were there lose nothing during the storm, and afterwards the daemon holds what it held before.
"""
import contextlib
import os
import pathlib
import subprocess

from lab import BUILD, Daemon, Directory, Lab, await_true, main

JOINS = BUILD / "bench/joins"


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd")), pathlib.Path(f"/proc/{pid}/maps").read_text().count("/memfd:")


def let_end(processes):
    for process in processes:
        process.child.stdin.close()
    for process in processes:
        process.succeed(60)


def storm(run_root, run_leaf, address, leaves):
    """Four processes join while two leaves, which were there before, count what they get."""
    with contextlib.ExitStack() as stack:
        def start(run, *argv):
            return stack.enter_context(run(JOINS, *argv, "--address", address, stdin=subprocess.PIPE))
        root = start(run_root, "serve", "--count", leaves + 2, "--interval-us", 500)
        root.await_line("listening")
        watchers = [start(run_leaf, "watch") for _ in range(2)]
        for watcher in watchers:
            watcher.await_line("joined")
        joiners = [start(run_leaf, "join", "--count", leaves // 4) for _ in range(4)]
        for joiner in joiners:
            joiner.await_line("joined", 60)
        root.await_line(f'"accepted":{leaves + 2}', 60)
        root.child.stdin.close()
        root.await_line("sent", 60)
        for watcher in watchers:
            watcher.await_line("messages", 60)
            told = watcher.json()
            assert told["lost"] == 0 and told["messages"] > 0, told
        let_end(joiners + watchers)
        root.succeed(60)


def a_thousand_leaves_of_one_root():
    with Directory() as directory, Daemon(directory, "--data-port", 7673, "--signal-port", 7672) as daemon:
        before = descriptors(daemon.pid)
        storm(daemon.app, daemon.app, "127.0.0.1", 1000)
        await_true("what was held is back", lambda: descriptors(daemon.pid) == before, 20)
        daemon.stop()


def leaves_of_another_host():
    with Lab(hosts=1) as lab:
        storm(lambda *argv, **options: lab.on(0, *argv, **options), lambda *argv, **options: lab.on(1, *argv, **options),
              "10.77.0.1", 400)


def a_thousand_sessions_of_one_daemon():
    with Directory() as directory, Daemon(directory, "--data-port", 7673, "--signal-port", 7672) as daemon:
        before = descriptors(daemon.pid)
        with contextlib.ExitStack() as stack:
            apps = [stack.enter_context(daemon.app(JOINS, "sessions", "--address", "127.0.0.1", "--listen-port", 20000 + 1000 * n,
                                                   "--count", 125, stdin=subprocess.PIPE)) for n in range(8)]
            for app in apps:
                app.await_line('"sessions":125', 60)
            roots = [session for session in daemon.status()["sessions"] if session["role"] == "c_root"]
            assert len(roots) == 1000, len(roots)
            let_end(apps)
        await_true("what was held is back", lambda: descriptors(daemon.pid) == before, 20)
        daemon.stop()


if __name__ == "__main__":
    main(a_thousand_leaves_of_one_root, leaves_of_another_host, a_thousand_sessions_of_one_daemon)
