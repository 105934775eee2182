#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What happens around a transfer on the same interface: other TCP, a changed MAC, a forgotten neighbour, IPv6, loss.

Invariant 5: neither disturbs the leaves; every message arrives.
Invariant 7: the number of messages at the sink is the number sent.
"""
import contextlib
import hashlib
import signal

from lab import XYLEM, Lab, await_true, main

PORT = 7820
MESSAGES = 60000

TCP_SERVER = """
import hashlib, socket
s = socket.create_server(("10.77.0.2", 2222)); print("serving", flush=True)
c, _ = s.accept(); h = hashlib.sha256(); n = 0
while (piece := c.recv(65536)): h.update(piece); n += len(piece)
c.sendall(h.hexdigest().encode()); c.close()
"""
TCP_CLIENT = """
import random, socket
c = socket.create_connection(("10.77.0.2", 2222), 10); c.settimeout(20)
c.sendall(random.Random(1).randbytes(8 << 20)); c.shutdown(socket.SHUT_WR); print("digest", c.recv(64).decode())
"""


@contextlib.contextmanager
def transfer(lab, root_at, leaf_host=1, message_bytes=1000):
    """A checked transfer that is running inside the block and must be whole after it."""
    size = ["--messages", MESSAGES, "--message-bytes", message_bytes]
    with lab.on(0, XYLEM, "bench", "send", root_at, *size, "--verbose") as sender:
        sender.await_line("listening")
        with lab.on(leaf_host, XYLEM, "bench", "recv", root_at, "--verbose") as sink:
            sink.await_line("joined")
            yield
            told = sink.succeed(40).json()
            assert told["messages"] == MESSAGES and told["missing"] == told["corrupt"] == 0, told
        sender.succeed()


def frames_sent(lab):
    return lab.status(0)["worker"]["tx_pkts"]


@contextlib.contextmanager
def endless_transfer(lab, root_at):
    """A checked transfer that flows before the block and after it, and is then ended; all that was sent must have come."""
    def flows():
        enough = frames_sent(lab) + 1000
        await_true("frames are sent", lambda: frames_sent(lab) > enough)

    with lab.on(0, XYLEM, "bench", "send", root_at, "--messages", 0, "--message-bytes", 1000, "--verbose") as sender:
        sender.await_line("listening")
        with lab.on(1, XYLEM, "bench", "recv", root_at, "--verbose") as sink:
            sink.await_line("joined")
            flows()
            yield
            flows()
            sender.signal(signal.SIGINT)
            sent, told = sender.succeed(10).json(), sink.succeed(10).json()
            assert told["messages"] == sent["messages"] and told["missing"] == told["corrupt"] == 0, f"{told}, {sent}"


def tcp_over_the_same_interface():
    import random
    digest = hashlib.sha256(random.Random(1).randbytes(8 << 20)).hexdigest()
    for port in ("af_xdp", "af_packet"):
        with Lab(port=port) as lab, lab.on(1, "python3", "-c", TCP_SERVER) as server:
            server.await_line("serving")
            with transfer(lab, lab.address(0, PORT)), lab.on(0, "python3", "-c", TCP_CLIENT) as client:
                client.succeed(30)
                assert client.await_line("digest").split()[1] == digest
                lab.run(0, "ping", "-c", "3", "-i", "0.2", "-W", "2", "10.77.0.2")


def neighbour_is_forgotten():
    with Lab() as lab, endless_transfer(lab, lab.address(0, PORT)):
        for _ in range(5):
            lab.run(0, "sh", "-c", "ip neigh del 10.77.0.2 dev eth0 || true")


def neighbour_is_unresolved_at_the_first_message():
    with Lab(hosts=2) as lab, contextlib.ExitStack() as stack:
        root_at = lab.address(0, PORT)
        sender = stack.enter_context(lab.on(0, XYLEM, "bench", "send", root_at, "--leaves", 2, "--messages", MESSAGES,
                                            "--message-bytes", 100, "--verbose"))
        sender.await_line("listening")
        early = stack.enter_context(lab.on(1, XYLEM, "bench", "recv", root_at, "--verbose"))
        early.await_line("joined")
        lab.run(1, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=8")  # answers no ARP request
        lab.run(0, "sh", "-c", "ip neigh del 10.77.0.2 dev eth0; ! ip neigh show 10.77.0.2 dev eth0 | grep lladdr")
        late = stack.enter_context(lab.on(2, XYLEM, "bench", "recv", root_at, "--verbose"))
        late.await_line("joined")
        lab.run(0, "sh", "-c", "! ip neigh show 10.77.0.2 dev eth0 | grep lladdr")
        assert sender.is_running(), "all was sent without the early leaf"
        lab.run(1, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0")
        for sink in (early, late):
            told = sink.succeed(40).json()
            assert told["messages"] == MESSAGES and told["missing"] == told["corrupt"] == 0, told
        sender.succeed()


def mac_changes():
    with Lab() as lab, endless_transfer(lab, lab.address(0, PORT)):
        lab.run(1, "ip", "link", "set", "dev", "eth0", "address", "02:00:00:00:77:01")
        lab.run(1, "ping", "-c", "1", "-W", "2", "10.77.0.1")


def ipv6_carries_a_session():
    root_at = f"[fd77::1]:{PORT}"
    with Lab(hosts=2) as lab, contextlib.ExitStack() as stack:
        sender = stack.enter_context(lab.on(0, XYLEM, "bench", "send", root_at, "--leaves", 2, "--messages", MESSAGES,
                                            "--message-bytes", 1000, "--verbose"))
        sender.await_line("listening")
        sinks = [stack.enter_context(lab.on(host, XYLEM, "bench", "recv", root_at)) for host in (1, 2)]
        for sink in sinks:
            told = sink.succeed(40).json()
            assert told["messages"] == MESSAGES and told["missing"] == told["corrupt"] == 0, told
        sender.succeed()


def loss_is_repaired():
    with Lab(hosts=2, loss=2) as lab, transfer(lab, lab.address(0, PORT), leaf_host=2):
        pass
    with Lab(hosts=1, loss=2) as lab:
        with transfer(lab, lab.address(0, PORT)):
            pass
        seen, dropped = lab.loss_counts()[1]
        assert dropped > 0, f"of {seen} frames none was lost: the test shows nothing"


if __name__ == "__main__":
    main(tcp_over_the_same_interface, neighbour_is_forgotten, neighbour_is_unresolved_at_the_first_message, mac_changes,
         ipv6_carries_a_session, loss_is_repaired)
