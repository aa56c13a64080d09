#!/usr/bin/env bash
# The emulation refuses to start under valgrind, whose signal frames are not Linux's; the codec's instructions, counted by it, are bounded.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

[ "$(uname -sm)" = "Linux x86_64" ] || die "Debian's valgrind is fetched for x86_64 Linux only, and this is $(uname -sm)"
once "$cache/valgrind" debian.sh valgrind
export PATH=$cache/valgrind/usr/bin:$PATH VALGRIND_LIB=$cache/valgrind/usr/libexec/valgrind
say "$(valgrind --version)"
export CI_RESULT=${CI_RESULT:-$(mktemp "$cache/result.XXXXXX")}
run_tests "cargo test --locked -p mach-sys --test host" valgrind
# With valgrind there it must not skip.
! grep -q skipped "$CI_RESULT" || die "$(cat "$CI_RESULT")"
# The bench fails above its limit. Incremental builds inline less.
log=$(mktemp "$cache/codec.XXXXXX")
trap 'rm -f "$log"' EXIT
CARGO_INCREMENTAL=0 cargo bench --locked -p mach-wire --bench codec 2>&1 | tee "$log"
# It must not skip.
grep -q '^codec: [0-9]* instructions (limit' "$log" || die "nothing was counted"
