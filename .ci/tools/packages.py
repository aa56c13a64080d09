"""Looks into the packages that `cargo package` made: licences, README, metadata, and nothing that does not belong there.

usage: packages.py FOLDER TREE     FOLDER has the .crate files; they are unpacked to TREE/unpacked as a workspace
"""

import pathlib
import shutil
import sys
import tarfile
import time
import tomllib

# The packages, and what else each must have at its top.
EXPECTED = {
    "mach-wire": [],
    "mach-emulated": ["build.rs"],
    "mach-exc-sys": [],
    "exc-server": [],
    "signal-redirect": [],
    "thread-mgr": ["build.rs"],
}
# What cargo adds by itself.
GENERATED = {"Cargo.toml", "Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"}
TARGETS = {"aarch64-apple-darwin", "x86_64-apple-darwin", "x86_64-unknown-linux-gnu"}
# Slugs of the registry's list that fit here; a slug that is not on the registry's list is dropped there without an error.
CATEGORIES = {
    "api-bindings", "concurrency", "development-tools::debugging", "development-tools::testing", "emulators", "encoding",
    "no-std", "no-std::no-alloc", "os::macos-apis", "os::unix-apis",
}  # fmt: skip
MOST_BYTES = 512 * 1024


def problems(name, folder, file):
    """What is wrong with an unpacked package."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    licences = {"LICENSE-MIT": "MIT License", "LICENSE-APACHE": "Apache License"}
    for wanted in ["README.md", "src/lib.rs", *licences, *EXPECTED[name]]:
        if wanted not in names:
            yield f"has no {wanted}"
    for licence, title in licences.items():
        if licence in names and ((folder / licence).is_symlink() or title not in (folder / licence).read_text()[:200]):
            yield f"{licence} is no text of that licence"
    for found in sorted(names):
        if not found.startswith("src/") and found not in GENERATED | {"README.md", *licences, *EXPECTED[name]}:
            yield f"has {found}, which does not belong there"
    size = file.stat().st_size
    if size > MOST_BYTES:
        yield f"has {size} bytes, more than {MOST_BYTES}"

    manifest = tomllib.loads((folder / "Cargo.toml").read_text())
    package = manifest["package"]
    for key in ["description", "license", "repository", "readme", "rust-version", "keywords", "categories"]:
        if not package.get(key):
            yield f"names no {key}"
    keywords = package.get("keywords", [])
    if len(keywords) > 5 or any(len(word) > 20 for word in keywords):
        yield "more than five keywords, or one of more than 20 characters"
    if len(package.get("categories", [])) > 5 or set(package.get("categories", [])) - CATEGORIES:
        yield f"categories that the list in packages.py does not have: {package.get('categories')}"
    docs = package.get("metadata", {}).get("docs", {}).get("rs", {})
    if set(docs.get("targets", [])) != TARGETS or docs.get("default-target") not in TARGETS:
        yield "docs.rs is not told the targets"
    if (readme := folder / "README.md").exists():
        sentence = f"Rust {package.get('rust-version')} or later"
        if sentence not in readme.read_text():
            yield f"README.md lacks the sentence about the minimum Rust version ({sentence!r})"


def main(arguments):
    packages, tree = map(pathlib.Path, arguments)
    unpacked = tree / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    failed, patches, placeholder = False, [], False
    files = {file.name: file for file in sorted(packages.glob("*.crate"))}
    version = tomllib.loads((tree / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    for name in EXPECTED:
        file = files.pop(f"{name}-{version}.crate", None)
        if file is None:
            print(f"error: no package {name} {version}", file=sys.stderr)
            failed = True
            continue
        with tarfile.open(file) as archive:
            # Packages carry one time for all files, from 2006: cargo would take a changed file for the one that it built before.
            for member in archive:
                member.mtime = time.time()
            archive.extractall(unpacked, filter="data")
        folder = unpacked / f"{name}-{version}"
        patches.append(f'{name} = {{ path = "{folder.name}" }}')
        # A package's own lock file is for programs; in the workspace there is one for all.
        for problem in problems(name, folder, file):
            print(f"error: {name}: {problem}", file=sys.stderr)
            failed = True
        count = sum(1 for path in folder.rglob("*") if path.is_file())
        print(f"   {name:<16} {count:>4} files, {file.stat().st_size / 1024:>6.1f} KiB packed")
        placeholder |= "OWNER" in tomllib.loads((folder / "Cargo.toml").read_text())["package"].get("repository", "")
    for name in files:
        print(f"error: {name} is a package that packages.py does not know", file=sys.stderr)
        failed = True
    members = ", ".join(f'"{name}-{version}"' for name in EXPECTED)
    (unpacked / "Cargo.toml").write_text(
        f'[workspace]\nresolver = "3"\nmembers = [{members}]\n\n[patch.crates-io]\n' + "\n".join(patches) + "\n"
    )
    if placeholder:
        print("   note: `repository` still has the placeholder OWNER; it is set before the first publication")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
