#!/usr/bin/env bash
# The packages as they would be published: each builds from its own contents, and has its licences and metadata.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

need python3 "install Python 3"
tree=$cache/published
bash "$tools/published.sh" "$tree"

# Outside git: the copy is no checkout, and what is ignored around it does not count.
export CARGO_TARGET_DIR=$cache/build-published CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
rm -rf "$CARGO_TARGET_DIR/package"
# Verified below instead: cargo's own verification takes the packages that a package depends on from a registry under the target
# folder, and caches what it unpacks and builds of them by version: after a change it may build against the old one.
say "cargo package"
(cd "$tree" && cargo package --locked --quiet --workspace --exclude test-support --no-verify)

say "contents and metadata"
python3 "$tools/packages.py" "$CARGO_TARGET_DIR/package" "$tree"

# The packages name each other by version, so each is put in the registry's place.
cd "$tree/unpacked"
cp ../Cargo.lock .
say "each package, built from what the packages contain"
for package in "${libraries[@]/#mach-sys/mach-exc-sys}"; do
    # One at a time: built together, the features that one asks for would be on for all.
    cargo build --locked --quiet -p "$package"
done
say "unit tests, compiled from the packages alone"
cargo check --locked --quiet --workspace --all-targets
rm -rf "$CARGO_TARGET_DIR/package"/tmp-*
