#!/usr/bin/env bash
# The public API of each library against its text in docs/api, so that a change is seen in review; front pages link their items;
# docs/soundness.md names each unsafe one.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../tools/api.sh"
