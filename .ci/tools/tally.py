"""Counts the tests in the output of `cargo test`, by package.

usage: tally.py LOG BUILD STATUS RESULT
    LOG     what `cargo test` printed
    BUILD   what the same command prints with --no-run --message-format=json: which package each program belongs to
    STATUS  cargo's exit status
    RESULT  a file that gets the closing line

A test that passed without having anything to show, or left a part out, says so and why (tests/support/src/isolated.rs). The closing line
counts these with their reasons, and one that the table in docs/only-a-mac.md does not list is an error.

Fails if no test ran, or if cargo succeeded and a package that has tests ran none: a filter that matches nothing, or a `cfg`
that leaves nothing, must not pass for success. Nor must a test program that did not run, or that ended before it had run all of its
tests: one that calls `exit(0)` ends the others with it, and cargo takes that for success.
"""

import collections
import json
import os
import pathlib
import re
import sys

import skips

RUNNING = re.compile(r"^ +Running .*\((?P<program>.*)\)$")
DOC_TESTS = re.compile(r"^ +Doc-tests (?P<crate>\S+)$")
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
REPORT = re.compile(r"(?P<test>[\w:]+): (?P<how>skipped|skipped in part|saw): (?P<what>.+)")


def tested_programs(build):
    """Maps each test program to the folder of its package."""
    programs = {}
    for line in build.read_text().splitlines():
        artifact = json.loads(line) if line.startswith("{") else {}
        if artifact.get("executable") and artifact["profile"]["test"]:
            programs[os.path.realpath(artifact["executable"])] = pathlib.Path(artifact["manifest_path"]).parent
    return programs


def package_name(folder):
    return re.search(r'^name = "(.+)"', (folder / "Cargo.toml").read_text(), re.MULTILINE).group(1)


def has_tests(folder):
    return any("#[test]" in source.read_text() for source in folder.rglob("*.rs"))


def with_reasons(count, what, reasons):
    """Such as `3 skipped (2: no /proc; 1: no AVX)`, the commonest reason first."""
    listed = "; ".join(f"{n}: {reason}" for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return f", {count} {what}" + (f" ({listed})" if listed else "")


def main(log, build, status, result, table=None):
    table = skips.in_table(skips.TABLE.read_text()) if table is None else table
    programs = tested_programs(pathlib.Path(build))
    counts = {package_name(folder): collections.Counter() for folder in programs.values()}
    # By how it was said: {(package, test): reason}.
    reports = {"skipped": {}, "skipped in part": {}, "saw": {}}
    package = None
    # What runs and has given no result yet; the programs that ran; those that gave none.
    running, ran, unfinished = None, set(), []
    for line in pathlib.Path(log).read_text(errors="replace").splitlines():
        if running and (RUNNING.match(line) or DOC_TESTS.match(line)):
            unfinished.append(running)
        if found := RUNNING.match(line):
            running = found["program"]
            ran.add(os.path.realpath(running))
            folder = programs.get(os.path.realpath(running))
            package = package_name(folder) if folder else found["program"]
        elif found := DOC_TESTS.match(line):
            running = f"the doc tests of {found['crate']}"
            package = found["crate"].replace("_", "-")
        elif found := REPORT.search(line):
            reports[found["how"]][package, found["test"]] = found["what"].strip()
        elif found := RESULT.match(line):
            passed, failed, ignored = map(int, found.groups())
            counts.setdefault(package, collections.Counter()).update(passed=passed, failed=failed, ignored=ignored)
            running = None
    if running:
        unfinished.append(running)

    total = collections.Counter()
    for name, count in sorted(counts.items()):
        print(f"   {name:<16} {count['passed']:>5} passed, {count['failed']} failed, {count['ignored']} ignored")
        total.update(count)
    for how, found in reports.items():
        for (name, test), what in found.items():
            print(f"   {name}: {test}: {how}: {what}")

    errors = []
    if total["passed"] + total["failed"] == 0:
        errors.append("no test ran")
    elif status == "0":
        for folder in sorted(set(programs.values())):
            if has_tests(folder) and not counts[package_name(folder)]["passed"]:
                errors.append(f"no test of {package_name(folder)} ran, and it has some")
        errors += [f"{program} did not run" for program in sorted(set(programs) - ran)]
        errors += [f"{program} ended without a result" for program in unfinished]
        if not programs:
            errors.append("cargo does not say which test programs there are")
    for how in ("skipped", "skipped in part"):
        for (name, test), reason in reports[how].items():
            listed = table.get((name, test.rsplit("::", 1)[-1]), "")
            if (reason if how == "skipped" else f"in part: {reason}") not in listed.split("; "):
                errors.append(f"{name}: {test} was {how} ({reason}), and {skips.TABLE} does not say so")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)

    skipped, partly = reports["skipped"], reports["skipped in part"]
    closing = f"{total['passed'] - len(skipped)} passed, {total['failed']} failed"
    if skipped or total["ignored"]:
        reasons = collections.Counter(skipped.values())
        if total["ignored"]:
            reasons["ignored"] = total["ignored"]
        closing += with_reasons(len(skipped) + total["ignored"], "skipped", reasons)
    if partly:
        closing += with_reasons(len(partly), "in part", collections.Counter(partly.values()))
    print(f"tests: {closing}")
    pathlib.Path(result).write_text(closing + "\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
