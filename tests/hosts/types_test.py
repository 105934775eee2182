#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Best effort and bytes between hosts, over a bridge that loses frames.

Invariant 7: what is lost is told: a best-effort leaf knows of lost bytes, and what it gets are whole messages in order.
"""
import contextlib

from lab import XYLEM, Lab, main

PORT = 7840
LOSS_PERCENT = 1


def transfer(kind, messages, message_bytes, leaf_status, hosts=2, loss=LOSS_PERCENT):
    """A checked transfer to a leaf on every other host; what each leaf said, and how many frames the bridge dropped."""
    with Lab(hosts=hosts, loss=loss) as lab, contextlib.ExitStack() as stack:
        root_at = lab.address(0, PORT)
        size = ["--messages", messages, "--message-bytes", message_bytes, "--leaves", hosts]
        sender = stack.enter_context(lab.on(0, XYLEM, "bench", "send", root_at, "--type", kind, *size, "--verbose"))
        sender.await_line("listening")
        sinks = [stack.enter_context(lab.on(host, XYLEM, "bench", "recv", root_at, "--type", kind))
                 for host in range(1, hosts + 1)]
        for sink in sinks:
            status = sink.finish(60)
            assert status == leaf_status, f"exit status {status}, wanted {leaf_status}: {sink}"
        sender.succeed()
        dropped = sum(lab.loss_counts()[host][1] for host in range(1, hosts + 1)) if loss else 0
        assert dropped > 0 or loss == 0, "the bridge lost nothing: the test shows nothing"
        return [sink.json() for sink in sinks], dropped


def best_effort_tells_what_it_lost():
    messages, message_bytes = 200000, 300
    told, dropped = transfer("dgram", messages, message_bytes, leaf_status=1)
    for leaf in told:
        print(f"of {messages} messages {leaf['messages']} came whole; {leaf['lost_bytes']} bytes lost; {dropped} frames dropped")
        assert leaf["corrupt"] == 0, f"a message was damaged or out of order: {leaf}"
        assert leaf["end"] == 0, f"loss does not end a best-effort session: {leaf}"
        absent = messages - leaf["messages"]  # `missing` does not see those at the very end
        assert 0 < leaf["missing"] <= absent, leaf
        # All that did not come was counted, with the record headers (8 bytes), but not much more.
        assert absent * message_bytes <= leaf["lost_bytes"] <= absent * (message_bytes + 8) * 1.2, leaf


def stream_is_whole():
    messages, message_bytes = 40000, 1000
    told, _ = transfer("stream", messages, message_bytes, leaf_status=0)
    for leaf in told:
        print(leaf)
        assert leaf["messages"] == messages and leaf["bytes"] == messages * message_bytes, leaf
        assert leaf["missing"] == leaf["corrupt"] == leaf["lost_bytes"] == 0, leaf


if __name__ == "__main__":
    main(best_effort_tells_what_it_lost, stream_is_whole)
