"""Shows rules.py finding what is cited, defined and proven, and failing where they differ: a few pages made for the purpose."""

import unittest

import rules

PAGE = """# A. Exceptions

## A1. Order

### A1.1

The thread is asked first.

- Source: `osfmk/kern/exception.c`: `exception_triage`.

### A1.2

Then the task.

- Source: `osfmk/kern/exception.c`.
- Status: not built: nothing here has a task that could be asked,
  and no program misses it.
"""
REPORTS = """# Field reports

### R22: the hardware's words are not there

- Reported: somewhere.
"""
SOURCE = "//! Asks the thread (A1.1).\npub(crate) fn ask() {}\n"
TEST = """isolated! {
    fn a1_1_a1_2_the_thread_comes_first() {
        ask();
    }
}

#[test]
fn another() {
    // R22: none.
    assert!(true);
}

fn helper() {
    // A1.9
}
"""


class Rules(unittest.TestCase):
    def checked(self, **changes):
        files = {
            "docs/xnu/exceptions.md": PAGE,
            "docs/field-reports.md": REPORTS,
            "mach-sys/emulated/src/ask.rs": SOURCE,
            "mach-sys/tests/ask.rs": TEST.replace("A1.9", "A1.1"),
        }
        files.update({name.replace("__", "/"): text for name, text in changes.items()})
        return rules.check({name: text for name, text in files.items() if text is not None})

    def test_what_agrees_passes_and_the_table_tells_where_all_of_it_is(self):
        errors, table, found = self.checked()
        self.assertEqual(errors, [])
        self.assertEqual(sorted(found), ["A1.1", "A1.2"])
        self.assertIn("2 rules: 1 built, 1 not built. 2 are cited by a test.", table)
        row = "| [A1.1](exceptions.md#a11) | `emulated: ask.rs` | `a1_1_a1_2_the_thread_comes_first` | built |"
        self.assertIn(row, table)
        self.assertIn("not built: nothing here has a task that could be asked, and no program misses it.", table)

    def test_a_number_that_no_page_defines_is_an_error(self):
        for cited in ("A1.9", "Z", "R23", "C8.2", "A1.1 to A1.3", "E36", "I9"):
            errors, _, _ = self.checked(**{"mach-sys/emulated/src/other.rs": f"// See {cited}.\n"})
            self.assertEqual(len(errors), 0 if cited == "Z" else 1, cited)
        errors, _, _ = self.checked(**{"mach-sys/tests/other.rs": "#[test]\nfn c8_2_none_is_left() {\n}\n"})
        self.assertEqual(errors, ["mach-sys/tests/other.rs: cites C8.2, which no page defines"])

    def test_a_case_is_a_rule_with_one_number_and_names_of_tests_mix_both(self):
        page = PAGE + "\n### E36\n\nA trim.\n\n- Source: measured.\n"
        more = "#[test]\nfn a1_1_e36_any_count_is_trimmed() {\n}\n"
        errors, table, found = self.checked(**{"docs/xnu/exceptions.md": page, "mach-sys/tests/more.rs": more})
        self.assertEqual((errors, sorted(found)), ([], ["A1.1", "A1.2", "E36"]))
        self.assertIn("| [E36](exceptions.md#e36) |  | `a1_1_e36_any_count_is_trimmed` | built |", table)

    def test_a_page_that_names_a_test_that_is_gone_is_an_error(self):
        page = {"docs/more.md": "See `a1_1_the_thread_is_first`, `a1_1_a1_2_the_thread_comes_first`, `a1_9` and `s_1_x`.\n"}
        errors, _, _ = self.checked(**page)
        self.assertEqual(errors, ["docs/more.md: names the test a1_1_the_thread_is_first, which is in no file"])

    def test_versions_addresses_and_longer_numbers_are_no_citations(self):
        text = "// 1.85, v0.1.0, xnu-A1.9b2, 0xA1.9, A1.1.9, E0308, F5, x86_64\n"
        self.assertEqual(self.checked(**{"mach-sys/emulated/src/other.rs": text})[0], [])

    def test_a_malformed_rule_is_an_error(self):
        for broken, error in (
            (PAGE.replace("The thread is asked first.\n", ""), "says nothing"),
            (PAGE.replace("- Source: `osfmk/kern/exception.c`.\n", ""), "names no source"),
            (PAGE.replace("not built: nothing", "forgotten: nothing"), "is none of"),
            (PAGE.replace(": nothing here has a task that could be asked,\n  and no program misses it", ""), "no reason"),
            (PAGE.replace("### A1.2", "### A1.1"), "defined in"),
        ):
            errors, _, _ = self.checked(**{"docs/xnu/exceptions.md": broken})
            self.assertTrue(any(error in found for found in errors), (error, errors))

    def test_a_status_that_names_a_file_or_function_that_is_gone_is_an_error(self):
        for status, error in (
            ("built: `ask.rs`, `ask`.", None),
            ("built: `mach-sys/emulated/src/ask.rs`, `ask` and `ask`.", None),
            ("built: `asked.rs`.", "no file"),
            ("built: `ask.rs`, `ask` and `told`.", "told, which ask.rs does not have"),
        ):
            page = PAGE.replace("not built: nothing here has a task that could be asked,\n  and no program misses it.", status)
            errors, _, _ = self.checked(**{"docs/xnu/exceptions.md": page})
            self.assertTrue(error in errors[0] if error else not errors, (status, errors))

    def test_a_rule_that_nothing_cites_needs_a_status(self):
        page = PAGE + "\n### A1.3\n\nThen the host.\n\n- Source: `osfmk/kern/exception.c`.\n"
        errors, _, _ = self.checked(**{"docs/xnu/exceptions.md": page})
        self.assertEqual(errors, ["docs/xnu/exceptions.md: A1.3 has no status, and nothing cites it"])

    def test_the_table_is_the_same_whatever_the_order_of_the_files(self):
        files = {"docs/xnu/exceptions.md": PAGE, "a/src/x.rs": SOURCE, "b/src/y.rs": SOURCE, "c/tests/t.rs": TEST}
        there, back = dict(files), dict(reversed(files.items()))
        self.assertEqual(rules.check(there)[1], rules.check(back)[1])


if __name__ == "__main__":
    unittest.main(verbosity=0)
