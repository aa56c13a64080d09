#!/usr/bin/env python3
"""The long run: what it counts, when it fails, what it draws."""

import argparse
import io
import pathlib
import signal
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout

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

    def test_a_job_whose_program_was_not_built_has_failed_once(self):
        with tempfile.TemporaryDirectory() as out, redirect_stdout(io.StringIO()):
            run = LongRun(argparse.Namespace(out=pathlib.Path(out), seed=7, minutes=0), {})
            run.go()
            text = long_run.summary(run, 1)
        self.assertEqual(len(run.failures), len(long_run.JOBS) + 1)
        self.assertTrue(all(counts.failed == 1 for counts in run.counts.values()))
        self.assertIn(f"| {long_run.SOAK} | 0 | 0 | 1 | 0 |", text)

    def test_the_same_seed_makes_the_same_run(self):
        said = "import os; print(os.environ['SEED'])"
        first, second = (self.run_of(said, ("SEED",))[1] for _ in range(2))
        self.assertEqual(first, second)


class Hangs(unittest.TestCase):
    def test_a_job_that_hangs_is_ended(self):
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        status, text = long_run.finish(long_run.start(command, {}), limit=1)
        self.assertEqual((status, text), ("hung for 1 s", ""))


    def test_a_run_that_is_interrupted_leaves_no_process(self):
        child = long_run.start([sys.executable, "-c", "import time; time.sleep(60)"], {})

        def interrupt(_):
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            long_run.finish(child, interrupt)
        self.assertEqual(child.poll(), -signal.SIGKILL)


class Soak(unittest.TestCase):
    def soak_of(self, script):
        with tempfile.TemporaryDirectory() as out, redirect_stdout(io.StringIO()):
            program = pathlib.Path(out) / "main-job"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            run = LongRun(argparse.Namespace(out=pathlib.Path(out), seed=7), {("examples", "main-job"): str(program)})
            run.soak(0.1)
        return run.counts[long_run.SOAK].failed

    def test_a_soak_fails_without_a_census_and_when_it_is_killed(self):
        head = f"echo {long_run.CENSUS}"
        for script, failed in [(head, 0), ("echo nothing", 1), (f"{head}; kill -9 $$", 1), (f"{head}; exit 1", 1)]:
            self.assertEqual(self.soak_of(script), failed, script)


class Options(unittest.TestCase):
    def test_an_option_that_makes_no_sense_is_refused_before_the_build(self):
        with tempfile.TemporaryDirectory() as out:
            file = pathlib.Path(out) / "file"
            file.write_text("")
            self.assertEqual(long_run.main(["--out", out]), 0)
            for options in (
                ["--minutes", "0"],
                ["--minutes", "-3"],
                ["--minutes", "nan"],
                ["--minutes", "inf"],
                ["--stress", "0"],
                ["--seed", "x"],
                ["--bogus"],
                ["--out", str(file / "folder")],
            ):
                with self.assertRaises(SystemExit, msg=options) as ended, redirect_stderr(io.StringIO()):
                    long_run.main(["--out", out, *options])
                self.assertNotEqual(ended.exception.code, 0, options)


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
