// SPDX-License-Identifier: Apache-2.0
// xylem status: the daemon's state, as a table or as the JSON that it tells. The table follows the JSON's shape: lists
// of objects become tables, objects become lines, so that what the daemon adds shows without a change here.
#include <fmt/core.h>
#include <xylem/xylem.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/cli/attach.h"
#include "control/cli/commands.h"
#include "control/cli/failure.h"

namespace xylem::cli {
namespace {

using Json = nlohmann::ordered_json;

Result<std::string> fetch(const Options& options) {
    std::string json;
    for (;;) {
        const int needed = xy_status(json.data(), json.size());
        if (needed < 0) return failure(Step::kStatus, daemon_path(options), errno);
        if (static_cast<size_t>(needed) < json.size()) {
            json.resize(static_cast<size_t>(needed));
            return json;
        }
        json.resize(static_cast<size_t>(needed) + 4096);
    }
}

std::string cell(const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_null()) return "-";
    if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
    if (value.is_array() || value.is_object()) return value.empty() ? "-" : value.dump();
    return value.dump();
}

bool is_table(const Json& value) {
    return value.is_array() && !value.empty() &&
           std::all_of(value.begin(), value.end(), [](const Json& row) { return row.is_object(); });
}

/// Lists inside a row get tables of their own, below.
bool is_column(const Json& value) { return !is_table(value); }

void print_rows(const std::vector<std::vector<std::string>>& rows, const std::string& indent) {
    std::vector<size_t> widths(rows[0].size(), 0);
    for (const auto& row : rows)
        for (size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    for (const auto& row : rows) {
        std::string line = indent;
        for (size_t i = 0; i < row.size(); ++i)
            line += fmt::format("{:<{}}  ", row[i], widths[i]);
        line.erase(line.find_last_not_of(' ') + 1);
        fmt::print("{}\n", line);
    }
}

void print_value(const std::string& name, const Json& value, const std::string& indent);

void print_table(const std::string& name, const Json& table, const std::string& indent) {
    std::vector<std::string> columns;
    for (const Json& row : table)
        for (const auto& [key, value] : row.items())
            if (is_column(value) && std::find(columns.begin(), columns.end(), key) == columns.end())
                columns.push_back(key);
    std::vector<std::vector<std::string>> rows{columns};
    for (const Json& row : table) {
        rows.emplace_back();
        for (const std::string& column : columns)
            rows.back().push_back(row.contains(column) ? cell(row[column]) : "-");
    }
    fmt::print("{}{} ({})\n", indent, name, table.size());
    print_rows(rows, indent + "  ");
    for (const Json& row : table)
        for (const auto& [key, value] : row.items())
            if (!is_column(value)) print_value(fmt::format("{} of {}", key, cell(row.front())), value, indent + "  ");
}

void print_value(const std::string& name, const Json& value, const std::string& indent) {
    if (is_table(value)) {
        print_table(name, value, indent);
    } else if (value.is_object() && !value.empty()) {
        fmt::print("{}{}\n", indent, name);
        for (const auto& [key, inner] : value.items())
            print_value(key, inner, indent + "  ");
    } else if (value.is_array() && value.empty()) {
        fmt::print("{}{}: none\n", indent, name);
    } else {
        fmt::print("{}{}: {}\n", indent, name, cell(value));
    }
}

}  // namespace

Result<void> run_status(const Options& options) {
    if (auto attached = attach(options); !attached) return attached;
    auto text = fetch(options);
    if (!text) return text.error();
    if (options.as_json) {
        fmt::print("{}\n", *text);
        return {};
    }
    const Json state = Json::parse(*text, nullptr, false);
    if (!state.is_object())
        return Error{EPROTO, daemon_path(options) + ": the daemon's status is not JSON: versions differ?"};
    for (const auto& [key, value] : state.items())
        print_value(key, value, "");
    return {};
}

}  // namespace xylem::cli
