"""Follows the relative links of the repository's Markdown files: each leads to a file or folder, and its anchor to a heading there.

usage: links.py [FOLDER]

Looked at are `[text](target)`, `<img src="target">` and the like, outside code. Links of the web are left alone, as are those of a library's README
whose target is an item (`kernel::KERNEL`): rustdoc follows these, and the stage `doc` fails on a broken one.
"""

import pathlib
import re
import subprocess
import sys

FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
CODE = re.compile(r"(`+)[^`].*?\1", re.S)
LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)[^)]*\)|(?:src|href)="([^"]+)\"""")


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them; the second of a name has `-1`."""
    found = set()
    for title in re.findall(r"^#{1,6} +(.*?) *#*$", FENCE.sub("", text), re.M):
        title = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        name = re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-")
        number, first = 0, name
        while name in found:
            number += 1
            name = f"{first}-{number}"
        found.add(name)
    return found | set(re.findall(r"""(?:id|name)="([^"]+)\"""", text))


def links(text):
    return [one or other for one, other in LINK.findall(CODE.sub("", FENCE.sub("", text)))]


def is_item(target, page):
    """Whether rustdoc follows it: a README beside a `src`, and a path of Rust's."""
    return (page.parent / "src").is_dir() and re.fullmatch(r"[\w:!()]+", target) is not None


def broken(pages):
    """One line for each link that leads nowhere."""
    for page in pages:
        for target in links(page.read_text()):
            if re.match(r"[a-z][a-z+.-]*:(?!:)", target) or is_item(target, page):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page.resolve()
            if not file.exists():
                yield f"{page}: {target}: there is no {path}"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
                yield f"{page}: {target}: no heading of {path or page.name} makes this anchor"


def main(arguments):
    folder = pathlib.Path(*arguments or ["."])
    listed = subprocess.run(["git", "ls-files", "-z", "--", "*.md"], cwd=folder, capture_output=True, check=True, text=True).stdout
    pages = [folder / name for name in listed.split("\0") if name and (folder / name).exists()]
    found = list(broken(pages))
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    count = sum(len(links(page.read_text())) for page in pages)
    if not count:
        raise SystemExit("error: no link found: this program reads the pages wrongly")
    if not found:
        print(f"   {len(pages)} pages with {count} links")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
