"""Counts the tests in the output of `cargo test`, by package.

usage: tally.py LOG BUILD STATUS RESULT
    LOG     what `cargo test` printed
    BUILD   what the same command prints with --no-run --message-format=json: which package each program belongs to
    STATUS  cargo's exit status
    RESULT  a file that gets the closing line

Fails if no test ran, or if cargo succeeded and a package that has tests ran none: a filter that matches nothing, or a `cfg`
that leaves nothing, must not pass for success.
"""

import collections
import json
import os
import pathlib
import re
import sys

RUNNING = re.compile(r"^ +Running .*\((?P<program>.*)\)$")
DOC_TESTS = re.compile(r"^ +Doc-tests (?P<crate>\S+)$")
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
SKIPPED = re.compile(r"(?P<what>[\w:]+: skipped: .+)")


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


def main(log, build, status, result):
    programs = tested_programs(pathlib.Path(build))
    counts = {package_name(folder): collections.Counter() for folder in programs.values()}
    skipped = []
    package = None
    for line in pathlib.Path(log).read_text(errors="replace").splitlines():
        if found := RUNNING.match(line):
            folder = programs.get(os.path.realpath(found["program"]))
            package = package_name(folder) if folder else found["program"]
        elif found := DOC_TESTS.match(line):
            package = found["crate"].replace("_", "-")
        elif found := SKIPPED.search(line):
            skipped.append(found["what"])
        elif found := RESULT.match(line):
            passed, failed, ignored = map(int, found.groups())
            counts.setdefault(package, collections.Counter()).update(passed=passed, failed=failed, ignored=ignored)

    total = collections.Counter()
    for name, count in sorted(counts.items()):
        print(f"   {name:<16} {count['passed']:>5} passed, {count['failed']} failed, {count['ignored']} ignored")
        total.update(count)
    # A test that makes sense elsewhere only passes at once and says so.
    for what in skipped:
        print(f"   {what}")

    errors = []
    if total["passed"] + total["failed"] == 0:
        errors.append("no test ran")
    elif status == "0":
        for folder in sorted(set(programs.values())):
            if has_tests(folder) and not counts[package_name(folder)]["passed"]:
                errors.append(f"no test of {package_name(folder)} ran, and it has some")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)

    closing = f"{total['passed'] - len(skipped)} passed, {total['failed']} failed"
    left_out = len(skipped) + total["ignored"]
    closing += f", {left_out} skipped" if left_out else ""
    print(f"tests: {closing}")
    pathlib.Path(result).write_text(closing + "\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
