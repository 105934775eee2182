#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The coverage generator itself: it passes a table that is covered and names each gap in one that is not."""
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import coverage  # noqa: E402

TABLE = """### 1.A Words
| ID | S | Behaviour |
| --- | --- | --- |
| W-001 | N | One. |
| W-002 | R | Two. |
### 1.B Deeds
| W-010 | O | Ten. |
"""
LISTING = """Running main() from a file
Framework.
  PartiesTalk
Conformance.
  W_001_OneIsOne
"""


class Coverage(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="xylem-coverage-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.write(coverage.TABLE, TABLE)
        self.write(coverage.NOT_APPLICABLE, "W-002 There is no two here.\n")
        self.write(coverage.PENDING, "# comment\nW-010\n")
        coverage.write(self.root)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def problems(self, listing="Conformance.\n  W_001_OneIsOne\n"):
        return coverage.check(self.root, listing)[1]

    def assert_one(self, problems, *words):
        self.assertEqual(len(problems), 1, problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_a_covered_table_passes(self):
        self.assertEqual(self.problems(), [])

    def test_the_banner_and_the_framework_are_no_rows(self):
        self.assertEqual(self.problems(LISTING), [])

    def test_the_table_counts_rows(self):
        lines = coverage.check(self.root, "Conformance.\n  W_001_OneIsOne\n")[0].splitlines()
        self.assertEqual(lines[1].split(), ["1.A", "Words", "2", "1", "1", "0"])
        self.assertEqual(lines[2].split(), ["1.B", "Deeds", "1", "0", "0", "1"])
        self.assertEqual(lines[3].split(), ["all", "3", "1", "1", "1"])

    def test_parameters_and_several_tests_of_a_row_are_one_row(self):
        listing = ("Ports/Local.  # TypeParam = x\n  W_001_OneIsOne/0  # GetParam() = 4\n  W_001_OneIsOne/1  # GetParam() = 5\n"
                   "Other.\n  W_001_OneIsStillOne\n")
        self.assertEqual(self.problems(listing), [])

    def test_a_row_with_nothing_is_named(self):
        self.assert_one(self.problems("Conformance.\n"), "W-001", "no test")

    def test_a_disabled_test_is_none(self):
        self.assert_one(self.problems("Conformance.\n  DISABLED_W_001_OneIsOne\n"), "W-001", "no test")

    def test_a_disabled_test_may_be_pending(self):
        self.assertEqual(self.problems("Conformance.\n  W_001_OneIsOne\n  DISABLED_W_010_TenIsTen\n"), [])

    def test_a_test_without_a_row_is_named(self):
        self.assert_one(self.problems("Conformance.\n  W_001_OneIsOne\n  W_009_Nine\n"), "W-009", "no row")

    def test_a_test_without_a_number_is_named(self):
        self.assert_one(self.problems("Conformance.\n  W_001_OneIsOne\n  Unnumbered\n"), "Unnumbered")

    def test_a_row_in_two_places_is_named(self):
        self.assert_one(self.problems("Conformance.\n  W_001_OneIsOne\n  W_002_TwoIsTwo\n"), "W-002", "not_applicable")
        self.assert_one(self.problems("Conformance.\n  W_001_OneIsOne\n  W_010_TenIsTen\n"), "W-010", "pending")
        self.write(coverage.PENDING, "W-010\nW-002\n")
        self.assert_one(self.problems(), "W-002", "pending", "not_applicable")

    def test_entries_without_a_row_and_twice_are_named(self):
        self.write(coverage.PENDING, "W-010\nW-999 later\n")
        self.assert_one(self.problems(), "W-999", "no such row")
        self.write(coverage.PENDING, "W-010\nW-010 again\n")
        self.assert_one(self.problems(), "W-010", "twice")
        self.write(coverage.PENDING, "W-010\n10: later\n")
        self.assert_one(self.problems(), "not an entry")

    def test_a_row_that_does_not_apply_needs_a_sentence_and_a_new_page(self):
        self.write(coverage.NOT_APPLICABLE, "W-002\n")
        coverage.write(self.root)
        self.assert_one(self.problems(), "W-002", "say why")
        self.write(coverage.NOT_APPLICABLE, "W-002 Another reason.\n")
        self.assert_one(self.problems(), coverage.PAGE)

    def test_more_than_the_limit_are_named(self):
        ids = [f"W-{n}" for n in range(100, 101 + coverage.MOST_NOT_APPLICABLE)]
        self.write(coverage.TABLE, TABLE + "".join(f"| {id} | N | x |\n" for id in ids))
        self.write(coverage.NOT_APPLICABLE, "".join(f"{id} No.\n" for id in ids))
        self.write(coverage.PENDING, "W-002\nW-010\n")
        coverage.write(self.root)
        self.assert_one(self.problems(), "at most")

    def test_a_row_twice_and_a_broken_one_are_named(self):
        self.write(coverage.TABLE, TABLE + "| W-001 | N | One again. |\n")
        self.assert_one(self.problems(), "W-001", "twice")
        self.write(coverage.TABLE, TABLE + "| W-003 | X | Three. |\n")
        self.assert_one(self.problems(), "not a row")

    def test_an_empty_table_is_named(self):
        self.write(coverage.TABLE, "")
        self.assertIn(f"{coverage.TABLE}: no rows in it", self.problems())


if __name__ == "__main__":
    unittest.main(verbosity=1)
