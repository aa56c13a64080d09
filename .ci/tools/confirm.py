"""Says rule by rule whether the kernel that answered the tests agrees with docs/xnu.

usage: confirm.py LOG BUILD OUT
    LOG     what `cargo test --no-fail-fast` printed
    BUILD   what the same command prints with --no-run --message-format=json
    OUT     a folder, which gets report.json and report.md

A rule's tests are those that name it (rules.py). The verdicts:
    agrees           a test of the rule ran, and none failed
    differs          a test of the rule failed; what it expected and what the kernel answered stand beside it
    not applicable   no test of the rule asked this kernel, and the report says why: each was skipped, or does not exist on this system, or
                     the rule is excused in docs/xnu
    no test          nothing names the rule

Exit status 1 if a rule differs, 2 if no test ran.
"""

import json
import os
import pathlib
import platform
import re
import sys

import rules
import tally

OUTCOME = re.compile(r"^test (?P<test>[\w:]+)(?: - should panic)? \.\.\. (?P<outcome>ok|FAILED|ignored)")
FAILURE = re.compile(r"^---- (?P<test>[\w:]+) stdout ----$")
LEFT, RIGHT = re.compile(r"^ *left: (.*)$"), re.compile(r"^ *right: (.*)$")
PANICKED = re.compile(r"^thread '.*' (?:\(\d+\) )?panicked at (?P<place>\S+?):?$")
VERDICTS = ("differs", "agrees", "not applicable", "no test")


class Test:
    """What one test did."""

    def __init__(self, package, name, outcome):
        self.package, self.name, self.outcome = package, name, outcome
        self.reason, self.answers = None, None

    def as_json(self):
        found = {"package": self.package, "test": self.name, "outcome": self.outcome}
        if self.reason:
            found["reason"] = self.reason
        if self.answers:
            found["answers"] = self.answers
        return found


def answers(lines):
    """What a failed test said: the last assertion's two sides, as far as there are some, and its place and message."""
    said = {}
    for at, line in enumerate(lines):
        if found := PANICKED.match(line.strip()):
            message = lines[at + 1].strip() if at + 1 < len(lines) else ""
            # The test of the parent process only repeats how its child ended.
            if "isolated.rs" not in found["place"] and not message.startswith("exit status"):
                said.update(place=found["place"], message=message)
        elif found := LEFT.match(line):
            said["left"] = found[1]
        elif found := RIGHT.match(line):
            said["right"] = found[1]
    return said or {"message": "\n".join(lines).strip()[-2000:]}


def read(log, programs):
    """{(package, test): Test} of all that the log tells of. `programs` maps a program to its package's name."""
    found, package, failure = {}, None, None
    failures, reports = {}, {}
    for line in log.splitlines():
        if running := tally.RUNNING.match(line):
            package, failure = programs.get(os.path.realpath(running["program"])), None
        elif tally.DOC_TESTS.match(line):
            package, failure = None, None
        elif tally.RESULT.match(line) or line == "failures:":
            failure = None
        elif begins := FAILURE.match(line):
            failure = failures.setdefault((package, begins["test"]), [])
        elif failure is not None:
            failure.append(line)
        if package is None:
            continue
        if outcome := OUTCOME.match(line):
            key = package, outcome["test"]
            found[key] = Test(*key, {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}[outcome["outcome"]])
        elif report := tally.REPORT.search(line):
            reports[package, report["test"].rsplit("::", 1)[-1]] = report["how"], report["what"].strip()
    for key, test in found.items():
        how, what = reports.get((test.package, test.name.rsplit("::", 1)[-1]), (None, None))
        if how == "skipped":
            test.outcome, test.reason = "skipped", what
        elif how == "skipped in part":
            test.reason = f"in part: {what}"
        if key in failures:
            test.answers = answers(failures[key])
    return found


def package_of(path, packages):
    """The package that a source file belongs to. `packages` maps a folder to a name."""
    holders = [folder for folder in packages if path.startswith(f"{folder}/")]
    return packages[max(holders, key=len)] if holders else None


def verdict(rule, cited, tests, packages):
    """A rule's entry in the report."""
    ran, absent = [], []
    for path, name in sorted(cited):
        package = package_of(path, packages)
        same = [test for (of, full), test in tests.items() if of == package and full.rsplit("::", 1)[-1] == name]
        ran += same
        absent += [] if same else [name]
    entry = {"rule": rule.number, "tests": [test.as_json() for test in ran]}
    reasons = sorted({test.reason for test in ran if test.outcome == "skipped" and test.reason})
    if any(test.outcome == "failed" for test in ran):
        return entry | {"verdict": "differs"}
    if any(test.outcome == "passed" for test in ran):
        return entry | {"verdict": "agrees"}
    if ran:
        return entry | {"verdict": "not applicable", "reason": "; ".join(reasons) or "ignored"}
    if absent:
        return entry | {"verdict": "not applicable", "reason": f"not built on this system: {', '.join(absent)}"}
    if rule.status and rule.status.startswith(rules.STATUSES[2:]):
        return entry | {"verdict": "not applicable", "reason": rule.status}
    return entry | {"verdict": "no test", "reason": rule.status or "built"}


def kernel():
    """The kernel that answers here."""
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return f"XNU: {platform.version()}" if platform.system() == "Darwin" else f"the emulated Mach, on {system}"


def page(report):
    """The report for a person: what differs first."""
    counts = report["counts"]
    lines = [
        "# What this kernel answers, rule by rule",
        "",
        f"Kernel: {report['kernel']}.",
        "",
        ", ".join(f"{counts[name]} {name}" for name in VERDICTS) + f", of {sum(counts.values())} rules.",
    ]
    for name in VERDICTS:
        entries = [entry for entry in report["rules"] if entry["verdict"] == name]
        lines += ["", f"## {name.capitalize()}: {len(entries)}", ""]
        for entry in entries:
            if name != "differs":
                said = entry.get("reason") or ", ".join(f"`{test['test']}`" for test in entry["tests"] if test["outcome"] != "failed")
                lines.append(f"- **{entry['rule']}** {said}")
                continue
            lines.append(f"- **{entry['rule']}**")
            for test in entry["tests"]:
                if test["outcome"] == "failed":
                    told = test.get("answers", {})
                    sides = [f"{side}: `{told[side]}`" for side in ("left", "right") if side in told]
                    message = [f"`{told['message']}`"] if told.get("message") else []
                    place = [f"at `{told['place']}`"] if told.get("place") else []
                    lines.append(f"  - `{test['test']}` ({test['package']}): " + ", ".join(sides + message + place))
    return "\n".join(lines) + "\n"


def make(log, programs, packages, defined, cited):
    """The whole report."""
    tests = read(log, programs)
    found = sorted(defined.values(), key=lambda rule: rules.order(rule.number))
    entries = [verdict(rule, cited.get(rule.number, ()), tests, packages) for rule in found]
    counts = {name: sum(entry["verdict"] == name for entry in entries) for name in VERDICTS}
    return {"kernel": kernel(), "counts": counts, "tests": len(tests), "rules": entries}


def main(log, build, out):
    folders = tally.tested_programs(pathlib.Path(build))
    programs = {program: tally.package_name(folder) for program, folder in folders.items()}
    root = pathlib.Path.cwd().resolve()
    packages = {folder.resolve().relative_to(root).as_posix(): tally.package_name(folder) for folder in folders.values()}
    files = dict(rules.tracked())
    _, _, defined = rules.check(files)
    citations = rules.Citations()
    for path, text in files.items():
        if path != rules.TABLE:
            citations.read(path, text)
    report = make(pathlib.Path(log).read_text(errors="replace"), programs, packages, defined, citations.tests)
    out = pathlib.Path(out)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "report.md").write_text(page(report))
    print(f"{report['kernel']}: " + ", ".join(f"{count} {name}" for name, count in report["counts"].items()))
    print(f"{out / 'report.md'}")
    if not report["tests"]:
        print("error: no test ran", file=sys.stderr)
        return 2
    return 1 if report["counts"]["differs"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
