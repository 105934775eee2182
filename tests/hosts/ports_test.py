#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ports on a real interface: two network namespaces joined by a veth pair, port_probe at one end or both.

Arguments: port_probe, the compiled XDP object. Exit 77 without root.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROBE, XDP_OBJECT = (os.path.abspath(argument) for argument in sys.argv[1:3])
N_FRAMES = 10000
DEADLINE_S = 20


def run(*command, check=True):
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def wait_until(claim, what):
    deadline = time.monotonic() + DEADLINE_S
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE_S} s: {what}")
        time.sleep(0.02)


class Probe:
    """A port_probe in a namespace; lines() are complete once it has ended."""

    def __init__(self, namespace, port, *options, prefix=()):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *prefix, PROBE, port, *options], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_ready(self):
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            raise AssertionError(f"port did not open: {line}{self.process.stderr.read()}")
        return line

    def end(self):
        """Closes its input, waits; all NAME=NUMBER it printed, and the exit status as `exit`, its complaint as `error`."""
        self.process.stdin.close()
        out, error = self.process.stdout.read(), self.process.stderr.read()
        self.process.wait()
        found = {name: int(value) for name, value in re.findall(r"(\w+)=(-?\d+)", out)}
        found.update(exit=self.process.returncode, error=error.strip())
        return found

    def kill(self):
        self.process.kill()
        self.process.wait()


class PortsCase(unittest.TestCase):
    n_queues = 1

    def setUp(self):
        tag = os.getpid()
        self.a, self.b = f"xyports-{tag}-a", f"xyports-{tag}-b"
        self.runtime = tempfile.TemporaryDirectory(prefix="xyports-")
        os.chmod(self.runtime.name, 0o777)
        for folder in "ab":
            os.mkdir(f"{self.runtime.name}/{folder}")
            os.chmod(f"{self.runtime.name}/{folder}", 0o777)
        self.addCleanup(self.runtime.cleanup)
        queues = ["numtxqueues", str(self.n_queues), "numrxqueues", str(self.n_queues)]
        for namespace in (self.a, self.b):
            run("ip", "netns", "add", namespace)
            self.addCleanup(run, "ip", "netns", "del", namespace, check=False)
        run("ip", "link", "add", "xya", "netns", self.a, *queues, "type", "veth", "peer", "name", "xyb", "netns",
            self.b, *queues)
        for namespace, name, host in ((self.a, "xya", 1), (self.b, "xyb", 2)):
            run("ip", "-n", namespace, "addr", "add", f"10.77.0.{host}/24", "dev", name)
            for device in ("lo", name):
                run("ip", "-n", namespace, "link", "set", device, "up")
        self.probes = []
        self.addCleanup(self.kill_probes)

    def kill_probes(self):
        for probe in self.probes:
            if probe.process.poll() is None:
                probe.kill()
            for stream in (probe.process.stdin, probe.process.stdout, probe.process.stderr):
                stream.close()

    def go(self, *probes):
        for probe in probes:
            probe.process.stdin.write("go\n")
            probe.process.stdin.flush()

    def probe(self, end, kind, *options, prefix=()):
        namespace, peer, host, other = (self.a, self.b, 1, 2) if end == "a" else (self.b, self.a, 2, 1)
        peer_mac = re.search(r"link/ether (\S+)", run("ip", "-n", peer, "link", "show", f"xy{'b' if end == 'a' else 'a'}"))
        probe = Probe(namespace, f"{kind}:xy{end}", f"runtime_dir={self.runtime.name}/{end}", f"dst_mac={peer_mac[1]}",
                      f"src=10.77.0.{host}", f"dst=10.77.0.{other}", f"seconds={DEADLINE_S}", *options, prefix=prefix)
        self.probes.append(probe)
        return probe

    def program_id(self, end):
        match = re.search(r"prog/xdp id (\d+)", run("ip", "-n", getattr(self, end), "link", "show", f"xy{end}"))
        return int(match[1]) if match else 0

    def is_promiscuous(self, end):
        return "PROMISC" in run("ip", "-n", getattr(self, end), "link", "show", f"xy{end}")

    def files(self, end):
        return os.listdir(f"{self.runtime.name}/{end}")

    def python_in(self, namespace, code):
        process = subprocess.Popen(["ip", "netns", "exec", namespace, sys.executable, "-c", code], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.kill)
        return process

    def assert_both_ways(self, kind, prefix=()):
        """At most 1024 frames are under way in each direction (512 ahead of a peer that is 512 ahead): a sleeper has room for 2048."""
        options = (f"send={N_FRAMES}", f"receive={N_FRAMES}", "window=512", "bytes=1400", "sleep=1", "go=1")
        ends = [self.probe(end, kind, *options, prefix=prefix) for end in "ab"]
        for probe in ends:
            probe.wait_ready()
        self.go(*ends)
        for probe in ends:
            counts = probe.end()
            self.assertEqual((counts["received"], counts["bad"], counts["held"], counts["exit"]), (N_FRAMES, 0, 0, 0))

    def assert_every_waiting_frame_is_announced(self, kind):
        b = self.probe("b", kind, "go=1", "level=1")
        b.wait_ready()
        a = self.probe("a", kind, "send=100")
        a.wait_ready()
        self.assertEqual(a.end()["sent"], 100)
        self.go(b)
        counts = b.end()
        self.assertEqual((counts["taken"], counts["unannounced"], counts["readable_when_empty"]), (100, 0, 0))

    def assert_link_may_go_down_and_come_back(self, kind):
        """It wakes the sleeper a few times, not for ever; frames arrive as before."""
        b = self.probe("b", kind, "hold=1", "sleep=1")
        b.wait_ready()
        for state in ("down", "up") * 3:
            run("ip", "-n", self.b, "link", "set", "xyb", state)
        wait_until(lambda: "LOWER_UP" in run("ip", "-n", self.b, "link", "show", "xyb"), "link up")
        a = self.probe("a", kind, "send=100")
        a.wait_ready()
        self.assertEqual(a.end()["sent"], 100)
        counts = b.end()
        self.assertEqual(counts["received"], 100)
        self.assertLess(counts["idle_wakes"], 50)

    def assert_kernel_keeps_the_rest(self, kind):
        """ICMP, TCP and other UDP over the interface while its port is open."""
        b = self.probe("b", kind, "hold=1", "sleep=1")
        b.wait_ready()
        run("ip", "netns", "exec", self.a, "ping", "-c", "3", "-i", "0.05", "-W", "5", "10.77.0.2")
        server = subprocess.Popen(["ip", "netns", "exec", self.b, "socat", "-u", "TCP-LISTEN:2222,reuseaddr",
                                   "SYSTEM:wc -c"],
                                  stdout=subprocess.PIPE)
        subprocess.run(["ip", "netns", "exec", self.a, "socat", "-u", "-", "TCP:10.77.0.2:2222,retry=100,interval=0.05"],
                       input=b"x" * 1000000, check=True, timeout=DEADLINE_S)
        self.assertEqual(int(server.communicate(timeout=DEADLINE_S)[0]), 1000000)
        receiver = self.python_in(self.b, "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                                  "s.bind(('10.77.0.2', 7999)); print('bound', flush=True); print(s.recv(100).decode())")
        receiver.stdout.readline()
        self.python_in(self.a, "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
                       "s.sendto(b'other port', ('10.77.0.2', 7999)); s.sendto(b'ours', ('10.77.0.2', 7471))").wait()
        self.assertEqual(receiver.stdout.readline().strip(), "other port")
        counts = b.end()
        self.assertEqual(counts["received"], 1)

    def assert_promiscuous_mode_is_left_alone(self, kind):
        for is_set in (False, True):
            run("ip", "-n", self.a, "link", "set", "xya", "promisc", "on" if is_set else "off")
            probe = self.probe("a", kind, "hold=1", "sleep=1")
            probe.wait_ready()
            self.assertEqual(self.is_promiscuous("a"), is_set)
            self.assertEqual(probe.end()["exit"], 0)
            self.assertEqual(self.is_promiscuous("a"), is_set)

    def assert_only_joined_groups_arrive(self, kind):
        b = self.probe("b", kind, "hold=1", "sleep=1", "group=239.1.2.3:5555")
        b.wait_ready()
        for group, port, n in (("239.1.2.3", 5555, 70), ("239.1.2.3", 5556, 800), ("239.1.2.4", 5555, 9000)):
            sender = self.probe("a", "af_packet", f"send={n}", f"dst={group}", f"udp_port={port}",
                                "dst_mac=01:00:5e:01:02:03")
            sender.wait_ready()
            self.assertEqual(sender.end()["sent"], n)
        self.assertEqual(b.end()["received"], 70)

    def assert_refused(self, probe, *words):
        result = probe.end()
        self.assertEqual(result["exit"], 1)
        self.assertEqual(len(result["error"].splitlines()), 1, result["error"])
        for word in words:
            self.assertIn(word, result["error"])


class AfPacketPort(PortsCase):
    def test_frames_arrive_intact_both_ways(self):
        self.assert_both_ways("af_packet")

    def test_every_waiting_frame_is_announced(self):
        self.assert_every_waiting_frame_is_announced("af_packet")

    def test_link_may_go_down_and_come_back(self):
        self.assert_link_may_go_down_and_come_back("af_packet")

    def test_kernel_keeps_everything_else(self):
        self.assert_kernel_keeps_the_rest("af_packet")

    def test_promiscuous_mode_is_left_alone(self):
        self.assert_promiscuous_mode_is_left_alone("af_packet")

    def test_only_joined_groups_arrive(self):
        self.assert_only_joined_groups_arrive("af_packet")

    def test_own_frames_and_other_hosts_frames_are_not_received(self):
        a = self.probe("a", "af_packet", "send=100", "hold=1")
        a.wait_ready()
        b = self.probe("b", "af_packet", "send=100", "dst_mac=02:00:00:00:00:77")
        b.wait_ready()
        self.assertEqual(b.end()["sent"], 100)
        self.assertEqual(a.end()["received"], 0)

    def test_interface_that_is_down_is_refused_with_the_cure(self):
        run("ip", "-n", self.a, "link", "set", "xya", "down")
        self.assert_refused(self.probe("a", "af_packet"), "af_packet:xya", "ip link set xya up")

    def test_two_capabilities_suffice(self):
        prefix = ("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", "+net_raw,+net_admin", "--ambient-caps",
                  "+net_raw,+net_admin")
        probe = self.probe("a", "af_packet", "send=100", prefix=prefix)
        probe.wait_ready()
        self.assertEqual(probe.end()["sent"], 100)


class AfXdpPort(PortsCase):
    def assert_nothing_left(self, end):
        self.assertEqual(self.program_id(end), 0)
        self.assertEqual(self.files(end), [])

    def test_frames_arrive_intact_both_ways_and_nothing_is_left(self):
        self.assert_both_ways("af_xdp")
        self.assert_nothing_left("a")
        self.assert_nothing_left("b")

    def test_every_waiting_frame_is_announced(self):
        self.assert_every_waiting_frame_is_announced("af_xdp")

    def test_link_may_go_down_and_come_back(self):
        self.assert_link_may_go_down_and_come_back("af_xdp")

    def test_kernel_keeps_everything_else(self):
        self.assert_kernel_keeps_the_rest("af_xdp")

    def test_promiscuous_mode_is_left_alone(self):
        self.assert_promiscuous_mode_is_left_alone("af_xdp")

    def test_only_joined_groups_arrive(self):
        self.assert_only_joined_groups_arrive("af_xdp")

    def test_program_of_a_killed_daemon_is_replaced_and_the_next_one_works(self):
        killed = self.probe("b", "af_xdp", "hold=1")
        killed.wait_ready()
        left = self.program_id("b")
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        self.assertEqual(self.program_id("b"), left)
        self.assert_both_ways("af_xdp")
        self.assert_nothing_left("b")

    def test_program_of_a_killed_daemon_is_removed_by_one_without_that_port(self):
        killed = self.probe("b", "af_xdp", "hold=1")
        killed.wait_ready()
        killed.process.kill()
        killed.process.wait()
        living = self.probe("a", "af_xdp", "hold=1")
        living.wait_ready()
        for end in "ab":
            next_one = Probe(getattr(self, end), "null", f"runtime_dir={self.runtime.name}/{end}", "clean=1")
            self.probes.append(next_one)
            next_one.wait_ready()
            self.assertEqual(next_one.end()["exit"], 0)
        self.assert_nothing_left("b")
        self.assertNotEqual(self.program_id("a"), 0)
        self.assertEqual(living.end()["exit"], 0)
        self.assert_nothing_left("a")

    def test_foreign_program_is_named_and_left_attached(self):
        run("ip", "-n", self.a, "link", "set", "dev", "xya", "xdp", "obj", XDP_OBJECT, "sec", "xdp")
        foreign = self.program_id("a")
        self.assertNotEqual(foreign, 0)
        self.assert_refused(self.probe("a", "af_xdp"), "af_xdp:xya", f"id {foreign} ")
        self.assertEqual(self.program_id("a"), foreign)
        self.assertEqual(self.files("a"), [])

    def test_program_in_a_forged_record_is_not_removed(self):
        run("ip", "-n", self.a, "link", "set", "dev", "xya", "xdp", "obj", XDP_OBJECT, "sec", "xdp")
        foreign = self.program_id("a")
        record = f"{self.runtime.name}/a/xdp-xya"
        with open(record, "w", encoding="ascii") as file:
            file.write(f"{foreign} 2 1 some-other-boot\n")
        self.assert_refused(self.probe("a", "af_xdp"), f"id {foreign} ")
        self.assertEqual(self.program_id("a"), foreign)

    def test_interface_that_another_daemon_has_is_refused(self):
        first = self.probe("a", "af_xdp", "hold=1")
        first.wait_ready()
        self.assert_refused(self.probe("a", "af_xdp"), "another daemon")
        self.assertNotEqual(self.program_id("a"), 0)
        self.assertEqual(first.end()["exit"], 0)
        self.assert_nothing_left("a")

    def test_too_large_an_mtu_is_refused_with_the_limit(self):
        run("ip", "-n", self.a, "link", "set", "xya", "mtu", "9000")
        self.assert_refused(self.probe("a", "af_xdp"), "9000", "3506")

    def test_missing_rights_are_listed(self):
        probe = self.probe("a", "af_xdp", prefix=("setpriv", "--reuid", "65534", "--clear-groups"))
        self.assert_refused(probe, "CAP_NET_RAW", "CAP_BPF")

    def test_four_capabilities_suffice_also_after_a_kill(self):
        capabilities = "+net_raw,+net_admin,+bpf,+ipc_lock"
        prefix = ("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps", capabilities, "--ambient-caps",
                  capabilities)
        killed = self.probe("b", "af_xdp", "hold=1", prefix=prefix)
        killed.wait_ready()
        killed.process.kill()
        killed.process.wait()
        self.assert_both_ways("af_xdp", prefix)
        self.assert_nothing_left("b")


class AfXdpPortWithTwoQueues(PortsCase):
    n_queues = 2

    def test_frames_of_every_queue_arrive(self):
        receiver = self.probe("b", "af_xdp", "hold=1", "sleep=1")
        self.assertIn("queues=2", receiver.wait_ready())
        sender = self.python_in(self.a, "import socket\n"
                                "for i in range(64):\n"
                                "  s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 50000+i))\n"
                                "  for j in range(10): s.sendto(b'x'*99, ('10.77.0.2', 7471))\n")
        sender.wait()
        counts = receiver.end()
        self.assertEqual((counts["received"], counts["no_socket"]), (640, 0))
        self.assertGreater(counts["queue0"], 0)
        self.assertGreater(counts["queue1"], 0)
        self.assertEqual(self.program_id("b"), 0)


class MemifPort(PortsCase):
    def probe_memif(self, role, *options, path="wire", lab="lab_ports=1"):
        """Without namespaces: the wire is shared memory."""
        ours, peer = (1, 2) if role == "server" else (2, 1)
        port = (f"memif:{self.runtime.name}/{path},role={role},ip=10.9.0.{ours}/24,peer=10.9.0.{peer},"
                "signal_peer=127.0.0.1:7470")
        probe = Probe(self.a, port, f"seconds={DEADLINE_S}", *options, lab)
        self.probes.append(probe)
        return probe

    def assert_both_ways(self):
        options = (f"send={N_FRAMES}", "window=512", "bytes=1400", "go=1")
        client = self.probe_memif("client", *options, f"receive={N_FRAMES}", "stay=1")
        server = self.probe_memif("server", *options, f"receive={N_FRAMES}", "stay=1")
        for probe in (server, client):
            probe.wait_ready()
        self.go(server, client)
        for probe in (server, client):  # a peer that leaves takes along what was not read yet, or shows it again
            self.assertEqual(probe.process.stdout.readline().strip(), "done")
        for probe in (client, server):
            counts = probe.end()
            self.assertEqual((counts["received"], counts["bad"], counts["held"], counts["exit"]), (N_FRAMES, 0, 0, 0))

    def test_frames_arrive_intact_both_ways_and_the_socket_is_removed(self):
        self.assert_both_ways()
        self.assertFalse(os.path.exists(f"{self.runtime.name}/wire"))

    def test_stale_socket_of_a_killed_server_is_replaced(self):
        killed = self.probe_memif("server", "hold=1")
        killed.wait_ready()
        killed.process.kill()
        killed.process.wait()
        self.assertTrue(os.path.exists(f"{self.runtime.name}/wire"))
        self.assert_both_ways()

    def test_socket_of_a_living_server_is_left_alone(self):
        first = self.probe_memif("server", "hold=1")
        first.wait_ready()
        self.assert_refused(self.probe_memif("server"), "another process listens")
        self.assertEqual(first.end()["exit"], 0)

    def test_file_that_is_no_socket_is_left_alone(self):
        with open(f"{self.runtime.name}/wire", "w", encoding="ascii"):
            pass
        self.assert_refused(self.probe_memif("server"), "is not a socket")
        self.assertTrue(os.path.exists(f"{self.runtime.name}/wire"))

    def test_it_is_refused_unless_lab_ports_are_allowed(self):
        self.assert_refused(self.probe_memif("server", lab="lab_ports=0"), "--lab-ports")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root: network namespaces and XDP")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
