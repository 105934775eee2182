// SPDX-License-Identifier: Apache-2.0
#include "control/cli/options.h"

#include <xylem/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>

#include "dataplane/base/address_text.h"

namespace xylem::cli {
namespace {

constexpr size_t kMinBenchMessageBytes = 16;
constexpr char kExitStatus[] =
    "Exit status: 0 done, 1 failed (one line on standard error says what and why), 2 wrong usage.";
constexpr char kRootExitStatus[] =
    "Exit status: 0 every leaf has confirmed the whole input (dgram: stayed to its end; what a leaf lost it says\n"
    "itself), 1 failed (one line on standard error names the leaves and why), 2 wrong usage.";
constexpr char kLeafExitStatus[] =
    "Exit status: 0 after a graceful end with nothing lost, 1 failed, or data was lost (one line on standard error\n"
    "says how much), 2 wrong usage.";

/// Option texts as typed, before they become values.
struct Typed {
    std::string address, type = "rdm", service;
    std::vector<std::string> invites;
};

const std::map<std::string, int> kTypes = {{"rdm", SOCK_RDM}, {"stream", SOCK_STREAM}, {"dgram", SOCK_DGRAM}};
const std::map<std::string, uint32_t> kServices = {{"best-effort", XY_SERVICE_BEST_EFFORT},
                                                   {"controlled-load", XY_SERVICE_CONTROLLED_LOAD},
                                                   {"guaranteed", XY_SERVICE_GUARANTEED},
                                                   {"network-control", XY_SERVICE_NETWORK_CONTROL}};

void add_session_options(CLI::App& app, Typed& typed, Options& out, const char* address_about) {
    app.add_option("ADDR:PORT", typed.address, address_about)->required()->type_name("");
    app.add_option("--type", typed.type, "rdm (reliable messages), stream (reliable bytes) or dgram (best effort)")
        ->check(CLI::IsMember({"rdm", "stream", "dgram"}))
        ->capture_default_str();
    app.add_flag("-v,--verbose", out.is_verbose, "tell on standard error what happens");
}

void add_root_options(CLI::App& app, Typed& typed, Options& out) {
    add_session_options(app, typed, out, "where the session is: an address of this host, and a port");
    app.add_option("--leaves", out.leaves, "leaves to wait for, invited ones counted; default: those invited, else 1")
        ->check(CLI::Range(1, 1000000))
        ->type_name("N");
    app.add_option("--invite", typed.invites, "leaves to invite (xylem leaf --listen), A:P,…")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->type_name("A:P,…");
    app.add_option("--rate", out.rate,
                   "flow spec: bytes/s (K, M, G: powers of 1024); stored and reported, this version does not pace yet")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("BYTES/S");
    app.add_option("--service", typed.service,
                   "flow spec: best-effort, controlled-load, guaranteed or network-control; stored and reported, this "
                   "version treats them alike")
        ->check(CLI::IsMember({"best-effort", "controlled-load", "guaranteed", "network-control"}));
    app.add_option("--message-bytes", out.message_bytes, "length of a message; default: what standard input gives")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 30))
        ->type_name("N");
}

void add_leaf_options(CLI::App& app, Typed& typed, Options& out) {
    add_session_options(app, typed, out, "the root's address and port; with --listen our own");
    app.add_flag("--listen", out.is_listening, "wait there for a root's invitation");
    app.add_option("--data", out.connect_text, "text for the root: caller data, or callee data with --listen");
}

void add_bench_options(CLI::App& app, Typed& typed, Options& out) {
    app.require_subcommand(1);
    CLI::App* send = app.add_subcommand("send", "a root that sends numbered, checked messages");
    add_root_options(*send, typed, out);
    send->add_option("--messages", out.messages, "how many; 0: until interrupted")->required();
    CLI::App* recv = app.add_subcommand("recv", "a leaf that checks them; prints JSON");
    add_leaf_options(*recv, typed, out);
}

Error usage(std::string what) { return Error{EINVAL, std::move(what)}; }

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    while (!text.empty() && text.back() == ' ')
        text.pop_back();
    return text;
}

Command command_of(const CLI::App& app) {
    if (app.got_subcommand("root")) return Command::kRoot;
    if (app.got_subcommand("leaf")) return Command::kLeaf;
    if (app.got_subcommand("status")) return Command::kStatus;
    return app.get_subcommand("bench")->got_subcommand("send") ? Command::kBenchSend : Command::kBenchReceive;
}

std::string name_of(Command command) {
    switch (command) {
        case Command::kRoot:
            return "xylem root";
        case Command::kLeaf:
            return "xylem leaf";
        case Command::kStatus:
            return "xylem status";
        case Command::kBenchSend:
            return "xylem bench send";
        case Command::kBenchReceive:
            return "xylem bench recv";
        case Command::kAnswer:
            break;
    }
    return "xylem";
}

Result<Options> complete(const Typed& typed, Options out) {
    if (out.command == Command::kStatus) return out;
    auto address = parse_endpoint(typed.address);
    if (!address) return address.error();
    out.address = *address;
    out.type = kTypes.at(typed.type);
    if (!typed.service.empty()) out.service = kServices.at(typed.service);
    for (const std::string& text : typed.invites) {
        auto invite = parse_endpoint(text);
        if (!invite) return Error{EINVAL, "--invite " + invite.error().what};
        if (invite->ip.family != out.address.ip.family)
            return usage("--invite " + text + ": not of the family of " + typed.address);
        out.invites.push_back(*invite);
    }
    if (out.leaves != 0 && out.leaves < out.invites.size())
        return usage("--leaves " + std::to_string(out.leaves) + ": less than the leaves that --invite names");
    if (out.leaves == 0) out.leaves = std::max<size_t>(1, out.invites.size());
    if (out.rate == 0) return usage("--rate 0: at least 1 byte/s");
    if (out.connect_text.size() > XY_CONNECT_DATA_MAX) return usage("--data: at most 1024 bytes");
    if (out.command == Command::kBenchSend) {
        if (out.message_bytes == 0) out.message_bytes = 64;
        if (out.message_bytes < kMinBenchMessageBytes)
            return usage("--message-bytes " + std::to_string(out.message_bytes) +
                         ": a checked message has at least 16");
    }
    return out;
}

}  // namespace

Result<Endpoint> parse_endpoint(const std::string& text) {
    const Error wrong = usage(text + ": not ADDR:PORT (192.0.2.1:7000, or [2001:db8::1]:7000)");
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) return wrong;
    std::string host = text.substr(0, colon);
    const bool has_brackets = host.front() == '[' && host.back() == ']';
    if (has_brackets) host = host.substr(1, host.size() - 2);
    const auto ip = parse_ip(host);
    if (!ip || ip->is_v6() != has_brackets) return wrong;
    uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error != std::errc{} || rest != end || port == 0) return wrong;
    return Endpoint{*ip, port};
}

Result<Options> parse_options(int argc, const char* const* argv) {
    CLI::App app("xylem: one root sends, many leaves receive. Needs a running xylemd.", "xylem");
    Options out;
    Typed typed;
    app.set_version_flag("--version", std::string("xylem ") + xy_version());
    app.add_option("--socket", out.socket_path, "the daemon's control socket; default: $XYLEM_SOCKET, else its place");
    app.require_subcommand(1);
    app.fallthrough();
    app.footer(kExitStatus);
    CLI::App* root = app.add_subcommand("root", "sends standard input to its leaves");
    root->footer(kRootExitStatus);
    add_root_options(*root, typed, out);
    CLI::App* leaf = app.add_subcommand("leaf", "joins a root, writes what it receives to standard output");
    leaf->footer(kLeafExitStatus);
    add_leaf_options(*leaf, typed, out);
    CLI::App* status = app.add_subcommand("status", "ports, sessions, leaves, streams, drops of the daemon");
    status->add_flag("--json", out.as_json, "as the daemon tells it");
    add_bench_options(*app.add_subcommand("bench", "generator and sink for tests and measurements"), typed, out);
    try {
        app.parse(argc, argv);
        out.command = command_of(app);
        out.name = name_of(out.command);
        return complete(typed, std::move(out));
    } catch (const CLI::CallForHelp&) {
        out.answer = app.help();
    } catch (const CLI::CallForVersion& version) {
        out.answer = std::string(version.what()) + "\n";
    } catch (const CLI::ParseError& error) {
        const auto unknown = app.remaining(true);
        const std::string what =
            unknown.empty() ? one_line(error.what()) : unknown.front() + ": no such command, option or argument";
        return usage(what + "; xylem --help and xylem COMMAND --help show the usage");
    }
    return out;
}

}  // namespace xylem::cli
