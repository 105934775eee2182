# SPDX-License-Identifier: Apache-2.0
"""What the tests with real daemons share: a daemon of one's own, a laboratory, processes with deadlines.

Meson passes XY_SOURCE_ROOT and XY_BUILD_ROOT. A test is a function that main() runs; it fails by AssertionError. Everything
started here is ended by pid when its `with` block ends.
"""
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = pathlib.Path(os.environ["XY_SOURCE_ROOT"])
BUILD = pathlib.Path(os.environ["XY_BUILD_ROOT"])
XYLEM = str(BUILD / "control/cli/xylem")
XYLEMD = str(BUILD / "control/daemon/xylemd")
LAB = str(SOURCE / "scripts/lab")
NOBODY = 65534


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def need_root():
    if os.geteuid() != 0:
        skip("network namespaces and other users need root")


def await_true(what, condition, seconds=10.0, pause=0.01):
    """Polls `condition` until it is true; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)


# Shows the tree at its own path to everybody: $1 is the folder above it that only its owner may enter, $2 the tree.
SHOW_TREE = """mount --rbind "$2" /mnt && mount -t tmpfs -o mode=755 none "$1" && mkdir -p "$2" &&
mount --rbind /mnt "$2" && shift 2 && exec "$@" """


def as_user(argv, user):
    """The command as another user, who may run what is in this tree wherever it lies (a clone in root's home, say)."""
    if user is None:
        return argv
    argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv]
    closed = [folder for folder in reversed(SOURCE.parents) if not folder.stat().st_mode & 0o001]
    if not closed:
        return argv
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", SHOW_TREE, "sh", str(closed[0]), str(SOURCE), *argv]


class Process:
    """A child whose output is read line by line with deadlines."""

    def __init__(self, argv, env=None, stdin=None, user=None, cwd=None):
        self.argv = as_user([str(a) for a in argv], user)
        self.child = subprocess.Popen(self.argv, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=cwd,
                                      stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        self.lines = []
        self._rest = b""
        os.set_blocking(self.child.stdout.fileno(), False)

    @property
    def pid(self):
        return self.child.pid

    def _read(self, seconds):
        """Takes what there is; False at the end of the output."""
        ready, _, _ = select.select([self.child.stdout], [], [], seconds)
        if not ready:
            return True
        piece = self.child.stdout.read()
        if not piece:
            return False
        *whole, self._rest = (self._rest + piece).split(b"\n")
        self.lines += [line.decode(errors="replace") for line in whole]
        return True

    def await_line(self, text, seconds=20.0, is_whole=False):
        """The first line that contains `text`, or is just that."""
        deadline = time.monotonic() + seconds
        seen, is_open = 0, True
        while True:
            for line in self.lines[seen:]:
                seen += 1
                if line == text or (text in line and not is_whole):
                    return line
            assert is_open, f"{self} ended without '{text}'"
            assert time.monotonic() < deadline, f"{self}: no '{text}' within {seconds} s"
            is_open = self._read(0.05)

    def tell(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def finish(self, seconds=30.0):
        """Waits for the end; returns the exit status."""
        deadline = time.monotonic() + seconds
        while self._read(0.05):
            assert time.monotonic() < deadline, f"{self}: not finished within {seconds} s"
        return self.child.wait(timeout=max(0.1, deadline - time.monotonic()))

    def succeed(self, seconds=30.0):
        status = self.finish(seconds)
        assert status == 0, f"{self}: exit status {status}"
        return self

    def is_running(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.is_running():
            self.child.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def look(self):
        """Takes in what has been printed so far."""
        self._read(0)

    def says(self, *texts):
        """Some line so far contains all of `texts`."""
        return any(all(text in line for text in texts) for line in self.lines)

    def json(self):
        """The last line that is a JSON object."""
        return json.loads([line for line in self.lines if line.startswith("{")][-1])

    def __str__(self):
        tail = "\n    ".join(self.lines[-8:])
        return f"{' '.join(self.argv)}\n    {tail}\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(timeout=5)
        self.kill()
        self.child.stdout.close()


class Directory:
    """A directory of this test's own, removed at the end; `user` owns it."""

    def __init__(self, user=None):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="xylem-test."))
        self.path.chmod(0o755)
        if user:
            os.chown(self.path, user, user)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Daemon(Process):
    """An xylemd on this host; ready when constructed."""

    def __init__(self, directory, *args, user=None, await_ready=True):
        self.socket = directory / "xylemd.sock"
        super().__init__([XYLEMD, "--socket", self.socket, *args], user=user)
        self.env = {"XYLEM_SOCKET": str(self.socket)}
        if await_ready:
            self.await_line("ready", is_whole=True)

    def app(self, *argv, **kwargs):
        return Process(argv, env=self.env, **kwargs)

    def status(self):
        return read_status(self.app(XYLEM, "status", "--json"))

    def stop(self):
        """Ends it as an operator would; it must be quick and clean."""
        self.signal(signal.SIGTERM)
        status = self.finish(10)
        assert status == 0, f"{self}: exit status {status} after SIGTERM"


def read_status(process):
    with process:
        process.succeed(10)
        return json.loads("\n".join(process.lines))


class Lab:
    """scripts/lab with a name and a directory of its own."""

    def __init__(self, hosts=1, port="af_xdp", loss=0, bare=0, snooping=False):
        need_root()
        self.directory = Directory()
        self.name = f"t{os.getpid()}"
        self.env = {"XYLEM_LAB_DIR": str(self.directory.path)}
        self.hosts = hosts
        try:
            self._lab("up", "--build-dir", BUILD, "--hosts", hosts, "--port", port, "--loss", loss, "--bare", bare,
                      *(["--snooping"] if snooping else []))
        except BaseException:
            self.__exit__()
            raise

    def _lab(self, command, *args):
        done = subprocess.run([LAB, command, "--name", self.name, *map(str, args)], env={**os.environ, **self.env}, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        assert done.returncode == 0, f"lab {command}: {done.stdout}{done.stderr}"
        return done.stdout

    def on_bridge(self, *argv):
        """What a command in the bridge's namespace prints."""
        return subprocess.run(["ip", "netns", "exec", f"xy-{self.name}-br", *argv], check=True, text=True, timeout=20,
                              capture_output=True).stdout

    def namespace(self, host):
        return f"xy-{self.name}-{host}"

    def address(self, host, port):
        return f"10.77.0.{host + 1}:{port}"

    def on(self, host, *argv, **kwargs):
        """A process on a host; its pid is the command's own."""
        return Process([LAB, "exec", "--name", self.name, host, *argv], env=self.env, **kwargs)

    def run(self, host, *argv, seconds=20):
        with self.on(host, *argv) as process:
            return "\n".join(process.succeed(seconds).lines)

    def runtime_directory(self, host):
        return self.directory.path / self.name / f"h{host}"

    def daemon_pid(self, host):
        return int((self.runtime_directory(host) / "pid").read_text().split()[0])

    def daemon_log(self, host):
        return (self.runtime_directory(host) / "xylemd.log").read_text()

    def kill_daemon(self, host, number=signal.SIGKILL):
        pid = self.daemon_pid(host)
        os.kill(pid, number)
        await_true(f"end of xylemd {pid}", lambda: not is_alive(pid))

    def start_daemon(self, host):
        self._lab("daemon", host)

    def loss_counts(self):
        """host -> (frames to its data port, of these dropped)"""
        lines = [line.split() for line in self._lab("status").splitlines() if "dropped" in line]
        return {int(words[1]): (int(words[words.index("data") - 1]), int(words[-2])) for words in lines}

    def status(self, host):
        return read_status(self.on(host, XYLEM, "status", "--json"))

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *_):
        if kind:
            for host in range(self.hosts + 1):
                with contextlib.suppress(OSError):
                    print(f"--- xylemd of host {host}\n" + "\n".join(self.daemon_log(host).splitlines()[-15:]))
        try:
            self._lab("down")
        finally:
            self.directory.__exit__()


def is_alive(pid):
    """False for zombies too (a lab's daemons are nobody's children), once the last thread has let go of its files."""
    process = pathlib.Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(") ")[2][:1]
        return state not in "ZX" or len(list((process / "task").iterdir())) > 1
    except OSError:
        return False


def main(*tests):
    """Runs the tests in order; names the one that fails."""
    chosen = sys.argv[1:]
    for test in tests:
        if chosen and test.__name__ not in chosen:
            continue
        print("==", test.__name__, flush=True)
        try:
            test()
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc(file=sys.stdout)
            print("FAILED:", test.__name__)
            sys.exit(1)
