#!/usr/bin/env bash
# The public API of each library against its text in docs/api, so that a change is seen in review; links of front pages; soundness.md.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../tools/api.sh"
