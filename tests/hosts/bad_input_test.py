#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong input to xylemd and xylem: one line that names the operand, the documented exit status, nothing half-created."""
import os
import socket

from lab import BUILD, NOBODY, XYLEM, XYLEMD, Daemon, Directory, Process, main

HOSTILE = BUILD / "tests/hosts/hostile"


def complaint(argv, status, operand, user=None, env=None):
    """The command ends with `status` and says one sentence, in its last line, that names `operand`."""
    with Process(argv, user=user, env=env) as process:
        got = process.finish(20)
        assert got == status, f"exit status {got}, wanted {status}: {process}"
        assert process.lines, f"said nothing: {process}"
        assert operand in process.lines[-1], f"'{operand}' is not named: {process}"
        return process.lines


def nothing_left(directory, but=()):
    left = {p.name for p in directory.iterdir()} - set(but)
    assert not left, f"half-created: {left}"


def xylemd_wrong_usage():
    with Directory() as directory:
        config = directory / "x.toml"
        table = [(["--bogus"], "--bogus"), (["--port", "carrier_pigeon"], "carrier_pigeon"), (["--idle", "lazy"], "lazy"),
                 (["--signal-port", "0"], "0"), (["--data-port", "70000"], "70000"), (["--lcores", "x"], "x"),
                 (["--config", directory / "none.toml"], "none.toml"), (["--port", "memif:/tmp/x"], "memif"),
                 (["--config", config], "log_cells")]
        config.write_text("log_cells = 7\n")
        for args, operand in table:
            lines = complaint([XYLEMD, "--socket", directory / "xylemd.sock", *args], 2, operand)
            assert len(lines) == 1, f"{args}: more than one line: {lines}"
            nothing_left(directory, but=("x.toml",))


def xylemd_cannot_start():
    with Directory() as directory, socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as tcp:
        own = ["--socket", directory / "xylemd.sock"]
        ports = ["--signal-port", "7572", "--data-port", "7573"]
        taken_tcp = str(tcp.getsockname()[1])
        complaint([XYLEMD, *own, *ports, "--port", "af_packet:xynone0"], 1, "xynone0")
        nothing_left(directory)
        complaint([XYLEMD, *own, *ports, "--port", "af_xdp:xynone0"], 1, "xynone0")
        nothing_left(directory)
        complaint([XYLEMD, *own, "--signal-port", taken_tcp, "--data-port", "7573"], 1, taken_tcp)
        nothing_left(directory)
        complaint([XYLEMD, "--socket", "/dev/null/place/xylemd.sock", *ports], 1, "/dev/null")
        nothing_left(directory)


def data_port_is_taken():
    with Directory() as directory:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::")):
            with socket.socket(family, socket.SOCK_DGRAM) as udp:
                udp.bind((address, 0))
                taken = str(udp.getsockname()[1])
                lines = complaint([XYLEMD, "--socket", directory / "xylemd.sock", "--signal-port", "7572", "--data-port", taken], 1,
                                  f"data port {taken}")
                assert "--data-port" in lines[-1], f"no cure: {lines[-1]}"
                nothing_left(directory)


def second_xylemd_on_the_same_socket():
    with Directory() as directory, Daemon(directory, "--signal-port", 7572, "--data-port", 7573) as daemon:
        complaint([XYLEMD, "--socket", daemon.socket, "--signal-port", "7574", "--data-port", "7575"], 1, str(daemon.socket))
        assert daemon.status(), "the first one goes on"
        daemon.stop()
        nothing_left(directory)


def af_xdp_without_permission():
    if os.geteuid() != 0:
        return
    with Directory(NOBODY) as directory:
        lines = complaint([XYLEMD, "--socket", directory / "xylemd.sock", "--port", "af_xdp:lo", "--signal-port", "7572",
                           "--data-port", "7573"], 1, "af_xdp:lo: no permission", user=NOBODY)
        assert "root" in lines[-1] and "CAP_NET_RAW" in lines[-1], f"no cure: {lines[-1]}"
        nothing_left(directory)


def xylem_wrong_usage():
    for args, operand in (([], "xylem"), (["frob"], "frob"), (["root"], "ADDR:PORT"), (["root", "1.2.3.4"], "1.2.3.4"),
                          (["leaf", "1.2.3.4:5", "--bogus"], "--bogus"), (["root", "1.2.3.4:5", "--type", "tcp"], "tcp"),
                          (["root", "1.2.3.4:5", "--leaves", "none"], "none"), (["status", "now"], "now")):
        assert len(complaint([XYLEM, *args], 2, operand)) == 1


def xylem_without_daemon():
    with Directory() as directory:
        nowhere = str(directory / "xylemd.sock")
        for command in (["root", "127.0.0.1:7000"], ["leaf", "127.0.0.1:7000"], ["status"]):
            assert len(complaint([XYLEM, "--socket", nowhere, *command], 1, nowhere)) == 1
            assert len(complaint([XYLEM, *command], 1, nowhere, env={"XYLEM_SOCKET": nowhere})) == 1
        nothing_left(directory)


def xylem_with_wrong_addresses():
    with Directory() as directory, Daemon(directory, "--signal-port", 7572, "--data-port", 7573) as daemon:
        xylem = [XYLEM, "--socket", daemon.socket]
        foreign, taken = "192.0.2.99:7000", "127.0.0.1:7801"
        assert len(complaint([*xylem, "root", foreign], 1, foreign)) == 1
        assert len(complaint([*xylem, "leaf", "127.0.0.1:7999"], 1, "127.0.0.1:7999")) == 1
        with daemon.app(XYLEM, "root", taken, "--verbose") as root:
            root.await_line("listening")
            assert len(complaint([*xylem, "root", taken], 1, taken)) == 1
        with daemon.app(HOSTILE, "limits", "127.0.0.1:7802", foreign) as limits:
            limits.succeed()
        assert not daemon.status().get("sessions"), "nothing is half-created"
        daemon.stop()
        nothing_left(directory)


if __name__ == "__main__":
    main(xylemd_wrong_usage, xylemd_cannot_start, data_port_is_taken, second_xylemd_on_the_same_socket, af_xdp_without_permission, xylem_wrong_usage,
         xylem_without_daemon, xylem_with_wrong_addresses)
