// SPDX-License-Identifier: Apache-2.0
// What a port moves when nothing is done but send and receive: the line against which `pair` rows are read. One process
// sends frames of PAYLOAD bytes as fast as the driver takes them, another counts what comes in, both on our own ports
// and pools. As in testpmd, headers are written per frame and payloads are not.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "dataplane/base/address_text.h"
#include "dataplane/base/clock.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/packet/frame.h"

namespace {

using namespace xylem;

constexpr uint16_t kDataPort = 7471, kBurst = 32;
constexpr uint64_t kSecond = 1'000'000'000;

struct Options {
    std::string port, runtime_dir = "/tmp", source, dest;
    std::vector<uint8_t> dest_mac;
    uint32_t payload_bytes = 1400;
    double seconds = 2;
};

packet::Path path_of(const Options& options, const dpdk::Port& port) {
    packet::Path path;
    path.src_mac = port.mac();
    std::copy_n(options.dest_mac.begin(), std::min<size_t>(6, options.dest_mac.size()), path.dst_mac.bytes.begin());
    path.src = {*parse_ip(options.source), 50000};
    path.dst = {*parse_ip(options.dest), kDataPort};
    return path;
}

void send_for(const Options& options, dpdk::Port& port) {
    const packet::FrameTemplate header(path_of(options, port), 1);
    const uint64_t end = monotonic_ns() + static_cast<uint64_t>(options.seconds * 1e9);
    uint64_t n_sent = 0, n_polls = 0;
    rte_mbuf* burst[kBurst];
    uint16_t n_held = 0;
    while ((++n_polls & 63) != 0 || monotonic_ns() < end) {
        while (n_held < kBurst && (burst[n_held] = rte_pktmbuf_alloc(port.pool())) != nullptr) {
            packet::FrameFields fields;
            fields.packet_number = static_cast<uint32_t>(n_sent + n_held);
            fields.payload_len = static_cast<uint16_t>(options.payload_bytes);
            const size_t n = header.write(fields, rte_pktmbuf_mtod(burst[n_held], uint8_t*));
            burst[n_held]->data_len = static_cast<uint16_t>(n + options.payload_bytes);
            burst[n_held]->pkt_len = burst[n_held]->data_len;
            ++n_held;
        }
        const uint16_t n = port.tx(0, burst, n_held);
        std::copy(burst + n, burst + n_held, burst);
        n_held = static_cast<uint16_t>(n_held - n);
        n_sent += n;
    }
    rte_pktmbuf_free_bulk(burst, n_held);
    std::printf("%s\n", nlohmann::json{{"sent_pkts", n_sent}}.dump().c_str());
}

/// Counts from the first frame until nothing has come for a while.
void receive_until_quiet(const Options& options, dpdk::Port& port) {
    std::puts("ready");
    std::fflush(stdout);
    const uint64_t give_up = monotonic_ns() + static_cast<uint64_t>((options.seconds + 10) * 1e9);
    uint64_t first = 0, last = 0, n_pkts = 0, n_empty = 0;
    for (;;) {
        rte_mbuf* burst[64];
        uint16_t n = 0;
        for (uint16_t queue = 0; queue < port.n_queues(); ++queue) {
            const uint16_t got = port.rx(queue, burst, 64);
            rte_pktmbuf_free_bulk(burst, got);
            n = static_cast<uint16_t>(n + got);
        }
        if (n == 0 && (++n_empty & 255) != 0) continue;
        const uint64_t now = monotonic_ns();
        if (n != 0) {
            if (first == 0) first = now;
            last = now;
            n_pkts += n;
        } else if ((first != 0 && now - last > kSecond / 2) || now > give_up) {
            break;
        }
    }
    const double seconds = last > first ? static_cast<double>(last - first) * 1e-9 : 0;
    const double gbit = seconds > 0 ? static_cast<double>(n_pkts) * options.payload_bytes * 8e-9 / seconds : 0;
    std::printf("%s\n", nlohmann::json{{"pkts", n_pkts}, {"seconds", seconds}, {"gbit_s", gbit}}.dump().c_str());
}

int run(int argc, char** argv) {
    Options options;
    CLI::App app("raw_pair: what a port moves by itself");
    app.require_subcommand(1);
    auto* sender = app.add_subcommand("send", "send as fast as the port takes it");
    auto* receiver = app.add_subcommand("receive", "count what comes in");
    for (auto* sub : {sender, receiver}) {
        sub->add_option("--port", options.port, "port, as for xylemd")->required();
        sub->add_option("--runtime-dir", options.runtime_dir, "folder for what a port must remember");
        sub->add_option("--payload-bytes", options.payload_bytes, "bytes after the headers")
            ->check(CLI::Range(8, 1408));
        sub->add_option("--seconds", options.seconds, "how long the sender sends");
    }
    sender->add_option("--dest-mac", options.dest_mac, "six numbers")
        ->delimiter(':')
        ->expected(6)
        ->transform(CLI::Validator(
            [](std::string& byte) { return byte = std::to_string(std::stoi(byte, nullptr, 16)), std::string(); },
            "HEX"));
    sender->add_option("--source", options.source, "our address")->required();
    sender->add_option("--dest", options.dest, "the receiver's address")->required();
    CLI11_PARSE(app, argc, argv);
    const auto fail = [](const Error& error) { return std::fprintf(stderr, "raw_pair: %s\n", error.what.c_str()), 1; };
    auto spec = dpdk::parse_port_spec(options.port);
    if (!spec) return fail(spec.error());
    dpdk::EalConfig eal_config;
    auto eal = dpdk::Eal::init(eal_config);
    if (!eal) return fail(eal.error());
    auto port = dpdk::Port::open(*spec, {kDataPort, options.runtime_dir, 1, true});
    if (!port) return fail(port.error());
    if (sender->parsed())
        send_for(options, **port);
    else
        receive_until_quiet(options, **port);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "raw_pair: %s\n", error.what());
        return 1;
    }
}
