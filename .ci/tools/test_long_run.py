#!/usr/bin/env python3
"""The long run: what it counts, when it fails, what it draws."""

import argparse
import io
import pathlib
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

import long_run
from long_run import Job, LongRun

GOOD = "print('test result: ok. 3 passed; 0 failed')"
BAD = "print('test result: FAILED. 1 passed; 1 failed'); raise SystemExit(101)"
NOTHING = "print('test result: ok. 0 passed; 0 failed')"


class Jobs(unittest.TestCase):
    def run_of(self, code, seeds=()):
        with tempfile.TemporaryDirectory() as out:
            options = argparse.Namespace(out=pathlib.Path(out), seed=7, minutes=0.01)
            run = LongRun(options, {("package", "program"): sys.executable})
            with redirect_stdout(io.StringIO()):
                run.run(Job("job", "package", "program", ("-c", code), seeds))
            logs = [path.read_text() for path in pathlib.Path(out).iterdir()]
        return run, logs

    def test_a_run_counts_its_tests(self):
        run, logs = self.run_of(GOOD)
        self.assertEqual((run.counts["job"].runs, run.counts["job"].tests, run.failures, logs), (1, 3, [], []))

    def test_a_failure_is_kept_with_its_seed_and_its_log(self):
        run, logs = self.run_of(BAD, ("SEED",))
        self.assertEqual(run.counts["job"].failed, 1)
        self.assertRegex(run.failures[0].command, r"^SEED=\d+ ")
        self.assertIn("1 failed", logs[0])
        self.assertIn("1 failures", long_run.summary(run, 1))

    def test_a_run_in_which_no_test_ran_has_failed(self):
        self.assertEqual(self.run_of(NOTHING)[0].counts["job"].failed, 1)

    def test_the_same_seed_makes_the_same_run(self):
        said = "import os; print(os.environ['SEED'])"
        first, second = (self.run_of(said, ("SEED",))[1] for _ in range(2))
        self.assertEqual(first, second)


class Hangs(unittest.TestCase):
    def test_a_job_that_hangs_is_ended(self):
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        status, text = long_run.finish(long_run.start(command, {}), limit=1)
        self.assertEqual((status, text), ("hung for 1 s", ""))


class Memory(unittest.TestCase):
    def test_growth_is_from_the_first_quarter_on(self):
        samples = [(at, 100 if at < 3 else 500) for at in range(12)]
        self.assertEqual(long_run.growth(samples), 0)
        self.assertEqual(long_run.growth([(at, 100 * at) for at in range(12)]), 700)

    def test_the_curve_has_a_line_and_no_background(self):
        picture = long_run.svg([[(0, 1000), (1, 2000)]])
        self.assertIn("<polyline", picture)
        self.assertNotIn("<rect", picture)

    def test_the_census_is_the_main_jobs_last(self):
        head = long_run.CENSUS
        self.assertEqual(long_run.census(f"a\n{head}\n1\n{head}  names\n2"), [f"{head}  names", "2"])
        self.assertEqual(long_run.census(""), [])
        main_job = pathlib.Path(__file__).parents[2] / "examples/src/bin/main-job.rs"
        self.assertIn(f'"{head}"', main_job.read_text())


if __name__ == "__main__":
    unittest.main(verbosity=0)
