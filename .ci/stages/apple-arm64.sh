#!/usr/bin/env bash
# macOS on arm64: types, lints and layouts checked, everything linked, imports checked.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../tools/apple.sh" aarch64-apple-darwin
