#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the conformance suite over one kind of port: conformance.py local|af_xdp|af_packet BINARY [GTEST_ARG…]

`local`: one daemon, and every party is a process on its host. Else three daemons on three hosts of a laboratory. The binary
learns the daemons from XY_CONFORM_HOSTS ("SOCKET ADDRESS PID" of each, separated by commas).
"""
import contextlib
import os
import pathlib
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "hosts"))
from lab import XYLEMD, Daemon, Directory, Lab  # noqa: E402

HOSTS = 3


def free_port(kind):
    """A port that nobody has; several suites may run side by side."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def hosts_on(port, stack):
    """(socket, address, pid) of each host's daemon."""
    if port == "local":
        directory = stack.enter_context(Directory())
        daemon = stack.enter_context(Daemon(directory, "--signal-port", free_port(socket.SOCK_STREAM), "--data-port",
                                            free_port(socket.SOCK_DGRAM)))
        return [(daemon.socket, "127.0.0.1", daemon.pid)]
    lab = stack.enter_context(Lab(hosts=HOSTS - 1, port=port))
    return [(lab.runtime_directory(h) / "xylemd.sock", f"10.77.0.{h + 1}", lab.daemon_pid(h)) for h in range(HOSTS)]


def main(port, binary, *args):
    with contextlib.ExitStack() as stack:
        hosts = hosts_on(port, stack)
        env = {"XY_CONFORM_HOSTS": ",".join(" ".join(map(str, host)) for host in hosts), "XY_CONFORM_DAEMON": XYLEMD}
        done = subprocess.run([binary, *args], env={**os.environ, **env}, timeout=280)
        if done.returncode:
            raise SystemExit(done.returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
