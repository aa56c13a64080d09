"""Holds the tables of rooms in ARCHITECTURE.md against the imports in the code.

usage: rooms.py [--circles]        check; --circles also lists the circles of files inside a room
       rooms.py --graph CRATE      print what each file of a crate imports

A table of rooms stands under a heading `### Rooms of NAME (FOLDER)` and has the columns room, files, contents, uses. `files` names
files and folders below FOLDER; `uses` names rooms of the same table. The stage fails if

- a file belongs to no room or to two, or a room names a file that is not there;
- a file imports from a room that its own room does not use, or a room uses another according to the table and no import says so;
- the rooms use each other in a circle, or files of different rooms import each other in one.

Tests do not count. A `pub use` of what stands below a module is its table of contents, no import.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


# --- Rust, as far as imports go


def code_only(text):
    """The text without comments, strings, characters and test modules, of the same length line by line."""
    token = re.compile(
        r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|'(?:\\.[^']*|[^'\\])'", re.DOTALL
    )
    text = token.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    # Attributes between `#[cfg(test)]` and the item are skipped with it.
    for found in reversed(list(re.finditer(r"#\[cfg\((?:all\()?test\b[^\]]*\]", text))):
        end = item_end(text, found.end())
        text = text[: found.start()] + re.sub(r"[^\n]", " ", text[found.start() : end]) + text[end:]
    return text


def item_end(text, at):
    """The end of the item that begins at a place: its semicolon, or the brace that closes it."""
    depth = 0
    while at < len(text):
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
            if depth == 0 and text[at] == "}":
                return at + 1
        elif text[at] == ";" and depth == 0:
            return at + 1
        at += 1
    return at


def inline_modules(text):
    """(start, end) of each `mod name { … }`."""
    return [(found.end(), item_end(text, found.end() - 1)) for found in re.finditer(r"\bmod\s+\w+\s*\{", text)]


def flatten(tree):
    """The paths of a use tree: `a::{b, c::d}` is a::b and a::c::d."""
    tree = tree.strip()
    brace = tree.find("{")
    if brace < 0:
        yield [part.strip() for part in re.sub(r"\s+as\s+\w+$", "", tree).split("::")]
        return
    prefix = [part.strip() for part in tree[:brace].split("::") if part.strip()]
    depth, start, inside = 0, brace + 1, tree[brace + 1 : tree.rfind("}")]
    item = ""
    for char in inside + ",":
        if char == "," and depth == 0:
            if item.strip():
                for rest in flatten(item):
                    yield prefix + [part for part in rest if part != "self"]
            item = ""
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        item += char


class Crate:
    """The modules of a crate, and what each imports of the others."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {}  # module path -> file
        self.text = {}
        for file in sorted(folder.rglob("*.rs")):
            parts = list(file.relative_to(folder).with_suffix("").parts)
            if "tests" in parts or parts[-1].endswith("_tests") or parts[0] == "bin":
                continue
            if parts[-1] in ("mod", "lib", "main"):
                parts.pop()
            self.files[tuple(parts)] = file
            self.text[tuple(parts)] = code_only(file.read_text())
        self.reexports = {module: self.read_reexports(module) for module in self.files}

    def uses(self, module):
        """(path, whether it is re-exported, how many inline modules deep) of every use declaration."""
        text = self.text[module]
        inline = inline_modules(text)
        for found in re.finditer(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", text):
            deep = sum(start <= found.start() < end for start, end in inline)
            for path in flatten(found.group(2)):
                yield path, bool(found.group(1)), deep

    def absolute(self, module, path, deep=0):
        """A path from the crate's root, or None if it leads elsewhere."""
        here = list(module) + ["?"] * deep
        if path[0] == "crate" or path[0] == "$crate":
            return path[1:]
        if path[0] == "self":
            return here + path[1:]
        if path[0] == "super":
            while path and path[0] == "super":
                here, path = here[:-1], path[1:]
            return here + path
        if deep == 0 and module + (path[0],) in self.files:
            return list(module) + path
        return None

    def read_reexports(self, module):
        """Name -> path of what a module re-exports of the crate; '*' -> paths of its globs."""
        table = {"*": []}
        for path, public, deep in self.uses(module):
            target = self.absolute(module, path, deep)
            if deep or target is None:
                continue
            if path[-1] == "*":
                table["*"].append(target[:-1])
            elif public:
                table[path[-1]] = target
        return table

    def file_of(self, path, seen=()):
        """The module that defines what a path names."""
        at = ()
        for index, part in enumerate(path):
            if at + (part,) in self.files:
                at += (part,)
                continue
            target = self.reexports[at].get(part)
            if target is not None and (at, part) not in seen:
                return self.file_of(target + path[index + 1 :], seen + ((at, part),))
            if part[:1].isalpha() and not re.search(rf"\b(?:fn|struct|enum|union|trait|type|const|static|macro_rules!|mod)\s+{part}\b", self.text[at]):
                for glob in self.reexports[at]["*"]:
                    inner = tuple(glob)
                    if inner in self.files and (inner, part) not in seen and self.defines(inner, part):
                        return self.file_of(glob + path[index:], seen + ((inner, part),))
            break
        return at

    def defines(self, module, name):
        pattern = rf"\b(?:fn|struct|enum|union|trait|type|const|static|macro_rules!|mod)\s+{name}\b|^\s*{name} ="
        if re.search(pattern, self.text[module], re.MULTILINE) or name in self.reexports[module]:
            return True
        return any(tuple(glob) in self.files and self.defines(tuple(glob), name) for glob in self.reexports[module]["*"] if tuple(glob) != module)

    def imports(self, module):
        """The modules that a module's code names."""
        text = self.text[module]
        found = set()
        for path, public, deep in self.uses(module):
            target = self.absolute(module, path, deep)
            if target is None:
                continue
            # A module's table of contents.
            if public and tuple(target[: len(module)]) == module:
                continue
            if path[-1] == "*":
                target = target[:-1]
            found.add(self.file_of(target))
        inline = inline_modules(text)
        # Neither use declarations nor `pub(in path)`, which says who may import and is no import.
        bare = re.sub(r"\buse\s+[^;]+;|\(in\s[^)]*\)", lambda other: " " * len(other.group()), text)
        for path in re.finditer(r"(?<![\w:])(?:crate|super|self)(?:::\w+)+", bare):
            deep = sum(start <= path.start() < end for start, end in inline)
            target = self.absolute(module, path.group().split("::"), deep)
            if target is not None:
                found.add(self.file_of([part for part in target if part != "?"]))
        # What a module uses of its children without importing it.
        for path in re.finditer(r"(?<![\w:])([a-z_]\w*)::\w+", bare):
            child = module + (path.group(1),)
            if child in self.files and not any(start <= path.start() < end for start, end in inline):
                found.add(self.file_of(list(module) + path.group().split("::")))
        return found - {module}


# --- The tables


class Room:
    def __init__(self, name, files, uses):
        self.name, self.files, self.uses = name, files, uses


def tables(document):
    """(heading, folder, rooms) of each table of rooms."""
    for found in re.finditer(r"^### Rooms of (.+?) \(`(.+?)`\)\n(.*?)(?=^#|\Z)", document, re.MULTILINE | re.DOTALL):
        rooms = []
        for row in re.findall(r"^\|(.+)\|$", found.group(3), re.MULTILINE):
            cells = [cell.strip() for cell in row.split("|")]
            if len(cells) != 4 or cells[0] == "room" or set(cells[0]) <= set("-: "):
                continue
            rooms.append(Room(cells[0].strip("`"), re.findall(r"`([^`]+)`", cells[1]), re.findall(r"`([^`]+)`", cells[3])))
        yield found.group(1), ROOT / found.group(2), rooms


def circles(graph):
    """The strongly connected parts of more than one node (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in sorted(graph.get(node, ())):
            if after not in index:
                visit(after)
                low[node] = min(low[node], low[after])
            elif after in stack:
                low[node] = min(low[node], index[after])
        if low[node] == index[node]:
            part = []
            while True:
                part.append(stack.pop())
                if part[-1] == node:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    sys.setrecursionlimit(10_000)
    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def check(name, folder, rooms, inner):
    errors = []
    crate = Crate(folder)
    place = {}
    for room in rooms:
        for entry in room.files:
            path = folder / entry
            members = [module for module, file in crate.files.items() if file == path or path in file.parents]
            if not members:
                errors.append(f"room {room.name} names {entry}, which is not there")
            for module in members:
                if module in place and place[module] is not room:
                    # The more exact of the two counts.
                    if path.is_dir():
                        continue
                place[module] = room
    show = lambda module: str(crate.files[module].relative_to(folder))
    graph = {}
    for module in crate.files:
        if module not in place:
            errors.append(f"{show(module)} is in no room")
        else:
            graph[module] = {other for other in crate.imports(module) if other in place}
    used = collections.defaultdict(set)
    for module, others in graph.items():
        for other in others:
            ours, theirs = place[module], place[other]
            if ours is theirs:
                continue
            used[ours.name].add(theirs.name)
            if theirs.name not in ours.uses:
                errors.append(f"{show(module)} ({ours.name}) imports from {show(other)}: {ours.name} does not use {theirs.name}")
    for room in rooms:
        for other in room.uses:
            if other not in used[room.name]:
                errors.append(f"{room.name} uses {other} according to the table, and nothing there imports from it")
    for part in circles({room.name: set(room.uses) for room in rooms}):
        errors.append("rooms in a circle: " + ", ".join(part))
    for part in circles(graph):
        text = "files in a circle: " + ", ".join(show(module) for module in part)
        if len({place[module].name for module in part}) > 1:
            errors.append(text)
        elif inner:
            print(f"   {name}: inside {place[part[0]].name}: {text}")
    lines = f"{len(crate.files)} files, {len(rooms)} rooms, {sum(map(len, graph.values()))} imports"
    print(f"   {name:<16} {lines}")
    return [f"{name}: {error}" for error in errors]


def main(arguments):
    if arguments[:1] == ["--graph"]:
        crate = Crate(pathlib.Path(arguments[1]))
        graph = {module: crate.imports(module) for module in crate.files}
        for module in sorted(graph):
            print("::".join(module) or "(root)", "->", ", ".join(sorted("::".join(other) or "(root)" for other in graph[module])))
        for part in circles(graph):
            print("circle:", ", ".join("::".join(module) or "(root)" for module in part))
        return 0
    document = (ROOT / "ARCHITECTURE.md").read_text()
    errors, seen = [], 0
    for name, folder, rooms in tables(document):
        seen += 1
        errors += check(name, folder, rooms, "--circles" in arguments)
    if seen == 0:
        errors.append("ARCHITECTURE.md has no table of rooms")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
