#!/usr/bin/env bash
# What must not compile: each such doc test fails with the very error that it names.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# A test without a code would pass for a misspelt name, too.
if unnamed=$(git grep -n 'compile_fail' -- '*/src/*.rs' '*.md' ':!CONTRIBUTING.md' | grep -v 'compile_fail,E[0-9][0-9][0-9][0-9]'); then
    die "a test that must not compile names the error, as in compile_fail,E0308:"$'\n'"$unnamed"
fi

# The stable rustdoc compares no codes: it does under this switch, set for rustdoc alone.
wrapper=$(rustdoc_unstable)
log=$(mktemp "$cache/compile-fail.XXXXXX")
trap 'rm -f "$log" "$log.one"' EXIT
# rustdoc cannot choose these tests alone, so the other doc tests run along.
for library in "${libraries[@]}"; do
    RUSTDOC=$wrapper cargo test --locked --quiet --doc -p "$library" -- --format=pretty >"$log.one" 2>&1 || failed=1
    grep -- '- compile fail \.\.\. ' "$log.one" || :
    if [ -n "${failed-}" ]; then
        cat "$log.one"
        die "the doc tests of $library fail"
    fi
    cat "$log.one" >>"$log"
done
passed=$(grep -c -- '- compile fail \.\.\. ok$' "$log" || :)
[ "$passed" -gt 0 ] || die "no test ran"
printf '%s passed\n' "$passed" >"${CI_RESULT:-/dev/null}"
