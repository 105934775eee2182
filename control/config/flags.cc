// SPDX-License-Identifier: Apache-2.0
#include "control/config/flags.h"

#include <CLI/CLI.hpp>
#include <cerrno>

#include "control/config/key_table.h"
#include "control/config/value_parsers.h"

namespace xylem::config {
namespace {

/// CLI11's sentence as one line that begins with the flag.
std::string one_line(std::string text) {
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    for (char& c : text)
        if (c == '\n') c = ' ';
    return text.starts_with("-") ? text : "--" + text;
}

/// What one flag of the table has been given.
struct Given {
    const Key* key = nullptr;
    std::string text;
    std::vector<std::string> texts;
    CLI::Option* option = nullptr;
};

void add(CLI::App& app, Given& given) {
    const Key& key = *given.key;
    const std::string flag(key.flag), about(key.about);
    if (key.flag_arg.empty()) {
        given.option = app.add_flag(flag, about)->disable_flag_override();
        return;
    }
    given.option = key.type == KeyType::kTexts ? app.add_option(flag, given.texts, about)->allow_extra_args(false)
                                               : app.add_option(flag, given.text, about);
    given.option->type_name(std::string(key.flag_arg));
}

Setting setting_of(const Given& given) {
    Setting out{std::string(given.key->name), {}, std::string(given.key->flag), true};
    if (given.key->type == KeyType::kTexts)
        out.value = given.texts;
    else if (!given.key->flag_arg.empty())
        out.value = given.text;
    else if (given.key->type == KeyType::kText)
        out.value = std::string("off");  // --no-NAME of a text key
    else
        out.value = true;
    return out;
}

Result<Flags> parse(int argc, const char* const* argv) {
    CLI::App app("xylemd: carries data from one root to many leaves. Flags override the configuration file.", "xylemd");
    Flags out;
    app.allow_extras();
    app.set_version_flag("--version", "xylemd " XY_VERSION);
    std::string config_path;
    CLI::Option* config = app.add_option("--config", config_path, "Configuration file (TOML)")->type_name("FILE");
    std::vector<Given> all;
    for (const Key& key : keys())
        if (!key.flag.empty()) all.push_back({&key, {}, {}, nullptr});
    for (Given& given : all)
        add(app, given);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& success) {
        out.answer_only = success.get_name() == "CallForHelp" ? app.help() : std::string(success.what()) + "\n";
        return out;
    }
    if (const std::vector<std::string> extras = app.remaining(); !extras.empty())
        return Error{EINVAL, toml_text(extras.front()) + ": unknown option: see xylemd --help"};
    if (config->count() > 0) out.config_path = config_path;
    for (const Given& given : all)
        if (given.option->count() > 0) out.settings.push_back(setting_of(given));
    return out;
}

}  // namespace

Result<Flags> read_flags(int argc, const char* const* argv) {
    try {
        return parse(argc, argv);
    } catch (const CLI::Error& error) {
        return Error{EINVAL, one_line(error.what()) + ": see xylemd --help"};
    }
}

}  // namespace xylem::config
