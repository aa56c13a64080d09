"""The first lines of docs, and a few words, that this project's wording does not allow.

usage: wording.py

A doc's first line says what an item is or does; it does not begin with a question word. Code is "it": no person acts in it.
"""

import pathlib
import re
import subprocess
import sys

DOC = re.compile(r"^\s*//(?P<kind>[/!])(?: (?P<text>.*))?$")
QUESTION = re.compile(r"(?:What|How|Who|Why|Where|Whether|Which|Nobody)\b")
PERSON = re.compile(r"\b(?:somebody|nobody|anybody|everybody|whoever|whom)\b", re.IGNORECASE)


def first_lines(text):
    """(line number, text) of the first line of each doc of a Rust file."""
    before = None
    for number, line in enumerate(text.split("\n"), 1):
        found = DOC.match(line)
        # Four slashes are no doc.
        kind = found["kind"] if found and not line.strip().startswith("////") else None
        if kind and kind != before:
            yield number, found["text"] or ""
        before = kind


def check(path, text):
    if path.endswith(".rs"):
        for number, line in first_lines(text):
            if QUESTION.match(line):
                yield f"{path}:{number}: a doc begins with a question word: {line[:60]}"
    for number, line in enumerate(text.split("\n"), 1):
        if found := PERSON.search(line):
            yield f"{path}:{number}: code is 'it', not '{found[0]}'"


def main():
    names = subprocess.run(["git", "ls-files", "*.rs", "*.md", "*.svg"], check=True, capture_output=True, text=True).stdout.split("\n")
    paths = [path for name in names if (path := pathlib.Path(name)).is_file()]
    errors = [error for path in paths for error in check(path.as_posix(), path.read_text())]
    for error in errors:
        print(f"   error: {error}")
    print(f"   {len(paths)} files")
    return 1 if errors or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
