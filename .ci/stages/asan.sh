#!/usr/bin/env bash
# Errors of memory, by AddressSanitizer: the emulated kernel's own tests, and those of servers, redirects and managed threads.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
. "$tools/sanitizer.sh"

use_sanitizer address
# Leaks at a process's end are no error: children of tests leave by `_exit`.
export ASAN_OPTIONS=detect_leaks=0
run_tests "cargo test --locked --target x86_64-unknown-linux-gnu -p mach-emulated -p exc-server -p thread-mgr --lib --test routes --test deferred --test joins --test audit --test ending --test normalization"
