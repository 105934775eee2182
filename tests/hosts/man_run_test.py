#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The root and the leaf that xylem(7) shows, compiled as they stand and run against each other."""
import socket
import subprocess
import sys

from lab import BUILD, SOURCE, Daemon, Directory, await_true, main

sys.path.insert(0, str(SOURCE / "tests/lint"))
from man import displays  # noqa: E402


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def program(directory, name, example):
    """`example` defines int NAME(void)."""
    source, binary = directory / f"{name}.c", directory / name
    source.write_text(example + f"\nint main(void) {{ return {name}() == 0 ? 0 : 1; }}\n")
    library = BUILD / "shim"
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", f"-I{SOURCE}/include", source, "-o", binary,
                    f"-L{library}", "-lxylem", f"-Wl,-rpath,{library}"], check=True)
    return binary


def the_first_session_of_the_manual():
    examples = (SOURCE / "docs/man/xylem.7").read_text().partition("\n.Sh EXAMPLES\n")[2]
    root_text, leaf_text = displays(examples)[:2]
    with Directory() as directory:
        root_program, leaf_program = program(directory, "root", root_text), program(directory, "leaf", leaf_text)
        with Daemon(directory, "--signal-port", free_port(socket.SOCK_STREAM), "--data-port", free_port(socket.SOCK_DGRAM)) as daemon:
            with daemon.app(root_program) as root:
                def leaf_is_done():
                    with daemon.app(leaf_program) as leaf:  # refused until the root listens
                        return leaf.finish() == 0 and leaf.says("good morning")
                await_true("the leaf has the root's message", leaf_is_done, seconds=30)
                root.succeed()
            daemon.stop()


if __name__ == "__main__":
    main(the_first_session_of_the_manual)
