#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""xylem root, leaf and status as a user meets them, and the examples of README."""
import hashlib
import os
import random
import signal
import subprocess

from lab import BUILD, SOURCE, XYLEM, Daemon, Directory, await_true, main

AT = "127.0.0.1:7870"


def daemon_in(directory):
    return Daemon(directory, "--signal-port", 7572, "--data-port", 7573)


def leaf_to_file(daemon, path, *args):
    """A leaf whose output goes to a file."""
    with open(path, "wb") as out:
        return subprocess.Popen([XYLEM, "leaf", AT, *args], stdout=out, stderr=subprocess.PIPE, env={**os.environ, **daemon.env})


def carry(daemon, directory, payload, root_args=(), leaf_args=(), leaves=2):
    """Sends `payload` from a pipe; each leaf's file must equal it."""
    with daemon.app(XYLEM, "root", AT, "--leaves", leaves, "--verbose", *root_args, stdin=subprocess.PIPE) as root:
        root.await_line("listening")
        children = [leaf_to_file(daemon, directory / f"out{i}", *leaf_args) for i in range(leaves)]
        root.await_line(f"leaf {leaves} of {leaves}")
        root.child.stdin.write(payload)
        root.child.stdin.close()
        for i, child in enumerate(children):
            _, said = child.communicate(timeout=20)
            assert child.returncode == 0, f"leaf {i}: {child.returncode} {said}"
            got = (directory / f"out{i}").read_bytes()
            is_same = hashlib.sha256(got).digest() == hashlib.sha256(payload).digest()
            assert is_same, f"leaf {i} got {len(got)} bytes of {len(payload)}"
        root.succeed()


def every_type_and_message_length():
    payload = random.Random(7).randbytes(1234567)
    with Directory() as directory, daemon_in(directory) as daemon:
        for root_args, leaf_args in (([], []), (["--message-bytes", "1"], []), (["--message-bytes", "64"], []),
                                     (["--message-bytes", "1400"], []), (["--message-bytes", "100K"], []),
                                     (["--type", "stream"], ["--type", "stream"])):
            length = 20000 if "1" in root_args else len(payload)
            carry(daemon, directory, payload[:length], root_args, leaf_args)
        carry(daemon, directory, b"")
        daemon.stop()


def invitation_with_data():
    with Directory() as directory, daemon_in(directory) as daemon:
        with daemon.app(XYLEM, "leaf", "127.0.0.1:7871", "--listen", "--data", "hello root", "--verbose") as leaf:
            leaf.await_line("listening")
            with daemon.app(XYLEM, "root", AT, "--invite", "127.0.0.1:7871", "--verbose") as root:
                root.succeed()
                assert root.says("hello root"), str(root)
            leaf.succeed()
        daemon.stop()


def types_that_differ_are_refused():
    with Directory() as directory, daemon_in(directory) as daemon:
        with daemon.app(XYLEM, "root", AT, "--verbose") as root:
            root.await_line("listening")
            with daemon.app(XYLEM, "leaf", AT, "--type", "stream") as leaf:
                assert leaf.finish() == 1 and leaf.says(AT), str(leaf)
            assert root.is_running()
        daemon.stop()


def interrupt_ends_gracefully():
    """Ctrl-C at the root: what was sent is confirmed, the leaf ends with status 0."""
    with Directory() as directory, daemon_in(directory) as daemon:
        with daemon.app(XYLEM, "root", AT, "--verbose", stdin=subprocess.PIPE) as root:
            root.await_line("listening")
            leaf = leaf_to_file(daemon, directory / "out0")
            root.await_line("leaf 1 of 1")
            root.child.stdin.write(b"so far\n")
            root.child.stdin.flush()
            await_true("the leaf has it", lambda: (directory / "out0").read_bytes() == b"so far\n")
            root.signal(signal.SIGINT)
            assert root.finish(10) == 1 and root.says("interrupted"), str(root)
            assert leaf.wait(10) == 0, leaf.stderr.read()
            leaf.stderr.close()
        for argv in (["root", AT], ["leaf", "127.0.0.1:7872", "--listen"]):  # asleep in xy_accept
            with daemon.app(XYLEM, *argv, "--verbose") as sleeping:
                sleeping.await_line("listening")
                sleeping.signal(signal.SIGINT)
                assert sleeping.finish(5) == 1 and sleeping.says("interrupted"), str(sleeping)
        daemon.stop()


def closed_output_ends_the_leaf_alone():
    with Directory() as directory, daemon_in(directory) as daemon:
        with daemon.app(XYLEM, "bench", "send", AT, "--leaves", 2, "--messages", 50000, "--verbose") as root:
            root.await_line("listening")
            cut_short = f"{XYLEM} leaf {AT} | head -c 100 >/dev/null"
            with daemon.app(XYLEM, "bench", "recv", AT) as sink, daemon.app("sh", "-c", cut_short) as cut:
                sink.succeed()
                cut.finish()
                assert cut.says("standard output"), str(cut)
            assert root.finish() == 1 and root.says("1 of 2 leaves did not confirm"), str(root)
        daemon.stop()


def best_effort_counts_what_it_lost():
    with Directory() as directory, daemon_in(directory) as daemon:
        size = ["--messages", 200000, "--message-bytes", 1000]
        with daemon.app(XYLEM, "bench", "send", AT, "--type", "dgram", *size, "--verbose") as root:
            root.await_line("listening")
            with daemon.app(XYLEM, "bench", "recv", AT, "--type", "dgram") as sink:
                sink.finish()
                told = sink.json()
                assert told["corrupt"] == 0 and told["messages"] > 0, told
                assert (told["missing"] > 0) == (told["lost_bytes"] > 0), told
            root.finish()
        daemon.stop()


def status_in_both_forms():
    with Directory() as directory, daemon_in(directory) as daemon:
        with daemon.app(XYLEM, "root", AT, "--verbose") as root:
            root.await_line("listening")
            status = daemon.status()
            assert "ports" in status and "sessions" in status and "drops" in status, sorted(status)
            with daemon.app(XYLEM, "status") as table:
                table.succeed()
                text = "\n".join(table.lines)
                assert "ports" in text and AT in text, text
        daemon.stop()


def examples_work():
    with Directory() as directory, daemon_in(directory) as daemon:
        host, port = AT.split(":")
        poem = (SOURCE / "LICENSE").read_text()
        with daemon.app(BUILD / "examples/example_root", host, port, 2, stdin=subprocess.PIPE) as root:
            await_true("the root listens", lambda: daemon.status().get("sessions"))
            leaves = [daemon.app(BUILD / "examples" / name, host, port, name) for name in ("example_leaf", "example_leaf")]
            root.child.stdin.write(poem.encode())
            root.child.stdin.close()
            for leaf in leaves:
                with leaf:
                    leaf.succeed()
                    assert "\n".join(leaf.lines) + "\n" == poem, str(leaf)
            root.succeed()
        with daemon.app(BUILD / "examples/example_thermometer", host, int(port) + 1) as thermometer:
            thermometer.succeed()
            assert sum("10 readings" in line for line in thermometer.lines) == 3, str(thermometer)
        daemon.stop()


if __name__ == "__main__":
    main(every_type_and_message_length, invitation_with_data, types_that_differ_are_refused, interrupt_ends_gracefully,
         closed_output_ends_the_leaf_alone, best_effort_counts_what_it_lost, status_in_both_forms, examples_work)
