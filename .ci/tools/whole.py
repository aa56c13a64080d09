"""Checks that the linker left each routine of hand-written assembly whole: it ends where control cannot fall through.

usage: whole.py OBJDUMP PROGRAM...

Mach-O's linker cuts a section at each global label and drops the pieces that nothing names (-dead_strip), so that a routine with
such a label in its middle may lose its second half. Hand-written routines are known by their two spellings: compilers put an
underscore before each name, these stand under the bare name too.
"""

import pathlib
import re
import subprocess
import sys

HEADER = re.compile(r"^([0-9a-f]+) <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+([a-z0-9.]+)\s*(.*)$")
LEAVES = {"ret", "retq", "iretq", "jmp", "jmpq", "ud2", "b", "br", "brk"}
# What lies between routines: alignment, which the disassembler takes for instructions.
PADDING = re.compile(r"^(nop[wl]?|int3|udf|cs|data16)$|^addb$")


def routines(disassembly):
    """Pairs of a routine's name and its instructions, out of what objdump prints. A second name of an address is a line more."""
    name, address, found = None, None, []
    for line in disassembly.splitlines():
        if header := HEADER.match(line):
            if header.group(1) == address:
                continue
            if name is not None:
                yield name, found
            address, name, found = header.group(1), header.group(2).lstrip("_"), []
        elif instruction := INSTRUCTION.match(line):
            found.append((instruction.group(1), instruction.group(2)))
    if name is not None:
        yield name, found


def last(instructions):
    """The last instruction that is no padding."""
    for mnemonic, operands in reversed(instructions):
        if not PADDING.match(mnemonic):
            return mnemonic, operands
    return None


def names(objdump, program):
    """Bare and underscored names of functions in the program's text."""
    out = subprocess.run([objdump, "--syms", program], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1] for line in out.splitlines() if "__TEXT,__text" in line}


def cut(found):
    """A line for each routine whose end falls through."""
    for name, instructions in found.items():
        end = last(instructions)
        if end is None or end[0] not in LEAVES:
            yield f"{name} ends in `{' '.join(end) if end else 'nothing'}`: the linker cut it"


def hand_written(symbols):
    return sorted(name for name in symbols if not name.startswith("_") and f"_{name}" in symbols)


def check(objdump, program):
    """The number of routines looked at, and a line for each that is cut."""
    symbols = hand_written(names(objdump, program))
    if not symbols:
        return 0, []
    wanted = ",".join(f"{name},_{name}" for name in symbols)
    command = [objdump, "--disassemble", "--no-show-raw-insn", f"--disassemble-symbols={wanted}", program]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = dict(routines(out))
    faults = [f"{program}: {name} was not disassembled" for name in symbols if name not in found]
    return len(symbols), faults + [f"{program}: {fault}" for fault in cut(found)]


def main(objdump, *programs):
    looked, faults = 0, []
    for program in programs:
        count, cut_here = check(objdump, program)
        looked += count
        faults += cut_here
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not looked:
        print("error: no routine of hand-written assembly was found", file=sys.stderr)
        return 1
    print(f"   {looked} routines in {len(programs)} programs, {len(faults)} cut")
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(pathlib.Path(__file__).name + ": OBJDUMP PROGRAM...")
    sys.exit(main(*sys.argv[1:]))
