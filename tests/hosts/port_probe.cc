// SPDX-License-Identifier: Apache-2.0
// Opens one port as the daemon would, sends and receives numbered UDP frames on it, and says what happened: the other
// end of the port tests, and a raw pair for by-hand measurements.
//
//   port_probe PORT [KEY=VALUE]...   data_port, runtime_dir, lab_ports=1, queues, send=N, receive=N, bytes, dst_mac,
//   src, dst, udp_port,
//                                    window=N (send no more than N ahead of what came back), go=1 (wait for a line of
//                                    input first), group=ADDR:PORT, seconds (deadline), sleep=1 (wait on wait_fd),
//                                    hold=1 (until end of standard input)
//
// Prints "ready …" when the port is open and one line of counts at the end; exit 1 with a sentence if the port does not
// open, 3 if fewer frames than asked for arrived by the deadline.
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"

using xylem::dpdk::Eal;
using xylem::dpdk::Port;
using Options = std::map<std::string, std::string>;
using Clock = std::chrono::steady_clock;

namespace {

constexpr unsigned kBurst = 32;
constexpr size_t kHeaders = 14 + sizeof(iphdr) + sizeof(udphdr);

std::string text(const Options& options, const char* key, const char* otherwise) {
    const auto at = options.find(key);
    return at == options.end() ? otherwise : at->second;
}

unsigned long number(const Options& options, const char* key, unsigned long otherwise) {
    const auto at = options.find(key);
    return at == options.end() ? otherwise : strtoul(at->second.c_str(), nullptr, 10);
}

struct Counts {
    unsigned long sent = 0, received = 0, bad = 0, idle_wakes = 0;
    std::vector<unsigned long> by_queue;
};

/// The headers of every frame that is sent: Ethernet, IPv4, UDP without a checksum.
struct Template {
    uint8_t bytes[kHeaders]{};

    Template(const Options& options, const Port& port, size_t payload_bytes) {
        unsigned mac[6]{};
        sscanf(text(options, "dst_mac", "ff:ff:ff:ff:ff:ff").c_str(), "%x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2,
               mac + 3, mac + 4, mac + 5);
        for (int i = 0; i < 6; ++i)
            bytes[i] = static_cast<uint8_t>(mac[i]);
        memcpy(bytes + 6, port.mac().bytes.data(), 6);
        bytes[12] = 0x08;
        iphdr ip{};
        ip.version = 4;
        ip.ihl = 5;
        ip.ttl = 64;
        ip.protocol = IPPROTO_UDP;
        ip.frag_off = htons(IP_DF);
        ip.tot_len = htons(static_cast<uint16_t>(sizeof(iphdr) + sizeof(udphdr) + payload_bytes));
        inet_pton(AF_INET, text(options, "src", "10.77.0.1").c_str(), &ip.saddr);
        inet_pton(AF_INET, text(options, "dst", "10.77.0.2").c_str(), &ip.daddr);
        uint16_t words[10];
        memcpy(words, &ip, sizeof ip);
        uint32_t sum = 0;
        for (const uint16_t word : words)
            sum += word;
        sum = (sum & 0xFFFF) + (sum >> 16);
        ip.check = static_cast<uint16_t>(~(sum + (sum >> 16)));
        memcpy(bytes + 14, &ip, sizeof ip);
        const udphdr udp{{{htons(50000), htons(static_cast<uint16_t>(number(options, "udp_port", 7471))),
                           htons(static_cast<uint16_t>(sizeof(udphdr) + payload_bytes)), 0}}};
        memcpy(bytes + 14 + sizeof ip, &udp, sizeof udp);
    }
};

uint8_t pattern(uint64_t number_of_frame, size_t offset) { return static_cast<uint8_t>(number_of_frame * 31 + offset); }

bool is_intact(const rte_mbuf* frame, std::vector<bool>& seen) {
    const auto* bytes = rte_pktmbuf_mtod(frame, const uint8_t*);
    uint64_t number_of_frame;
    if (frame->data_len < kHeaders + sizeof number_of_frame) return false;
    memcpy(&number_of_frame, bytes + kHeaders, sizeof number_of_frame);
    if (number_of_frame >= seen.size() || seen[number_of_frame]) return false;
    seen[number_of_frame] = true;
    uint16_t total_be;
    memcpy(&total_be, bytes + 16, sizeof total_be);
    const size_t end = 14U + ntohs(total_be);
    for (size_t i = kHeaders + sizeof number_of_frame; i < end; ++i)
        if (bytes[i] != pattern(number_of_frame, i)) return false;
    return true;
}

/// Fills and sends up to a burst of the frames that are still due.
void send_some(Port& port, uint16_t queue, const Template& headers, size_t payload_bytes, unsigned long n_due,
               Counts& counts) {
    rte_mbuf* burst[kBurst];
    const auto n = static_cast<unsigned>(n_due < kBurst ? n_due : kBurst);
    if (!xylem::dpdk::alloc_burst(port.pool(), burst, n)) return;
    for (unsigned i = 0; i < n; ++i) {
        const uint64_t number_of_frame = counts.sent + i;
        auto* bytes =
            reinterpret_cast<uint8_t*>(rte_pktmbuf_append(burst[i], static_cast<uint16_t>(kHeaders + payload_bytes)));
        memcpy(bytes, headers.bytes, kHeaders);
        memcpy(bytes + kHeaders, &number_of_frame, sizeof number_of_frame);
        for (size_t at = kHeaders + sizeof number_of_frame; at < kHeaders + payload_bytes; ++at)
            bytes[at] = pattern(number_of_frame, at);
    }
    const uint16_t n_sent = port.tx(queue, burst, static_cast<uint16_t>(n));
    counts.sent += n_sent;
    rte_pktmbuf_free_bulk(burst + n_sent, n - n_sent);
}

void receive_some(Port& port, std::vector<bool>& seen, Counts& counts) {
    rte_mbuf* burst[kBurst];
    for (uint16_t queue = 0; queue < port.n_queues(); ++queue) {
        const uint16_t n = port.rx(queue, burst, kBurst);
        for (unsigned i = 0; i < n; ++i)
            counts.bad += is_intact(burst[i], seen) ? 0 : 1;
        counts.received += n;
        counts.by_queue[queue] += n;
        rte_pktmbuf_free_bulk(burst, n);
        if (n == 0) port.tx(queue, nullptr, 0);
    }
}

bool input_has_ended() {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    char byte;
    return poll(&input, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) <= 0;
}

/// Takes frames one at a time, all of which have arrived, and counts those that wait_fd had not announced; then whether
/// it is still readable with nothing left.
void check_level(Port& port) {
    unsigned n_taken = 0, n_unannounced = 0;
    rte_mbuf* frame;
    pollfd wait{port.wait_fd(), POLLIN, 0};
    for (;;) {
        const bool is_announced = poll(&wait, 1, 0) == 1;
        uint16_t n = 0;
        for (uint16_t queue = 0; n == 0 && queue < port.n_queues(); ++queue)
            n = port.rx(queue, &frame, 1);
        if (n == 0) break;
        ++n_taken;
        n_unannounced += is_announced ? 0 : 1;
        rte_pktmbuf_free(frame);
    }
    printf("taken=%u unannounced=%u readable_when_empty=%d\n", n_taken, n_unannounced, poll(&wait, 1, 0));
}

/// Sleeps until a frame waits, at most 50 ms; counts the times it was woken for nothing.
void wait_for_frames(Port& port, Counts& counts) {
    pollfd wait{port.wait_fd(), POLLIN, 0};
    if (poll(&wait, 1, 50) != 1) return;
    if ((wait.revents & POLLIN) == 0) ++counts.idle_wakes;
    if ((wait.revents & POLLERR) != 0) port.clear_wait_error();
}

Counts run(Port& port, const Options& options) {
    const unsigned long n_send = number(options, "send", 0), n_receive = number(options, "receive", 0);
    const bool holds = number(options, "hold", 0) != 0,
               sleeps = number(options, "sleep", 0) != 0 && port.wait_fd() >= 0;
    const size_t payload_bytes = number(options, "bytes", 64);
    const unsigned long window = number(options, "window", n_send);
    const Template headers(options, port, payload_bytes);
    const auto deadline = Clock::now() + std::chrono::seconds(number(options, "seconds", 20));
    std::vector<bool> seen(1U << 20);
    Counts counts;
    counts.by_queue.resize(port.n_queues());
    while (Clock::now() < deadline) {
        receive_some(port, seen, counts);
        const unsigned long n_due = std::min(n_send, counts.received + window) - counts.sent;
        if (n_due != 0)
            send_some(port, static_cast<uint16_t>(counts.sent / kBurst % port.n_queues()), headers, payload_bytes,
                      n_due, counts);
        if (counts.sent == n_send && (holds ? input_has_ended() : counts.received >= n_receive)) break;
        if (sleeps && n_due == 0) wait_for_frames(port, counts);
    }
    return counts;
}

/// What was sent has left when the pool is whole but for the frames that wait in the driver's receive ring.
void collect_completions(Port& port, unsigned n_idle) {
    const auto deadline = Clock::now() + std::chrono::seconds(2);
    while (port.frames().n_free() < n_idle && Clock::now() < deadline)
        for (uint16_t queue = 0; queue < port.n_queues(); ++queue)
            port.tx(queue, nullptr, 0);
}

}  // namespace

int main(int argc, char** argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (argc < 2) return fprintf(stderr, "usage: port_probe PORT [KEY=VALUE]...\n"), 2;
    Options options;
    for (int i = 2; i < argc; ++i) {
        const std::string argument = argv[i];
        options[argument.substr(0, argument.find('='))] = argument.substr(argument.find('=') + 1);
    }
    const auto spec = xylem::dpdk::parse_port_spec(argv[1]);
    if (!spec) return fprintf(stderr, "%s\n", spec.error().what.c_str()), 2;
    const auto eal = Eal::init({.huge_pages = number(options, "huge", 0) != 0,
                                .memory_mb = static_cast<unsigned>(number(options, "memory_mb", 256)),
                                .n_workers = static_cast<unsigned>(number(options, "workers", 0))});
    if (!eal) return fprintf(stderr, "%s\n", eal.error().what.c_str()), 1;
    if (number(options, "clean", 0) != 0) xylem::xdp::remove_leftovers(text(options, "runtime_dir", "."));
    const auto opened = Port::open(*spec, {.data_udp_port = static_cast<uint16_t>(number(options, "data_port", 7471)),
                                           .runtime_dir = text(options, "runtime_dir", "."),
                                           .n_queues = static_cast<unsigned>(number(options, "queues", 1)),
                                           .lab_ports = number(options, "lab_ports", 0) != 0});
    if (!opened) return fprintf(stderr, "%s\n", opened.error().what.c_str()), 1;
    Port& port = **opened;
    if (const std::string group = text(options, "group", ""); !group.empty()) {
        uint32_t address_be = 0;
        inet_pton(AF_INET, group.substr(0, group.find(':')).c_str(), &address_be);
        const auto joined = port.add_group(xylem::IpAddress::v4(address_be),
                                           static_cast<uint16_t>(atoi(group.c_str() + group.find(':') + 1)));
        if (!joined) return fprintf(stderr, "%s\n", joined.error().what.c_str()), 1;
    }
    const unsigned n_idle = port.frames().n_free();
    printf("ready mtu=%u queues=%u wait_fd=%d pool=%u\n", port.mtu(), port.n_queues(), port.wait_fd(),
           port.frames().size());
    if (number(options, "go", 0) != 0) getchar();
    if (number(options, "level", 0) != 0) check_level(port);
    const Counts counts = run(port, options);
    collect_completions(port, n_idle);
    if (number(options, "stay", 0) != 0) {
        puts("done");
        while (!input_has_ended())
            usleep(1000);
    }
    const auto stats = port.stats();
    printf("sent=%lu received=%lu bad=%lu idle_wakes=%lu missed=%lu held=%d\n", counts.sent, counts.received,
           counts.bad, counts.idle_wakes, static_cast<unsigned long>(stats.rx_missed_pkts),
           static_cast<int>(n_idle) - static_cast<int>(port.frames().n_free()));
    const auto verdicts = port.steering_counters();
    printf("steering data=%lu group=%lu no_socket=%lu fragment=%lu pass=%lu\n", verdicts[0], verdicts[1], verdicts[2],
           verdicts[3], verdicts[4]);
    for (size_t queue = 0; queue < counts.by_queue.size(); ++queue)
        printf("queue%zu=%lu\n", queue, counts.by_queue[queue]);
    return counts.received < number(options, "receive", 0) ? 3 : 0;
}
