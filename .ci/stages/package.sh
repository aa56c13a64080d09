#!/usr/bin/env bash
# The packages as they would be published: each builds from its own contents, and has its licences and metadata.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

need python3 "install Python 3"
tree=$cache/published
bash "$tools/published.sh" "$tree"

# Outside git: the copy is no checkout, and what is ignored around it does not count. One target folder for the copy and for what is
# unpacked from the packages.
export CARGO_TARGET_DIR=$cache/build-published CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
rm -rf "$CARGO_TARGET_DIR/package"
say "cargo package, each built from what it contains"
(cd "$tree" && cargo package --locked --quiet --workspace)

say "contents and metadata"
python3 "$tools/packages.py" "$CARGO_TARGET_DIR/package" "$tree"

# Their unit tests too need nothing outside. The packages name each other by version, so each is put in the registry's place.
say "unit tests of each package, compiled from the package alone"
(cd "$tree/unpacked" && cp ../Cargo.lock . && cargo check --offline --quiet --workspace --all-targets)
rm -rf "$CARGO_TARGET_DIR/package/tmp-registry"
