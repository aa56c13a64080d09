#!/usr/bin/env bash
# All tests, built for arm64 Linux and run under qemu-user, one at a time.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

use_rust newest
once "$cache/cross-arm64" cross-arm64.sh
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$cache/cross-arm64/cc
# A test that starts a program puts this before it; one that compiles C takes the compiler from the second.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$cache/cross-arm64/run
export CC_aarch64_unknown_linux_gnu=$cache/cross-arm64/cc
# One at a time: a fault takes long there, and two tests with many threads starve each other.
run_tests "$(readme_test_command) --target aarch64-unknown-linux-gnu --no-fail-fast" --test-threads=1
