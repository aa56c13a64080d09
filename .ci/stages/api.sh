#!/usr/bin/env bash
# The public API of each library, against its text in docs/api: a change of it is seen in review.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../tools/api.sh"
