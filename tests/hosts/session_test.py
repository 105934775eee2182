#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A root that invites two leaves and accepts four, on three hosts: connect data both ways, one leaf leaves, one is killed.

Invariant 5: the other leaves have every message and see no gap; FD_CLOSE comes on exactly the descriptors of those two.
"""
import contextlib
import errno
import os

from lab import BUILD, Lab, main

PLAYER = BUILD / "tests/hosts/session_player"
LEFT, CLOSED, APP_DIED = 1, 2, 5  # XY_END_*
PORT = 7800


def play(port):
    with Lab(hosts=3, port=port) as lab, contextlib.ExitStack() as stack:
        def on(host, *argv):
            return stack.enter_context(lab.on(host, PLAYER, *argv))

        root_at = lab.address(0, PORT)
        invited = {"ann": on(1, "leaf", "listen", lab.address(1, PORT), "ann", "stay", 0),
                   "bob": on(2, "leaf", "listen", lab.address(2, PORT), "bob", "stay", 0)}
        for leaf in invited.values():
            leaf.await_line("listening")
        root = on(0, "root", root_at, f"{lab.address(1, PORT)},{lab.address(2, PORT)}", 4)
        root.await_line("joined bob")
        asking = {"cid": on(2, "leaf", "ask", root_at, "cid", "stay", 0),
                  "dot": on(3, "leaf", "ask", root_at, "dot", "leave", 500),
                  "eve": on(3, "leaf", "ask", root_at, "eve", "stay", 1000),
                  "fay": on(1, "leaf", "ask", root_at, "fay", "stay", 0)}
        asking["dot"].succeed()
        asking["eve"].await_line("got 1000")
        asking["eve"].kill()
        root.succeed(60)
        told = root.json()
        print(told)
        codes = {name: 0 for name in (*invited, *asking)} | {"eve": errno.ECONNRESET}
        assert told["closes"] == codes, f"codes {told['closes']}, wanted {codes}"
        reasons = {name: CLOSED for name in codes} | {"dot": LEFT, "eve": APP_DIED}
        assert told["reasons"] == reasons, f"reasons {told['reasons']}, wanted {reasons}"
        for name, leaf in {**invited, **asking}.items():
            if name in ("dot", "eve"):
                continue
            seen = leaf.succeed().json()
            assert seen == {"messages": told["messages"], "missing": 0, "corrupt": 0}, f"{name}: {seen}"


def over_af_xdp():
    play("af_xdp")


def over_af_packet():
    play("af_packet")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main(over_af_xdp, over_af_packet)
