"""Holds docs/soundness.md against the public unsafe items in docs/api: each is named in its crate's section, and nothing else is.

usage: promises.py [PAGE API_FOLDER]

An item stands in the first column of a table under the heading of its crate, as the end of its path: `Exception::set_state` for
`exc_server::Exception::set_state`. An end that fits several unsafe items is refused. Calls of the emulated kernel that `mach_sys::kernel` declares under the same
name have their contract there, and need no row.
"""

import pathlib
import re
import sys

UNSAFE = re.compile(r"^(?:#\[[^\]]*\] )*(?:const )?unsafe (?:fn|trait) (\w+(?:::\w+)*)")
EMULATED, SEAM = "mach_emulated::calls::", "mach_sys::kernel::"


def unsafe_items(folder):
    """The paths of each crate's public unsafe functions and traits, by the crate's name as published in the folder."""
    items = {
        text.stem: {found[1] for line in text.read_text().splitlines() if (found := UNSAFE.match(line))}
        for text in sorted(folder.glob("*.txt"))
    }
    if not any(items.values()):
        raise SystemExit(f"error: {folder} has no unsafe item: this program reads it wrongly")
    declared = set().union(*items.values())
    return {
        crate: {path for path in paths if not (path.startswith(EMULATED) and path.replace(EMULATED, SEAM) in declared)}
        for crate, paths in items.items()
    }


def named_items(page):
    """What the first columns of the page's tables name, by the heading above; a cell without its two neighbours is an error."""
    named, heading = {}, None
    for line in page.read_text().splitlines():
        if line.startswith("## "):
            heading = line[3:].strip()
        elif line.startswith("| `") and heading:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            names = re.findall(r"`([^`]+)`", cells[0])
            if len(cells) != 3 or not all(cells):
                raise SystemExit(f"error: {page}: a row needs item, promise and what relies on it: {cells[0]}")
            named.setdefault(heading, []).extend(names)
    return named


def differences(items, named):
    """One line for each item that is missing, unknown, ambiguous or named twice."""
    for crate in sorted(set(items) | set(named)):
        paths, left = items.get(crate, set()), set(items.get(crate, set()))
        for name in named.get(crate, []):
            fits = [path for path in paths if path == name or path.endswith("::" + name)]
            if len(fits) > 1:
                yield f"{crate}: `{name}` fits {', '.join(sorted(fits))}: name more of the path"
            elif not fits:
                yield f"{crate}: `{name}` is no public unsafe item"
            elif fits[0] not in left:
                yield f"{crate}: `{name}` stands there twice"
            left -= set(fits)
        for path in sorted(left):
            yield f"{crate}: {path} is unsafe and not named"


def main(arguments):
    page, folder = map(pathlib.Path, arguments or ["docs/soundness.md", "docs/api"])
    items = unsafe_items(folder)
    found = list(differences(items, named_items(page)))
    for line in found:
        print(f"error: {page}: {line}", file=sys.stderr)
    if not found:
        print(f"   {page}: {sum(map(len, items.values()))} unsafe items, each with its promise")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
