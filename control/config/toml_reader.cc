// SPDX-License-Identifier: Apache-2.0
#include "control/config/toml_reader.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "control/config/value_parsers.h"

namespace xylem::config {
namespace {

constexpr size_t kMaxFileBytes = 1024 * 1024;  // a device given by mistake must not fill the memory

std::string place_of(const std::string& path, const toml::source_region& region) {
    return path + ":" + std::to_string(region.begin.line);
}

Value array_value(const toml::array& array) {
    if (array.empty()) return std::vector<std::string>{};
    std::vector<int64_t> integers;
    std::vector<std::string> texts;
    for (const toml::node& element : array) {
        if (const auto* integer = element.as_integer())
            integers.push_back(integer->get());
        else if (const auto* text = element.as_string())
            texts.push_back(text->get());
        else
            return std::monostate{};
    }
    if (texts.empty()) return integers;
    if (integers.empty()) return texts;
    return std::monostate{};
}

Value value_of(const toml::node& node) {
    if (const auto* boolean = node.as_boolean()) return boolean->get();
    if (const auto* integer = node.as_integer()) return integer->get();
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* array = node.as_array()) return array_value(*array);
    return std::monostate{};
}

Setting setting_of(const std::string& key, const toml::node& node, const std::string& path) {
    // A quoted key may hold anything, a line break too.
    const bool is_plain = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) { return c > ' '; });
    return {key, value_of(node), place_of(path, node.source()) + ": " + (is_plain ? key : toml_text(key)), false};
}

Result<void> read_peers(const toml::node& node, const std::string& path, std::vector<PeerEntry>& peers) {
    const toml::array* entries = node.as_array();
    const Error wrong{EINVAL, place_of(path, node.source()) +
                                  ": peer: must be written as [[peer]] entries with address "
                                  "and signal_port"};
    if (entries == nullptr) return wrong;
    for (const toml::node& element : *entries) {
        const toml::table* table = element.as_table();
        if (table == nullptr) return wrong;
        PeerEntry entry{{}, place_of(path, element.source()) + ": [[peer]]"};
        for (const auto& [key, value] : *table)
            entry.settings.push_back(setting_of(std::string(key.str()), value, path));
        peers.push_back(std::move(entry));
    }
    return {};
}

}  // namespace

Result<FileSettings> parse_toml(std::string_view text, const std::string& path) {
    const toml::parse_result parsed = toml::parse(text, path);
    if (!parsed) {
        std::string why(parsed.error().description());
        for (char& c : why)
            if (c == '\n') c = ' ';
        return Error{EINVAL, place_of(path, parsed.error().source()) + ": not valid TOML: " + why};
    }
    FileSettings out;
    for (const auto& [key, node] : parsed.table()) {
        const std::string name(key.str());
        if (name == "peer") {
            if (Result<void> read = read_peers(node, path, out.peers); !read) return read.error();
        } else {
            out.settings.push_back(setting_of(name, node, path));
        }
    }
    return out;
}

Result<FileSettings> read_toml_file(const std::string& path) {
    const auto refuse = [&](int code) {
        return Error{code, "--config: " + path + ": " + std::strerror(code) + ": name a readable TOML file"};
    };
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
    if (!file) return refuse(errno);
    std::string text;
    char chunk[4096];
    while (const size_t n = std::fread(chunk, 1, sizeof chunk, file.get())) {
        text.append(chunk, n);
        if (text.size() > kMaxFileBytes) return refuse(EFBIG);
    }
    if (std::ferror(file.get())) return refuse(errno != 0 ? errno : EIO);
    return parse_toml(text, path);
}

}  // namespace xylem::config
