"""The public API of the libraries, as text: one line for each item, sorted, with full paths.

usage: api.py [--write] JSON TEXT...     a crate's rustdoc JSON and its text file, in pairs

Without --write, compares: prints the lines that differ and fails. The JSON comes from rustdoc (`.ci/tools/api.sh` makes it); its
format is unstable, so a format that this program was not tried with is refused, as is a construct that it does not know.

What a text has: modules, re-exports, types with their public fields and variants, `#[non_exhaustive]`, `#[must_use]` and `repr`, traits with
their items, functions with their signatures, constants, and which traits a type implements (`Send` and `Sync` too, as the compiler
derives them). It leaves out what `doc(hidden)` hides, blanket implementations, and the other auto traits. An item that is reachable by
several paths stands under the shortest, and as a `use` under the others. Items of std are named as `module::Name`, since std moves its
items between its crates and its private modules.
"""

import difflib
import json
import pathlib
import re
import sys

# rustdoc's `format_version`s, and a Rust release that has each. Add one after `api.sh` gave the same texts with it.
FORMATS = {57: "1.95"}

STD = {"std", "core", "alloc"}
PRELUDE = {
    "borrow::ToOwned", "boxed::Box", "clone::Clone", "cmp::Eq", "cmp::Ord", "cmp::PartialEq", "cmp::PartialOrd",
    "convert::AsMut", "convert::AsRef", "convert::From", "convert::Into", "convert::TryFrom", "convert::TryInto",
    "default::Default", "iter::DoubleEndedIterator", "iter::ExactSizeIterator", "iter::Extend", "iter::FromIterator",
    "iter::IntoIterator", "iter::Iterator", "marker::Copy", "marker::Send", "marker::Sized", "marker::Sync", "marker::Unpin",
    "ops::Drop", "ops::Fn", "ops::FnMut", "ops::FnOnce", "option::Option", "result::Result", "string::String",
    "string::ToString", "vec::Vec",
}  # fmt: skip
# Implementations that go on one line for each type.
COMMON = {
    "Clone", "Copy", "Default", "Drop", "Eq", "Ord", "PartialEq", "PartialOrd", "Send", "Sync", "!Send", "!Sync", "error::Error",
    "fmt::Debug", "fmt::Display", "hash::Hash",
}  # fmt: skip
# Marks that the compiler makes.
UNNAMED = {"marker::StructuralPartialEq", "marker::Freeze", "marker::Unpin", "panic::UnwindSafe", "panic::RefUnwindSafe"}
UNNAMED |= {"panic::unwind_safe::UnwindSafe", "clone::UseCloned", "marker::UnsafeUnpin"}
# Where items of a module stand: types before what belongs to them.
HEAD, MEMBER, CONST, METHOD, COMMON_IMPL, IMPL, ASSOCIATED = range(7)


class Unknown(Exception):
    """rustdoc's JSON has something that this program does not know."""


def one(value):
    """The kind and the content of one of rustdoc's enums: {"kind": content}, or "kind"."""
    if isinstance(value, str):
        return value, None
    ((kind, content),) = value.items()
    return kind, content


class Docs:
    """All crates' JSON: which public path each definition has."""

    def __init__(self, documents):
        self.crates = {}
        self.public = {}  # path of the definition -> shortest public path
        for document in documents:
            crate = Crate(document, self)
            self.crates[crate.name] = crate
        for crate in self.crates.values():
            for id, path in crate.canonical.items():
                summary = crate.paths.get(id)
                if summary:
                    self.public["::".join(summary["path"])] = "::".join(path)


class Crate:
    def __init__(self, document, docs):
        self.docs = docs
        self.index = {str(id): item for id, item in document["index"].items()}
        self.paths = {str(id): summary for id, summary in document["paths"].items()}
        self.root = str(document["root"])
        self.name = self.index[self.root]["name"]
        self.lines = []
        self.reachable = {}  # id -> its public paths
        self.foreign = []  # (path, text of a re-export of another crate's item)
        self.find(self.root, (self.name,), ())
        self.canonical = {id: min(paths, key=lambda path: (len(path), path)) for id, paths in self.reachable.items()}

    # --- which items are public, and where

    def find(self, id, path, above):
        """Notes an item under a public path, and what stands in it if it is a module."""
        paths = self.reachable.setdefault(id, [])
        if path in paths:
            return
        paths.append(path)
        kind, inner = one(self.index[id]["inner"])
        if kind == "module" and id not in above:
            self.find_in(inner["items"], path, above + (id,))

    def find_in(self, items, path, above):
        for id in map(str, items):
            item = self.index.get(id)
            if item is None or id in above:
                continue
            kind, inner = one(item["inner"])
            if kind == "use":
                self.find_use(inner, path, above + (id,))
            elif kind == "extern_crate":
                self.foreign.append((path + (inner["rename"] or inner["name"],), f"extern crate {inner['name']}"))
            elif kind != "impl":
                self.find(id, path + (item["name"],), above)

    def find_use(self, use, path, above):
        target = None if use["id"] is None else str(use["id"])
        if target in self.index and target not in above:
            kind, inner = one(self.index[target]["inner"])
            if not use["is_glob"]:
                self.find(target, path + (use["name"],), above)
            elif kind == "module":
                self.find_in(inner["items"], path, above + (target,))
            else:
                self.find_in(inner["variants"], path, above + (target,))
        elif target not in above:
            name = "*" if use["is_glob"] else use["name"]
            self.foreign.append((path + (name,), target or use["source"]))

    # --- names and types

    def name_of(self, id, written):
        """The name of an item that a type or a bound refers to."""
        id = str(id)
        if id in self.canonical:
            return "::".join(self.canonical[id])
        summary = self.paths.get(id)
        if summary is None:
            return written
        path = summary["path"]
        if path[0] in STD:
            if len(path) > 2 and path[1] == "ffi" or len(path) > 1 and path[1].startswith("c_"):
                return f"ffi::{path[-1]}"
            name = f"{path[1]}::{path[-1]}" if len(path) > 2 else path[-1]
            return path[-1] if name in PRELUDE else name
        found = self.docs.public.get("::".join(path))
        if found is None and path[0] in self.docs.crates:
            # A bound that no other crate can name: what seals a trait.
            return f"private {path[-1]}"
        if found is None:
            # Another crate's definition may stand in a private module, which moves.
            return f"{path[0]}::{path[-1]}"
        return found

    def args(self, args):
        if not args:
            return ""
        kind, inner = one(args)
        if kind == "angle_bracketed":
            parts = [self.arg(arg) for arg in inner["args"]] + [self.constraint(each) for each in inner["constraints"]]
            return f"<{', '.join(parts)}>" if parts else ""
        if kind == "parenthesized":
            inputs = ", ".join(map(self.type, inner["inputs"]))
            return f"({inputs})" + (f" -> {self.type(inner['output'])}" if inner["output"] else "")
        raise Unknown(f"generic arguments {kind}")

    def arg(self, arg):
        kind, inner = one(arg)
        match kind:
            case "lifetime":
                return inner
            case "type":
                return self.type(inner)
            case "const":
                return inner["expr"]
            case "infer":
                return "_"
        raise Unknown(f"generic argument {kind}")

    def constraint(self, constraint):
        kind, inner = one(constraint["binding"])
        name = constraint["name"] + self.args(constraint["args"])
        if kind == "constraint":
            return f"{name}: {self.bounds(inner)}"
        kind, inner = one(inner)
        return f"{name} = {self.type(inner) if kind == 'type' else inner['expr']}"

    def path(self, path):
        return self.name_of(path["id"], path["path"]) + self.args(path["args"])

    def type(self, type):
        kind, inner = one(type)
        match kind:
            case "resolved_path":
                return self.path(inner)
            case "generic" | "primitive":
                return "!" if inner == "never" else inner
            case "tuple":
                return f"({', '.join(map(self.type, inner))}{',' if len(inner) == 1 else ''})"
            case "slice":
                return f"[{self.type(inner)}]"
            case "array":
                return f"[{self.type(inner['type'])}; {inner['len']}]"
            case "raw_pointer":
                return f"*{'mut' if inner['is_mutable'] else 'const'} {self.type(inner['type'])}"
            case "borrowed_ref":
                lifetime = f"{inner['lifetime']} " if inner["lifetime"] else ""
                return f"&{lifetime}{'mut ' if inner['is_mutable'] else ''}{self.type(inner['type'])}"
            case "impl_trait":
                return f"impl {self.bounds(inner)}"
            case "dyn_trait":
                parts = [self.for_any(each["generic_params"]) + self.path(each["trait"]) for each in inner["traits"]]
                return "dyn " + " + ".join(parts + ([inner["lifetime"]] if inner["lifetime"] else []))
            case "function_pointer":
                words = self.for_any(inner["generic_params"]) + self.header(inner["header"])
                return f"{words}fn{self.signature(inner['sig'], named=False)}"
            case "qualified_path":
                self_type, args = self.type(inner["self_type"]), self.args(inner["args"])
                trait = inner["trait"]
                if trait is None or not trait["path"]:
                    return f"{self_type}::{inner['name']}{args}"
                return f"<{self_type} as {self.path(trait)}>::{inner['name']}{args}"
            case "infer":
                return "_"
        raise Unknown(f"type {kind}")

    def bounds(self, bounds):
        return " + ".join(map(self.bound, bounds))

    def bound(self, bound):
        kind, inner = one(bound)
        match kind:
            case "trait_bound":
                modifier = {"none": "", "maybe": "?", "maybe_const": "~const "}[inner["modifier"]]
                return self.for_any(inner["generic_params"]) + modifier + self.path(inner["trait"])
            case "outlives":
                return inner
            case "use":
                return f"use<{', '.join(str(one(each)[1]) for each in inner)}>"
        raise Unknown(f"bound {kind}")

    def for_any(self, params):
        return f"for<{', '.join(param['name'] for param in params)}> " if params else ""

    def generics(self, generics):
        """(`<…>`, ` where …`) of an item."""
        params = [text for text in map(self.param, generics["params"]) if text]
        where = [self.predicate(each) for each in generics["where_predicates"]]
        return (f"<{', '.join(params)}>" if params else ""), (f" where {', '.join(where)}" if where else "")

    def param(self, param):
        kind, inner = one(param["kind"])
        name = param["name"]
        match kind:
            case "lifetime":
                return f"{name}: {' + '.join(inner['outlives'])}" if inner["outlives"] else name
            case "type":
                if inner["is_synthetic"]:
                    return None
                bounds = f": {self.bounds(inner['bounds'])}" if inner["bounds"] else ""
                return name + bounds + (f" = {self.type(inner['default'])}" if inner["default"] else "")
            case "const":
                return f"const {name}: {self.type(inner['type'])}" + (f" = {inner['default']}" if inner["default"] else "")
        raise Unknown(f"generic parameter {kind}")

    def predicate(self, predicate):
        kind, inner = one(predicate)
        match kind:
            case "bound_predicate":
                return f"{self.for_any(inner['generic_params'])}{self.type(inner['type'])}: {self.bounds(inner['bounds'])}"
            case "lifetime_predicate":
                return f"{inner['lifetime']}: {' + '.join(inner['outlives'])}"
            case "eq_predicate":
                return f"{self.type(inner['lhs'])} = {self.arg(inner['rhs'])}"
        raise Unknown(f"where predicate {kind}")

    def header(self, header):
        kind, inner = one(header["abi"])
        abi = "" if kind == "Rust" else f'extern "{inner if kind == "Other" else kind}" '
        if inner and isinstance(inner, dict) and inner.get("unwind"):
            abi = f'extern "{kind}-unwind" '
        words = [word for word in ("const", "async", "unsafe") if header[f"is_{word}"]]
        return "".join(f"{word} " for word in words) + abi

    def signature(self, signature, named=True):
        parts = [self.input(name, type) if named else self.type(type) for name, type in signature["inputs"]]
        if signature["is_c_variadic"]:
            parts.append("...")
        output = signature["output"]
        return f"({', '.join(parts)})" + (f" -> {self.type(output)}" if output else "")

    def input(self, name, type):
        if name == "self":
            text = self.type(type)
            found = re.fullmatch(r"(&(?:'\w+ )?(?:mut )?)?Self", text)
            return f"{found.group(1) or ''}self" if found else f"self: {text}"
        return f"{name}: {self.type(type)}"

    # --- items

    def marks(self, item):
        """The attributes that belong to the interface."""
        found = []
        for attribute in item["attrs"]:
            kind, inner = one(attribute)
            match kind:
                case "non_exhaustive":
                    found.append("#[non_exhaustive]")
                case "must_use":
                    found.append("#[must_use]")
                case "no_mangle":
                    found.append("#[no_mangle]")
                case "export_name":
                    found.append(f'#[export_name = "{inner}"]')
                case "repr":
                    parts = [{"c": "C"}.get(inner["kind"], inner["kind"])] if inner["kind"] != "rust" else []
                    parts += [inner["int"]] if inner["int"] else []
                    parts += [f"packed({inner['packed']})"] if inner["packed"] else []
                    parts += [f"align({inner['align']})"] if inner["align"] else []
                    found.append(f"#[repr({', '.join(parts)})]")
        if item["deprecation"]:
            found.append("#[deprecated]")
        return "".join(f"{mark} " for mark in sorted(found))

    def add(self, owner, section, text, at=0):
        """Notes a line, in its place: by owner, section, order of declaration where that counts, and name."""
        name = "" if section >= COMMON_IMPL else next((word for word in text.split(" ") if "::" in word), "")
        self.lines.append(((owner, section, at, re.match(r"[\w:]*", name).group(), text), text))

    def function(self, item, path, note=""):
        _, inner = one(item["inner"])
        params, where = self.generics(inner["generics"])
        head = f"{self.marks(item)}{self.header(inner['header'])}fn {'::'.join(path)}"
        return head + params + self.signature(inner["sig"]) + where + note

    def constant(self, type, value):
        literal = value and re.fullmatch(r"-?\d\w*|\"[^\"]*\"|true|false", value)
        return f": {self.type(type)}" + (f" = {value}" if literal else "")

    def fields(self, ids):
        """The fields of a tuple, in parentheses; `_` for a private one."""
        parts = []
        for id in ids:
            item = self.index.get(str(id)) if id is not None else None
            parts.append("_" if item is None else self.type(one(item["inner"])[1]))
        return f"({', '.join(parts)})"

    def describe(self, id):
        item, path = self.index[id], self.canonical[id]
        name = "::".join(path)
        kind, inner = one(item["inner"])
        marks = self.marks(item)
        match kind:
            case "module":
                text = f"mod {name}"
            case "function":
                text = self.function(item, path)
                marks = ""
            case "struct":
                text = self.struct(name, path, inner)
            case "union":
                params, where = self.generics(inner["generics"])
                text = f"union {name}{params}{where}" + (" { private fields }" if inner["has_stripped_fields"] else "")
                self.named_fields(path, name, inner["fields"])
            case "enum":
                params, where = self.generics(inner["generics"])
                text = f"enum {name}{params}{where}"
                for at, variant in enumerate(map(str, inner["variants"])):
                    if variant in self.index:
                        self.variant(path, self.index[variant], at)
            case "variant":
                text = f"use {name}: variant"
            case "trait":
                text = self.trait(name, path, inner)
            case "trait_alias":
                params, where = self.generics(inner["generics"])
                text = f"trait {name}{params} = {self.bounds(inner['params'])}{where}"
            case "type_alias":
                params, where = self.generics(inner["generics"])
                text = f"type {name}{params} = {self.type(inner['type'])}{where}"
            case "constant":
                text = f"const {name}" + self.constant(inner["type"], inner["const"]["expr"])
            case "static":
                text = f"static {'mut ' if inner['is_mutable'] else ''}{name}: {self.type(inner['type'])}"
            case "extern_type":
                text = f"extern type {name}"
            case "macro" | "proc_macro":
                text = f"macro {name}!"
            case _:
                raise Unknown(f"item {kind}")
        self.add(path, HEAD, marks + text)
        for other in self.reachable[id]:
            if other != path:
                self.add(other, HEAD, f"use {'::'.join(other)} = {name}")

    def struct(self, name, path, inner):
        params, where = self.generics(inner["generics"])
        kind, content = one(inner["kind"])
        match kind:
            case "unit":
                return f"struct {name}{params}{where}"
            case "tuple":
                public = any(id is not None for id in content)
                return f"struct {name}{params}{self.fields(content) if public else ' { private fields }'}{where}"
            case "plain":
                self.named_fields(path, name, content["fields"])
                return f"struct {name}{params}{where}" + (" { private fields }" if content["has_stripped_fields"] else "")
        raise Unknown(f"struct {kind}")

    def named_fields(self, path, name, ids):
        for at, id in enumerate(map(str, ids)):
            item = self.index.get(id)
            if item is not None:
                self.add(path, MEMBER, f"{self.marks(item)}field {name}.{item['name']}: {self.type(one(item['inner'])[1])}", at)

    def variant(self, path, item, at):
        _, inner = one(item["inner"])
        kind, content = one(inner["kind"])
        text = f"{self.marks(item)}variant {'::'.join(path)}::{item['name']}"
        match kind:
            case "plain":
                pass
            case "tuple":
                text += self.fields(content)
            case "struct":
                found = [self.index[str(id)] for id in content["fields"] if str(id) in self.index]
                parts = [f"{field['name']}: {self.type(one(field['inner'])[1])}" for field in found]
                text += f" {{ {', '.join(parts + (['..'] if content['has_stripped_fields'] else []))} }}"
            case _:
                raise Unknown(f"variant {kind}")
        if inner["discriminant"]:
            text += f" = {inner['discriminant']['value']}"
        self.add(path, MEMBER, text, at)

    def trait(self, name, path, inner):
        params, where = self.generics(inner["generics"])
        for id in map(str, inner["items"]):
            item = self.index.get(id)
            if item is not None:
                self.associated(path, item, path, "")
        words = "unsafe " * inner["is_unsafe"] + "auto " * inner["is_auto"]
        bounds = f": {self.bounds(inner['bounds'])}" if inner["bounds"] else ""
        return f"{words}trait {name}{params}{bounds}{where}" + ("" if inner["is_dyn_compatible"] else " (not dyn compatible)")

    def associated(self, owner, item, path, note):
        """An item of a trait, or of a type's own implementation."""
        kind, inner = one(item["inner"])
        name = f"{'::'.join(path)}::{item['name']}"
        in_trait = one(self.index[self.id_at(owner)]["inner"])[0] == "trait"
        match kind:
            case "function":
                provided = " { provided }" if in_trait and inner["has_body"] else ""
                self.add(owner, METHOD, self.function(item, path + (item["name"],), note) + provided)
            case "assoc_const":
                provided = " { provided }" if in_trait and inner["value"] is not None else ""
                self.add(owner, CONST, f"{self.marks(item)}const {name}{self.constant(inner['type'], inner['value'])}{note}{provided}")
            case "assoc_type":
                params, where = self.generics(inner["generics"])
                bounds = f": {self.bounds(inner['bounds'])}" if inner["bounds"] else ""
                value = f" = {self.type(inner['type'])}" if inner["type"] else ""
                self.add(owner, MEMBER, f"type {name}{params}{bounds}{value}{where}{note}")
            case _:
                raise Unknown(f"associated {kind}")

    def id_at(self, path):
        return next(id for id, found in self.canonical.items() if found == path)

    # --- implementations

    def owner(self, inner):
        """The public path that an implementation stands under: its type's, or for another crate's type its trait's."""
        type = inner["for"]
        while True:
            kind, content = one(type)
            if kind == "borrowed_ref":
                type = content["type"]
            else:
                break
        if kind == "resolved_path" and str(content["id"]) in self.canonical:
            return self.canonical[str(content["id"])]
        local = kind == "resolved_path" and (summary := self.paths.get(str(content["id"]))) and summary["crate_id"] == 0
        trait = inner["trait"]
        if local or trait is None:
            return None  # of a private type
        return self.canonical.get(str(trait["id"]))

    def implementations(self):
        common = {}
        for item in self.index.values():
            kind, inner = one(item["inner"])
            if kind != "impl" or inner["blanket_impl"] is not None or item["crate_id"] != 0:
                continue
            owner = self.owner(inner)
            if owner is None:
                continue
            params, where = self.generics(inner["generics"])
            target = self.type(inner["for"])
            if inner["trait"] is None:
                plain = re.fullmatch(r"(<('?\w+(, )?)+>)?", params) and not where
                mine = "::".join(owner)
                of = re.fullmatch(re.escape(mine) + r"(<('?\w+(, )?)+>)?", target)
                generic = {part["name"] for part in inner["generics"]["params"]} | {"'_"}
                plain = plain and of and all(word in generic for word in re.findall(r"'?\w+", of.group(1) or ""))
                note = "" if plain else f" [impl{params} {target}{where}]"
                for id in map(str, inner["items"]):
                    if id in self.index:
                        self.associated(owner, self.index[id], owner, note)
                continue
            trait = ("!" if inner["is_negative"] else "") + self.path(inner["trait"])
            if trait.lstrip("!") in UNNAMED or inner["is_synthetic"] and trait.lstrip("!") not in ("Send", "Sync"):
                continue
            if "private " in trait:
                continue
            unsafe = "unsafe " if inner["is_unsafe"] and trait not in ("Send", "Sync") else ""
            head = f"impl{params} "
            if trait in COMMON:
                common.setdefault((owner, head, target, where), set()).add(trait)
                continue
            self.add(owner, IMPL, f"{unsafe}{head}{trait} for {target}{where}")
            for id in map(str, inner["items"]):
                found = self.index.get(id)
                if found is not None and one(found["inner"])[0] == "assoc_type":
                    value = self.type(one(found["inner"])[1]["type"])
                    self.add(owner, ASSOCIATED, f"type <{target} as {trait}>::{found['name']} = {value}")
        for (owner, head, target, where), traits in common.items():
            self.add(owner, COMMON_IMPL, f"{head}{' + '.join(sorted(traits))} for {target}{where}")

    def text(self):
        self.lines = []
        for id in self.reachable:
            self.describe(id)
        for path, target in self.foreign:
            if target in self.paths:
                star = "::*" if path[-1] == "*" else ""
                target = self.name_of(target, "") + star
            self.add(path, HEAD, f"use {'::'.join(path)}" + (f" = {target}" if not target.startswith("extern") else f" = {target}"))
        self.implementations()
        return "".join(f"{text}\n" for _, text in sorted(set(self.lines)))


def read(file):
    document = json.loads(file.read_text())
    version = document["format_version"]
    if version not in FORMATS:
        known = ", ".join(f"{number} (Rust {release})" for number, release in sorted(FORMATS.items()))
        sys.exit(
            f"error: this toolchain's rustdoc writes JSON of format {version}; .ci/tools/api.py was tried with {known}.\n"
            f"  Use a toolchain of the list (RUSTUP_TOOLCHAIN={max(FORMATS.values())} .ci/run api), or add {version} to FORMATS there\n"
            "  and see that the texts in docs/api stay as they are."
        )
    return document


def main(arguments):
    write = arguments[:1] == ["--write"]
    files = [pathlib.Path(argument) for argument in arguments[write:]]
    pairs = list(zip(files[::2], files[1::2]))
    if not pairs or len(files) % 2:
        sys.exit(__doc__)
    docs = Docs([read(source) for source, _ in pairs])
    differing = 0
    for crate, (source, text) in zip(docs.crates.values(), pairs):
        try:
            found = crate.text()
        except (Unknown, KeyError, TypeError) as why:
            sys.exit(f"error: {source}: not understood: {why!r}. The format has changed, or .ci/tools/api.py lacks a construct.")
        if write:
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(found)
            print(f"   {text}: {found.count(chr(10))} lines")
            continue
        expected = text.read_text() if text.exists() else ""
        changes = [
            line
            for line in difflib.unified_diff(expected.splitlines(), found.splitlines(), str(text), "the code", n=0, lineterm="")
            if not line.startswith("@@")
        ]
        if changes:
            differing += 1
            print("\n".join(changes))
        else:
            print(f"   {text}: as it says, {found.count(chr(10))} lines")
    if differing:
        print(f"error: the public API of {differing} crates is not what the texts say.", file=sys.stderr)
        print("  If the change is meant: bash .ci/tools/api.sh --write, and commit the texts with it.", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
