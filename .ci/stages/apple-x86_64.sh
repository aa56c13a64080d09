#!/usr/bin/env bash
# macOS on x86_64: types, lints and layouts checked, everything linked, imports checked.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../tools/apple.sh" x86_64-apple-darwin
