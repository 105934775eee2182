// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Lets the kernel keep the interface: only UDP to our data port and to joined (group, port) pairs goes to the AF_XDP
// socket of its receive queue. Everything else passes: ARP, ND, TCP, other UDP, VLAN-tagged frames, fragments, IPv4
// options, IPv6 extension headers.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dataplane/xdp/steer_abi.h"

#define IPV4_MORE_OR_OFFSET 0x3FFF

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, XYLEM_STEER_MAX_QUEUES);
    __type(key, __u32);
    __type(value, __u32);
} xsks_map SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct xylem_steer_config);
} steer_config SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, XYLEM_STEER_MAX_GROUPS);
    __type(key, struct xylem_steer_group);
    __type(value, __u8);
} steer_groups SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, XYLEM_STEER_N_VERDICTS);
    __type(key, __u32);
    __type(value, __u64);
} steer_counters SEC(".maps");

static __always_inline int pass(__u32 verdict) {
    __u64* count = bpf_map_lookup_elem(&steer_counters, &verdict);
    if (count) ++*count;
    return XDP_PASS;
}

static __always_inline int redirect(struct xdp_md* ctx, __u32 verdict) {
    int action = bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
    pass(action == XDP_REDIRECT ? verdict : XYLEM_STEER_NO_SOCKET);
    return action;
}

static __always_inline int steer_udp(struct xdp_md* ctx, const struct udphdr* udp, const void* end,
                                     struct xylem_steer_group* group) {
    __u32 only = 0;
    const struct xylem_steer_config* config = bpf_map_lookup_elem(&steer_config, &only);
    if (!config || (const void*)(udp + 1) > end) return pass(XYLEM_STEER_PASS);
    if (config->data_port_be && udp->dest == config->data_port_be) return redirect(ctx, XYLEM_STEER_TO_DATA);
    if (config->n_groups == 0) return pass(XYLEM_STEER_PASS);
    group->port_be = udp->dest;
    if (!bpf_map_lookup_elem(&steer_groups, group)) return pass(XYLEM_STEER_PASS);
    return redirect(ctx, XYLEM_STEER_TO_GROUP);
}

static __always_inline int steer_ipv4(struct xdp_md* ctx, const struct iphdr* ip, const void* end) {
    struct xylem_steer_group group = {};
    if ((const void*)(ip + 1) > end || ip->version != 4 || ip->protocol != IPPROTO_UDP) return pass(XYLEM_STEER_PASS);
    if (ip->frag_off & bpf_htons(IPV4_MORE_OR_OFFSET)) return pass(XYLEM_STEER_PASS_FRAGMENT);
    if (ip->ihl != 5) return pass(XYLEM_STEER_PASS);
    group.family = 4;
    __builtin_memcpy(group.address, &ip->daddr, sizeof ip->daddr);
    return steer_udp(ctx, (const struct udphdr*)(ip + 1), end, &group);
}

static __always_inline int steer_ipv6(struct xdp_md* ctx, const struct ipv6hdr* ip, const void* end) {
    struct xylem_steer_group group = {};
    if ((const void*)(ip + 1) > end) return pass(XYLEM_STEER_PASS);
    if (ip->nexthdr == IPPROTO_FRAGMENT) return pass(XYLEM_STEER_PASS_FRAGMENT);
    if (ip->nexthdr != IPPROTO_UDP) return pass(XYLEM_STEER_PASS);
    group.family = 6;
    __builtin_memcpy(group.address, &ip->daddr, sizeof ip->daddr);
    return steer_udp(ctx, (const struct udphdr*)(ip + 1), end, &group);
}

SEC("xdp")
int xylem_steer(struct xdp_md* ctx) {
    const void* end = (const void*)(long)ctx->data_end;
    const struct ethhdr* ethernet = (const void*)(long)ctx->data;
    if ((const void*)(ethernet + 1) > end) return pass(XYLEM_STEER_PASS);
    if (ethernet->h_proto == bpf_htons(ETH_P_IP)) return steer_ipv4(ctx, (const void*)(ethernet + 1), end);
    if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) return steer_ipv6(ctx, (const void*)(ethernet + 1), end);
    return pass(XYLEM_STEER_PASS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
