#!/usr/bin/env bash
# The public API of the libraries against the texts in docs/api, the links of their front pages, names that stand for two things, and the
# unsafe items that docs/soundness.md names; with --write, writes the texts.
# usage: api.sh [--write]
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

need python3 "install Python 3"

# rustdoc's JSON is unstable, and the toolchain is the stable one.
wrapper=$(rustdoc_unstable)

# The texts are those of one target. The others have the same interface, but for what "native" names.
triple=x86_64-unknown-linux-gnu
options=() docs=$target/doc
if [ "$(rustc -vV | sed -n 's/^host: //p')" != "$triple" ]; then
    options=(--target "$triple") docs=$target/$triple/doc
fi

say "the check itself"
RUSTDOC=$wrapper python3 "$tools/test_api.py"
python3 "$tools/test_promises.py"
python3 "$tools/test_names.py"

pairs=() all=()
for library in "${libraries[@]}"; do
    json=$docs/${library//-/_}.json
    RUSTDOC=$wrapper cargo rustdoc --locked --quiet ${options[@]+"${options[@]}"} -p "$library" --lib -- \
        --cap-lints allow -Z unstable-options --output-format json ||
        die "rustdoc writes no JSON for $library; on another host than $triple: rustup target add $triple"
    pairs+=("$json" "docs/api/$library.txt") all+=("$json")
done
if [ "${1-}" = --write ]; then
    python3 "$tools/api.py" --write "${pairs[@]}"
    exit
fi
status=0
say "texts"
python3 "$tools/api.py" "${pairs[@]}" || status=1
say "front pages"
python3 "$tools/front_pages.py" "${all[@]}" || status=1
say "names"
python3 "$tools/names.py" || status=1
say "what callers promise, in docs/soundness.md"
python3 "$tools/promises.py" || status=1
exit "$status"
