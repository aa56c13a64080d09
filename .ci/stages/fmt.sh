#!/usr/bin/env bash
# Formatting: rustfmt's defaults.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

cargo fmt --all --check
