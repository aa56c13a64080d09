#!/usr/bin/env bash
# The minimum Rust version that Cargo.toml promises: libraries, programs, tests and benches compile.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || die "Cargo.toml names no rust-version"
if rustup run "$version" rustc --version >/dev/null 2>&1; then
    export RUSTUP_TOOLCHAIN=$version
    say "$(rustc --version)"
else
    use_rust "$version"
fi
RUSTFLAGS='-D warnings' cargo check --locked --workspace --all-targets
