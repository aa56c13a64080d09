"""Shows confirm.py giving each verdict."""

import unittest

import confirm
import rules

PROGRAM = "/made/program"
LOG = """     Running tests/it.rs (/made/program)
running 4 tests
a6_12_skips: skipped: no AVX-512
test a6_12_skips ... ok
test a1_1_agrees ... ok
test inner::a1_2_differs ... FAILED
test a1_3_may_be_skipped ... ignored

failures:

---- inner::a1_2_differs stdout ----

thread 'inner::a1_2_differs' (77) panicked at tests/support/src/isolated.rs:17:9:
exit status: 101

thread 'inner::a1_2_differs' (78) panicked at made/tests/it.rs:5:9:
assertion `left == right` failed: the code
  left: 46
 right: 5
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace


failures:
    inner::a1_2_differs

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

   Doc-tests made
test made/src/lib.rs - it (line 3) ... ok
"""


def rule(number, status=None):
    lines = ["What it says.", "- Source: a file."] + ([f"- Status: {status}"] if status else [])
    return rules.Rule(number, "docs/xnu/made.md", lines)


class Confirm(unittest.TestCase):
    def setUp(self):
        defined = {
            number: rule(number, status)
            for number, status in {
                "A1.1": None,
                "A1.2": None,
                "A1.3": None,
                "A1.4": "does not apply: nothing here has it.",
                "A1.5": "not built: nobody asked for it.",
                "A1.6": "built",
                "A1.7": None,
                "A6.12": None,
            }.items()
        }
        path = "made/tests/it.rs"
        cited = {
            "A1.1": {(path, "a1_1_agrees")},
            "A1.2": {(path, "a1_2_differs"), (path, "a1_1_agrees")},
            "A1.3": {(path, "a1_3_may_be_skipped")},
            "A1.7": {("made/tests/only_linux.rs", "a1_7_elsewhere"), ("other/tests/it.rs", "a1_1_agrees")},
            "A6.12": {(path, "a6_12_skips")},
        }
        packages = {"made": "made", "other": "other"}
        self.report = confirm.make(LOG, {PROGRAM: "made"}, packages, defined, cited)
        self.rules = {entry["rule"]: entry for entry in self.report["rules"]}

    def test_each_verdict(self):
        expected = {
            "A1.1": "agrees",
            "A1.2": "differs",
            "A1.3": "not applicable",
            "A1.4": "not applicable",
            "A1.5": "not applicable",
            "A1.6": "no test",
            "A1.7": "not applicable",
            "A6.12": "not applicable",
        }
        self.assertEqual({number: entry["verdict"] for number, entry in self.rules.items()}, expected)
        self.assertEqual(self.report["counts"], {"differs": 1, "agrees": 1, "not applicable": 5, "no test": 1})

    def test_reasons(self):
        self.assertEqual(self.rules["A6.12"]["reason"], "no AVX-512")
        self.assertIn("a1_7_elsewhere", self.rules["A1.7"]["reason"])
        self.assertIn("nobody asked", self.rules["A1.5"]["reason"])

    def test_both_answers(self):
        failed = [test for test in self.rules["A1.2"]["tests"] if test["outcome"] == "failed"]
        self.assertEqual([test["test"] for test in failed], ["inner::a1_2_differs"])
        self.assertEqual(failed[0]["answers"]["left"], "46")
        self.assertEqual(failed[0]["answers"]["right"], "5")
        self.assertEqual(failed[0]["answers"]["place"], "made/tests/it.rs:5:9")

    def test_the_page_says_what_differs_first(self):
        page = confirm.page(self.report)
        self.assertIn("left: `46`, right: `5`", page)
        self.assertLess(page.index("A1.2"), page.index("A1.1"))


if __name__ == "__main__":
    unittest.main()
