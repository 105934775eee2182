// SPDX-License-Identifier: Apache-2.0
#include "control/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <set>
#include <sstream>

#include "control/config/key_table.h"
#include "control/config/toml_reader.h"
#include "control/config/value_parsers.h"

namespace xylem::config {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Result<Config> load_args(std::vector<const char*> args) {
    args.insert(args.begin(), "xylemd");
    args.push_back(nullptr);
    return load(static_cast<int>(args.size()) - 1, args.data());
}

/// Every refusal is one line with the operand.
std::string refusal(std::vector<const char*> args) {
    args.insert(args.end(), {"--socket", "/tmp/s"});
    const Result<Config> loaded = load_args(std::move(args));
    if (loaded) return "(accepted)";
    EXPECT_THAT(loaded.error().what, Not(HasSubstr("\n")));
    EXPECT_EQ(loaded.error().code, EINVAL);
    return loaded.error().what;
}

/// A configuration file that lives as long as the object.
class TomlFile {
  public:
    explicit TomlFile(const std::string& text) {
        close(mkstemps(path_, 5));
        std::ofstream(path_) << text;
    }
    ~TomlFile() { unlink(path_); }
    TomlFile(const TomlFile&) = delete;
    TomlFile& operator=(const TomlFile&) = delete;
    const char* path() const { return path_; }
    std::string at(int line) const { return std::string(path_) + ":" + std::to_string(line) + ": "; }

  private:
    char path_[32] = "/tmp/xyconfig-XXXXXX.toml";
};

std::string file_refusal(const TomlFile& file) { return refusal({"--config", file.path()}); }

std::string text_of_source(const char* name) {
    std::stringstream text;
    text << std::ifstream(std::string(XY_SOURCE_ROOT "/") + name).rdbuf();
    return text.str();
}

TEST(Config, WithoutFileAndFlagsItHasTheDocumentedDefaults) {
    const Result<Config> config = load_args({"--socket", "/tmp/s"});
    ASSERT_TRUE(config);
    EXPECT_EQ(config->ports.size(), 1u);
    EXPECT_EQ(config->ports[0].kind, dpdk::PortKind::kLocal);
    EXPECT_EQ(config->signal_port, 7470);
    EXPECT_EQ(config->data_port, 7471);
    EXPECT_EQ(config->idle, Idle::kAdaptive);
    EXPECT_TRUE(config->lcores.empty());
    EXPECT_EQ(config->heartbeat_interval_ms, 1000u);
    EXPECT_EQ(config->cell_bytes, 1408u);
    EXPECT_EQ(config->log_cells, 1024u);
}

TEST(Config, EveryFlagReachesItsField) {
    const Result<Config> config =
        load_args({"--port", "af_packet:eth0", "--port=null", "--socket", "/tmp/s", "--lcores", "3", "--idle=busy",
                   "--signal-port", "1", "--data-port", "65535", "--lab-ports", "--no-tls", "--log-level", "debug"});
    ASSERT_TRUE(config) << config.error().what;
    ASSERT_EQ(config->ports.size(), 3u);
    EXPECT_EQ(config->ports[0].text, "local");
    EXPECT_EQ(config->ports[1].interface, "eth0");
    EXPECT_EQ(config->ports[2].kind, dpdk::PortKind::kNull);
    EXPECT_EQ(config->socket, "/tmp/s");
    EXPECT_THAT(config->lcores, ElementsAre(3u));
    EXPECT_EQ(config->idle, Idle::kBusy);
    EXPECT_EQ(config->signal_port, 1);
    EXPECT_EQ(config->data_port, 65535);
    EXPECT_TRUE(config->lab_ports);
    EXPECT_EQ(config->log_level, LogLevel::kDebug);
}

TEST(Config, FlagsOverrideTheFile) {
    const TomlFile file("signal_port = 8000\ndata_port = 8001\nports = [\"null\"]\n");
    const Result<Config> config =
        load_args({"--config", file.path(), "--socket", "/tmp/s", "--signal-port", "9000", "--port", "af_xdp:eth1"});
    ASSERT_TRUE(config) << config.error().what;
    EXPECT_EQ(config->signal_port, 9000);
    EXPECT_EQ(config->data_port, 8001);
    ASSERT_EQ(config->ports.size(), 2u);
    EXPECT_EQ(config->ports[1].interface, "eth1");
}

TEST(Config, PeersComeFromTheFile) {
    const TomlFile file(
        "[[peer]]\naddress = \"10.0.0.2\"\nsignal_port = 7480\n[[peer]]\naddress = \"fd00::2\"\nsignal_port = 7481\n");
    const Result<Config> config = load_args({"--config", file.path(), "--socket", "/tmp/s"});
    ASSERT_TRUE(config) << config.error().what;
    ASSERT_EQ(config->peers.size(), 2u);
    EXPECT_TRUE(config->peers[0].address.is_v4());
    EXPECT_EQ(config->peers[1].signal_port, 7481);
}

TEST(Config, HelpAndVersionAreAnswersNotErrors) {
    const Result<Config> help = load_args({"--help"}), version = load_args({"--version"});
    ASSERT_TRUE(help && version);
    for (const Key& key : keys())
        EXPECT_THAT(help->answer_only, HasSubstr(std::string(key.flag)));
    EXPECT_THAT(help->answer_only, HasSubstr("--config"));
    EXPECT_THAT(version->answer_only, StartsWith("xylemd "));
}

TEST(Config, BadFlagsAreNamed) {
    EXPECT_THAT(refusal({"--colour"}), AllOf(StartsWith("\"--colour\": unknown option"), HasSubstr("--help")));
    EXPECT_THAT(refusal({"start"}), StartsWith("\"start\": unknown option"));
    EXPECT_THAT(refusal({"--signal-port", "x"}), AllOf(StartsWith("--signal-port: \"x\""), HasSubstr("1 to 65535")));
    EXPECT_THAT(refusal({"--signal-port", "0"}), AllOf(StartsWith("--signal-port: 0"), HasSubstr("1 to 65535")));
    EXPECT_THAT(refusal({"--data-port", "65536"}), StartsWith("--data-port: 65536 is out of range"));
    EXPECT_THAT(refusal({"--data-port", "-1"}), StartsWith("--data-port: -1"));
    EXPECT_THAT(refusal({"--data-port", "99999999999999999999"}), StartsWith("--data-port: "));
    EXPECT_THAT(refusal({"--data-port", "71x"}), StartsWith("--data-port: "));
    EXPECT_THAT(refusal({"--idle", "lazy"}), AllOf(StartsWith("--idle: \"lazy\""), HasSubstr("busy or adaptive")));
    EXPECT_THAT(refusal({"--log-level", "loud"}), StartsWith("--log-level: \"loud\""));
    EXPECT_THAT(refusal({"--lcores", "1,1"}), StartsWith("--lcores: \"1,1\""));
    EXPECT_THAT(refusal({"--lcores", "2,4-6"}),
                AllOf(StartsWith("--lcores: \"2,4-6\" names 4 CPUs"), HasSubstr("name one CPU")));
    EXPECT_THAT(refusal({"--port", "wifi:0"}), StartsWith("--port: wifi"));
    EXPECT_THAT(refusal({"--lab-ports=maybe"}), HasSubstr("--lab-ports"));
    const Result<Config> no_value = load_args({"--signal-port"}), no_name = load_args({"--config", ""});
    ASSERT_FALSE(no_value || no_name);
    EXPECT_THAT(no_value.error().what, StartsWith("--signal-port: "));
    EXPECT_THAT(no_name.error().what, StartsWith("--config: "));
}

TEST(Config, ASocketPathLongerThanTheKernelTakesIsRefused) {
    const std::string path(108, 'x'), fits(107, 'x');
    const Result<Config> refused = load_args({"--socket", path.c_str()});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().what, AllOf(StartsWith("--socket: "), HasSubstr("108 bytes")));
    EXPECT_TRUE(load_args({"--socket", fits.c_str()}));
}

TEST(Config, MemifIsForLabsOnly) {
    const char* memif = "memif:/tmp/m,role=server,ip=10.0.0.1/24,peer=10.0.0.2,signal_peer=127.0.0.1:7480";
    EXPECT_THAT(refusal({"--port", memif}), AllOf(HasSubstr("memif:/tmp/m"), HasSubstr("--lab-ports")));
    EXPECT_EQ(refusal({"--port", memif, "--lab-ports"}), "(accepted)");
}

TEST(Config, AnInterfaceHasOnePort) {
    EXPECT_THAT(refusal({"--port", "af_xdp:eth0", "--port", "af_packet:eth0"}), HasSubstr("eth0 has a port already"));
    EXPECT_EQ(refusal({"--port", "local", "--port", "local"}), "(accepted)");
}

TEST(Config, BadFilesAreNamedWithTheirLine) {
    const TomlFile unknown("idle = \"busy\"\ncolour = 1\n"), wrong_type("\nsignal_port = \"7470\"\n"),
        out_of_range("cell_bytes = 9000\n"), crooked("cell_bytes = 1401\n"), few_cells("log_cells = 32\n"),
        odd_cells("log_cells = 1000\n"), few_image_cells("image_cells = 32\n"), syntax("idle = busy\n"),
        line_break("\"a\\nb\" = 1\n"), uids("allow_uids = [0, -1]\n"), mixed("allow_uids = [0, \"joe\"]\n"),
        section("[engine]\nidle = \"busy\"\n"), date("signal_port = 2026-11-20\n");
    EXPECT_THAT(file_refusal(unknown), StartsWith(unknown.at(2) + "colour: unknown key"));
    EXPECT_THAT(file_refusal(wrong_type), StartsWith(wrong_type.at(2) + "signal_port: \"7470\" is not a whole number"));
    EXPECT_THAT(file_refusal(out_of_range),
                AllOf(StartsWith(out_of_range.at(1) + "cell_bytes: 9000"), HasSubstr("256 to 8896")));
    EXPECT_THAT(file_refusal(crooked), HasSubstr("multiple of 8"));
    EXPECT_THAT(file_refusal(few_cells),
                AllOf(StartsWith(few_cells.at(1) + "log_cells: 32"), HasSubstr("64 to 65536")));
    EXPECT_THAT(file_refusal(odd_cells), HasSubstr("power of two"));
    EXPECT_THAT(file_refusal(few_image_cells), HasSubstr("below 64"));
    EXPECT_THAT(file_refusal(syntax), StartsWith(syntax.at(1) + "not valid TOML"));
    EXPECT_THAT(file_refusal(uids), StartsWith(uids.at(1) + "allow_uids: -1 is out of range"));
    EXPECT_THAT(file_refusal(mixed), StartsWith(mixed.at(1) + "allow_uids: not a list of whole numbers"));
    EXPECT_THAT(file_refusal(line_break), StartsWith(line_break.at(1) + "\"a\\u000Ab\": unknown key"));
    EXPECT_THAT(file_refusal(section), StartsWith(section.at(1) + "engine: unknown key"));
    EXPECT_THAT(file_refusal(date), StartsWith(date.at(1) + "signal_port: not a whole number"));
}

TEST(Config, BadPeersAreNamedWithTheirLine) {
    const TomlFile half("[[peer]]\naddress = \"10.0.0.2\"\n"), no_ip("[[peer]]\naddress = \"host\"\nsignal_port = 1\n"),
        no_port("[[peer]]\naddress = \"10.0.0.2\"\nsignal_port = 0\n"), extra("[[peer]]\nname = \"x\"\n"),
        not_list("peer = 3\n"),
        twice("[[peer]]\naddress = \"::1\"\nsignal_port = 1\n[[peer]]\naddress = \"::1\"\nsignal_port = 2\n");
    EXPECT_THAT(file_refusal(half), AllOf(StartsWith(half.at(1)), HasSubstr("incomplete")));
    EXPECT_THAT(file_refusal(no_ip), StartsWith(no_ip.at(2) + "address: not an address"));
    EXPECT_THAT(file_refusal(no_port), StartsWith(no_port.at(3) + "signal_port: not a TCP port"));
    EXPECT_THAT(file_refusal(extra), StartsWith(extra.at(2) + "name: unknown key"));
    EXPECT_THAT(file_refusal(not_list), StartsWith(not_list.at(1) + "peer: "));
    EXPECT_THAT(file_refusal(twice), AllOf(StartsWith(twice.at(4)), HasSubstr("::1 has an entry already")));
}

TEST(Config, AskingForTlsIsAnErrorThatSaysSo) {
    for (const char* text :
         {"tls = \"on\"\n", "tls = true\n", "[tls]\ncert = \"x\"\n", "tls.key = \"x\"\n", "tls_cert = \"x\"\n"}) {
        const TomlFile file(text);
        EXPECT_THAT(file_refusal(file), AllOf(StartsWith(file.at(1)), HasSubstr("no TLS yet"))) << text;
    }
    const TomlFile off("tls = \"off\"\n");
    EXPECT_EQ(file_refusal(off), "(accepted)");
}

TEST(Config, AFileThatCannotBeReadIsNamed) {
    const Result<Config> missing = load_args({"--config", "/nonexistent/xylemd.toml"}),
                         folder = load_args({"--config", "/tmp"});
    ASSERT_FALSE(missing);
    ASSERT_FALSE(folder);
    EXPECT_EQ(missing.error().code, ENOENT);
    EXPECT_THAT(missing.error().what, HasSubstr("/nonexistent/xylemd.toml"));
    EXPECT_EQ(folder.error().code, EISDIR);
    EXPECT_EQ(load_args({"--config", "/dev/zero"}).error().code, EFBIG);
}

TEST(Config, TheSocketsDefaultPlaceDependsOnTheUser) {
    EXPECT_EQ(*default_socket_path(true, nullptr), "/run/xylem/xylemd.sock");
    EXPECT_EQ(*default_socket_path(false, "/run/user/7"), "/run/user/7/xylem/xylemd.sock");
    const Result<std::string> unset = default_socket_path(false, nullptr), empty = default_socket_path(false, "");
    ASSERT_FALSE(unset);
    EXPECT_THAT(unset.error().what, AllOf(HasSubstr("XDG_RUNTIME_DIR"), HasSubstr("--socket")));
    EXPECT_FALSE(empty);
}

TEST(Config, TheEffectiveConfigurationNamesEveryKeyAndTlsOff) {
    const TomlFile file("[[peer]]\naddress = \"10.0.0.2\"\nsignal_port = 7480\n");
    const Result<Config> config =
        load_args({"--config", file.path(), "--socket", "/tmp/s", "--lcores", "7", "--port", "null"});
    ASSERT_TRUE(config);
    const std::vector<std::string> lines = effective_lines(*config);
    EXPECT_EQ(lines.size(), keys().size() + 1);
    EXPECT_THAT(lines, Contains("tls: off"));
    EXPECT_THAT(lines, Contains("ports = [\"local\", \"null\"]"));
    EXPECT_THAT(lines, Contains("lcores = \"7\""));
    EXPECT_THAT(lines, Contains("signal_port = 7470"));
    EXPECT_THAT(lines, Contains("peer = { address = \"10.0.0.2\", signal_port = 7480 }"));
}

TEST(ExampleFile, IsWhatTheKeyTableSays) {
    EXPECT_EQ(text_of_source("xylemd.toml.example"), example_text()) << "refresh it: ninja config-pages";
    EXPECT_EQ(text_of_source("docs/configuration.md"), reference_text()) << "refresh it: ninja config-pages";
    EXPECT_EQ(text_of_source("docs/man/xylemd.toml.5"), manual_text()) << "refresh it: ninja config-pages";
}

TEST(ExampleFile, AsItStandsItChangesNothing) {
    const Result<FileSettings> parsed = parse_toml(text_of_source("xylemd.toml.example"), "example");
    ASSERT_TRUE(parsed) << parsed.error().what;
    EXPECT_TRUE(parsed->settings.empty());
    EXPECT_TRUE(parsed->peers.empty());
}

TEST(ExampleFile, UncommentedItListsEveryKeyWithItsDefault) {
    std::istringstream lines(text_of_source("xylemd.toml.example"));
    std::string uncommented;
    for (std::string line; std::getline(lines, line);)
        uncommented += line.starts_with("#") && !line.starts_with("# ") ? line.substr(1) + "\n" : line + "\n";

    const Result<FileSettings> parsed = parse_toml(uncommented, "example");
    ASSERT_TRUE(parsed) << parsed.error().what;
    std::set<std::string, std::less<>> seen;
    Config config, defaults;
    defaults.socket = "/run/xylem/xylemd.sock";
    for (const Setting& setting : parsed->settings) {
        const Result<void> applied = apply(config, setting);
        EXPECT_TRUE(applied) << applied.error().what;
        seen.insert(setting.key);
    }
    EXPECT_EQ(effective_lines(config), effective_lines(defaults));
    for (const Key& key : keys())
        EXPECT_TRUE(seen.contains(key.name)) << key.name;
    ASSERT_EQ(parsed->peers.size(), 1u);
    EXPECT_TRUE(apply_peer(config, parsed->peers[0]));
}

TEST(Lcores, AreAListOfCpusAndRanges) {
    EXPECT_THAT(*parse_lcores("3"), ElementsAre(3u));
    EXPECT_THAT(*parse_lcores("4,0-2"), ElementsAre(4u, 0u, 1u, 2u));
    EXPECT_TRUE(parse_lcores("")->empty());
    EXPECT_EQ(lcores_text({4, 0, 1, 2}), "4,0-2");
    for (const char* bad : {"a", "1,", ",1", "1--2", "3-1", "-1", "1024", "1-", "1,0-1", "0-99999999999", " 1"})
        EXPECT_FALSE(parse_lcores(bad)) << bad;
}

}  // namespace
}  // namespace xylem::config
