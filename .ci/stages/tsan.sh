#!/usr/bin/env bash
# Data races, by ThreadSanitizer: the emulated kernel's own tests, and those of servers and managed threads.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
. "$tools/sanitizer.sh"

use_sanitizer thread
# Left out: suites whose subject is the last pass of destructors, deaths by overflow, allocations, and children of forks, which are
# others under ThreadSanitizer (CONTRIBUTING.md).
run_tests "cargo test --locked --target x86_64-unknown-linux-gnu -p mach-emulated -p exc-server -p thread-mgr --lib --test routes --test deferred --test joins --test audit --test ending --test normalization" \
    --skip ipc::tests::random --skip ipc::tests::scale --skip ten_thousand
