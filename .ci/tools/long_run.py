"""Runs jobs round by round until the time is up, and sums up what they found. `.ci/long-run` builds what it runs, and says what it is for.

usage: long_run.py [--built FILE] --out DIR [--minutes N] [--seed N] [--stress N]

Without FILE it only looks at its options.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

# A job that takes longer hangs: it is ended, and has failed.
HANGS_AFTER = 300
# Stands for the number of threads that --stress gives, of which a slow machine runs so many in a second.
STRESS = "--stress"
STRESS_PER_SECOND = 100
# The soak's share of the time, and how much its memory may grow from its first quarter to its end.
SOAK_SHARE = 0.3
GROWTH_KIB = 8192
# Head of the table in which the main job says what is left.
CENSUS = "increase"
SOAK = "soak: main job"


@dataclasses.dataclass(frozen=True)
class Job:
    """Tests of one program, with the variables that a seed sets."""

    name: str
    package: str
    program: str
    filters: tuple = ()
    # Each is set to the seed.
    seeds: tuple = ()
    variables: tuple = ()


JOBS = [
    Job("messages, any bytes and values", "mach-wire", "properties", seeds=("PROPTEST_RNG_SEED",)),
    Job("rewriter, any registers and memory", "signal-redirect", "pure", ("properties",), ("PROPTEST_RNG_SEED",)),
    Job("ports, any sequence of calls", "mach-emulated", "mach_emulated", ("counts_are_what_a_walk",), ("MACH_TEST_SEED",)),
    Job("ports, random calls of many threads", "mach-sys", "rules", ("c0_1_random_calls",), ("MACH_TEST_SEED",), (("MACH_TEST_ROUNDS", "1000"),)),
    Job("threads that are suspended and ended, stress", "mach-sys", "suspension", ("stress::",), variables=(("MACH_TEST_THREADS", STRESS),)),
    Job("threads, stress", "thread-mgr", "threads", variables=(("MACH_TEST_THREADS", "4000"),)),
    Job("owners of references, stress", "thread-mgr", "owners", variables=(("MACH_TEST_THREADS", "4000"),)),
    Job("deferred answers", "exc-server", "deferred"),
    Job("oracle, ports", "tests", "oracle"),
    Job("oracle, exceptions", "mach-emulated", "mach_emulated", ("exceptions_are_delivered_as_xnu_did",)),
    Job("matrix of surroundings", "tests", "surroundings"),
]


def programs(lines):
    """{(package, program): path} of what cargo built, from its JSON."""
    found = {}
    for line in lines:
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            # The package's identifier ends in its path or name, and its version.
            package = re.split(r"[/#]", message["package_id"].rsplit("@", 1)[0].rsplit("#0", 1)[0])[-1]
            folder = pathlib.Path(message["manifest_path"]).parent
            name = re.search(r'^name = "(.*)"', (folder / "Cargo.toml").read_text(), re.MULTILINE)
            found[(name[1] if name else package, message["target"]["name"])] = message["executable"]
    return found


def tests_run(text):
    """How many tests of a harness's output passed."""
    return sum(int(count) for count in re.findall(r"^test result: \w+\. (\d+) passed", text, re.MULTILINE))


@dataclasses.dataclass
class Counts:
    runs: int = 0
    tests: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclasses.dataclass
class Failure:
    job: str
    command: str
    log: str


class LongRun:
    def __init__(self, options, found):
        self.options, self.found = options, found
        self.out = options.out
        self.random = random.Random(options.seed)
        self.counts, self.failures = {}, []
        self.censuses, self.memory = [], []

    def fail(self, job, variables, command, text):
        log = self.out / f"failure-{len(self.failures) + 1}.log"
        log.write_text(text)
        words = [f"{name}={value}" for name, value in variables.items()] + command
        self.failures.append(Failure(job, " ".join(words), log.name))
        print(f"   FAILED: {job}: {' '.join(words)} (log: {log})", flush=True)

    def built(self, name, package, program):
        """The program's path. A job whose program is missing is a job that finds nothing: it has failed, once."""
        path = self.found.get((package, program))
        if path is None and name not in self.counts:
            self.counts[name] = Counts(failed=1)
            self.fail(name, {}, [program], f"cargo built no program {program} of {package}\n")
        return path

    def run(self, job):
        path = self.built(job.name, job.package, job.program)
        if path is None:
            return
        seed = self.random.getrandbits(63)
        variables = dict.fromkeys(job.seeds, str(seed)) | dict(job.variables)
        limit = HANGS_AFTER
        if STRESS in variables.values():
            limit += self.options.stress // STRESS_PER_SECOND
            stress = {name: str(self.options.stress) for name, value in variables.items() if value == STRESS}
            variables |= stress | {"MACH_TEST_LIMIT": str(limit)}
        command = [path, *job.filters]
        counts = self.counts.setdefault(job.name, Counts())
        began = time.monotonic()
        print(f"   {job.name}", flush=True)
        status, text = finish(start(command, variables), limit=limit)
        counts.seconds += time.monotonic() - began
        counts.runs += 1
        counts.tests += tests_run(text)
        if status != 0 or tests_run(text) == 0:
            counts.failed += 1
            self.fail(job.name, variables, command, f"status {status}\n{text}")

    def soak(self, seconds):
        """Runs the main job for about so long, with its memory watched."""
        path = self.built(SOAK, "examples", "main-job")
        if path is None:
            return
        # A short run tells how many threads there are time for.
        began = time.monotonic()
        finish(start([path, "--threads", "500", "--at-once", "32"], {}))
        threads = max(500, int(500 * seconds / (time.monotonic() - began)))
        command = [path, "--threads", str(threads), "--at-once", "32"]
        print(f"   soak: {threads} threads, 32 at once", flush=True)
        began = time.monotonic()
        samples = []
        # A machine that is busier than in the short run makes it longer, not endless.
        status, text = finish(
            start(command, {}),
            lambda child: samples.append((time.monotonic() - began, resident_kib(child.pid))),
            limit=HANGS_AFTER + 3 * seconds,
        )
        # The last sample may be of a process that is gone.
        samples = [(at, kib) for at, kib in samples if kib > 0]
        self.memory.append(samples)
        counts = self.counts.setdefault(SOAK, Counts())
        counts.runs += 1
        counts.tests += threads
        counts.seconds += time.monotonic() - began
        grown = growth(samples)
        left = census(text)
        self.censuses.append((threads, grown, left or ["no census"]))
        if status != 0 or grown > GROWTH_KIB or not left:
            counts.failed += 1
            self.fail(SOAK, {}, command, f"status {status}, grew by {grown} KiB\n{text}")

    def go(self):
        seconds = self.options.minutes * 60
        end = time.monotonic() + seconds
        self.soak(seconds * SOAK_SHARE)
        done = False
        while not done:
            for job in JOBS:
                took = self.counts.get(job.name, Counts())
                # Every job runs once, and again while there is time for another run of it.
                usual = took.seconds / took.runs if took.runs else 0
                if (took.runs or took.failed) and time.monotonic() + usual > end:
                    continue
                self.run(job)
            usual = [counts.seconds / counts.runs for name, counts in self.counts.items() if name != SOAK and counts.runs]
            done = not usual or time.monotonic() + min(usual) > end


def start(command, variables):
    return subprocess.Popen(
        command,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(child, sample=None, limit=HANGS_AFTER):
    """Waits for a process and returns its status and output. One that takes longer than `limit` seconds hangs, and is ended."""
    parts = []
    reader = threading.Thread(target=lambda: parts.extend(iter(lambda: child.stdout.read1(65536), b"")))
    reader.start()
    deadline = time.monotonic() + limit
    hung = False
    try:
        while True:
            if sample:
                sample(child)
            try:
                child.wait(0.25)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline and not hung:
                    hung = True
                    end(child)
    except BaseException:
        # Ctrl-C does not reach a group of its own.
        end(child)
        child.wait()
        raise
    # A grandchild may have the pipe still: what it says later is not waited for.
    reader.join(10)
    if not reader.is_alive():
        child.stdout.close()
    text = b"".join(parts).decode(errors="replace")
    return (f"hung for {limit:.0f} s" if hung else child.returncode), text


def end(child):
    """Ends a process and its group, which nothing else is in."""
    os.killpg(child.pid, signal.SIGKILL)


def resident_kib(pid):
    """KiB of a process's resident memory, and 0 when it is gone. Every system has this ps."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
    return int(told.stdout.strip() or 0)


def growth(samples):
    """KiB by which memory grew from the first quarter's end to the last sample but the very end, where a process tears itself down."""
    if len(samples) < 8:
        return 0
    return samples[-2][1] - samples[len(samples) // 4][1]


def census(text):
    """What the main job says is left."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith(CENSUS)]
    return lines[starts[-1] :] if starts else []


def svg(runs):
    """The curves of memory: no background, colours that stand out from a white page as well as from a dark one."""
    width, height, left, top, bottom = 640, 240, 60, 34, 40
    points = [point for samples in runs for point in samples]
    longest = max((at for at, _ in points), default=1) or 1
    most = max((kib for _, kib in points), default=1) / 1024 or 1
    across, up = width - left - 20, height - top - bottom
    grey = "#767676"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{grey}">',
        f'<text x="{left}" y="20" font-size="15">resident memory of the main job, MiB, against seconds</text>',
        f'<path d="M{left} {top}V{top + up}H{left + across}" stroke="{grey}" fill="none"/>',
        f'<text x="{left - 6}" y="{top + 10}" text-anchor="end">{most:.1f}</text>',
        f'<text x="{left - 6}" y="{top + up}" text-anchor="end">0</text>',
        f'<text x="{left + across}" y="{top + up + 18}" text-anchor="end">{longest:.0f} s</text>',
    ]
    for samples in runs:
        line = " ".join(
            f"{left + across * at / longest:.1f},{top + up - up * kib / 1024 / most:.1f}" for at, kib in samples
        )
        parts.append(f'<polyline points="{line}" stroke="#2a8fbd" stroke-width="2" fill="none"/>')
    return "\n".join([*parts, "</svg>", ""])


def summary(run, minutes):
    """The summary in Markdown, which reads as text too."""
    lines = [f"# Long run: {minutes:.1f} minutes, seed {run.options.seed}", ""]
    lines += ["| job | runs | tests (threads) | failed | seconds |", "|---|---|---|---|---|"]
    for name, counts in run.counts.items():
        lines.append(f"| {name} | {counts.runs} | {counts.tests} | {counts.failed} | {counts.seconds:.0f} |")
    lines += ["", f"{len(run.failures)} failures"]
    for failure in run.failures:
        lines += ["", f"- {failure.job}, {failure.log}:", f"  `{failure.command}`"]
    for threads, grown, left in run.censuses:
        lines += ["", f"## What {threads} threads left", "", f"Memory grew by {grown} KiB after the first quarter.", ""]
        lines += ["```text", *left, "```"]
    return "\n".join([*lines, ""])


def positive(kind):
    """A number above 0 of a kind; not infinite, and not what is no number."""

    def parse(text):
        value = kind(text)
        if not (value > 0 and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return parse


def main(arguments):
    parser = argparse.ArgumentParser(prog=".ci/long-run")
    parser.add_argument("--built", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=positive(float), default=30)
    parser.add_argument("--stress", type=positive(int), default=50_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(63))
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"error: --out: {error}")
    if options.built is None:
        return 0
    for old in options.out.glob("failure-*.log"):
        old.unlink()
    found = programs(options.built.read_text().splitlines())
    if not found:
        sys.exit("error: cargo built nothing")
    print(f"   seed {options.seed}, {options.minutes} minutes", flush=True)
    run = LongRun(options, found)
    began = time.monotonic()
    run.go()
    text = summary(run, (time.monotonic() - began) / 60)
    (options.out / "summary.md").write_text(text)
    (options.out / "memory.svg").write_text(svg(run.memory))
    print(text)
    ran = sum(counts.tests for counts in run.counts.values())
    return 1 if run.failures or ran == 0 else 0


if __name__ == "__main__":
    # A job of CI is ended by this one.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
