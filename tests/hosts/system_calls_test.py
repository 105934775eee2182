#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many system calls a transfer of small messages makes, counted by strace.

On `local` none per message: applications and worker share memory, and call the kernel only to sleep and to wake each other.
On AF_XDP the worker's are the driver's own, at most one per burst.
"""
import contextlib
import pathlib
import shutil
import signal

from lab import XYLEM, Daemon, Directory, Lab, Process, main, skip

MESSAGES = 2_000_000
MESSAGE_BYTES = 64
MESSAGES_PER_CALL = 100
FRAMES_PER_CALL = 8


def count(path):
    """What `strace -c` wrote: name -> calls."""
    counts = {}
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
            counts[words[-1]] = int(words[3])
    assert counts, f"strace counted nothing: {path.read_text()}"
    return counts


def worker_of(daemon_pid):
    """The thread that polls."""
    for task in pathlib.Path(f"/proc/{daemon_pid}/task").iterdir():
        if (task / "comm").read_text().startswith("rte-worker"):
            return int(task.name)
    raise AssertionError(f"xylemd {daemon_pid} has no worker thread")


@contextlib.contextmanager
def counted_thread(thread_id, path):
    with Process(["strace", "-c", "-p", thread_id, "-o", path]) as tracer:
        tracer.await_line("attached")
        yield
        tracer.signal(signal.SIGINT)
        tracer.finish(10)


def transfer(send, receive, where):
    """`send` and `receive` run a program where its end of the session is."""
    size = ["--messages", MESSAGES, "--message-bytes", MESSAGE_BYTES, "--verbose"]
    with send(XYLEM, "bench", "send", where, *size) as sender:
        sender.await_line("listening")
        with receive(XYLEM, "bench", "recv", where) as sink:
            told = sink.succeed(60).json()
            assert told["messages"] == MESSAGES and told["missing"] == told["corrupt"] == 0, told
        sender.succeed()


def tell(who, counts):
    most = sorted(counts.items(), key=lambda item: -item[1])[:5]
    print(f"{who}: {sum(counts.values())} calls: {', '.join(f'{n} {name}' for name, n in most)}")


def local_makes_none_per_message():
    with Directory() as directory, Daemon(directory, "--data-port", 7573, "--signal-port", 7572) as daemon:
        def traced(name):
            return lambda *argv: daemon.app("strace", "-f", "-c", "-o", directory / name, *argv)

        with counted_thread(worker_of(daemon.pid), directory / "worker"):
            transfer(traced("sender"), traced("receiver"), "127.0.0.1:7895")
        for who in ("sender", "receiver", "worker"):
            counts = count(directory / who)
            tell(who, counts)
            n = sum(counts.values())
            assert n < MESSAGES / MESSAGES_PER_CALL, f"{who}: {n} calls for {MESSAGES} messages: {counts}"


def af_xdp_makes_one_per_burst():
    with Lab(hosts=1) as lab, Directory() as directory:
        before = lab.status(0)["worker"]["tx_pkts"]
        with counted_thread(worker_of(lab.daemon_pid(0)), directory / "sending"), \
                counted_thread(worker_of(lab.daemon_pid(1)), directory / "receiving"):
            transfer(lambda *argv: lab.on(0, *argv), lambda *argv: lab.on(1, *argv), lab.address(0, 7896))
        n_frames = lab.status(0)["worker"]["tx_pkts"] - before
        print(f"{n_frames} frames sent")
        assert n_frames > MESSAGES * MESSAGE_BYTES / 1500, "the transfer did not go over the wire"
        for side in ("sending", "receiving"):
            counts = count(directory / side)
            tell(f"{side} worker", counts)
            driver = sum(counts.get(name, 0) for name in ("sendto", "sendmsg", "recvfrom", "recvmsg", "poll", "ppoll"))
            assert driver < n_frames / FRAMES_PER_CALL, f"{driver} calls for {n_frames} frames: {counts}"


if __name__ == "__main__":
    if not shutil.which("strace"):
        skip("strace is missing (scripts/install-deps brings it)")
    main(local_makes_none_per_message, af_xdp_makes_one_per_burst)
