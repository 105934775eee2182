#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Leaves on several hosts send to their root: every message comes whole, in its leaf's order, under that leaf's name.

Invariant 7: no message is cut or missing, also of leaves that have closed already.
"""
import contextlib

from lab import BUILD, Lab, main

PLAYER = BUILD / "tests/hosts/upstream_player"
PORT = 7845
MESSAGES = 20000


def send_up(port="af_xdp", loss=0, root_at=None):
    with Lab(hosts=2, port=port, loss=loss) as lab, contextlib.ExitStack() as stack:
        root_at = root_at or lab.address(0, PORT)
        places = {"ann": 1, "bob": 1, "cid": 2, "dot": 0}  # one of them on the root's host
        root = stack.enter_context(lab.on(0, PLAYER, "root", root_at, len(places), MESSAGES))
        root.await_line("listening")
        leaves = [stack.enter_context(lab.on(host, PLAYER, "leaf", root_at, name, MESSAGES)) for name, host in places.items()]
        for leaf in leaves:
            leaf.succeed(60)
        told = root.succeed(60).json()
        print(told)
        assert told == {name: {"messages": MESSAGES, "missing": 0, "corrupt": 0} for name in places}, told


def over_af_xdp():
    send_up()


def over_af_packet_and_ipv6():
    send_up(port="af_packet", root_at=f"[fd77::1]:{PORT}")


def over_a_lossy_bridge():
    send_up(loss=1)


if __name__ == "__main__":
    main(over_af_xdp, over_af_packet_and_ipv6, over_a_lossy_bridge)
