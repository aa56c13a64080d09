#!/usr/bin/env bash
# The emulation under valgrind, whose signal frames are not Linux's: it refuses to start, and says why.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

[ "$(uname -sm)" = "Linux x86_64" ] || die "Debian's valgrind is fetched for x86_64 Linux only, and this is $(uname -sm)"
once "$cache/valgrind" debian.sh valgrind
export PATH=$cache/valgrind/usr/bin:$PATH VALGRIND_LIB=$cache/valgrind/usr/libexec/valgrind
say "$(valgrind --version)"
export CI_RESULT=${CI_RESULT:-$(mktemp "$cache/result.XXXXXX")}
run_tests "cargo test --locked -p mach-sys --test host" valgrind
# With valgrind there it must not skip.
! grep -q skipped "$CI_RESULT" || die "$(cat "$CI_RESULT")"
