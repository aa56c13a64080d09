#!/usr/bin/env bash
# Protocols without a lock in all interleavings of a few threads: tests/models, with the concurrency checker loom.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# The switch is every crate's: its builds stand apart.
export CARGO_TARGET_DIR=$cache/build-models RUSTFLAGS="--cfg loom"
log=$(mktemp "$cache/models.XXXXXX")
trap 'rm -f "$log"' EXIT
status=0
cargo run --locked --release --quiet -p models 2>&1 | tee "$log" || status=$?
ran=$(grep -c '^model .* ok, [0-9]* interleavings' "$log" || :)
wanted=$(grep -ho '^ *name: "' "$root"/tests/models/src/*.rs | wc -l)
printf '%d passed, %d failed\n' "$ran" $((wanted - ran)) >"${CI_RESULT:-/dev/null}"
[ "$status" -eq 0 ] || exit "$status"
[ "$ran" -gt 0 ] && [ "$ran" -eq "$wanted" ] || die "$ran models of $wanted ran"
