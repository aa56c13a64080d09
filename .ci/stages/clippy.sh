#!/usr/bin/env bash
# Lints of libraries, programs, tests and benches; a warning fails.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

cargo clippy --locked --keep-going --workspace --all-targets -- -D warnings
