"""Finds names of public types and traits that stand for two things in docs/api: one word names one idea in all libraries.

usage: names.py [API_FOLDER]

A re-export is the same type, and is no second one. SEAM has the types that mach-sys declares over the emulated kernel's of the same name,
because they mean the same on each kernel.
"""

import pathlib
import re
import sys

DECLARED = re.compile(r"^(?:#\[[^\]]*\] )*(?:unsafe )?(?:struct|enum|union|trait|type) (?P<path>\w+(?:::\w+)+)")
SEAM = {
    "CallGroup": {"mach_emulated::CallGroup", "mach_sys::kernel::system::CallGroup"},
    "FaultReadiness": {"mach_emulated::FaultReadiness", "mach_sys::kernel::system::FaultReadiness"},
}


def declared(text):
    """The paths of the types and traits that a library declares; associated types are members, not names of their own."""
    paths = {found["path"] for line in text.splitlines() if (found := DECLARED.match(line))}
    return {path for path in paths if path.rpartition("::")[0] not in paths}


def doubles(paths):
    """(name, paths) of each name that several paths end with."""
    by_name = {}
    for path in paths:
        by_name.setdefault(path.rpartition("::")[2], set()).add(path)
    return sorted((name, found) for name, found in by_name.items() if len(found) > 1)


def main(arguments):
    folder = pathlib.Path(arguments[0] if arguments else "docs/api")
    paths = set().union(*(declared(text.read_text()) for text in folder.glob("*.txt")))
    if not paths:
        raise SystemExit(f"error: {folder} has no type: this program reads it wrongly")
    found = doubles(paths)
    errors = [f"{name} names {' and '.join(sorted(paths))}" for name, paths in found if SEAM.get(name) != paths]
    errors += [f"SEAM has {name}, which is no longer declared so" for name in SEAM if (name, SEAM[name]) not in found]
    for error in errors:
        print(f"   error: {error}")
    print(f"   {len(paths)} types and traits")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
