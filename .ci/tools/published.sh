#!/usr/bin/env bash
# Makes a copy of the libraries' workspace as it is published: the registry has an unrelated mach-sys, so the package is called
# mach-exc-sys there. Its library stays mach_sys, and the packages that depend on it go on calling it mach-sys.
# usage: published.sh DIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

dir=$1
published=mach-exc-sys

need git "install git"
rm -rf "$dir"
mkdir -p "$dir"
# What git knows or would take, as it is in the work tree: symbolic links stay links.
git ls-files -z --cached --others --exclude-standard -- \
    Cargo.toml Cargo.lock 'LICENSE-*' CHANGELOG.md mach-sys exc-server signal-redirect thread-mgr |
    while IFS= read -r -d '' file; do
        # A file that was deleted and is still known.
        if [ -e "$file" ]; then printf '%s\0' "$file"; fi
    done | tar --create --null --files-from=- --file=- | tar --extract --file=- --directory="$dir"
cd "$dir"

# edit FILE FROM TO: replaces the one line that has FROM, and fails if there is none.
edit() {
    grep -q "$2" "$1" || die "$1 has no line that matches $2: published.sh must follow it"
    sed "s|$2|$3|" "$1" >"$1.new"
    mv "$1.new" "$1"
}
edit Cargo.toml ', "examples", "tests".*\]' ']'
edit Cargo.toml '^mach-sys = { path' "mach-sys = { package = \"$published\", path"
edit mach-sys/Cargo.toml '^name = "mach-sys"$' "name = \"$published\""
grep -q '^\[lib\]' mach-sys/Cargo.toml && die "mach-sys/Cargo.toml has a [lib] now: published.sh must name it mach_sys there"
printf '\n[lib]\nname = "mach_sys"\n' >>mach-sys/Cargo.toml
# What only tests and benches of the repository use: no package has it, nor them.
for manifest in Cargo.toml ./*/Cargo.toml mach-sys/*/Cargo.toml; do
    sed '/^test-support[. ]/d; /^port-server[. ]/d; /^measure[. ]/d' "$manifest" >"$manifest.new"
    mv "$manifest.new" "$manifest"
done
# The lock file follows the new name; no other version in it changes.
cargo update --workspace --offline --quiet 2>/dev/null || cargo update --workspace --quiet
