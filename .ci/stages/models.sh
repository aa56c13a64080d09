#!/usr/bin/env bash
# Models of the emulation's synchronization, in all interleavings of a few threads up to a number of preemptions: tests/models, with loom.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# `--cfg loom` holds for every crate: this stage builds in a folder of its own.
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
