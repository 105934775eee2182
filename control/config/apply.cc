// SPDX-License-Identifier: Apache-2.0
// The generic half of the key table: finding a key, checking type and limits, and all wording of errors.
#include <algorithm>
#include <cerrno>

#include "control/config/key_table.h"
#include "control/config/value_parsers.h"
#include "dataplane/base/address_text.h"

namespace xylem::config {
namespace {

Error at(const std::string& where, const std::string& what) { return {EINVAL, where + ": " + what}; }

std::string_view type_words(KeyType type) {
    switch (type) {
        case KeyType::kBoolean:
            return "true or false";
        case KeyType::kInteger:
            return "a whole number";
        case KeyType::kText:
            return "a text in quotes";
        case KeyType::kTexts:
            return "a list of texts in quotes";
        case KeyType::kIntegers:
            return "a list of whole numbers";
    }
    return "";
}

bool has_type(const Value& value, KeyType type) {
    switch (type) {
        case KeyType::kBoolean:
            return std::holds_alternative<bool>(value);
        case KeyType::kInteger:
            return std::holds_alternative<int64_t>(value);
        case KeyType::kText:
            return std::holds_alternative<std::string>(value);
        case KeyType::kTexts:
            return std::holds_alternative<std::vector<std::string>>(value);
        case KeyType::kIntegers:
            return std::holds_alternative<std::vector<int64_t>>(value);
    }
    return false;
}

/// Flags are texts and empty lists are lists of texts: brings them to the key's type where that is possible.
Value converted(const Setting& setting, KeyType type) {
    const auto* text = std::get_if<std::string>(&setting.value);
    if (setting.is_flag && type == KeyType::kInteger && text != nullptr) {
        if (const auto number = parse_integer(*text)) return *number;
    }
    const auto* texts = std::get_if<std::vector<std::string>>(&setting.value);
    if (type == KeyType::kIntegers && texts != nullptr && texts->empty()) return std::vector<int64_t>{};
    return setting.value;
}

std::string given_words(const Setting& setting) {
    const auto* text = std::get_if<std::string>(&setting.value);
    return text != nullptr ? toml_text(*text) + " is not " : "not ";
}

/// The first number of `value` outside the key's limits, or null.
const int64_t* outside(const Value& value, const Key& key) {
    const auto is_out = [&](int64_t number) { return number < key.min || number > key.max; };
    if (const auto* number = std::get_if<int64_t>(&value)) return is_out(*number) ? number : nullptr;
    if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) {
        const auto found = std::find_if(list->begin(), list->end(), is_out);
        return found == list->end() ? nullptr : &*found;
    }
    return nullptr;
}

Error unknown_key(const Setting& setting) {
    if (setting.key.starts_with("tls"))
        return at(setting.where, "this version has no TLS yet: remove the key (tls = \"off\" is all there is)");
    return at(setting.where, "unknown key: xylemd.toml.example lists all keys");
}

}  // namespace

const Key* find_key(std::string_view name) {
    const auto all = keys();
    const auto found = std::find_if(all.begin(), all.end(), [&](const Key& key) { return key.name == name; });
    return found == all.end() ? nullptr : &*found;
}

std::string limits_of(const Key& key) {
    if (!key.limits.empty()) return std::string(key.limits);
    if (key.type == KeyType::kBoolean) return "true or false";
    return std::to_string(key.min) + " to " + std::to_string(key.max) + (key.type == KeyType::kIntegers ? " each" : "");
}

std::string default_of(const Key& key) {
    return key.default_words.empty() ? key.show(Config{}) : std::string(key.default_words);
}

Result<void> apply(Config& config, const Setting& setting) {
    const Key* key = find_key(setting.key);
    if (key == nullptr) return unknown_key(setting);
    const Value value = converted(setting, key->type);
    if (!has_type(value, key->type)) {
        if (key->name == "tls") return unknown_key(setting);
        return at(setting.where,
                  given_words(setting) + std::string(type_words(key->type)) + ": write " + limits_of(*key));
    }
    if (const int64_t* number = outside(value, *key))
        return at(setting.where, std::to_string(*number) + " is out of range: choose " + limits_of(*key));
    if (Result<void> set = key->set(config, value); !set) return at(setting.where, set.error().what);
    return {};
}

Result<void> apply_peer(Config& config, const PeerEntry& entry) {
    Peer peer;
    for (const Setting& setting : entry.settings) {
        if (setting.key == "address") {
            const auto* text = std::get_if<std::string>(&setting.value);
            const auto ip = text != nullptr ? parse_ip(*text) : std::nullopt;
            if (!ip) return at(setting.where, "not an address: write an IPv4 or IPv6 address in quotes");
            peer.address = *ip;
        } else if (setting.key == "signal_port") {
            const auto* number = std::get_if<int64_t>(&setting.value);
            if (number == nullptr || *number < 1 || *number > 65535)
                return at(setting.where, "not a TCP port: choose 1 to 65535");
            peer.signal_port = static_cast<uint16_t>(*number);
        } else {
            return at(setting.where, "unknown key of [[peer]]: it takes address and signal_port");
        }
    }
    if (!peer.address.is_set() || peer.signal_port == 0)
        return at(entry.where, "incomplete: give it both address and signal_port");
    for (const Peer& known : config.peers)
        if (known.address == peer.address)
            return at(entry.where, to_string(peer.address) + " has an entry already: keep one of them");
    config.peers.push_back(peer);
    return {};
}

Result<void> check_together(const Config& config) {
    for (const dpdk::PortSpec& port : config.ports)
        if (port.kind == dpdk::PortKind::kMemif && !config.lab_ports)
            return Error{EINVAL, "port " + toml_text(port.text) +
                                     ": memif is for labs between daemons that trust each other: allow it "
                                     "with --lab-ports (lab_ports = true)"};
    return {};
}

}  // namespace xylem::config
