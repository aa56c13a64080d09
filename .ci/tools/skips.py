"""The tests that skip, and the test programs that a Mac does not build, in the sources and in docs/only-a-mac.md: both lists are one.

usage: skips.py           fails if a test that may skip is not in the table, or the table has one that does not; and so for the programs
       skips.py --rows    prints the rows that the sources give, for the table

A test skips by `report_skipped` or `report_partly` (tests/support/src/isolated.rs), itself or through a function of its test program that
it calls. Saying so in another way is an error: the stage would count the test as one that ran.
"""

import pathlib
import re
import sys

TABLE = pathlib.Path("docs/only-a-mac.md")
HEADING = "## Tests that skip"
FUNCTION = re.compile(r"^(?P<indent> *)(?:pub(?:\([^)]*\))? )?(?:const )?(?:unsafe )?(?:extern \"C\" )?fn (?P<name>\w+)")
REPORT = re.compile(r"\breport_(?P<how>skipped|partly)\(")
# What a passing test says in this way stays with the harness, or is no report.
OTHER_WAYS = re.compile(r"print(?:ln)?!\(\s*\"[^\"]*\bskipp(?:ed|ing)\b")


# The sentence that lists what is not built for a Mac, and the attribute by which a program is not.
NOT_BUILT = "These test programs look at the emulation alone and are not built for a Mac:"
NOT_FOR_APPLE = '\n#![cfg(not(target_vendor = "apple"))]\n'


class Function:
    def __init__(self, name, body, is_test):
        self.name, self.body, self.is_test = name, body, is_test


def functions(text):
    """The functions of a file, as rustfmt leaves it: the last line of each is its indentation and a brace."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        found = FUNCTION.match(line)
        if not found:
            continue
        indent = found["indent"]
        # A declaration has no body.
        if "{" not in next((l for l in lines[at:] if "{" in l or l.endswith(";")), ""):
            continue
        end = next((n for n in range(at, len(lines)) if lines[n] == indent + "}"), at)
        attributes = []
        above = at - 1
        while above >= 0 and lines[above].strip().startswith(("#[", "//")):
            attributes.append(lines[above].strip())
            above -= 1
        outermost = next((l for l in reversed(lines[:at]) if l and not l[0].isspace() and not l.startswith("//")), "")
        is_test = "#[test]" in attributes or (outermost.startswith("isolated! {") and len(indent) == 4)
        yield Function(found["name"], "\n".join(lines[at + 1 : end + 1]), is_test)


def reports_of(body):
    """(whether it is in part, the reason) of each report in a body: the reason is the last text among its arguments."""
    for found in REPORT.finditer(body):
        depth, at = 1, found.end()
        while depth and at < len(body):
            at = body.index('"', at + 1) + 1 if body[at] == '"' else at + 1
            depth += {"(": 1, ")": -1}.get(body[at - 1], 0) if body[at - 1] != '"' else 0
        texts = re.findall(r'"([^"]*)"', body[found.end() : at])
        yield found["how"] == "partly", texts[-1] if texts else ""


def skips_of(program):
    """{test: {(in part, reason)}} of the files of one test program."""
    all_functions = [function for text in program for function in functions(text)]
    reasons = {}
    for function in all_functions:
        if function.name not in ("report_skipped", "report_partly"):
            found = set(reports_of(function.body))
            if found:
                reasons.setdefault(function.name, set()).update(found)
    # Through the functions that call those, until nothing is added.
    changed = True
    while changed:
        changed = False
        helpers = {f.name for f in all_functions if not f.is_test} & set(reasons)
        for function in all_functions:
            for helper in helpers - {function.name}:
                if re.search(rf"\b(?<!::){helper}\(|\bsupport::{helper}\(|\bchild::{helper}\(", function.body):
                    more = reasons[helper] - reasons.get(function.name, set())
                    if more:
                        reasons.setdefault(function.name, set()).update(more)
                        changed = True
    return {f.name: reasons[f.name] for f in all_functions if f.is_test and f.name in reasons}


def packages(root):
    """(name, folder of tests) of each package that has one."""
    for manifest in sorted(root.glob("*/Cargo.toml")) + sorted(root.glob("mach-sys/*/Cargo.toml")):
        folder = manifest.parent / "tests"
        if folder.exists():
            yield re.search(r'^name = "(.+)"', manifest.read_text(), re.MULTILINE).group(1), folder


def emulation_only(root):
    """{(package, program)} of the test programs that are not built for a Mac."""
    found = set()
    for package, folder in packages(root):
        for path in [*folder.glob("*.rs"), *folder.glob("*/main.rs")]:
            if NOT_FOR_APPLE in path.read_text():
                found.add((package, path.stem if path.parent == folder else path.parent.name))
    return found


def emulation_only_in_page(text):
    """The same of the page: "`a` and `b` of `package`; `c` of `other`." """
    listed = text.partition(NOT_BUILT)[2].partition("\n\n")[0]
    found = set()
    for part in listed.split(";"):
        *names, package = re.findall(r"`([\w-]+)`", part) or [None]
        found.update((package, name) for name in names)
    return found


def programs(folder):
    """The files of each test program of a package's `tests` folder."""
    shared = [path.read_text() for name in ("support", "common") for path in sorted((folder / name).rglob("*.rs"))]
    for path in sorted(folder.iterdir()):
        if path.suffix == ".rs":
            yield [path.read_text()] + shared
        elif (path / "main.rs").exists():
            yield [file.read_text() for file in sorted(path.rglob("*.rs"))] + shared


def in_sources(root):
    """{(package, test): {(in part, reason)}}"""
    found = {}
    for package, folder in packages(root):
        for program in programs(folder):
            found.update({(package, test): reasons for test, reasons in skips_of(program).items()})
    return found


def in_table(text):
    """{(package, test): reason} of the table under the heading."""
    if HEADING not in text:
        return {}
    rows = {}
    for line in text.split(HEADING, 1)[1].split("\n## ", 1)[0].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[1].startswith("`"):
            rows[cells[0], cells[1].strip("`")] = cells[3]
    return rows


def reason_of(reasons):
    return "; ".join(sorted(("in part: " if partly else "") + reason for partly, reason in reasons))


def check(sources, table):
    errors = []
    for (package, test), reasons in sorted(sources.items()):
        wanted = reason_of(reasons)
        if (package, test) not in table:
            errors.append(f"{package}: {test} may skip ({wanted}), and {TABLE} has no row for it")
        elif table[package, test] != wanted:
            errors.append(f"{package}: {test} skips with the reason '{wanted}'; {TABLE} says '{table[package, test]}'")
    for package, test in sorted(set(table) - set(sources)):
        errors.append(f"{TABLE}: {package}: {test} skips nowhere")
    return errors


def other_ways(root):
    for path in sorted(root.glob("**/*.rs")):
        relative = path.relative_to(root)
        if relative.parts[0] != "target" and "benches" not in relative.parts and OTHER_WAYS.search(path.read_text()):
            yield f"{relative}: says that something is skipped in a way that is not counted; report_skipped is the way"


def main(arguments):
    root = pathlib.Path(".")
    sources = in_sources(root)
    if arguments == ["--rows"]:
        for (package, test), reasons in sorted(sources.items()):
            print(f"| {package} | `{test}` |  | {reason_of(reasons)} |")
        return 0
    page = TABLE.read_text()
    errors = check(sources, in_table(page)) + list(other_ways(root))
    for package, program in sorted(emulation_only(root) ^ emulation_only_in_page(page)):
        errors.append(f"{TABLE}: whether {program} of {package} is built for a Mac is not what the sources say")
    if not sources:
        errors.append("no test skips, says this check: it is broken")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    print(f"   {len(sources)} tests may skip")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
