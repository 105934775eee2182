#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Applications that stop reading, die at any moment, or scribble over their shared memory, beside one that works.

Invariant 3: an application hurts only itself: the daemon goes on, the other session's transfer is whole.
Invariant 6: what the dead held is back: the daemon's status says no session and no application afterwards.
Invariant 4: the same over two hosts: the peers' daemons go on as well.
"""
import contextlib
import errno
import os
import random
import re
import signal
import socket
import struct
import time

from lab import BUILD, SOURCE, XYLEM, Daemon, Directory, Lab, await_true, main

HOSTILE = BUILD / "tests/hosts/hostile"
SEED = int(os.environ.get("XY_SEED", random.SystemRandom().randrange(1 << 32)))


@contextlib.contextmanager
def undisturbed(daemon, port, messages=150000):
    """A checked transfer on `daemon` that runs during the block and must be whole after it."""
    root_at = f"127.0.0.1:{port}"
    size = ["--leaves", 2, "--messages", messages, "--message-bytes", 500]
    with daemon.app(XYLEM, "bench", "send", root_at, *size, "--verbose") as sender:
        sender.await_line("listening")
        with daemon.app(XYLEM, "bench", "recv", root_at) as one, daemon.app(XYLEM, "bench", "recv", root_at) as two:
            sender.await_line("leaf 2 of 2")
            yield
            for sink in (one, two):
                told = sink.succeed(50).json()
                assert told["messages"] == messages and told["missing"] == told["corrupt"] == 0, told
        sender.succeed()


def count_of(daemon, *keys):
    status = daemon.status()
    return sum(status[key] if isinstance(status[key], int) else len(status[key]) for key in keys)


def start_level(daemon):
    """Nothing of an application is left but what the asking itself makes."""
    await_true("no session is left", lambda: count_of(daemon, "sessions", "lingering") == 0, 5)


def scribbling():
    print("seed", SEED)
    with Directory() as directory, Daemon(directory, "--data-port", 7571, "--signal-port", 7570) as daemon:
        with undisturbed(daemon, 7830), contextlib.ExitStack() as stack:
            evil = [stack.enter_context(daemon.app(HOSTILE, "scribble", f"127.0.0.1:{7840 + i}", 3, SEED + i)) for i in range(3)]
            for app in evil:
                app.await_line("scribbling")
            for app in evil:
                app.finish(20)
                assert app.says("done"), f"it did not scribble to its end: {app}"
        assert daemon.is_running(), str(daemon)
        start_level(daemon)
        daemon.stop()


ABI_VERSION = int(re.search(r"kAbiVersion = (\d+)", (SOURCE / "include/xylem/abi/log.h").read_text())[1])


def command(connection, op, body=b"", number=0):
    """A command of include/xylem/abi/command.h, as the shim gives it; the answer and its descriptors."""
    connection.send(struct.pack("<IHHQII", 0x58434D44, op, ABI_VERSION, op, number, len(body)) + body)
    answer, fds, _, _ = socket.recv_fds(connection, 4096, 8)
    error = struct.unpack_from("<i", answer, 4)[0]
    assert error == 0, f"command {op}: {os.strerror(error)}"
    return answer[24:], fds


def cuts_its_log():
    """Asks for a log, makes it short without ever mapping it, and closes: the daemon must not look for words there."""
    attach, open_socket, close, make_log = 1, 2, 10, 16
    c_root_and_d_root = 0x02 | 0x08
    with Directory() as directory, Daemon(directory, "--data-port", 7571, "--signal-port", 7570) as daemon:
        with undisturbed(daemon, 7833), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(daemon.socket))
            fds = command(connection, attach)[1]
            answer, more = command(connection, open_socket, struct.pack("<iiiI", socket.AF_INET, socket.SOCK_RDM, 0, c_root_and_d_root))
            number = struct.unpack_from("<I", answer)[0]
            log = command(connection, make_log, number=number)[1]
            try:
                os.ftruncate(log[0], 0)
                raise AssertionError("the log could be cut")
            except PermissionError:
                pass
            command(connection, close, struct.pack("<II", 0, 0), number)
            for fd in fds + more + log:
                os.close(fd)
        start_level(daemon)
        daemon.stop()


def stops_reading():
    with Directory() as directory, Daemon(directory, "--data-port", 7571, "--signal-port", 7570) as daemon:
        root_at = "127.0.0.1:7831"
        messages = 60000
        size = ["--leaves", 2, "--messages", messages, "--message-bytes", 1000]
        with daemon.app(XYLEM, "bench", "send", root_at, *size, "--verbose") as sender:
            sender.await_line("listening")
            with daemon.app(HOSTILE, "sloth", root_at) as sloth, daemon.app(XYLEM, "bench", "recv", root_at) as sink:
                assert sloth.await_line("close").split()[1] == str(errno.ECONNABORTED), str(sloth)
                told = sink.succeed(40).json()
                assert told["messages"] == messages and told["missing"] == told["corrupt"] == 0, told
                assert sender.finish(10) == 1, "one leaf did not confirm"
                assert sender.says("too slowly", "1 of 2"), str(sender)
        start_level(daemon)
        daemon.stop()


def outlive(victim, other, sender):
    """Kills one of a pair; the other ends with an error."""
    victim.kill()
    other.look()
    if other is sender and not sender.says("leaf 1 of 1"):
        sender.signal(signal.SIGINT)  # its leaf died before it was admitted: nobody else will come
    assert other.finish(15) != 0, f"its partner died: {other}"


def dies_at_any_moment():
    print("seed", SEED)
    chance = random.Random(SEED)
    with Directory() as directory, Daemon(directory, "--data-port", 7571, "--signal-port", 7570) as daemon:
        with undisturbed(daemon, 7832, messages=400000):
            for i in range(15):
                root_at = f"127.0.0.1:{7850 + i % 4}"
                with daemon.app(XYLEM, "bench", "send", root_at, "--messages", 0, "--verbose") as sender:
                    if chance.random() < 0.8:
                        sender.await_line("listening")
                    with daemon.app(XYLEM, "bench", "recv", root_at) as sink:
                        time.sleep(chance.random() * 0.1)  # the moment of death, not a wait for something
                        victim, other = (sender, sink) if chance.random() < 0.5 else (sink, sender)
                        outlive(victim, other, sender)
        start_level(daemon)
        daemon.stop()


def dies_across_hosts():
    print("seed", SEED)
    chance = random.Random(SEED)
    with Lab(hosts=1) as lab:
        for i in range(8):
            root_at = lab.address(0, 7860 + i % 2)
            with lab.on(0, XYLEM, "bench", "send", root_at, "--messages", 0, "--verbose") as sender:
                sender.await_line("listening")
                with lab.on(1, XYLEM, "bench", "recv", root_at) as sink:
                    time.sleep(chance.random() * 0.1)  # the moment of death
                    victim, other = (sender, sink) if chance.random() < 0.5 else (sink, sender)
                    outlive(victim, other, sender)
        for host in (0, 1):
            await_true(f"no session is left on host {host}", lambda h=host: not lab.status(h).get("sessions"), 5)


if __name__ == "__main__":
    main(scribbling, cuts_its_log, stops_reading, dies_at_any_moment, dies_across_hosts)
