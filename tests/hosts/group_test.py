#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GROUP sockets and the kernel's: a bridge that snoops, three hosts with xylemd and three without, each a member.

The first argument is the port kind, or `local`: one daemon, several applications, no wire."""
import contextlib
import json
import shutil
import subprocess
import sys

from lab import BUILD, Daemon, Directory, Lab, await_true, main, skip

PLAYER = BUILD / "tests/hosts/group_player"
PORT = sys.argv.pop(1)
N_XYLEM = N_KERNEL = 3
N_MEMBERS = N_XYLEM + N_KERNEL
DATAGRAMS = 10000
GROUP4, GROUP6 = "239.77.1.1", "ff15::7701"
V4, V6 = f"{GROUP4}:5001", f"[{GROUP6}]:5001"


class Member:
    """A player, command by command."""

    def __init__(self, process, family="v4"):
        self.process = process
        self.seen = 0
        self.ask("open " + family)

    def tell(self, line):
        self.process.tell(line)

    def answer(self, seconds=40.0):
        p = self.process
        await_true(f"an answer of {p}", lambda: p.look() or len(p.lines) > self.seen or not p.is_running(), seconds)
        assert len(p.lines) > self.seen, f"{p} ended"
        self.seen += 1
        line = p.lines[self.seen - 1]
        assert not line.startswith("FAILED"), f"{p}"
        return line

    def ask(self, line, seconds=40.0):
        self.tell(line)
        return self.answer(seconds)

    def hear(self, text):
        """Receives until the datagram `text` comes."""
        while True:
            got = self.ask("recv")
            assert got.startswith("got "), f"{got}, and no {text}"
            if got.startswith(f"got {text} from"):
                return

    def expect(self, line, *answers):
        got = self.ask(line)
        assert got in answers, f"{line}: {got}, not {' or '.join(answers)}"


class Wire:
    """The laboratory, and players on its hosts that end with it."""

    def __init__(self, bare=N_KERNEL, hosts=N_MEMBERS, **kwargs):
        self.stack = contextlib.ExitStack()
        self.lab = self.stack.enter_context(Lab(hosts=hosts - 1, port=PORT, bare=bare, snooping=True, **kwargs))
        self.n_with_daemon = hosts - bare

    def member(self, host, family="v4", kind=None):
        kind = kind or ("xylem" if host < self.n_with_daemon else "kernel")
        process = self.stack.enter_context(self.lab.on(host, PLAYER, kind, stdin=subprocess.PIPE))
        member = Member(process, family)
        if kind == "kernel" or family == "v6":
            member.expect("if eth0", "ok")
        return member

    def members_of(self, group):
        """The bridge's ports that it sends the group's frames to."""
        lines = [line.split() for line in self.lab.on_bridge("bridge", "mdb", "show", "dev", "br0").splitlines()]
        return {words[words.index("port") + 1] for words in lines if group in words and "port" in words}

    def await_members(self, group, hosts):
        expected = {f"h{host}" for host in hosts}
        await_true(f"{group} at {expected} in the bridge's table, not {self.members_of(group)}",
                   lambda: self.members_of(group) == expected, 30)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stack.__exit__(*what)


def exchange(members, hears_itself, n=DATAGRAMS):
    """Everybody sends n numbered datagrams; everybody gets every one of everybody, once."""
    for i, member in enumerate(members):
        member.tell(f"exchange {i} {n} {len(members)} {'own' if hears_itself(i) else 'others'}")
    for i, member in enumerate(members):
        result = json.loads(member.answer(200))
        expected = [n if j != i or hears_itself(i) else 0 for j in range(len(members))]
        assert result == {"sent": n, "heard": expected, "twice": 0, "strange": 0}, f"member {i}: {result}"


def join_all(wire, name, family, loopback):
    members = [wire.member(host, family) for host in range(N_MEMBERS)]
    for member in members:
        member.expect(f"loopback {loopback}", "ok")
        assert member.ask(f"join {name} both").startswith("joined ")
    return members


def every_datagram_reaches_every_member():
    with Wire() as wire:
        for loopback in (1, 0):
            members = join_all(wire, V4, "v4", loopback)
            wire.await_members(GROUP4, range(N_MEMBERS))
            exchange(members, lambda i: loopback == 1)
            for member in members:
                member.expect("close", "closed")
            wire.await_members(GROUP4, [])
        for host in range(N_XYLEM):
            status = wire.lab.status(host)
            await_true(f"nothing left on host {host}", lambda h=host: wire.lab.status(h)["engine_objects"] <= 1)
            assert status["sessions"] == [], status


def every_datagram_of_ipv6():
    with Wire() as wire:
        members = join_all(wire, V6, "v6", 1)
        wire.await_members(GROUP6, range(N_MEMBERS))
        exchange(members, lambda i: True, 1000)


def membership_ends_with_the_application_and_with_the_daemon():
    with Wire(hosts=3, bare=1) as wire:
        first, second, kernel = [wire.member(host) for host in range(3)]
        for member in (first, second, kernel):
            member.ask(f"join {V4} both")
        wire.await_members(GROUP4, [0, 1, 2])
        first.process.kill()
        wire.await_members(GROUP4, [1, 2])
        wire.lab.kill_daemon(1)
        wire.await_members(GROUP4, [2])
        second.expect("recv", "error ENETDOWN")


def what_is_longer_than_the_path_is_refused():
    with Wire(hosts=2, bare=1) as wire:
        ours, kernel = wire.member(0), wire.member(1)
        for member in (ours, kernel):
            member.expect("loopback 0", "ok")
            assert member.ask(f"join {V4} both").startswith("joined ")
        wire.await_members(GROUP4, [0, 1])
        for sender, receiver, address in ((ours, kernel, "10.77.0.1"), (kernel, ours, "10.77.0.2")):
            sender.expect("sized 1473", "error EMSGSIZE")
            sender.expect("sized 1472", "sent 1472")
            sender.expect("sized 0", "sent 0")
            receiver.expect("recv", f"got 1472 bytes from {address}:5001")
            receiver.expect("recv", f"got  from {address}:5001")
            receiver.expect("quiet 300", "nothing")


def a_smaller_mtu_counts_at_once():
    with Wire(hosts=2, bare=1) as wire:
        ours, kernel = wire.member(0), wire.member(1)
        ours.ask(f"join {V4} send")
        assert kernel.ask(f"join {V4} recv").startswith("joined ")
        ours.expect("sized 1472", "sent 1472")
        wire.lab.run(0, "ip", "link", "set", "eth0", "mtu", "1280")
        await_true("a datagram of 1472 bytes is refused", lambda: ours.ask("sized 1472") == "error EMSGSIZE", 20)
        ours.expect("sized 1252", "sent 1252")
        await_true("it came", lambda: kernel.ask("recv").startswith("got 1252"), 20)


def sources_are_chosen():
    with Wire(hosts=4, bare=2) as wire:
        chooses, talks, kernel, silent = [wire.member(host) for host in range(4)]
        chooses.expect("source 10.77.0.3:1", "ok")
        for member in (chooses, talks, kernel, silent):
            assert member.ask(f"join {V4} both").startswith("joined ")
        # From a source that was not asked for, on this host and on others; then from the one that was.
        for sender, text in ((chooses, "own"), (talks, "xylem"), (silent, "kernel"), (kernel, "wanted")):
            sender.ask("send " + text)
            if sender is not chooses:
                sender.hear(text)
        chooses.expect("recv", "got wanted from 10.77.0.3:5001")
        chooses.expect("quiet 300", "nothing")


def the_scope_is_the_time_to_live():
    with Wire(hosts=2, bare=1) as wire:
        ours, kernel, neighbour = wire.member(0), wire.member(1), wire.member(0)
        for member in (ours, neighbour):
            member.expect("reuse", "ok")
        for member in (ours, neighbour, kernel):
            assert member.ask(f"join {V4} both").startswith("joined ")
        wire.await_members(GROUP4, [0, 1])
        capture = wire.stack.enter_context(wire.lab.on(1, "tcpdump", "-lnvi", "eth0", "-Q", "in", "udp", "port", "5001"))
        capture.await_line("listening on")
        for scope in (1, 7, 255):
            ours.expect(f"scope {scope}", "ok")
            ours.ask(f"send scope{scope}")
            kernel.expect("recv", f"got scope{scope} from 10.77.0.1:5001")
            capture.await_line(f"ttl {scope},")
        ours.expect("scope 256", "error EINVAL")
        ours.expect("scope 0", "ok")
        ours.ask("send host")
        ours.expect("scope 1", "ok")
        ours.ask("send net")
        kernel.expect("recv", "got net from 10.77.0.1:5001")
        for text in ("scope1", "scope7", "scope255", "host", "net"):
            neighbour.expect("recv", f"got {text} from 10.77.0.1:5001")


def unicast_goes_to_the_kernels_sockets():
    with Wire(hosts=2, bare=1) as wire:
        ours, kernel = wire.member(0), wire.member(1)
        kernel.expect("bind 0.0.0.0:6001", "ok")
        ours.expect("sendto 10.77.0.2:6001 hello", "sent 5")
        assert kernel.ask("recv").startswith("got hello from 10.77.0.1:"), "the first datagram, with no neighbour entry"
        ours.expect("sendto 10.77.0.1:6001 self", "error EHOSTUNREACH")
        ours.expect("sendto 10.77.0.255:6001 all", "error EACCES")
        ours.expect("sendto 172.31.0.1:6001 nobody", "error ENETUNREACH")
        ours.expect("send nowhere", "error ENOTCONN")


def other_programs_are_peers():
    with Wire(hosts=2, bare=1) as wire:
        ours = wire.member(0)
        assert ours.ask(f"join {V4} both").startswith("joined ")
        heard = wire.lab.runtime_directory(1) / "heard"
        with wire.lab.on(1, "socat", "-u", f"UDP4-RECV:5001,ip-add-membership={GROUP4}:eth0,reuseaddr", f"OPEN:{heard},creat"):
            wire.await_members(GROUP4, [0, 1])
            ours.expect("send to-socat", "sent 8")
            await_true("socat has heard us", lambda: heard.read_text() == "to-socat")
        wire.lab.run(1, "sh", "-c", f"printf from-socat | socat -u STDIN UDP4-DATAGRAM:{V4},ip-multicast-if=10.77.0.2")
        ours.hear("from-socat")


def iperf_is_a_peer_in_both_directions():
    with Wire(hosts=2, bare=1) as wire:
        wire.lab.run(1, "ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
        ours = wire.member(0)
        assert ours.ask(f"join {V4} both").startswith("joined ")
        ours.expect("loopback 0", "ok")
        with wire.lab.on(1, "iperf", "-s", "-u", "-B", GROUP4) as server:
            wire.await_members(GROUP4, [0, 1])
            ours.expect("iperf-send 1000", "sent 1000")
            line = server.await_line("%)", 30)
            assert " 0/1000 (0%)" in line, line
        wire.await_members(GROUP4, [0])
        ours.tell("iperf-receive")
        with wire.lab.on(1, "iperf", "-c", GROUP4, "-u", "-b", "8M", "-l", "1470", "-t", "1", "-T", "1") as client:
            client.succeed()
        count, missing = map(int, ours.answer().split()[1::2])
        assert count > 500 and missing == 0, f"{count} datagrams, {missing} missing"


# ---- one host ----

class Here:
    """A daemon without a port, and players beside it."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.daemon = self.stack.enter_context(Daemon(self.stack.enter_context(Directory())))

    def member(self, family="v4"):
        process = self.stack.enter_context(self.daemon.app(PLAYER, "xylem", stdin=subprocess.PIPE))
        member = Member(process, family)
        member.expect("reuse", "ok")
        return member

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stack.__exit__(*what)


def every_process_hears_every_datagram():
    with Here() as here:
        for family, name in (("v4", V4), ("v6", V6)):
            members = [here.member(family) for _ in range(4)]
            for member in members:
                assert member.ask(f"join {name} both").startswith("joined ")
            exchange(members, lambda i: True)
            for member in members:
                member.expect("close", "closed")
        await_true("nothing is left", lambda: here.daemon.status()["sessions"] == [])


def who_wants_no_loopback_hears_nobody_of_this_host():
    with Here() as here:
        on, off = here.member(), here.member()
        for member in (on, off):
            assert member.ask(f"join {V4} both").startswith("joined ")
        off.expect("loopback 0", "ok")
        off.expect("send from-off", "sent 8")
        on.expect("send from-on", "sent 7")
        on.expect("recv", "got from-off from 127.0.0.1:5001")
        on.expect("recv", "got from-on from 127.0.0.1:5001")
        off.expect("quiet 300", "nothing")
        off.expect("loopback 1", "ok")
        on.expect("send again", "sent 5")
        off.expect("recv", "got again from 127.0.0.1:5001")


def a_join_is_told_by_its_event_and_nothing_ends():
    """W-091, W-136, W-168, W-259: FD_CONNECT with 0 although nobody else is there, FD_WRITE for who sends, no FD_CLOSE."""
    read, write, connect, close = 1, 2, 16, 32
    with Here() as here:
        both, receives = here.member(), here.member()
        both.expect(f"join-events {V4} both", f"events {write | connect} error 0")
        receives.expect(f"join-events {V4} recv", f"events {connect} error 0")
        both.expect("events 300", "events 0")
        for member in (both, receives):
            member.expect("close", "closed")
        reader, other = here.member(), here.member()
        reader.expect(f"join-events {V4} both", f"events {write | connect} error 0")
        joined = other.ask(f"join {V4} send")
        assert joined.startswith("joined "), joined
        other.expect("send data", "sent 4")
        reader.expect("events 20000", f"events {read}")
        reader.expect("recv", f"got data from {joined.split()[1]}")
        other.expect("close", "closed")
        reader.expect("events 300", "events 0")
        here.daemon.kill()
        reader.expect("events 20000", f"events {close}")


def the_longest_datagram_of_one_host():
    with Here() as here:
        one = here.member()
        assert one.ask(f"join {V4} both").startswith("joined ")
        one.expect("sized 8193", "error EMSGSIZE")
        one.expect("sized 8192", "sent 8192")
        one.expect("recv", "got 8192 bytes from 127.0.0.1:5001")


def a_killed_member_leaves_nothing():
    with Here() as here:
        before = here.daemon.status()["engine_objects"]
        one, two = here.member(), here.member()
        for member in (one, two):
            assert member.ask(f"join {V4} both").startswith("joined ")
        one.expect("send x", "sent 1")
        one.process.kill()
        two.expect("recv", "got x from 127.0.0.1:5001")
        two.expect("send y", "sent 1")
        two.expect("recv", "got y from 127.0.0.1:5001")
        two.process.kill()
        await_true("nothing is left", lambda: here.daemon.status()["engine_objects"] <= before)


def main_on_one_host():
    main(every_process_hears_every_datagram, a_join_is_told_by_its_event_and_nothing_ends, who_wants_no_loopback_hears_nobody_of_this_host,
         the_longest_datagram_of_one_host, a_killed_member_leaves_nothing)


def main_on_wire():
    for program in ("tcpdump", "socat", "iperf"):
        if not shutil.which(program):
            skip(program + " is not installed: scripts/install-deps does")
    main(every_datagram_reaches_every_member, every_datagram_of_ipv6, membership_ends_with_the_application_and_with_the_daemon,
         what_is_longer_than_the_path_is_refused, a_smaller_mtu_counts_at_once, sources_are_chosen, the_scope_is_the_time_to_live,
         unicast_goes_to_the_kernels_sockets, other_programs_are_peers, iperf_is_a_peer_in_both_directions)


if PORT == "local":
    main_on_one_host()
else:
    main_on_wire()
