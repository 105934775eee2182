#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A root's host with two wired ports: leaves behind each of them, and a leaf whose route changes from one to the other.

Invariant 5: whichever port a leaf is behind, every message arrives, and nobody disturbs the others.
"""
import contextlib
import os
import subprocess

from lab import XYLEM, XYLEMD, Directory, Process, await_true, main, need_root, read_status

PORT = 7840
MESSAGES = 200000


class Wires:
    """A root's host r with eth0 and eth1, wired to `peers`: (name, interface) of the other end of each."""

    def __init__(self, peers, kind):
        need_root()
        self.kind = kind
        self.names = ["r"] + sorted({name for name, _ in peers})
        self.directory = Directory()
        self.stack = contextlib.ExitStack()
        try:
            for name in self.names:
                self.ip("netns", "add", self.namespace(name))
                self.ip("-n", self.namespace(name), "link", "set", "lo", "up")
            for i, (name, interface) in enumerate(peers):
                self.ip("-n", self.namespace("r"), "link", "add", f"eth{i}", "type", "veth", "peer", "name", interface, "netns",
                        self.namespace(name))
                for end, device, number in (("r", f"eth{i}", 1), (name, interface, 2)):
                    self.ip("-n", self.namespace(end), "addr", "add", f"10.78.{i}.{number}/24", "dev", device)
                    self.ip("-n", self.namespace(end), "link", "set", device, "up")
        except BaseException:
            self.__exit__()
            raise

    def namespace(self, name):
        return f"xyw{os.getpid()}-{name}"

    @staticmethod
    def ip(*args):
        subprocess.run(["ip", *args], check=True, timeout=20)

    def route(self, name, *args):
        self.ip("-n", self.namespace(name), "route", "replace", *args)

    def start(self):
        """A daemon on every host, on all its interfaces."""
        for name in self.names:
            devices = [d for d in interfaces_of(self.namespace(name)) if d.startswith("eth")]
            ports = [word for device in sorted(devices) for word in ("--port", f"{self.kind}:{device}")]
            (self.directory.path / name).mkdir()
            daemon = self.stack.enter_context(self.on(name, XYLEMD, "--socket", self.socket(name), *ports))
            daemon.await_line("ready", is_whole=True)

    def socket(self, name):
        return self.directory.path / name / "xylemd.sock"

    def on(self, name, *argv):
        return Process(["ip", "netns", "exec", self.namespace(name), *argv], env={"XYLEM_SOCKET": str(self.socket(name))})

    def n_sent(self):
        """Frames that left each port of the root's host."""
        ports = read_status(self.on("r", XYLEM, "status", "--json"))["ports"]
        return [port["tx_pkts"] for port in ports if port["port"].startswith(self.kind)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", self.namespace(name)], check=False, timeout=20)
        self.directory.__exit__()


def interfaces_of(namespace):
    told = subprocess.run(["ip", "-n", namespace, "-o", "link"], check=True, text=True, capture_output=True, timeout=20).stdout
    return [line.split(": ")[1].split("@")[0] for line in told.splitlines()]


def expect_whole(sink):
    sink.succeed(60)
    told = sink.json()
    assert told["messages"] == MESSAGES and told["missing"] == told["corrupt"] == 0, told


def leaves_behind_each_port():
    for kind in ("af_packet", "af_xdp"):
        with Wires([("a", "eth0"), ("b", "eth0")], kind) as wires:
            wires.start()
            size = ["--messages", MESSAGES, "--message-bytes", 500, "--leaves", 2]
            with wires.on("r", XYLEM, "bench", "send", f"0.0.0.0:{PORT}", *size, "--verbose") as sender:
                sender.await_line("listening")
                with wires.on("a", XYLEM, "bench", "recv", f"10.78.0.1:{PORT}") as near, \
                        wires.on("b", XYLEM, "bench", "recv", f"10.78.1.1:{PORT}") as far:
                    expect_whole(near)
                    expect_whole(far)
                sender.succeed()
            n_near, n_far = wires.n_sent()
            assert n_near > 1000 and n_far > 1000, (n_near, n_far)


def route_moves_to_the_other_port():
    with Wires([("a", "eth0"), ("a", "eth1")], "af_packet") as wires:
        wires.ip("-n", wires.namespace("r"), "addr", "add", "10.79.0.1/32", "dev", "lo")
        wires.ip("-n", wires.namespace("a"), "addr", "add", "10.79.0.2/32", "dev", "lo")
        for name in wires.names:  # a frame may come in by one wire and be answered by the other
            for device in ("all", "eth0", "eth1"):
                subprocess.run(["ip", "netns", "exec", wires.namespace(name), "sysctl", "-qw", f"net.ipv4.conf.{device}.rp_filter=0"],
                               check=True, timeout=20)
        wires.route("r", "10.79.0.2/32", "via", "10.78.0.2", "src", "10.79.0.1")
        wires.route("a", "10.79.0.1/32", "via", "10.78.0.1", "src", "10.79.0.2")
        wires.start()
        size = ["--messages", MESSAGES, "--message-bytes", 1000]
        with wires.on("r", XYLEM, "bench", "send", f"10.79.0.1:{PORT}", *size, "--verbose") as sender:
            sender.await_line("listening")
            with wires.on("a", XYLEM, "bench", "recv", f"10.79.0.1:{PORT}", "--verbose") as sink:
                sink.await_line("joined")
                await_true("data over the first port", lambda: wires.n_sent()[0] > 1000)
                wires.route("r", "10.79.0.2/32", "via", "10.78.1.2", "src", "10.79.0.1")
                assert sender.is_running(), "the transfer was over too early to be disturbed"
                await_true("data over the second port", lambda: wires.n_sent()[1] > 1000)
                wires.route("a", "10.79.0.1/32", "via", "10.78.1.1", "src", "10.79.0.2")  # and what it answers
                expect_whole(sink)
            sender.succeed()


if __name__ == "__main__":
    main(leaves_behind_each_port, route_moves_to_the_other_port)
