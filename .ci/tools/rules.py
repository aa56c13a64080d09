"""The numbered rules: the pages of docs/xnu and docs/field-reports.md against what code, tests and docs cite.

usage: rules.py           fails if a number is cited that no page defines, if a rule is malformed, defined twice, or neither cited nor given a
                          status, if a page names a test by its rule that is in no file, if a status names a file or function that is not
                          there, or if docs/xnu/rules.md is not what this program writes
       rules.py --write   writes docs/xnu/rules.md

A rule is a heading `### A6.12`, or `### E36` for a case; what follows it up to the next heading is its text, and the list items `- Source:`, `- Versions:` and
`- Status:` say the rest. A field report is a heading `### R22: …`. A status stands only where citations do not tell it: `built` (nothing
needs to cite it), `partly`, `not built`, `does not apply`, each with its reason.

A test proves a rule if its name begins with the number (`a6_12_…`; several may follow each other), or if its documentation or its body
names it.
"""

import pathlib
import re
import subprocess
import sys

PAGES = "docs/xnu"
TABLE = f"{PAGES}/rules.md"
REPORTS = "docs/field-reports.md"

RULE_HEADING = re.compile(r"^###+ (?P<number>[A-I]\d+[a-z]?\.\d+[a-z]?|E\d\d)(?P<rest>.*)$")
REPORT_HEADING = re.compile(r"^###+ (?P<number>[RS]\d+)\b")
CITED = re.compile(r"(?<![\w.-])(?P<number>[A-I]\d{1,2}[a-z]?\.\d{1,2}[a-z]?|[EI]\d\d?)(?!\w|\.\d)")
CITED_REPORT = re.compile(r"(?<![\w.-])(?P<number>[RS]\d{1,2})(?!\w|\.\d)")
# A test that a page names, by the rule or report that it begins with: `a6_12_…`, `r19_…`.
NAMED_TEST = re.compile(r"`(?P<name>(?:[a-i]\d+[a-z]?_\d+|e\d\d|[rs]\d+)(?:_[a-z0-9]+){2,})`")
FUNCTION = re.compile(
    r"^(?P<indent> *)(?:pub(?:\([^)]*\))? )?(?:const )?(?:unsafe )?(?:extern \"C\" )?fn (?P<name>\w+)"
)
IN_NAME = re.compile(r"^(?P<letter>[a-i])(?P<major>\d{1,2}[a-z]?)_(?P<minor>\d{1,2}[a-z]?)(?:_|$)")
CASE_OR_REPORT_IN_NAME = re.compile(r"^(?P<number>e\d\d|[rs]\d{1,2})(?:_|$)")
STATUSES = ("built", "partly", "not built", "does not apply")
PLURAL = {"partly": "built in part", "does not apply": "that do not apply"}
# A file that a status names, with the functions after it: `exception/deliver.rs`, `walk`.
NAMED_FILE = re.compile(r"`(?P<path>[\w/.-]+\.rs)`(?P<names>(?:(?:,| and) `\w+`)*)")
EMULATION = "mach-sys/emulated/src/"
# A range: A12.3 to A12.7, C2.1–C2.3.
RANGE = re.compile(
    r"(?<![\w.-])([A-I]\d{1,2}[a-z]?)\.(\d{1,2})(?: to |–|-)(?:([A-I]\d{1,2}[a-z]?)\.)?(\d{1,2})(?![\w.])"
)


def numbers_in(text, reports=True):
    """The rule numbers that a text names, those between the ends of a range among them."""
    found = {match["number"] for match in CITED.finditer(text)}
    for section, first, other, last in RANGE.findall(text):
        if other in ("", section):
            found.update(f"{section}.{number}" for number in range(int(first), int(last) + 1))
    if reports:
        found.update(match["number"] for match in CITED_REPORT.finditer(text))
    return found


def numbers_in_name(name):
    """The rule numbers that a test's name begins with."""
    found = set()
    while True:
        if match := IN_NAME.match(name):
            found.add(f"{match['letter'].upper()}{match['major']}.{match['minor']}")
        elif match := CASE_OR_REPORT_IN_NAME.match(name):
            found.add(match["number"].upper())
        else:
            return found
        name = name[match.end() :]


class Rule:
    def __init__(self, number, page, lines):
        self.number, self.page = number, page
        self.text = "\n".join(lines).strip()
        items = {}
        label = None
        for line in lines:
            if found := re.match(r"^- (Source|Versions|Status): (.*)$", line):
                label = found[1]
                items[label] = found[2]
            elif label and line.startswith("  "):
                items[label] += " " + line.strip()
            elif line.strip():
                label = None
        self.source, self.status = items.get("Source"), items.get("Status")


def rules_of(page, text):
    """The rules that a page defines, in its order."""
    lines = text.split("\n")
    starts = [at for at, line in enumerate(lines) if line.startswith("#")] + [len(lines)]
    for start, end in zip(starts, starts[1:]):
        if found := RULE_HEADING.match(lines[start]):
            yield Rule(found["number"], page, lines[start + 1 : end])


def check_rule(rule):
    """What is wrong with a rule by itself."""
    body = re.split(r"^- (?:Source|Versions|Status): ", rule.text, maxsplit=1, flags=re.M)[0].strip()
    if not body:
        yield f"{rule.page}: {rule.number} says nothing"
    if not rule.source:
        yield f"{rule.page}: {rule.number} names no source"
    if rule.status and not rule.status.startswith(STATUSES):
        yield f"{rule.page}: the status of {rule.number} is none of {', '.join(STATUSES)}"
    if rule.status and rule.status.startswith(STATUSES[1:]) and len(rule.status.split()) < 3:
        yield f"{rule.page}: the status of {rule.number} has no reason"


def check_files(rule, files):
    """The files and functions of a rule's status that are not there. A path begins in the emulation, or with a crate's name."""
    for found in NAMED_FILE.finditer(rule.status or ""):
        text = files.get(EMULATION + found["path"]) or files.get(found["path"])
        if text is None:
            yield f"{rule.page}: the status of {rule.number} names {found['path']}, which is no file"
            continue
        for name in re.findall(r"`(\w+)`", found["names"]):
            if not re.search(rf"\b{name}\b", text):
                yield f"{rule.page}: the status of {rule.number} names {name}, which {found['path']} does not have"


def tests_of(text):
    """(name, numbers) of each test in a Rust file, as rustfmt leaves it."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        found = FUNCTION.match(line)
        if not found:
            continue
        above = at
        while above and lines[above - 1].strip().startswith(("#[", "//")):
            above -= 1
        attributes = "\n".join(lines[above:at])
        outermost = next(
            (l for l in reversed(lines[:at]) if l and not l[0].isspace() and not l.startswith("//")), ""
        )
        indent = found["indent"]
        if "#[test]" not in attributes and not (outermost.startswith("isolated! {") and len(indent) == 4):
            continue
        end = next((n for n in range(at, len(lines)) if lines[n] == indent + "}"), at)
        body = "\n".join(lines[above : end + 1])
        yield found["name"], numbers_in_name(found["name"]) | numbers_in(body)


def is_test_file(path):
    return "/tests/" in f"/{path}" or path.endswith("_tests.rs") or "/benches/" in path


class Citations:
    """Where each number is named."""

    def __init__(self):
        self.anywhere, self.sources, self.tests = {}, {}, {}

    def read(self, path, text):
        reports = not path.startswith(PAGES)
        for number in numbers_in(text, reports):
            self.anywhere.setdefault(number, set()).add(path)
        if not path.endswith((".rs", ".c")):
            return
        if not is_test_file(path):
            code = text.split("#[cfg(test)]\nmod tests {")[0]
            for number in numbers_in(code):
                self.sources.setdefault(number, set()).add(path)
        for name, numbers in tests_of(text):
            for number in numbers:
                self.anywhere.setdefault(number, set()).add(path)
                self.tests.setdefault(number, set()).add((path, name))


def standing(rule, citations):
    """What the table says of a rule in one or two words, and why."""
    if rule.status:
        kind = next((status for status in STATUSES if rule.status.startswith(status)), "malformed")
        reason = rule.status[len(kind) :].lstrip(":,. ")
        return kind, reason
    if rule.number in citations.sources or rule.number in citations.tests:
        return "built", ""
    return "unknown", ""


def order(number):
    letter, major, minor = re.match(r"([A-I])(\w+)(?:\.(\w+))?", number).groups("0")
    part = lambda text: (int(re.match(r"\d+", text)[0]), text.lstrip("0123456789"))
    return letter, part(major), part(minor)


def shorten(path):
    for long, short in (("mach-sys/emulated/src/", "emulated: "), ("mach-sys/wire/src/", "wire: ")):
        if path.startswith(long):
            return short + path[len(long) :]
    return path.replace("/src/", ": ", 1).replace("/tests/", ": tests/", 1)


def table(rules, citations):
    lines = [
        "# Rules: where each is implemented, and what proves it",
        "",
        "`.ci/run rules` compares this page with the sources; `python3 .ci/tools/rules.py --write` writes it. A file implements a rule, and a",
        "test proves it, if it cites its number.",
        "",
    ]
    kinds = {}
    rows = []
    for rule in sorted(rules, key=lambda rule: order(rule.number)):
        kind, reason = standing(rule, citations)
        kinds[kind] = kinds.get(kind, 0) + 1
        files = ", ".join(sorted(f"`{shorten(path)}`" for path in citations.sources.get(rule.number, ())))
        tests = sorted({name for _, name in citations.tests.get(rule.number, ())})
        shown = ", ".join(f"`{name}`" for name in tests[:4]) + (f", {len(tests) - 4} more" if len(tests) > 4 else "")
        state = kind if not reason else f"{kind}: {reason}"
        page = pathlib.PurePath(rule.page).name
        anchor = rule.number.lower().replace(".", "")
        rows.append(f"| [{rule.number}]({page}#{anchor}) | {files} | {shown} | {state.replace('|', chr(92) + '|')} |")
    proven = sum(1 for rule in rules if rule.number in citations.tests)
    counts = ", ".join(f"{kinds[kind]} {PLURAL.get(kind, kind)}" for kind in (*STATUSES, "unknown") if kind in kinds)
    lines += [f"{len(rules)} rules: {counts}. {proven} are cited by a test.", ""]
    lines += ["| rule | implemented in | proven by | status |", "|---|---|---|---|"] + rows
    return "\n".join(lines) + "\n"


def check(files):
    """Reads {path: text}; the errors, and the table as it should be."""
    errors, rules, reports = [], {}, set()
    for path, text in sorted(files.items()):
        if path.startswith(PAGES + "/") and path != TABLE:
            for rule in rules_of(path, text):
                if rule.number in rules:
                    errors.append(f"{path}: {rule.number} is defined in {rules[rule.number].page}, too")
                rules[rule.number] = rule
                errors.extend(check_rule(rule))
                errors.extend(check_files(rule, files))
        if path == REPORTS:
            for line in text.split("\n"):
                if found := REPORT_HEADING.match(line):
                    reports.add(found["number"])
                elif found := re.match(r"^\| ([RS]\d+) \|", line):
                    reports.add(found[1])
    citations = Citations()
    for path, text in files.items():
        if path != TABLE:
            citations.read(path, text)
    for number, paths in sorted(citations.anywhere.items()):
        if number not in rules and number not in reports:
            errors.append(f"{sorted(paths)[0]}: cites {number}, which no page defines")
    functions = {name for path, text in files.items() if path.endswith(".rs") for name in re.findall(r"\bfn (\w+)", text)}
    for path, text in sorted(files.items()):
        if path.endswith(".md") and path != TABLE:
            for found in NAMED_TEST.finditer(text):
                if found["name"] not in functions:
                    errors.append(f"{path}: names the test {found['name']}, which is in no file")
    for rule in rules.values():
        if standing(rule, citations)[0] == "unknown":
            errors.append(f"{rule.page}: {rule.number} has no status, and nothing cites it")
    return errors, table(list(rules.values()), citations), rules


def tracked():
    names = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split("\n")
    wanted = (".rs", ".md", ".c", ".sh", ".toml", ".yml")
    for name in names:
        # The changelog tells of numbers as they were.
        if name.endswith(wanted) and not name.startswith("docs/api/") and name != "CHANGELOG.md":
            path = pathlib.Path(name)
            if path.is_file():
                yield name, path.read_text()


def main(arguments):
    files = dict(tracked())
    errors, written, rules = check(files)
    path = pathlib.Path(TABLE)
    if arguments == ["--write"]:
        path.write_text(written)
    elif not path.is_file() or path.read_text() != written:
        errors.append(f"{TABLE} is not what the sources say: python3 .ci/tools/rules.py --write")
    for error in errors:
        print(f"   error: {error}")
    print(f"   {len(rules)} rules")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
