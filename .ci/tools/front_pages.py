"""Each crate's front page links its modules and the items that people start with.

usage: front_pages.py JSON...     the crates' rustdoc JSON (`.ci/tools/api.sh` makes it)
"""

import json
import pathlib
import sys

# Besides the public modules at the crate's root.
ITEMS = {
    "mach_wire": [],
    "mach_emulated": ["Config", "StartError"],
    "mach_sys": [],
    "exc_server": [
        "Server", "Handler", "Exception", "Answered", "Delivery", "Routing", "Route", "Deferred", "Receiver", "Installation",
    ],
    "signal_redirect": ["Redirect", "Entry", "Trampoline", "Fault", "Memory", "RedirectMask"],
    "thread_mgr": ["Manager", "ManagerBuilder", "ThreadBuilder", "Attached", "ShutdownReport"],
}  # fmt: skip
# The seam's other side: mach_sys documents it.
UNLINKED = {("mach_emulated", "calls"), ("mach_emulated", "system")}


def at_root(document):
    """(name, id, whether it is a module) of what stands at the crate's root; globs and other crates are left out."""
    index, paths = document["index"], document["paths"]
    for id in index[str(document["root"])]["inner"]["module"]["items"]:
        item = index.get(str(id))
        if item is None:
            continue
        name, target = item["name"], str(id)
        if "use" in item["inner"]:
            use = item["inner"]["use"]
            if use["is_glob"] or use["id"] is None:
                continue
            name, target = use["name"], str(use["id"])
        if target in index:
            yield name, target, "module" in index[target]["inner"]
        elif target in paths and len(paths[target]["path"]) > 1:
            yield name, target, paths[target]["kind"] == "module"


def main(arguments):
    failed = False
    for file in map(pathlib.Path, arguments):
        document = json.loads(file.read_text())
        root = document["index"][str(document["root"])]
        crate = root["name"]
        linked = {str(id) for id in root["links"].values()}
        found = {name: id for name, id, _ in at_root(document)}
        modules = [name for name, _, module in at_root(document) if module and (crate, name) not in UNLINKED]
        for name in modules + ITEMS[crate]:
            if name not in found:
                print(f"error: {crate} has no {name}: the list in front_pages.py must follow", file=sys.stderr)
                failed = True
            elif found[name] not in linked:
                print(f"error: the front page of {crate} does not link {name}", file=sys.stderr)
                failed = True
        print(f"   {crate}: its front page has {len(linked)} links")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
