#!/usr/bin/env bash
# Documentation; a warning (a broken link, say) fails. So does a link of a Markdown file that leads nowhere.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

need python3 "install Python 3"
say "links of the Markdown files"
python3 "$tools/test_links.py"
python3 "$tools/links.py"

say "the crates' documentation"

export RUSTDOCFLAGS='-D warnings'
cargo doc --locked --workspace --no-deps
