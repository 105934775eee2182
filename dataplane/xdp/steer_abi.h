// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
// What the XDP program and the daemon share: names, keys and values of the program's maps. C and C++, fixed width only.
#pragma once
#include <linux/types.h>

#define XYLEM_STEER_PROGRAM "xylem_steer"
#define XYLEM_STEER_SOCKETS "xsks_map" /* DPDK's AF_XDP driver asks for this name */
#define XYLEM_STEER_CONFIG "steer_config"
#define XYLEM_STEER_GROUPS "steer_groups"
#define XYLEM_STEER_COUNTERS "steer_counters"

#define XYLEM_STEER_MAX_QUEUES 64
#define XYLEM_STEER_MAX_GROUPS 4096

/* The one entry of steer_config. All zero, as it is before the daemon has filled it: everything passes. */
struct xylem_steer_config {
    __u16 data_port_be;
    __u16 padding;
    __u32 n_groups; /* 0 spares the look-up */
};

/* Key of steer_groups; an IPv4 address fills the first 4 bytes, the rest is zero. */
struct xylem_steer_group {
    __u8 address[16];
    __u16 port_be;
    __u16 family; /* 4 or 6 */
};

/* Index of steer_counters: what became of a frame. */
enum xylem_steer_verdict {
    XYLEM_STEER_TO_DATA,       /* our UDP port, to the socket */
    XYLEM_STEER_TO_GROUP,      /* a joined (group, port), to the socket */
    XYLEM_STEER_NO_SOCKET,     /* ours, but its queue has no socket: passed */
    XYLEM_STEER_PASS_FRAGMENT, /* a fragment of a UDP datagram: passed */
    XYLEM_STEER_PASS,          /* not ours: passed */
    XYLEM_STEER_N_VERDICTS
};
