#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A MESH: members on several hosts all send, while members join, leave and die.

Every pair of survivors has every message that was sent while both were members, in order, each host gets a member's
stream once, and nobody notices what happens to another.
"""
import contextlib
import subprocess

from lab import BUILD, Daemon, Directory, Lab, await_true, main

PLAYER = BUILD / "tests/hosts/mesh_player"
PORT = 7850


class Mesh:
    """A root and leaves, each a process; `start(host, *argv)` makes one."""

    def __init__(self, stack, start, root_at):
        self.stack, self.start, self.root_at = stack, start, root_at
        self.members = {}
        self.gone = set()
        self._add("root", 0, "root").await_line("listening")

    def _add(self, name, host, role):
        member = self.stack.enter_context(self.start(host, PLAYER, role, self.root_at, name))
        self.members[name] = member
        return member

    def join(self, name, host):
        """Complete when it returns: all hear the newcomer, and it hears all."""
        self._add(name, host, "leaf").await_line("joined", 60)
        self.await_all_hear_all()

    def await_all_hear_all(self):
        there = [name for name in self.members if name not in self.gone]
        for name in there:
            for other in there:
                self.members[name].await_line(f"hears {other}", 60, is_whole=True)

    def leave(self, name):
        """How many messages it sent, and who was there."""
        self.members[name].tell("leave")
        self.gone.add(name)
        return self.members[name].succeed(30).json()["sent"], [one for one in self.members if one not in self.gone]

    def end(self):
        """Nobody sends any more, the root closes; the survivors' reports."""
        there = [name for name in self.members if name not in self.gone]
        for name in there:
            self.members[name].tell("stop")
        sent = {name: int(self.members[name].await_line("stopped").split()[1]) for name in there}
        self.members["root"].tell("expect " + " ".join(f"{name}={count}" for name, count in sent.items()))
        reports = {name: self.members[name].succeed(60).json() for name in there}
        for name, report in reports.items():
            print(name, report)
        return sent, reports


def check_survivors(sent, reports, left=None):
    """`left`: of each that left in good order, how many it sent, and to whom."""
    shutdown = 108  # ESHUTDOWN: a graceful end, of messages
    for name, report in reports.items():
        heard = report["heard"]
        assert report["end"] == (0 if name == "root" else shutdown), report
        for other, count in sent.items():
            one = heard[other]
            assert one["wrong"] == 0 and one["last"] == count - 1, (name, other, one)
            assert one["count"] == one["last"] - one["first"] + 1, (name, other, one)
            # Once the other has heard us, all that it sends reaches us; and of a younger one we have it all.
            assert one["first"] <= reports[other]["heard"][name]["due"], (name, other, one)
            assert min(one["first"], reports[other]["heard"][name]["first"]) == 0, (name, other)
        for other, (count, there) in (left or {}).items():
            if name not in there:
                continue
            one = heard[other]
            assert one["wrong"] == 0 and one["last"] == count - 1, (name, other, one)
        for other, one in heard.items():
            assert one["wrong"] == 0 and one["count"] == one["last"] - one["first"] + 1, (name, other, one)


def churn(mesh, hosts, kill_member, kill_daemon=None):
    """Six members on three hosts, while others join, leave and die."""
    for name, host in (("ann", 1), ("bob", 2), ("cid", 1), ("dot", 2), ("eve", 0)):
        mesh.join(name, hosts[host])
    mesh.join("fay", hosts[1])
    left = {"fay": mesh.leave("fay")}
    mesh.join("gus", hosts[2])
    kill_member("gus")
    mesh.gone.add("gus")
    mesh.join("hal", hosts[1])
    if kill_daemon:
        mesh.join("ivy", 3)
        mesh.join("jim", 3)
        kill_daemon(3)
        mesh.gone |= {"ivy", "jim"}
    left["dot"] = mesh.leave("dot")
    mesh.join("kim", hosts[2])
    sent, reports = mesh.end()
    assert len(reports) == 7, list(reports)
    check_survivors(sent, reports, left)


def on_one_host():
    with Directory() as directory, Daemon(directory) as daemon, contextlib.ExitStack() as stack:
        mesh = Mesh(stack, lambda host, *argv: daemon.app(*argv, stdin=subprocess.PIPE), f"127.0.0.1:{PORT}")
        churn(mesh, [0, 0, 0], lambda name: mesh.members[name].kill())
        await_true("nothing is held", lambda: daemon.status()["engine_objects"] <= 1)


def over(port, root_at=None):
    with Lab(hosts=3, port=port) as lab, contextlib.ExitStack() as stack:
        mesh = Mesh(stack, lambda host, *argv: lab.on(host, *argv, stdin=subprocess.PIPE), root_at or lab.address(0, PORT))
        churn(mesh, [0, 1, 2], lambda name: mesh.members[name].kill(), lab.kill_daemon)
        for host in (0, 1, 2):
            await_true(f"host {host} holds nothing", lambda host=host: lab.status(host)["engine_objects"] <= 1)


def over_af_xdp():
    over("af_xdp")


def over_af_packet_and_ipv6():
    over("af_packet", f"[fd77::1]:{PORT}")


def each_host_gets_a_stream_once():
    with Lab(hosts=2) as lab, contextlib.ExitStack() as stack:
        mesh = Mesh(stack, lambda host, *argv: lab.on(host, *argv, stdin=subprocess.PIPE), lab.address(0, PORT))
        for name, host in (("ann", 1), ("bob", 2), ("cid", 2), ("dot", 2)):
            mesh.join(name, host)
        session = next(one for one in lab.status(1)["sessions"] if one["role"] == "c_leaf")
        mesh.end()
        # To the root's host, to the one of the other three, and back to itself.
        assert len(session["replicas"]) == 3, session
        assert len(session["members"]) == 4, session


if __name__ == "__main__":
    main(on_one_host, over_af_xdp, over_af_packet_and_ipv6, each_host_gets_a_stream_once)
