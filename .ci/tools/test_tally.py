"""Shows tally.py counting what ran and what was skipped, and failing on each thing that it is there to find."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import tally

PASSES = "test result: ok. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; finished in 0.01s"
TABLE = {("made", "one"): "no /proc", ("made", "two"): "no /proc", ("made", "three"): "no AVX; in part: no vfork"}


class Tally(unittest.TestCase):
    def run_on(self, *said, passed=5, failed=0, ignored=0, status="0", table=TABLE, running=True, second=None):
        """(exit status, the closing line, what was printed) for a package `made` whose one test program says this."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "Cargo.toml").write_text('[package]\nname = "made"\n')
            (folder / "lib.rs").write_text("#[test]\nfn it() {}\n")
            program = folder / "program"
            artifact = {"executable": str(program), "profile": {"test": True}, "manifest_path": str(folder / "Cargo.toml")}
            artifacts = [artifact] + ([dict(artifact, executable=str(folder / "second"))] if second is not None else [])
            (folder / "build").write_text("not JSON\n" + "".join(json.dumps(each) + "\n" for each in artifacts))
            lines = [f"     Running tests/it.rs ({program})"] if running else []
            lines += [*said, PASSES.format(passed=passed, failed=failed, ignored=ignored)] if running else []
            # A second program of the package ends in the middle, before the other or after it.
            ends = [f"     Running tests/second.rs ({folder / 'second'})", "running 3 tests"]
            lines = {"first": ends + lines, "last": lines + ends}.get(second, lines)
            (folder / "log").write_text("\n".join(lines) + "\n")
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                code = tally.main(folder / "log", folder / "build", status, folder / "result", table)
            return code, (folder / "result").read_text().strip(), text.getvalue()

    def test_what_ran_is_counted(self):
        self.assertEqual(self.run_on()[:2], (0, "5 passed, 0 failed"))
        self.assertEqual(self.run_on(failed=2, status="101")[:2], (0, "5 passed, 2 failed"))

    def test_a_skipped_test_did_not_pass_and_its_reason_is_in_the_closing_line(self):
        code, closing, text = self.run_on(
            "test one ... a::one: skipped: no /proc", "two: skipped: no /proc", "three: skipped: no AVX"
        )
        self.assertEqual((code, closing), (0, "2 passed, 0 failed, 3 skipped (2: no /proc; 1: no AVX)"))
        self.assertIn("made: a::one: skipped: no /proc", text)

    def test_what_is_said_twice_is_counted_once(self):
        self.assertEqual(self.run_on("one: skipped: no /proc", "one: skipped: no /proc")[1], "4 passed, 0 failed, 1 skipped (1: no /proc)")

    def test_a_test_that_left_a_part_out_has_passed(self):
        code, closing, _ = self.run_on("three: skipped in part: no vfork")
        self.assertEqual((code, closing), (0, "5 passed, 0 failed, 1 in part (1: no vfork)"))

    def test_what_was_seen_is_repeated_and_no_skip(self):
        code, closing, text = self.run_on("four: saw: signal: 9 (SIGKILL); no handler ran")
        self.assertEqual((code, closing), (0, "5 passed, 0 failed"))
        self.assertIn("made: four: saw: signal: 9", text)

    def test_ignored_tests_are_counted(self):
        self.assertEqual(self.run_on(ignored=1)[1], "5 passed, 0 failed, 1 skipped (1: ignored)")

    def refused(self, words, *said, **how):
        code, _, text = self.run_on(*said, **how)
        self.assertEqual(code, 1)
        self.assertIn(words, text)

    def test_a_skip_that_the_table_does_not_list(self):
        self.refused("four was skipped (no /proc), and docs/only-a-mac.md does not say so", "four: skipped: no /proc")
        # Another reason, or the whole test where a part is listed.
        self.refused("one was skipped (no luck)", "one: skipped: no luck")
        self.refused("three was skipped (no vfork)", "three: skipped: no vfork")
        self.refused("one was skipped in part (no /proc)", "one: skipped in part: no /proc")

    def test_nothing_ran(self):
        self.refused("no test ran", running=False)
        self.refused("no test of made ran", passed=0, failed=1)

    def test_a_program_that_ended_before_its_tests_had_all_run(self):
        for second in ("first", "last"):
            self.refused("second ended without a result", second=second)

    def test_a_program_that_did_not_run(self):
        self.refused("second did not run", second="not at all")


if __name__ == "__main__":
    unittest.main(argv=["test_tally.py", "--quiet"])
