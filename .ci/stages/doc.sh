#!/usr/bin/env bash
# Documentation; a warning (a broken link, say) fails.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

export RUSTDOCFLAGS='-D warnings'
cargo doc --locked --workspace --no-deps
