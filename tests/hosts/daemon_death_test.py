#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of xylemd under load: applications learn it at once, a restarted daemon serves them, nothing is left over.

Invariant 6: after the restarted daemon's stop and the applications' close no XDP program, map, memfd or file is there.
"""
import errno
import json
import pathlib
import re
import signal
import subprocess
import time

from lab import BUILD, XYLEM, Lab, await_true, main

SLEEPER = BUILD / "tests/hosts/sleeper"
PORT = 7810


def bpf_ids(kind):
    """The ids of all BPF programs or maps of the machine."""
    listed = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True, check=True).stdout
    return {entry["id"] for entry in json.loads(listed or "[]")}


def memfds_of(pid):
    """The memfds that a process maps or holds."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    held = [str(link.readlink()) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    return re.findall(r"/memfd:\S*", maps) + [name for name in held if "memfd:" in name]


def xdp_on(lab, host):
    shown = lab.run(host, "ip", "-d", "link", "show", "dev", "eth0")
    return "prog/xdp" in shown or " xdp" in shown


def daemon_is_killed(port):
    programs, maps = bpf_ids("prog"), bpf_ids("map")
    with Lab(hosts=1, port=port) as lab:
        root_at = lab.address(0, PORT)
        with lab.on(0, XYLEM, "bench", "send", root_at, "--messages", 0, "--verbose") as sender, \
                lab.on(1, SLEEPER, lab.address(1, PORT), stdin=subprocess.PIPE) as sleeper:
            sender.await_line("listening")
            with lab.on(1, XYLEM, "bench", "recv", root_at, "--verbose") as sink:
                sink.await_line("joined")
                sleeper.await_line("asleep")
                await_true("load", lambda: load_seen(lab), 20)
                killed_at = time.monotonic()
                lab.kill_daemon(1)
                for name in ("root", "leaf-at-root", "leaf"):
                    assert sleeper.await_line(f"close {name} ").split()[2] == str(errno.ENETDOWN), str(sleeper)
                took = time.monotonic() - killed_at
                assert took < 1, f"FD_CLOSE took {took:.3f} s"
                assert sink.finish(5) == 1, f"the sink's daemon is gone: {sink}"
            assert sender.finish(20) == 1, f"the sender's only leaf was lost: {sender}"
            lab.start_daemon(1)
            sleeper.tell("again")
            sleeper.await_line("served")
            transfer(lab)
            sleeper.tell("close")
            sleeper.await_line("closed")
            lab.kill_daemon(1, signal.SIGTERM)
            await_true("the application holds no shared memory", lambda: not memfds_of(sleeper.pid))
            assert not xdp_on(lab, 1), "an XDP program is left on eth0"
            left = [p.name for p in lab.runtime_directory(1).iterdir() if p.name not in ("pid", "xylemd.log")]
            assert not left, f"left in the runtime directory: {left}"
    await_true("no BPF program is left", lambda: bpf_ids("prog") <= programs, 5)
    await_true("no BPF map is left", lambda: bpf_ids("map") <= maps, 5)


def load_seen(lab):
    """Frames flow to host 1: its interface has received more than joins need."""
    return int(lab.run(1, "cat", "/sys/class/net/eth0/statistics/rx_packets")) > 2000


def transfer(lab):
    """The restarted daemon takes part in a session between hosts."""
    root_at = lab.address(0, PORT + 1)
    with lab.on(0, XYLEM, "bench", "send", root_at, "--messages", 5000, "--verbose") as sender:
        sender.await_line("listening")
        with lab.on(1, XYLEM, "bench", "recv", root_at) as sink:
            sink.succeed()
            assert sink.json()["messages"] == 5000, str(sink)
        sender.succeed()


def killed_on_af_xdp():
    daemon_is_killed("af_xdp")


def killed_on_af_packet():
    daemon_is_killed("af_packet")


if __name__ == "__main__":
    main(killed_on_af_xdp, killed_on_af_packet)
