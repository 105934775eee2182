// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Loss for scripts/lab: at the egress of a bridge port, drops a random share of the UDP frames to DATA_PORT and nothing
 * else. THRESHOLD is the share of 2^32 - 1. counts[0]: frames to the data port; counts[1]: of these, dropped. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stddef.h>

/* after linux/bpf.h, whose types they use */
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, __u64);
} counts SEC(".maps");

static void count(__u32 which) {
    __u64* n = bpf_map_lookup_elem(&counts, &which);
    if (n) __sync_fetch_and_add(n, 1);
}

/* Where the UDP header starts, 0: the frame is none of UDP without IP options or extension headers. */
static __u32 udp_offset(struct __sk_buff* skb) {
    __u8 protocol = 0, version_length = 0;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        bpf_skb_load_bytes(skb, ETH_HLEN, &version_length, 1);
        bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, protocol), &protocol, 1);
        return protocol == IPPROTO_UDP && version_length == 0x45 ? ETH_HLEN + sizeof(struct iphdr) : 0;
    }
    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &protocol, 1);
        return protocol == IPPROTO_UDP ? ETH_HLEN + sizeof(struct ipv6hdr) : 0;
    }
    return 0;
}

SEC("tc")
int drop_some(struct __sk_buff* skb) {
    __u16 dest = 0;
    __u32 udp = udp_offset(skb);
    if (udp == 0 || bpf_skb_load_bytes(skb, udp + offsetof(struct udphdr, dest), &dest, 2) != 0) return TC_ACT_OK;
    if (dest != bpf_htons(DATA_PORT)) return TC_ACT_OK;
    count(0);
    if (bpf_get_prandom_u32() >= THRESHOLD) return TC_ACT_OK;
    count(1);
    return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
