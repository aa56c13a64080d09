#!/usr/bin/env bash
# Documentation; a warning (a broken link, say) fails. So does a Markdown link that leads nowhere, and a first line that asks What or How.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

need python3 "install Python 3"
say "links of the Markdown files"
python3 "$tools/test_links.py"
python3 "$tools/links.py"

say "the wording of documentation"
python3 "$tools/test_wording.py"
python3 "$tools/wording.py"

say "the crates' documentation"

export RUSTDOCFLAGS='-D warnings'
cargo doc --locked --workspace --no-deps
