#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lints themselves: each passes a clean tree and names the violation in one that has it."""
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import clang_format  # noqa: E402
import drops  # noqa: E402
import invariants  # noqa: E402
import layering  # noqa: E402
import links  # noqa: E402
import machine_paths  # noqa: E402
import man  # noqa: E402
import spdx  # noqa: E402

TAG = "SPDX-License" + "-Identifier: "


class Lint(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="xylem-lint-"))
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def assert_clean(self, lint):
        self.assertEqual(lint.check(self.root), [])

    def assert_one(self, lint, *words):
        violations = lint.check(self.root)
        self.assertEqual(len(violations), 1, violations)
        for word in words:
            self.assertIn(word, violations[0])


class Layering(Lint):
    def test_what_the_table_allows_passes(self):
        for name, include in [("dataplane/base/a.h", "<cstdint>"), ("dataplane/packet/a.h", '"dataplane/base/a.h"'),
                              ("dataplane/log/a.cc", "<xylem/abi/log.h>"), ("dataplane/dpdk/a.cc", "<rte_ethdev.h>"),
                              ("dataplane/stage/a.cc", '"dataplane/dpdk/burst.h"'), ("shim/a.cc", "<xylem/abi/log.h>"),
                              ("control/session/a.cc", '"dataplane/engine/engine.h"'),
                              ("control/daemon/a.cc", '"control/api/b.h"'), ("control/cli/a.cc", "<xylem/xylem.h>"),
                              ("tests/engine/a.cc", "<rte_ethdev.h>"), ("examples/a.c", "<xylem/xylem.h>")]:
            self.write(name, f"#include {include}\n")
        self.assert_clean(layering)

    def test_each_wall_holds(self):
        for name, include in [("include/xylem/a.h", "<xylem/abi/log.h>"), ("include/xylem/abi/a.h", "<rte_mbuf.h>"),
                              ("shim/a.cc", '"dataplane/base/result.h"'), ("shim/a.cc", '"control/api/a.h"'),
                              ("dataplane/base/a.h", '"dataplane/packet/a.h"'), ("dataplane/base/a.h", "<rte_mbuf.h>"),
                              ("dataplane/base/a.h", "<sys/socket.h>"), ("dataplane/packet/a.h", "<rte_mbuf.h>"),
                              ("dataplane/log/a.h", "<rte_ring.h>"), ("dataplane/dpdk/a.h", '"dataplane/log/a.h"'),
                              ("dataplane/stage/a.h", "<rte_ethdev.h>"), ("dataplane/stage/a.h", "<sys/mman.h>"),
                              ("dataplane/stage/a.h", '"dataplane/dpdk/port.h"'), ("dataplane/engine/a.h", '"control/api/a.h"'),
                              ("dataplane/engine/a.h", "<asio.hpp>"), ("control/qos/a.h", '"dataplane/engine/engine.h"'),
                              ("control/config/a.h", "<rte_eal.h>"), ("control/session/a.h", "<rte_eal.h>"),
                              ("control/session/a.h", '"dataplane/engine/worker.h"'), ("control/api/a.h", '"dataplane/log/a.h"'),
                              ("control/cli/a.cc", '"dataplane/engine/engine.h"'), ("control/cli/a.cc", "<xylem/abi/log.h>"),
                              ("examples/a.c", "<xylem/abi/log.h>")]:
            with self.subTest(name=name, include=include):
                self.write(name, f"// a file\n#include {include}\n")
                self.assert_one(layering, f"{name}:2")
                (self.root / name).unlink()

    def test_an_include_must_be_a_full_path(self):
        self.write("dataplane/base/a.h", '#include "result.h"\n')
        self.assert_one(layering, "full path")

    def test_a_source_outside_the_table_is_named(self):
        self.write("misc/a.cc", "")
        self.assert_one(layering, "misc/a.cc")

    def test_a_link_around_the_table_is_named(self):
        self.write("control/qos/meson.build", "xy_qos_dep = declare_dependency(dependencies: [xy_base_dep, xy_engine_dep])\n")
        self.assert_one(layering, "control/qos/meson.build:1", "xy_engine_dep")
        self.write("control/qos/meson.build", "x = static_library('x', 'x.cc', link_with: xylem_log)\n")
        self.assert_one(layering, "control/qos/meson.build:1", "xylem_log")

    def test_a_link_to_dpdk_outside_the_data_plane_is_named(self):
        self.write("control/session/meson.build", "x = static_library('x', 'x.cc', dependencies: libdpdk)\n")
        self.assert_one(layering, "DPDK")

    def test_only_applications_may_link_the_library(self):
        self.write("examples/meson.build", "executable('x', 'x.c', dependencies: xy_shim_dep)\n")
        self.assert_clean(layering)
        self.write("control/qos/meson.build", "x = static_library('x', 'x.cc', dependencies: xy_shim_dep)\n")
        self.assert_one(layering, "may not link shim")

    def test_the_door_of_the_engine_may_be_linked(self):
        self.write("control/session/meson.build", "xy_session_dep = declare_dependency(dependencies: xy_engine_dep)\n")
        self.assert_clean(layering)


class ClangFormat(Lint):
    def setUp(self):
        super().setUp()
        if not shutil.which("clang-format"):
            self.skipTest("no clang-format")
        self.write(".clang-format", "BasedOnStyle: Google\n")

    def test_formatted_file_passes(self):
        self.write("a.cc", "int main() { return 0; }\n")
        self.assert_clean(clang_format)

    def test_unformatted_file_is_named(self):
        self.write("a.cc", "int  main() { return 0; }\n")
        self.assert_one(clang_format, "a.cc")


class Spdx(Lint):
    def test_one_line_passes(self):
        self.write("a.cc", f"// {TAG}Apache-2.0\n")
        self.write("scripts/run", f"#!/bin/sh\n# {TAG}Apache-2.0\n")
        self.write("x.bpf.c", f"// {TAG}BSD-2-Clause OR GPL-2.0-only\n")
        self.write("dataplane/xdp/abi.h", f"// {TAG}Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause\n")
        self.write("api.h", f"/* {TAG}Apache-2.0 */\n")
        self.write("docs/man/a.3", f'.\\" {TAG}Apache-2.0\n')
        self.write("writes_a_file.cc", f'// {TAG}Apache-2.0\n"# {TAG}Apache-2.0\\n"\n')
        self.assert_clean(spdx)

    def test_missing_double_foreign_and_late_lines_are_named(self):
        for name, text in [("a.cc", ""), ("run", "#!/bin/sh\n"), ("a.h", f"// {TAG}Apache-2.0\n" * 2),
                           ("a.py", f"# {TAG}MIT\n"), ("a.3", ".Dd x\n"), ("x.bpf.c", f"// {TAG}Apache-2.0\n"),
                           ("a.hpp", f"// {TAG}Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause\n"), ("a.map", "\n" * 9 + f"# {TAG}Apache-2.0\n")]:
            with self.subTest(name=name):
                self.write(name, text)
                self.assert_one(spdx, name)
                (self.root / name).unlink()


class Drops(Lint):
    TABLE = 'XY_DROP(bad_label, "The label is not in "\n        "the table.")\n'

    def write_page(self):
        self.write(drops.PAGE, drops.page(drops.drops(self.root)))

    def test_no_table_yet_passes(self):
        self.assert_clean(drops)

    def test_named_drop_passes(self):
        self.write(drops.TABLE, self.TABLE)
        self.write_page()
        for naming in ("Drop::bad_label", "kBadLabel", '"bad_label"'):
            with self.subTest(naming=naming):
                self.write("tests/unit/a_test.cc", naming)
                self.assert_clean(drops)
        self.assertIn("| `bad_label` | The label is not in the table. |", (self.root / drops.PAGE).read_text())

    def test_drop_without_a_test_is_named(self):
        self.write(drops.TABLE, self.TABLE)
        self.write("tests/unit/a_test.cc", "// bad_label is only talked about\nDrop::bad_label_too")
        self.write_page()
        self.assert_one(drops, "bad_label")

    def test_old_page_is_named(self):
        self.write(drops.TABLE, self.TABLE)
        self.write("tests/unit/a_test.cc", "Drop::bad_label")
        self.assert_one(drops, drops.PAGE)


class Links(Lint):
    def test_live_links_pass(self):
        self.write("docs/a.md", "# A page\n[up](../README.md#two-words), [here](#a-page), [out](https://x.org), `[no](link)`\n")
        self.write("README.md", "# R\n## Two words\n")
        self.assert_clean(links)

    def test_dead_file_is_named(self):
        self.write("docs/a.md", "[gone](b.md)")
        self.assert_one(links, "b.md")

    def test_dead_heading_is_named(self):
        self.write("a.md", "# One\n[gone](#two)")
        self.assert_one(links, "#two")


class Invariants(Lint):
    def test_each_missing_invariant_is_named(self):
        self.write("tests/unit/a_test.cc", "".join(f"// Invariant {n}: …\n" for n in range(1, 7)))
        self.assert_one(invariants, "invariant 7")
        self.write("tests/hosts/b_test.py", "# Invariant 7")
        self.assert_clean(invariants)


class Man(Lint):
    PAGE = """.Dd November 20, 2026
.Dt XY_GO 3
.Os Xylem
.Sh NAME
.Nm xy_go
.Nd go
.Sh LIBRARY
Xylem
.Sh SYNOPSIS
.Ft int
.Fn xy_go "int s" "const char *to"
.Sh DESCRIPTION
.Dv XY_FAR .
.Bd -literal
struct xy_way {
    int steps;
};
.Ed
.Sh RETURN VALUES
0.
.Sh ERRORS
.Er EINVAL .
.Sh SEE ALSO
.Xr cat 1
.Sh STANDARDS
W-001.
"""

    def setUp(self):
        super().setUp()
        self.write("shim/xylem.map", "X {\n    xy_go;\n};\n")
        self.write("docs/winsock.md", "| W-001 | a row |\n")
        self.write("include/xylem/a.h", "#define XY_FAR 1 /* m */\nstruct xy_way {\n    int steps; /* m */\n};\n"
                                        "int xy_go(int s,\n          const char* to);\n")
        self.write("docs/man/meson.build", "pages = {\n  'xy_go.3': [],\n}\n")
        self.write("docs/man/xy_go.3", self.PAGE)

    def test_a_page_that_fits_the_headers_passes(self):
        self.assert_clean(man)

    def test_what_does_not_fit_is_named(self):
        for old, new, word in [('"int s"', '"long s"', "xy_go(long s"), ("XY_FAR .", "XY_FAR , XY_FARTHER .", "XY_FARTHER"),
                               ("int steps;", "long steps;", "struct xy_way"), ("EINVAL", "EINVALID", "EINVALID"),
                               (".Xr cat 1", ".Xr xy_go 7", "xy_go(7)"), ("W-001", "W-002", "W-002"),
                               (".Sh RETURN VALUES", ".Sh EXAMPLES", "RETURN VALUES")]:
            with self.subTest(word=word):
                self.write("docs/man/xy_go.3", self.PAGE.replace(old, new, 1))
                self.assertTrue([v for v in man.check(self.root) if word in v], word)

    def test_what_has_no_page_is_named(self):
        self.write("shim/xylem.map", "X {\n    xy_go;\n    xy_stay;\n};\n")
        self.assert_one(man, "xy_stay has no page")
        self.write("shim/xylem.map", "X {\n};\n")
        self.assert_one(man, "xy_go is not in shim/xylem.map")

    def test_a_function_that_the_overview_leaves_out_is_named(self):
        overview = ".Dd November 20, 2026\n.Dt XYLEM 7\n.Os Xylem\n.Sh NAME\n.Nm xylem\n.Nd all\n.Sh DESCRIPTION\nAll.\n"
        self.write("docs/man/meson.build", "pages = {\n  'xy_go.3': [],\n  'xylem.7': [],\n}\n")
        self.write("docs/man/xylem.7", overview)
        self.assert_one(man, "xylem.7: xy_go is not listed")
        self.write("docs/man/xylem.7", overview + ".Xr xy_go 3\n")
        self.assert_clean(man)

    def test_a_constant_that_no_page_tells_of_is_named(self):
        self.write("include/xylem/b.h", "#define XY_NEW 2\n")
        self.assert_one(man, "XY_NEW")

    def test_a_member_of_the_status_without_a_word_is_named(self):
        self.write("control/session/stats.cc", 'Json json{{"far", 1}};\n')
        self.assert_one(man, "xy_status(3) does not tell of far")

    def test_names_that_are_not_installed_are_named(self):
        self.write("docs/man/meson.build", "pages = {\n  'xy_go.3': ['xy_walk'],\n}\n")
        self.assert_one(man, "xy_walk")
        self.write("docs/man/meson.build", "pages = {\n}\n")
        self.assert_one(man, "xy_go.3 is not listed")

    @unittest.skipUnless(man.has_mandoc(), "no mandoc")
    def test_what_mandoc_warns_of_is_named(self):
        self.write("docs/man/xy_go.3", self.PAGE.replace("0.\n", ".Zz\n"))
        self.assert_one(man, "unknown macro")


class MachinePaths(Lint):
    def test_machine_path_is_named(self):
        self.write("a.sh", "cd /" + "work/main\n")
        self.assert_one(machine_paths, "a.sh:1")

    def test_other_paths_pass(self):
        self.write("a.md", "net/" + "work/a frames and /usr/share, ~/x\n")
        self.assert_clean(machine_paths)


if __name__ == "__main__":
    unittest.main(verbosity=1)
