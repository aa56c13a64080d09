"""Checks that each symbol that a Mach-O program imports is one that libSystem exports for the program's machine.

usage: imports.py LIBSYSTEM.tbd PROGRAM...

The linker looks too, but lets pass what is weak or looked up at run time, and takes what any other library offers.
"""

import pathlib
import re
import struct
import sys

MAGIC_64 = 0xFEEDFACF
MACHINES = {0x01000007: "x86_64", 0x0100000C: "arm64"}
LOAD_DYLIBS = {0xC, 0x80000018, 0x8000001F, 0x80000023}  # plain, weak, re-exported, upward
SYMTAB, DYSYMTAB = 0x2, 0xB
EXTERNAL, TYPE_MASK, UNDEFINED = 0x01, 0x0E, 0x0
LIBSYSTEM = "/usr/lib/libSystem.B.dylib"


def exported(stub):
    """Symbols by machine, out of a text-based stub: lists of symbols, each under the list of targets that it holds for."""
    symbols = {machine: set() for machine in MACHINES.values()}
    targets = []
    for key, body in re.findall(r"\b(targets|(?:weak-|thread-local-)?symbols):\s*\[([^\]]*)\]", stub):
        items = [item.strip().strip("'\"") for item in body.split(",")]
        if key == "targets":
            targets = items
        else:
            for machine in symbols:
                if f"{machine}-macos" in targets:
                    symbols[machine].update(items)
    return symbols


def text_at(data, offset):
    return data[offset : data.index(b"\0", offset)].decode()


def imports(data):
    """The program's machine, and each imported symbol with the library that is to have it (None: looked up anywhere)."""
    magic, machine, _, _, commands, _, _, _ = struct.unpack_from("<8I", data)
    if magic != MAGIC_64 or machine not in MACHINES:
        raise ValueError("not a 64-bit Mach-O program of a known machine")
    libraries, found = [], []
    table = undefined = None
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", data, at)
        if command in LOAD_DYLIBS:
            libraries.append(text_at(data, at + struct.unpack_from("<I", data, at + 8)[0]))
        elif command == SYMTAB:
            table = struct.unpack_from("<4I", data, at + 8)
        elif command == DYSYMTAB:
            undefined = struct.unpack_from("<2I", data, at + 24)
        at += size
    if table is None or undefined is None:
        raise ValueError("no symbol table")
    symbols, _, strings, _ = table
    first, count = undefined
    for index in range(first, first + count):
        name, kind, _, description, _ = struct.unpack_from("<IBBHQ", data, symbols + 16 * index)
        if kind & EXTERNAL and kind & TYPE_MASK == UNDEFINED:
            ordinal = description >> 8
            library = libraries[ordinal - 1] if 1 <= ordinal <= len(libraries) else None
            found.append((text_at(data, strings + name), library))
    return MACHINES[machine], found


def main(stub, *programs):
    known = exported(pathlib.Path(stub).read_text())
    checked, errors = set(), []
    for program in programs:
        try:
            machine, symbols = imports(pathlib.Path(program).read_bytes())
        except (ValueError, struct.error, IndexError) as why:
            errors.append(f"{program}: {why}")
            continue
        for symbol, library in symbols:
            checked.add(symbol)
            if library != LIBSYSTEM:
                errors.append(f"{program}: {symbol} is to come from {library or 'anywhere'}, not from libSystem")
            elif symbol not in known[machine]:
                errors.append(f"{program}: {symbol} is not exported by libSystem on {machine}")
    if not checked:
        errors.append("no program imports anything: nothing was checked")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    print(f"   {len(programs)} programs import {len(checked)} different symbols; {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
