"""Shows skips.py finding the tests that skip, and failing where sources and table differ: a small package made for the purpose."""

import pathlib
import tempfile
import unittest

import skips

DIRECT = '''
unsafe extern "C" {
    fn declared(
        value: u64,
    ) -> u64;
}

#[test]
fn calls_what_is_declared() {
    declared(1);
}

#[test]
fn whole() {
    if nothing() {
        return report_skipped("whole", "no (such) thing");
    }
}

#[test]
#[should_panic]
fn part() {
    isolated("part", || {
        report_partly(
            "part",
            "no vfork",
        );
    });
}

#[test]
fn runs() {
    other();
}

fn unused() {
    report_skipped("unused", "never");
}
'''
MAIN = '''
mod child;

#[test]
fn through_two() {
    in_child("through_two", || {});
}

isolated! {
    /// In a macro.
    fn in_a_macro() {
        child::in_child("in_a_macro", || {});
    }
}
'''
CHILD = '''
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if is_readable(name) {
        body();
    }
}

fn is_readable(name: &str) -> bool {
    report_skipped(name, "unreadable");
    false
}
'''


class Skips(unittest.TestCase):
    def found(self, files):
        with tempfile.TemporaryDirectory() as root:
            root = pathlib.Path(root)
            for name, text in {"made/Cargo.toml": '[package]\nname = "made"\n', **files}.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return skips.in_sources(root), list(skips.other_ways(root))

    def test_the_tests_that_skip_are_found_with_their_reasons(self):
        files = {"made/tests/direct.rs": DIRECT, "made/tests/native/main.rs": MAIN, "made/tests/native/child.rs": CHILD}
        sources, other = self.found(files)
        expected = {
            ("made", "whole"): {(False, "no (such) thing")},
            ("made", "part"): {(True, "no vfork")},
            ("made", "through_two"): {(False, "unreadable")},
            ("made", "in_a_macro"): {(False, "unreadable")},
        }
        self.assertEqual((sources, other), (expected, []))

    def test_other_ways_to_say_so_are_found(self):
        text = '#[test]\nfn silent() {\n    println!("skipped: no luck");\n}\n'
        _, other = self.found({"made/src/lib.rs": text})
        self.assertEqual(len(other), 1)
        self.assertIn("made/src/lib.rs", other[0])

    def test_programs_that_a_mac_does_not_build_are_found_in_both(self):
        apart = '//! Linux.\n#![cfg(not(target_vendor = "apple"))]\n'
        with tempfile.TemporaryDirectory() as root:
            root = pathlib.Path(root)
            for name, text in {"Cargo.toml": '[package]\nname = "made"\n', "tests/direct.rs": apart, "tests/native/main.rs": apart,
                               "tests/both.rs": "//! Both.\n"}.items():
                (root / "made" / name).parent.mkdir(parents=True, exist_ok=True)
                (root / "made" / name).write_text(text)
            found = skips.emulation_only(root)
        page = skips.NOT_BUILT + " `direct` and `native` of `made`.\n\n## `both` of `made`\n"
        self.assertEqual(found, {("made", "direct"), ("made", "native")})
        self.assertEqual(skips.emulation_only_in_page(page), found)
        self.assertEqual(skips.emulation_only_in_page("nothing"), set())

    def test_sources_and_table_are_one(self):
        table = skips.in_table(
            "# Head\n\n| made | `not_here` | x | y |\n\n" + skips.HEADING + "\n\n| package | test | skips | reason |\n|---|---|---|---|\n"
            "| made | `whole` | somewhere | no luck; in part: no vfork |\n\n## After\n\n| made | `nor_here` | x | y |\n"
        )
        self.assertEqual(table, {("made", "whole"): "no luck; in part: no vfork"})
        sources = {("made", "whole"): {(True, "no vfork"), (False, "no luck")}}
        reason = skips.reason_of(sources["made", "whole"])
        self.assertEqual(skips.check(sources, {("made", "whole"): reason}), [])
        for table, words in [({}, "has no row"), ({("made", "whole"): "other"}, "says 'other'")]:
            [error] = skips.check(sources, table)
            self.assertIn(words, error)
        [error] = skips.check({}, {("made", "whole"): reason})
        self.assertIn("skips nowhere", error)


if __name__ == "__main__":
    unittest.main(argv=["test_skips.py", "--quiet"])
