#!/usr/bin/env bash
# The libraries without std. On Linux that leaves mach-wire in mach-sys, and the pure parts of what builds on it.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

for library in "${no_std_libraries[@]}"; do
    # One at a time: built together, the features that one asks for would be on for all.
    cargo clippy --locked -p "$library" --lib --no-default-features -- -D warnings
done
run_tests "cargo test --locked -p mach-wire -p signal-redirect --no-default-features"
